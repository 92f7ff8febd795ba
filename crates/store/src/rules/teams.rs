//! Teams.

use super::end_all;
use crate::{Cause, Effect, Guard, Order};
use jeton_core::directory::Team;
use jeton_core::token::Reach;

/// Makes a team.
pub fn create(cause: Cause, team: Team) -> Order {
    Order::new(cause)
        .guard(name_free(&team))
        .effect(Effect::CreateTeam(team))
}

/// Gives a team another name, or the same in another case. Its tokens carry its id, and live on.
pub fn rename(cause: Cause, renamed: Team) -> Order {
    Order::new(cause)
        .guard(name_free(&renamed))
        .effect(Effect::ChangeTeam(renamed))
}

/// Removes a team, and ends its tokens.
pub fn remove(cause: Cause, team: &Team) -> Order {
    let reach = Reach {
        organization: Some(team.organization),
        team: Some(team.id.clone()),
        ..Reach::default()
    };
    let ending = end_all(&cause, reach);
    Order::new(cause)
        .effect(Effect::RemoveTeam(team.organization, team.id.clone()))
        .effect(ending)
}

fn name_free(team: &Team) -> Guard {
    Guard::TeamNameFree(team.organization, team.name.clone(), team.id.clone())
}
