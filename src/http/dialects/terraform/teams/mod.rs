//! Teams: `/organizations/{organization}/teams` and `/teams/{team_id}`, a file per kind of address.

mod by_id;
mod of_organization;
mod resource;
mod users;

use std::sync::Arc;

use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use validator::Validate;

use crate::http::App;
use crate::http::input::{Fields, Form};
use jeton_core::directory::Name;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(of_organization::list, of_organization::create))
        .routes(routes!(by_id::show, by_id::change, by_id::remove))
        .routes(routes!(users::add, users::remove))
}

/// What is shown beside teams.
#[derive(Debug, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
struct IncludeForm {
    /// `users` shows their members too; other names are passed over.
    #[validate(length(max = 255))]
    #[param(max_length = 255, example = "users")]
    include: Option<String>,
}

impl Form for IncludeForm {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            include: fields.optional("include"),
        }
    }
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
#[derive(Debug, Validate, ToSchema)]
struct NewTeamAttributes {
    /// Up to 90 letters, digits and `.`, `_`, `*`, `-`; unique in the organization whatever its case.
    #[schema(value_type = String, min_length = 1, max_length = 90, example = "builders")]
    name: Name,
}

impl Form for NewTeamAttributes {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.required("name"),
        }
    }
}

/// What is said of a team that is changed. What is absent stays, and what is not listed is passed over.
#[derive(Debug, Validate, ToSchema)]
struct TeamAttributes {
    /// A new name. Tokens are not touched: they carry the id.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 90, example = "builders")]
    name: Option<Name>,
}

impl Form for TeamAttributes {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.optional("name"),
        }
    }
}

/// A new team.
#[derive(Debug, ToSchema)]
#[schema(as = NewTeam)]
#[expect(dead_code, reason = "stands in the document only")]
struct NewTeamDocument {
    #[schema(inline)]
    data: NewTeamResource,
}

#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "stands in the document only")]
struct NewTeamResource {
    /// Whatever clients send: nothing depends on it.
    #[schema(rename = "type", example = "teams")]
    kind: Option<String>,
    #[schema(inline)]
    attributes: NewTeamAttributes,
}

/// What is to be different about a team.
#[derive(Debug, ToSchema)]
#[schema(as = ChangedTeam)]
#[expect(dead_code, reason = "stands in the document only")]
struct TeamDocument {
    #[schema(inline)]
    data: Option<ChangedTeamResource>,
}

#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "stands in the document only")]
struct ChangedTeamResource {
    /// Whatever clients send: nothing depends on it.
    #[schema(rename = "type", example = "teams")]
    kind: Option<String>,
    #[schema(inline)]
    attributes: Option<TeamAttributes>,
}
