//! Memberships of organizations and teams, and lists of members and invited addresses.

use rusqlite::{Connection, OptionalExtension};

use crate::failure::Failure;
use crate::people;
use crate::search::{Part, Searched};
use crate::values::{Columns, Parameter, get, params};
use crate::writer::Batch;
use jeton_core::directory::{Belonging, Member, MemberStatus, OrganizationId, Role, TeamId, UserId};
use jeton_store::{Existing, Search, Slice, Standing};

/// The members and invitations of an organization. Team 0 is the organization itself.
pub(super) const OF_ORGANIZATION: Lists = Lists {
    members: "memberships WHERE organization = (SELECT id FROM organizations WHERE public_id = ?1)",
    invitations: "team = 0 AND organization = (SELECT id FROM organizations WHERE public_id = ?1)",
};

/// The members and invitations of a team.
pub(super) const OF_TEAM: Lists = Lists {
    members: "team_memberships WHERE team = (SELECT id FROM teams WHERE public_id = ?1)",
    invitations: "(organization, team) = (SELECT organization, id FROM teams WHERE public_id = ?1)",
};

/// The tables of members and of invitations.
pub(super) struct Lists {
    /// A table and a condition on it; `?1` is the id.
    pub(super) members: &'static str,
    /// A table and a condition on it; `?1` is the id.
    pub(super) invitations: &'static str,
}

