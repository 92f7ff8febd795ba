//! Who belongs to an organization, and what waits for those who do not exist yet.

use rusqlite::{Connection, OptionalExtension};

use crate::failure::Failure;
use crate::organizations::live;
use crate::people;
use crate::teams::live as live_team;
use crate::values::{Columns, Parameter, get, params};
use crate::writer::Batch;
use jeton_core::directory::{Belonging, Email, Member, OrganizationId, Role, TeamId, UserId};
use jeton_core::token::Reach;
use jeton_store::{MemberChange, Removal, Slice, Standing};

/// Where it stands who belongs to something, and who is invited there.
pub(super) struct Lists {
    /// A table and a condition on it; `?1` is the id.
    pub(super) members: &'static str,
    /// The same of invitations.
    pub(super) invitations: &'static str,
}

/// One slice of those who belong to an organization or a team, or are invited there.
pub(super) fn list(
    connection: &Connection,
    Lists { members, invitations }: Lists,
    id: &dyn Parameter,
    slice: Slice,
) -> Result<Vec<Belonging>, Failure> {
    let query = format!(
        "SELECT listed.email, listed.role, {} FROM (
             SELECT users.email, role FROM users JOIN {members} AND users.id = user AND users.email > ?2
             UNION ALL
             SELECT email, role FROM invitations WHERE {invitations} AND email > ?2
             ORDER BY 1 LIMIT ?3
         ) AS listed LEFT JOIN users ON users.email = listed.email AND users.deleted_at IS NULL
         ORDER BY listed.email",
        people::COLUMNS
    );
    let mut query = connection.prepare_cached(&query)?;
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

/// Gives a person a role in an organization, or another one.
pub(super) fn set_role(
    connection: &Connection,
    organization: i64,
    user: i64,
    role: Role,
) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO memberships (organization, user, role) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET role = excluded.role",
        )?
        .execute(params![organization, user, role])?;
    Ok(())
}

pub(super) fn put(
    batch: &mut Batch<'_>,
    id: OrganizationId,
    email: &Email,
    role: Role,
) -> Result<MemberChange, Failure> {
    let connection = batch.connection;
    let Some((organization, _)) = live(connection, &id)? else {
        return Ok(MemberChange::Absent);
    };
    match people::by_email(connection, email)? {
        Some((user, _)) => {
            if role != Role::Admin && is_last_admin(connection, organization, user)? {
                return Ok(MemberChange::LastAdmin);
            }
            set_role(connection, organization, user, role)?;
        }
        None => invite(connection, organization, 0, email, role)?,
    }
    batch.directory_changed();
    Ok(MemberChange::Done)
}

pub(super) fn add(
    batch: &mut Batch<'_>,
    id: OrganizationId,
    teams: &[TeamId],
    people: &[Email],
) -> Result<MemberChange, Failure> {
    let connection = batch.connection;
    let Some((organization, _)) = live(connection, &id)? else {
        return Ok(MemberChange::Absent);
    };
    let mut numbers = Vec::new();
    for team in teams {
        match live_team(connection, team)? {
            Some(live) if live.organization == organization => numbers.push(live.number),
            _ => return Ok(MemberChange::Absent),
        }
    }
    for email in people {
        match people::by_email(connection, email)? {
            Some((user, _)) => {
                join(connection, organization, user, Role::Member)?;
                for team in &numbers {
                    connection
                        .prepare_cached(
                            "INSERT INTO team_memberships (team, user, role) VALUES (?1, ?2, 'member')
                             ON CONFLICT DO NOTHING",
                        )?
                        .execute(params![team, user])?;
                }
            }
            None => {
                // Team 0 is the organization itself.
                for team in std::iter::once(&0).chain(&numbers) {
                    expect(connection, organization, *team, email, Role::Member)?;
                }
            }
        }
    }
    batch.directory_changed();
    Ok(MemberChange::Done)
}

/// Brings somebody into an organization who is not in it. Who is keeps their role there.
pub(super) fn join(connection: &Connection, organization: i64, user: i64, role: Role) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO memberships (organization, user, role) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![organization, user, role])?;
    Ok(())
}

/// The same for somebody who does not exist yet, also in a team.
pub(super) fn expect(
    connection: &Connection,
    organization: i64,
    team: i64,
    email: &Email,
    role: Role,
) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO invitations (organization, team, email, role) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![organization, team, email, role])?;
    Ok(())
}

/// Lets a role wait for a person who does not exist yet. Team 0 is the organization itself.
pub(super) fn invite(
    connection: &Connection,
    organization: i64,
    team: i64,
    email: &Email,
    role: Role,
) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO invitations (organization, team, email, role) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET role = excluded.role",
        )?
        .execute(params![organization, team, email, role])?;
    Ok(())
}

pub(super) fn remove(
    batch: &mut Batch<'_>,
    id: OrganizationId,
    email: &Email,
    removal: &Removal,
) -> Result<MemberChange, Failure> {
    let connection = batch.connection;
    let Some((organization, _)) = live(connection, &id)? else {
        return Ok(MemberChange::Absent);
    };
    match people::by_email(connection, email)? {
        Some((user, person)) => {
            if is_last_admin(connection, organization, user)? {
                return Ok(MemberChange::LastAdmin);
            }
            connection
                .prepare_cached("DELETE FROM memberships WHERE organization = ?1 AND user = ?2")?
                .execute(params![organization, user])?;
            connection
                .prepare_cached(
                    "DELETE FROM team_memberships
                     WHERE user = ?2 AND team IN (SELECT id FROM teams WHERE organization = ?1)",
                )?
                .execute(params![organization, user])?;
            let reach = Reach {
                organization: Some(id),
                user: Some(person.id),
                ..Reach::default()
            };
            batch.end_all(reach, &removal.by, removal.at)?;
        }
        None => {
            connection
                .prepare_cached("DELETE FROM invitations WHERE organization = ?1 AND email = ?2")?
                .execute(params![organization, email])?;
        }
    }
    batch.directory_changed();
    Ok(MemberChange::Done)
}

/// Whether the organization would have no admin who can log in without this one.
fn is_last_admin(connection: &Connection, organization: i64, user: i64) -> Result<bool, Failure> {
    Ok(connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM memberships
                 WHERE organization = ?1 AND user = ?2 AND role = 'admin')
             AND NOT EXISTS (SELECT 1 FROM memberships JOIN users ON users.id = memberships.user
                 WHERE organization = ?1 AND user <> ?2 AND role = 'admin' AND disabled_at IS NULL)",
        )?
        .query_row(params![organization, user], |row| get(row, 0))?)
}

pub(super) fn standing(
    connection: &Connection,
    user: &UserId,
    organization: OrganizationId,
) -> Result<Standing, Failure> {
    // One instant for both questions.
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
