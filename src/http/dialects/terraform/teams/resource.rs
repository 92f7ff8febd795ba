//! Team resources in responses.

use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::policy::Rank;
use crate::authority::{Caller, Error, policy};
use crate::http::dialects::terraform::document::{Identifier, Including, Itself, ToMany, ToOne};
use crate::http::dialects::terraform::teams::Included;
use crate::http::dialects::terraform::user::UserResource;
use crate::http::{App, all_pages};
use jeton_core::directory::{Member, Team, TeamReference};
use jeton_core::token::ManagementScope;

/// A team.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Team)]
pub(super) struct TeamResource {
    #[schema(example = "team-Hn5Lq9BcX1dF7gJk")]
    id: String,
    #[serde(rename = "type")]
    #[schema(example = "teams")]
    kind: &'static str,
    attributes: TeamAttributes,
    relationships: TeamRelationships,
    links: Itself,
}

/// The attributes of a team.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ShownTeamAttributes)]
struct TeamAttributes {
    #[schema(example = "runners")]
    name: String,
    users_count: usize,
    /// Always `organization`: every member of the organization sees its teams.
    #[schema(example = "organization")]
    visibility: &'static str,
    /// Always `false`: only admins of the team and of the organization manage its tokens.
    allow_member_token_management: bool,
    permissions: TeamPermissions,
    organization_access: OrganizationAccess,
}

/// The caller's permissions on the team.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct TeamPermissions {
    can_destroy: bool,
    can_update_membership: bool,
    can_update_api_token: bool,
    can_update_organization_access: bool,
    can_update_visibility: bool,
}

/// Permissions of the team in its organization, all false: jeton has none of them.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct OrganizationAccess {
    manage_membership: bool,
    manage_policies: bool,
    manage_teams: bool,
    manage_workspaces: bool,
    manage_vcs_settings: bool,
}

/// The relationships of a team.
#[derive(Debug, Serialize, ToSchema)]
struct TeamRelationships {
    organization: ToOne,
    users: ToMany,
}

impl TeamResource {
    /// Returns the team as the caller sees it, and its members.
    pub(super) async fn of(app: &App, caller: &Caller, team: Team) -> Result<(Self, Vec<Member>), Error> {
        let home = team.organization.into();
        let organization = app.authority.organization(caller, &home).await?;
        let rank = app.authority.rank(caller, team.organization).await?;
        let itself = TeamReference::Id(team.id.clone());
        let part = |slice| app.authority.team_members(caller, &home, &itself, slice);
        let members = all_pages::members(part).await?;
        let shown = Self::shown(caller, &rank, organization.name.as_str(), &team, &members);
        Ok((shown, members))
    }

    fn shown(caller: &Caller, rank: &Rank, organization: &str, team: &Team, members: &[Member]) -> Self {
        let writes = caller.holds(ManagementScope::OrganizationsWrite);
        let administers = policy::manage_team(rank, &team.id).is_ok();
        let issues = match rank {
            Rank::Team(own) => *own == team.id,
            _ => administers,
        };
        Self {
            id: team.id.to_string(),
            kind: "teams",
            attributes: TeamAttributes {
                name: team.name.to_string(),
                users_count: members.len(),
                visibility: "organization",
                allow_member_token_management: false,
                permissions: TeamPermissions {
                    can_destroy: writes && policy::manage_organization(rank).is_ok(),
                    can_update_membership: administers && policy::logged_in(caller).is_ok(),
                    can_update_api_token: issues && caller.holds(ManagementScope::TokensWrite),
                    can_update_organization_access: false,
                    can_update_visibility: false,
                },
                organization_access: OrganizationAccess::default(),
            },
            relationships: TeamRelationships {
                organization: ToOne::with("organizations", &organization),
                users: ToMany {
                    data: members
                        .iter()
                        .map(|member| Identifier::of("users", &member.person.id))
                        .collect(),
                },
            },
            links: Itself::at("teams", &team.id),
        }
    }
}

/// Creates a document of teams, with their members if included, each once.
pub(super) fn including<T>(
    document: T,
    included: Included,
    mut members: Vec<Member>,
) -> Including<T, UserResource> {
    members.sort_by(|one, other| one.person.email.cmp(&other.person.email));
    members.dedup_by(|one, other| one.person.id == other.person.id);
    let users = || members.iter().map(|member| UserResource::of(&member.person));
    Including {
        document,
        included: (included == Included::Users).then(|| users().collect()),
    }
}
