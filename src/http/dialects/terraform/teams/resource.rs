//! Team resources in responses.

use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::policy::Rank;
use crate::authority::{Caller, Error, policy};
use crate::http::dialects::terraform::document::{Identifier, Itself, ToMany, ToOne};
use crate::http::dialects::terraform::organization_memberships::MembershipResource;
use crate::http::dialects::terraform::user::UserResource;
use crate::http::{App, all_pages};
use jeton_core::directory::{Belonging, MemberStatus, Team, TeamReference};
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
    /// Always `true`: members who are admins of the team manage its tokens.
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
    /// The memberships of the members and of invited addresses.
    #[serde(rename = "organization-memberships")]
    organization_memberships: ToMany,
}

/// A member of a team, or an address that is invited to it.
pub(super) struct TeamMember {
    pub(super) belonging: Belonging,
    pub(super) membership: MembershipResource,
    pub(super) user: UserResource,
}

impl TeamMember {
    pub(super) fn is_active(&self) -> bool {
        self.belonging.status() == MemberStatus::Active
    }
}

impl TeamResource {
    /// Returns the team as the caller sees it, and its members.
    pub(super) async fn of(app: &App, caller: &Caller, team: Team) -> Result<(Self, Vec<TeamMember>), Error> {
        let home = team.organization.into();
        let organization = app.authority.organization(caller, &home).await?;
        let rank = app.authority.rank(caller, team.organization).await?;
        let itself = TeamReference::Id(team.id.clone());
        let part = |slice| app.authority.team_members(caller, &home, &itself, slice);
        let listed = all_pages::slices(part, |belonging| belonging.email().to_string()).await?;
        let members = listed.into_iter().map(|belonging| {
            let (membership, user) = MembershipResource::of(organization.id, &organization.name, &belonging);
            TeamMember {
                belonging,
                membership,
                user,
            }
        });
        let members: Vec<_> = members.collect();
        let shown = Self::shown(caller, &rank, organization.name.as_str(), &team, &members);
        Ok((shown, members))
    }

    fn shown(caller: &Caller, rank: &Rank, organization: &str, team: &Team, members: &[TeamMember]) -> Self {
        let writes = caller.holds(ManagementScope::OrganizationsWrite);
        let administers = policy::manage_team(rank, &team.id).is_ok();
        let issues = match rank {
            Rank::Team(own) => *own == team.id,
            _ => administers,
        };
        let active = members.iter().filter(|member| member.is_active());
        let users: Vec<_> = active
            .map(|member| Identifier::of("users", &member.user.id()))
            .collect();
        Self {
            id: team.id.to_string(),
            kind: "teams",
            attributes: TeamAttributes {
                name: team.name.to_string(),
                users_count: users.len(),
                visibility: "organization",
                allow_member_token_management: true,
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
                users: ToMany { data: users },
                organization_memberships: memberships(members),
            },
            links: Itself::at("teams", &team.id),
        }
    }
}

/// Returns the identifiers of the memberships of a team.
pub(super) fn memberships(members: &[TeamMember]) -> ToMany {
    let memberships = members.iter().map(|member| member.membership.identifier());
    ToMany {
        data: memberships.collect(),
    }
}
