//! Teams: `/organizations/{organization}/teams` and `/teams/{team_id}`, a file per path.

mod by_id;
mod memberships;
mod of_organization;
mod resource;
mod users;

use std::borrow::Cow;
use std::sync::Arc;

use crate::http::routes::routes;
use serde::Serialize;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use crate::http::App;
use crate::http::dialects::terraform::data::Data;
use crate::http::dialects::terraform::document::{Including, includes};
use crate::http::dialects::terraform::organization_memberships::MembershipResource;
use crate::http::dialects::terraform::teams::resource::TeamMember;
use crate::http::dialects::terraform::user::UserResource;
use crate::http::input::{Form, string};
use jeton_core::directory::Name;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(of_organization::list, of_organization::create))
        .routes(routes!(by_id::show, by_id::change, by_id::remove))
        .routes(routes!(users::add, users::remove))
        .routes(routes!(memberships::list, memberships::add, memberships::remove))
}

/// The included resources.
#[derive(Debug, Form)]
#[form(query)]
struct IncludeForm {
    /// `users` includes the members, `organization-memberships` the memberships of members and invited addresses;
    /// several names are separated by commas, and other names are ignored.
    #[form(length(max = 255), example = "users")]
    include: Option<String>,
}

impl IncludeForm {
    /// Creates a document of teams, with the included resources of their members, each once.
    fn document<T>(&self, document: T, mut members: Vec<TeamMember>) -> Including<T, Related> {
        let include = self.include.as_deref();
        let [users, memberships] = ["users", "organization-memberships"].map(|name| includes(include, name));
        members.sort_by(|one, other| one.belonging.email().cmp(other.belonging.email()));
        members.dedup_by(|one, other| one.belonging.email() == other.belonging.email());
        let mut included = Vec::new();
        for member in members {
            let is_user = users && member.is_active();
            included.extend(is_user.then_some(Related::User(member.user)));
            included.extend(memberships.then_some(Related::Membership(member.membership)));
        }
        Including {
            document,
            included: (users || memberships).then_some(included),
        }
    }
}

/// A resource that belongs to a team's members.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Related {
    User(UserResource),
    Membership(MembershipResource),
}

impl PartialSchema for Related {
    /// Returns one schema for both, since not every generator of clients compiles a list of `oneOf`.
    fn schema() -> RefOr<Schema> {
        let anything =
            || ObjectBuilder::new().additional_properties(Some(AdditionalProperties::FreeForm(true)));
        let kinds = ["users", "organization-memberships"];
        ObjectBuilder::new()
            .description(Some("A `User` or an `OrganizationMembership`, as `type` says."))
            .property("id", string().examples(["user-Tw4Ev8Ny2Ka6Mo3P"]))
            .property("type", string().enum_values(Some(kinds)))
            .property("attributes", anything())
            .property("relationships", anything())
            .required("id")
            .required("type")
            .required("attributes")
            .required("relationships")
            .into()
    }
}

impl ToSchema for Related {
    fn name() -> Cow<'static, str> {
        "TeamMemberResource".into()
    }
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
