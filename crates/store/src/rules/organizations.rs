//! Rules for organizations.

use super::end_all;
use super::limits::deletes_counts;
use crate::{BulkOrder, Cause, Edit, Effect, Existing, Guard, NewPerson, Order};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Name, Organization, OrganizationId, Role, UserId};
use jeton_core::token::Reach;

/// How long a name that an organization gave up is reserved: configurations and links elsewhere still name it, and
/// must not come to mean an organization of somebody else. In seconds.
pub const NAME_RESERVED: i64 = 30 * 86_400;

/// Creates an organization; its creator, if given, becomes its admin. Names are reserved by the settled time: a
/// clock that is ahead for a moment frees none.
pub fn create(cause: Cause, new: Organization, creator: Option<UserId>, settled: Timestamp) -> Order {
    let (id, name) = (new.id, new.name.clone());
    let order = Order::new(cause)
        .guard(name_free(name, id, settled))
        .effect(Effect::CreateOrganization(new));
    match creator {
        Some(user) => order.effect(Effect::SetRole(id, user, Role::Admin, Existing::Replaced, None)),
        None => order,
    }
}

/// Creates the first site administrator and the first organization, whose admin they become.
pub fn found(cause: Cause, administrator: NewPerson, organization: Organization) -> Order {
    let now = cause.at;
    let user = administrator.person.id.clone();
    let mut order = create(cause, organization, Some(user), now);
    // Compared first: if a site administrator exists, the name of the organization is usually taken too.
    order.guards.insert(0, Guard::NoSiteAdministrator);
    order.effects.insert(0, Effect::CreatePerson(administrator));
    order
}

/// Changes nothing, and is refused if there is a site administrator.
pub fn unfounded(cause: Cause) -> Order {
    Order::new(cause).guard(Guard::NoSiteAdministrator)
}

/// Changes an organization. `ending` revokes the tokens that break its new policy; it is recorded with the
/// change. Names are reserved by the settled time.
pub fn change(
    cause: Cause,
    before: &Organization,
    changed: Organization,
    ending: Option<BulkOrder>,
    settled: Timestamp,
) -> Order {
    let deletes_counts = deletes_counts(&before.policy, &changed.policy);
    let id = changed.id;
    let mut order = Order::new(cause);
    if changed.name.canonical() != before.name.canonical() {
        order = order.guard(name_free(changed.name.clone(), id, settled));
    }
    order = order.effect(Effect::ChangeOrganization(Box::new(Edit {
        before: before.clone(),
        after: changed,
    })));
    if deletes_counts {
        order = order.effect(Effect::DeleteCounts(id));
    }
    match ending {
        Some(ending) => order.effect(Effect::RevokeMany(Box::new(ending))),
        None => order,
    }
}

/// Removes an organization with everything in it, and revokes its tokens.
pub fn remove(cause: Cause, organization: Organization) -> Order {
    let ending = end_all(
        &cause,
        Reach {
            organization: Some(organization.id),
            ..Reach::default()
        },
    );
    Order::new(cause)
        .effect(Effect::RemoveOrganization(Box::new(organization)))
        .effect(ending)
}

fn name_free(name: Name, id: OrganizationId, settled: Timestamp) -> Guard {
    Guard::OrganizationNameFree(name, id, settled.plus_seconds(-NAME_RESERVED))
}
