//! Teams: `/organizations/{organization}/teams` and `/teams/{team_id}`, a file per kind of address.

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

/// What is shown beside teams.
#[derive(Debug, Form)]
#[form(query)]
struct IncludeForm {
    /// `users` shows their members too; other names are passed over.
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

/// What is shown beside teams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Included {
    Nothing,
    Users,
}

/// What is said of a team that is made. What is not listed is passed over.
#[derive(Debug, Form)]
#[form(body, name = "NewTeamAttributes")]
struct NewTeamAttributes {
    /// Up to 90 letters, digits and `.`, `_`, `*`, `-`; unique in the organization whatever its case.
    #[form(example = "builders")]
    name: Name,
}

/// What is said of a team that is changed. What is absent stays, and what is not listed is passed over.
#[derive(Debug, Form)]
#[form(body, name = "ChangedTeamAttributes")]
struct TeamAttributes {
    /// A new name. Tokens are not touched: they carry the id.
    #[form(example = "builders")]
    name: Option<Name>,
}

/// A new team.
type NewTeam = Data<NewTeamAttributes>;

/// What is to be different about a team.
type ChangedTeam = Data<TeamAttributes>;
