//! Memberships of organizations and teams, and invitations of addresses without a person.

use rusqlite::{Connection, OptionalExtension};

use crate::failure::Failure;
use crate::people;
use crate::search::Searched;
use crate::values::{Columns, Parameter, get, params};
use crate::writer::Batch;
use jeton_core::directory::{Belonging, Email, Member, OrganizationId, Role, TeamId, UserId};
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
        let columns = &mut Columns::of(row);
        let (email, role) = (columns.take()?, columns.take()?);
        Ok(match people::person_if_any(columns)? {
            Some(person) => Belonging::Member(Member { person, role }),
            None => Belonging::Invited { email, role },
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Returns the query for a slice: `?2` is the address after which it begins, `?3` its limit.
pub(super) fn slice_of(Lists { members, invitations }: &Lists) -> String {
    format!(
        "SELECT listed.email, listed.role, {} FROM (
             SELECT users.email, role FROM users JOIN {members} AND users.id = user AND users.email > ?2
             UNION ALL
             SELECT email, role FROM invitations WHERE {invitations} AND email > ?2
             ORDER BY 1 LIMIT ?3
         ) AS listed LEFT JOIN users ON users.email = listed.email AND users.deleted_at IS NULL
         ORDER BY listed.email",
        people::COLUMNS
    )
}

/// Returns the search over an organization's members. Given addresses are looked up by index.
pub(super) fn searched(organization: i64, search: &Search) -> Searched {
    Searched {
        columns: format!("{}, memberships.role", people::COLUMNS),
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
        of: Some(organization),
        key: "users.email",
        also: None,
    }
}

/// Reads the columns of [`searched`].
pub(super) fn member(columns: &mut Columns<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        person: people::person(columns)?,
        role: columns.take()?,
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

    pub(super) fn invite(
        &mut self,
        organization: OrganizationId,
        team: Option<&TeamId>,
        email: &Email,
        role: Role,
        existing: Existing,
    ) -> Result<(), Failure> {
        let (organization, team) = self.invited_to(organization, team)?;
        self.connection
            .prepare_cached(match existing {
                Existing::Stays => {
                    "INSERT INTO invitations (organization, team, email, role) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO NOTHING"
                }
                Existing::Replaced => {
                    "INSERT INTO invitations (organization, team, email, role) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET role = excluded.role"
                }
            })?
            .execute(params![organization, team, email, role])?;
        Ok(())
    }

    pub(super) fn uninvite(
        &mut self,
        organization: OrganizationId,
        team: Option<&TeamId>,
        email: &Email,
    ) -> Result<(), Failure> {
        let (organization, number) = self.invited_to(organization, team)?;
        self.connection
            .prepare_cached(
                "DELETE FROM invitations WHERE organization = ?1 AND email = ?2 AND (team = ?3 OR ?3 = 0)",
            )?
            .execute(params![organization, email, number])?;
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

    /// Reads the invitations of an address. Team 0 is the organization itself.
    fn invited_to(
        &mut self,
        organization: OrganizationId,
        team: Option<&TeamId>,
    ) -> Result<(i64, i64), Failure> {
        let numbers = &mut self.memory.numbers;
        let organization = numbers.organization(self.connection, organization)?;
        let team = match team {
            Some(team) => numbers.team(self.connection, team)?,
            None => 0,
        };
        Ok((organization, team))
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
