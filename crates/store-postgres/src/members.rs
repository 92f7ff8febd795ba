//! Memberships of organizations and teams, and lists of members and invited addresses.

use crate::connection::Connection;
use crate::failure::Failure;
use crate::people;
use crate::search::{Part, Searched};
use crate::values::{Bound, Columns, params};
use crate::writer::Batch;
use jeton_core::directory::{Belonging, Member, MemberStatus, OrganizationId, Role, TeamId, UserId};
use jeton_store::{Existing, Search, Standing};

/// The members and invitations of an organization. Team 0 is the organization itself.
pub(super) const OF_ORGANIZATION: Lists = Lists {
    members: "memberships WHERE organization = (SELECT id FROM organizations WHERE public_id = $1)",
    invitations: "team = 0 AND organization = (SELECT id FROM organizations WHERE public_id = $1)",
};

/// The members and invitations of a team.
pub(super) const OF_TEAM: Lists = Lists {
    members: "team_memberships WHERE team = (SELECT id FROM teams WHERE public_id = $1)",
    invitations: "(organization, team) = (SELECT organization, id FROM teams WHERE public_id = $1)",
};

/// The tables of members and of invitations.
pub(super) struct Lists {
    /// A table and a condition on it; `$1` is the public id of the organization or the team.
    members: &'static str,
    /// A condition on invitations, likewise.
    invitations: &'static str,
}

/// Returns the search over the members and invited addresses of an organization or a team, or over one of both. Given
/// addresses are looked up by index.
pub(super) fn searched(
    Lists { members, invitations }: &Lists,
    of: Bound,
    status: Option<MemberStatus>,
    search: Option<&Search>,
) -> Searched {
    let rows = match search.and_then(|search| search.keys.as_ref()) {
        Some(_) => format!(
            "FROM users CROSS JOIN LATERAL (SELECT role FROM {members} AND person = users.id OFFSET 0) AS listed
             WHERE users.deleted_at IS NULL"
        ),
        None => format!(
            "FROM (SELECT person, role FROM {members}) AS listed
             CROSS JOIN LATERAL (SELECT * FROM users WHERE id = listed.person OFFSET 0) AS users
             WHERE users.deleted_at IS NULL"
        ),
    };
    let members = || Part {
        columns: format!("users.email, role, {}", people::COLUMNS),
        rows: rows.clone(),
        key: "users.email",
        also: None,
    };
    let invited = || Part {
        columns: format!(
            "invitations.email, invitations.role{}",
            ", NULL".repeat(people::COUNT)
        ),
        rows: format!("FROM invitations WHERE {invitations}"),
        key: "invitations.email",
        also: None,
    };
    Searched {
        parts: match status {
            Some(MemberStatus::Active) => vec![members()],
            Some(MemberStatus::Invited) => vec![invited()],
            None => vec![members(), invited()],
        },
        of: Some(of),
    }
}

/// Reads address, role and person of a member, or of an invited address, which has no person here even if somebody has it.
pub(super) fn belonging(columns: &mut Columns<'_>) -> Result<Belonging, Failure> {
    let (email, role) = (columns.take()?, columns.take()?);
    Ok(match people::person_if_any(columns)? {
        Some(person) => Belonging::Member(Member { person, role }),
        None => Belonging::Invited { email, role },
    })
}

impl Batch<'_> {
    pub(super) async fn set_role(
        &mut self,
        organization: OrganizationId,
        user: &UserId,
        role: Role,
        existing: Existing,
    ) -> Result<(), Failure> {
        let numbers = &mut self.memory.numbers;
        let organization = numbers.organization(self.connection, organization).await?;
        let user = numbers.user(self.connection, user).await?;
        self.connection
            .execute(
                "INSERT INTO memberships (organization, person, role) VALUES ($1, $2, $3)
                 ON CONFLICT (organization, person) DO UPDATE SET role = excluded.role WHERE $4",
                params![organization, user, role, is_replaced(existing)],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn set_team_role(
        &mut self,
        team: &TeamId,
        user: &UserId,
        role: Role,
        existing: Existing,
    ) -> Result<(), Failure> {
        let numbers = &mut self.memory.numbers;
        let team = numbers.team(self.connection, team).await?;
        let user = numbers.user(self.connection, user).await?;
        self.connection
            .execute(
                "INSERT INTO team_memberships (team, person, role) VALUES ($1, $2, $3)
                 ON CONFLICT (team, person) DO UPDATE SET role = excluded.role WHERE $4",
                params![team, user, role, is_replaced(existing)],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn remove_member(
        &mut self,
        organization: OrganizationId,
        user: &UserId,
    ) -> Result<(), Failure> {
        let numbers = &mut self.memory.numbers;
        let organization = numbers.organization(self.connection, organization).await?;
        let user = numbers.user(self.connection, user).await?;
        self.connection
            .execute(
                "WITH left_teams AS (
                     DELETE FROM team_memberships
                     WHERE person = $2 AND team IN (SELECT id FROM teams WHERE organization = $1)
                 )
                 DELETE FROM memberships WHERE organization = $1 AND person = $2",
                params![organization, user],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn remove_team_member(&mut self, team: &TeamId, user: &UserId) -> Result<(), Failure> {
        let numbers = &mut self.memory.numbers;
        let team = numbers.team(self.connection, team).await?;
        let user = numbers.user(self.connection, user).await?;
        self.connection
            .execute(
                "DELETE FROM team_memberships WHERE team = $1 AND person = $2",
                params![team, user],
            )
            .await?;
        Ok(())
    }
}

/// Returns whether a new role replaces an existing one.
pub(super) fn is_replaced(existing: Existing) -> bool {
    match existing {
        Existing::Stays => false,
        Existing::Replaced => true,
    }
}

/// Returns a person's roles in an organization and its live teams, by one statement and so of one instant.
pub(super) async fn standing(
    connection: &Connection,
    user: &UserId,
    organization: OrganizationId,
) -> Result<Standing, Failure> {
    let rows = connection
        .rows(
            "SELECT NULL, role, NULL FROM memberships
             WHERE person = (SELECT id FROM users WHERE public_id = $1)
             AND organization = (SELECT id FROM organizations WHERE public_id = $2)
             UNION ALL
             SELECT teams.public_id, role, teams.canonical_name
             FROM team_memberships JOIN teams ON teams.id = team
             WHERE person = (SELECT id FROM users WHERE public_id = $1)
             AND organization = (SELECT id FROM organizations WHERE public_id = $2)
             AND teams.deleted_at IS NULL
             ORDER BY 3",
            params![user, organization],
        )
        .await?;
    let mut standing = Standing::default();
    for row in rows {
        let columns = &mut Columns::of(&row);
        match columns.take()? {
            Some(team) => standing.teams.push((team, columns.take()?)),
            None => standing.role = columns.take()?,
        }
    }
    Ok(standing)
}
