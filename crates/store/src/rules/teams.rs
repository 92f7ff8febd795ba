//! Rules for teams.

use super::end_all;
use crate::{Cause, Edit, Effect, Guard, Order};
use jeton_core::directory::Team;
use jeton_core::token::Reach;

/// Creates a team.
pub fn create(cause: Cause, team: Team) -> Order {
    Order::new(cause)
        .guard(name_free(&team))
        .effect(Effect::CreateTeam(team))
}

/// Renames a team; the new name may differ in case only. Its tokens carry its id and stay valid.
pub fn rename(cause: Cause, before: Team, renamed: Team) -> Order {
    Order::new(cause)
        .guard(name_free(&renamed))
        .effect(Effect::ChangeTeam(Box::new(Edit {
            before,
            after: renamed,
        })))
}

/// Removes a team, and revokes its tokens.
pub fn remove(cause: Cause, team: &Team) -> Order {
    let reach = Reach {
        organization: Some(team.organization),
        team: Some(team.id.clone()),
        ..Reach::default()
    };
    let ending = end_all(&cause, reach);
    Order::new(cause)
        .effect(Effect::RemoveTeam(team.clone()))
        .effect(ending)
}

fn name_free(team: &Team) -> Guard {
    Guard::TeamNameFree(team.organization, team.name.clone(), team.id.clone())
}
