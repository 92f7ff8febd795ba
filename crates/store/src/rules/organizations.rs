//! Rules for organizations.

use super::end_all;
use super::limits::deletes_counts;
use crate::{BulkOrder, Cause, Effect, Existing, Guard, NewPerson, Order};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Name, Organization, OrganizationId, Role, UserId};
use jeton_core::token::Reach;

/// How long a name that an organization gave up is reserved: configurations and links elsewhere still name it, and
/// must not come to mean an organization of somebody else. In seconds.
pub const NAME_RESERVED: i64 = 30 * 86_400;

/// Creates an organization; its creator, if given, becomes its admin.
pub fn create(cause: Cause, new: Organization, creator: Option<UserId>) -> Order {
    let (id, name) = (new.id, new.name.clone());
    let free = name_free(name, id, cause.at);
    let order = Order::new(cause)
        .guard(free)
        .effect(Effect::CreateOrganization(new));
    match creator {
        Some(user) => order.effect(Effect::SetRole(id, user, Role::Admin, Existing::Replaced)),
        None => order,
    }
}

/// Creates the first site administrator and the first organization, whose admin they become.
pub fn found(cause: Cause, administrator: NewPerson, organization: Organization) -> Order {
    let user = administrator.person.id.clone();
    let mut order = create(cause, organization, Some(user));
    // Compared first: if a site administrator exists, the name of the organization is usually taken too.
    order.guards.insert(0, Guard::NoSiteAdministrator);
    order.effects.insert(0, Effect::CreatePerson(administrator));
    order
}

/// Changes an organization. `ending` revokes the tokens that break its new policy; it is recorded with the
/// change.
pub fn change(
    cause: Cause,
    before: &Organization,
    changed: Organization,
    ending: Option<BulkOrder>,
) -> Order {
    let deletes_counts = deletes_counts(&before.policy, &changed.policy);
    let id = changed.id;
    let free = name_free(changed.name.clone(), id, cause.at);
    let mut order = Order::new(cause)
        .guard(free)
        .effect(Effect::ChangeOrganization(changed));
    if deletes_counts {
        order = order.effect(Effect::DeleteCounts(id));
    }
    match ending {
        Some(ending) => order.effect(Effect::RevokeMany(Box::new(ending))),
        None => order,
    }
}

/// Removes an organization with everything in it, and revokes its tokens.
pub fn remove(cause: Cause, id: OrganizationId) -> Order {
    let ending = end_all(
        &cause,
        Reach {
            organization: Some(id),
            ..Reach::default()
        },
    );
    Order::new(cause)
        .effect(Effect::RemoveOrganization(id))
        .effect(ending)
}

fn name_free(name: Name, id: OrganizationId, now: Timestamp) -> Guard {
    Guard::OrganizationNameFree(name, id, now.plus_seconds(-NAME_RESERVED))
}
