//! Rules for people.

use super::end_all;
use crate::{Cause, Edit, Effect, Guard, NewPerson, Order};
use jeton_core::directory::Person;
use jeton_core::token::{Reach, TokenKind};

/// Creates a person. Invitations of their address that waive consent become memberships.
pub fn create(cause: Cause, new: NewPerson) -> Order {
    Order::new(cause)
        .guard(Guard::EmailFree(new.person.email.clone()))
        .effect(Effect::CreatePerson(new))
}

/// Changes a person. A new password revokes their sessions; disabling revokes their sessions and tokens.
/// Refused if no site administrator who can log in would remain.
pub fn change(cause: Cause, before: &Person, changed: Person, password_hash: Option<String>) -> Order {
    let reach = Reach {
        user: Some(changed.id.clone()),
        ..Reach::default()
    };
    let ending = if changed.disabled_at.is_some() && before.disabled_at.is_none() {
        Some(end_all(&cause, reach))
    } else if password_hash.is_some() {
        // Someone who knew the old password may hold a session; API tokens do not depend on the password.
        let sessions = Reach {
            kind: Some(TokenKind::Session),
            ..reach
        };
        Some(end_all(&cause, sessions))
    } else {
        None
    };
    let mut order = Order::new(cause);
    if administrates(before) && !administrates(&changed) {
        order = order.guard(Guard::AnotherSiteAdministrator(changed.id.clone()));
    }
    let edit = Edit {
        before: before.clone(),
        after: changed,
    };
    order = order.effect(Effect::ChangePerson(Box::new(edit), password_hash));
    order.effects.extend(ending);
    order
}

/// Removes a person from everything; revokes their sessions and tokens. Refused if no site administrator who
/// can log in would remain.
pub fn remove(cause: Cause, person: &Person) -> Order {
    let reach = Reach {
        user: Some(person.id.clone()),
        ..Reach::default()
    };
    let ending = end_all(&cause, reach);
    let mut order = Order::new(cause);
    if administrates(person) {
        order = order.guard(Guard::AnotherSiteAdministrator(person.id.clone()));
    }
    order
        .effect(Effect::RemovePerson(Box::new(person.clone())))
        .effect(ending)
}

fn administrates(person: &Person) -> bool {
    person.site_admin && person.disabled_at.is_none()
}
