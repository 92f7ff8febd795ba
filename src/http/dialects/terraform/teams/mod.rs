//! Teams: `/organizations/{organization}/teams` and `/teams/{team_id}`, a file per path.

mod by_id;
mod of_organization;
mod resource;
mod users;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;
use crate::http::dialects::terraform::data::Data;
use crate::http::input::Form;
use jeton_core::directory::Name;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(of_organization::list, of_organization::create))
        .routes(routes!(by_id::show, by_id::change, by_id::remove))
        .routes(routes!(users::add, users::remove))
}

/// The included resources.
#[derive(Debug, Form)]
#[form(query)]
struct IncludeForm {
    /// `users` includes the members; other names are ignored.
    #[form(length(max = 255), example = "users")]
    include: Option<String>,
}

impl IncludeForm {
    fn users(&self) -> Included {
        let mut names = self.include.iter().flat_map(|names| names.split(','));
        match names.any(|name| name.trim() == "users") {
            true => Included::Users,
            false => Included::Nothing,
        }
    }
}

/// Whether members are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Included {
    Nothing,
    Users,
}

/// The attributes of a team to create. Other attributes are ignored.
#[derive(Debug, Form)]
#[form(body, name = "CreateTeamAttributes")]
struct NewTeamAttributes {
    /// The name: 1 to 90 letters, digits and `.`, `_`, `*`, `-`. Unique in the organization, ignoring
    /// case.
    #[form(example = "builders")]
    name: Name,
}

/// The changed attributes of a team. An absent attribute stays unchanged; other attributes are ignored.
#[derive(Debug, Form)]
#[form(body, name = "ChangedTeamAttributes")]
struct TeamAttributes {
    /// The new name. Tokens stay valid, since they contain the team's id.
    #[form(example = "builders")]
    name: Option<Name>,
}

/// A team to create.
type NewTeam = Data<NewTeamAttributes>;

/// Changes to a team.
type ChangedTeam = Data<TeamAttributes>;