/// Returns a slice of the members and invited addresses of an organization or a team.
pub(super) fn list(
    connection: &Connection,
    lists: &Lists,
    id: &dyn Parameter,
    slice: Slice,
) -> Result<Vec<Belonging>, Failure> {
    let mut query = connection.prepare_cached(&slice_of(lists))?;
    let found = query.query_map(params![id, slice.after.unwrap_or_default(), slice.limit], |row| {
        belonging(&mut Columns::of(row))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Returns the query for a slice: `?2` is the address after which it begins, `?3` its limit.
pub(super) fn slice_of(Lists { members, invitations }: &Lists) -> String {
    format!(
        "SELECT listed.email, listed.role, {} FROM (
             SELECT users.email, role, users.id FROM users JOIN {members} AND users.id = user AND users.email > ?2
             UNION ALL
             SELECT email, role, NULL FROM invitations WHERE {invitations} AND email > ?2
             ORDER BY 1 LIMIT ?3
         ) AS listed LEFT JOIN users ON users.id = listed.id
         ORDER BY listed.email",
        people::COLUMNS
    )
}

/// Returns the search over an organization's members and invited addresses, or over one of both. Given addresses
/// are looked up by index.
pub(super) fn searched(organization: i64, status: Option<MemberStatus>, search: &Search) -> Searched {
    let members = || Part {
        columns: format!("users.email, memberships.role, {}", people::COLUMNS),
        rows: match search.keys {
            Some(_) => {
                "FROM users INDEXED BY users_by_email CROSS JOIN memberships ON memberships.user = users.id
                 WHERE memberships.organization = ?1 AND users.deleted_at IS NULL"
            }
            None => {
                "FROM memberships CROSS JOIN users ON users.id = memberships.user
                 WHERE memberships.organization = ?1 AND users.deleted_at IS NULL"
            }
        },
        key: "users.email",
        also: None,
    };
    let invited = || Part {
        columns: format!(
            "invitations.email, invitations.role{}",
            ", NULL".repeat(people::COUNT)
        ),
        rows: "FROM invitations WHERE organization = ?1 AND team = 0",
        key: "invitations.email",
        also: None,
    };
    Searched {
        parts: match status {
            Some(MemberStatus::Active) => vec![members()],
            Some(MemberStatus::Invited) => vec![invited()],
            None => vec![members(), invited()],
        },
        of: Some(organization),
    }
}

/// Reads address, role and person of a member, or of an invited address, which has no person here even if somebody has it.
pub(super) fn belonging(columns: &mut Columns<'_>) -> rusqlite::Result<Belonging> {
    let (email, role) = (columns.take()?, columns.take()?);
    Ok(match people::person_if_any(columns)? {
        Some(person) => Belonging::Member(Member { person, role }),
        None => Belonging::Invited { email, role },
    })
}

impl Batch<'_> {
    pub(super) fn set_role(
        &mut self,
        organization: OrganizationId,
        user: &UserId,
        role: Role,
        existing: Existing,
    ) -> Result<(), Failure> {
        let numbers = &mut self.memory.numbers;
        let organization = numbers.organization(self.connection, organization)?;
        let user = numbers.user(self.connection, user)?;
        self.connection
            .prepare_cached(match existing {
                Existing::Stays => {
                    "INSERT INTO memberships (organization, user, role) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO NOTHING"
                }
                Existing::Replaced => {
                    "INSERT INTO memberships (organization, user, role) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET role = excluded.role"
                }
            })?
            .execute(params![organization, user, role])?;
        Ok(())
    }

    pub(super) fn set_team_role(
        &mut self,
        team: &TeamId,
        user: &UserId,
        role: Role,
        existing: Existing,
    ) -> Result<(), Failure> {
        let numbers = &mut self.memory.numbers;
        let team = numbers.team(self.connection, team)?;
        let user = numbers.user(self.connection, user)?;
        self.connection
            .prepare_cached(match existing {
                Existing::Stays => {
                    "INSERT INTO team_memberships (team, user, role) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO NOTHING"
                }
                Existing::Replaced => {
                    "INSERT INTO team_memberships (team, user, role) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET role = excluded.role"
                }
            })?
            .execute(params![team, user, role])?;
        Ok(())
    }

    pub(super) fn remove_member(
        &mut self,
        organization: OrganizationId,
        user: &UserId,
    ) -> Result<(), Failure> {
        let numbers = &mut self.memory.numbers;
        let organization = numbers.organization(self.connection, organization)?;
        let user = numbers.user(self.connection, user)?;
        for statement in [
            "DELETE FROM memberships WHERE organization = ?1 AND user = ?2",
            "DELETE FROM team_memberships
             WHERE user = ?2 AND team IN (SELECT id FROM teams WHERE organization = ?1)",
        ] {
            self.connection
                .prepare_cached(statement)?
                .execute(params![organization, user])?;
        }
        Ok(())
    }

    pub(super) fn remove_team_member(&mut self, team: &TeamId, user: &UserId) -> Result<(), Failure> {
        let numbers = &mut self.memory.numbers;
        let team = numbers.team(self.connection, team)?;
        let user = numbers.user(self.connection, user)?;
        self.connection
            .prepare_cached("DELETE FROM team_memberships WHERE team = ?1 AND user = ?2")?
            .execute(params![team, user])?;
        Ok(())
    }
}

pub(super) fn standing(
    connection: &Connection,
    user: &UserId,
    organization: OrganizationId,
) -> Result<Standing, Failure> {
    // One instant for both queries.
    let transaction = connection.unchecked_transaction()?;
    let role = transaction
        .prepare_cached(
            "SELECT role FROM memberships
             WHERE user = (SELECT id FROM users WHERE public_id = ?1)
             AND organization = (SELECT id FROM organizations WHERE public_id = ?2)",
        )?
        .query_row(params![user, organization], |row| get(row, 0))
        .optional()?;
    let teams = transaction
        .prepare_cached(
            "SELECT teams.public_id, role FROM team_memberships JOIN teams ON teams.id = team
             WHERE user = (SELECT id FROM users WHERE public_id = ?1)
             AND organization = (SELECT id FROM organizations WHERE public_id = ?2)
             AND teams.deleted_at IS NULL
             ORDER BY teams.canonical_name",
        )?
        .query_map(params![user, organization], |row| {
            Ok((get(row, 0)?, get(row, 1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Standing { role, teams })
}
