//! Teams and who belongs to them.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use crate::SqliteStore;
use crate::failure::{Failure, is_taken};
use crate::members;
use crate::organizations::live as live_organization;
use crate::people;
use crate::values::{Columns, Parameter, get, params};
use crate::writer::{Batch, Undo};
use jeton_core::directory::{Belonging, Email, Name, OrganizationId, Role, Team, TeamId, TeamReference};
use jeton_core::token::Reach;
use jeton_store::{Created, Generation, Judged, MemberChange, NewTeam, Removal, Result, Slice, Teams};

#[async_trait]
impl Teams for SqliteStore {
    async fn create_team(&self, new: NewTeam, judged_at: Generation) -> Result<Judged<Created<Team>>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| create(batch, new.team))
            .await
    }

    async fn team(&self, organization: OrganizationId, reference: TeamReference) -> Result<Option<Team>> {
        self.readers
            .look_up(move |connection| {
                let (condition, value): (_, &dyn Parameter) = match &reference {
                    TeamReference::Id(id) => ("teams.public_id = ?2", id),
                    TeamReference::Name(name) => ("teams.canonical_name = ?2", name),
                };
                let query = format!("{SELECT} AND organizations.public_id = ?1 AND {condition}");
                Ok(connection
                    .prepare_cached(&query)?
                    .query_row(params![organization, value], |row| {
                        team(&mut Columns::from(row, 2))
                    })
                    .optional()?)
            })
            .await
    }

    async fn team_with_id(&self, id: TeamId) -> Result<Option<Team>> {
        self.readers
            .look_up(move |connection| Ok(live(connection, &id)?.map(|live| live.team)))
            .await
    }

    async fn teams(&self, organization: OrganizationId, slice: Slice) -> Result<Vec<Team>> {
        self.readers
            .read(move |connection| {
                let query = format!(
                    "{SELECT} AND organizations.public_id = ?1 AND teams.canonical_name > ?2
                     ORDER BY teams.canonical_name LIMIT ?3"
                );
                let mut query = connection.prepare_cached(&query)?;
                let found = query.query_map(
                    params![organization, slice.after.unwrap_or_default(), slice.limit],
                    |row| team(&mut Columns::from(row, 2)),
                )?;
                Ok(found.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn rename_team(
        &self,
        id: TeamId,
        name: Name,
        judged_at: Generation,
    ) -> Result<Judged<Created<Team>>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| rename(batch, &id, name))
            .await
    }

    async fn remove_team(&self, id: TeamId, removal: Removal, judged_at: Generation) -> Result<Judged<()>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| {
                remove(batch, &id, &removal)
            })
            .await
    }

    async fn team_members(&self, id: TeamId, slice: Slice) -> Result<Vec<Belonging>> {
        self.readers
            .read(move |connection| {
                members::list(
                    connection,
                    members::Lists {
                        members: "team_memberships WHERE team = (SELECT id FROM teams WHERE public_id = ?1)",
                        invitations: "(organization, team) =
                            (SELECT organization, id FROM teams WHERE public_id = ?1)",
                    },
                    &id,
                    slice,
                )
            })
            .await
    }

    async fn put_team_member(
        &self,
        id: TeamId,
        email: Email,
        role: Role,
        judged_at: Generation,
    ) -> Result<Judged<MemberChange>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| {
                put_member(batch, &id, &email, role)
            })
            .await
    }

    async fn remove_team_member(
        &self,
        id: TeamId,
        email: Email,
        judged_at: Generation,
    ) -> Result<Judged<MemberChange>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| {
                remove_member(batch, &id, &email)
            })
            .await
    }
}

/// Live teams of live organizations.
const SELECT: &str = "SELECT teams.id, teams.organization, teams.public_id, teams.name, \
     organizations.public_id, teams.created_at \
     FROM teams JOIN organizations ON organizations.id = teams.organization \
     WHERE teams.deleted_at IS NULL AND organizations.deleted_at IS NULL";

/// Reads [`SELECT`] from its third column on.
fn team(columns: &mut Columns<'_>) -> rusqlite::Result<Team> {
    Ok(Team {
        id: columns.take()?,
        name: columns.take()?,
        organization: columns.take()?,
        created_at: columns.take()?,
    })
}

/// A live team with its number and its organization's.
pub(super) struct Live {
    pub(super) number: i64,
    pub(super) organization: i64,
    team: Team,
}

pub(super) fn live(connection: &Connection, id: &TeamId) -> std::result::Result<Option<Live>, Failure> {
    Ok(connection
        .prepare_cached(&format!("{SELECT} AND teams.public_id = ?1"))?
        .query_row(params![id], |row| {
            Ok(Live {
                number: get(row, 0)?,
                organization: get(row, 1)?,
                team: team(&mut Columns::from(row, 2))?,
            })
        })
        .optional()?)
}

fn create(batch: &mut Batch<'_>, team: Team) -> std::result::Result<Created<Team>, Failure> {
    let Some((organization, _)) = live_organization(batch.connection, &team.organization)? else {
        return Ok(Created::Absent);
    };
    let inserted = batch
        .connection
        .prepare_cached(
            "INSERT INTO teams (public_id, organization, name, canonical_name, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            team.id,
            organization,
            team.name,
            team.name.canonical(),
            team.created_at
        ]);
    match inserted {
        Err(error) if is_taken(&error) => return Ok(Created::NameTaken),
        inserted => inserted?,
    };
    batch.directory_changed();
    Ok(Created::Created(team))
}

fn rename(batch: &mut Batch<'_>, id: &TeamId, name: Name) -> std::result::Result<Created<Team>, Failure> {
    let Some(Live { number, mut team, .. }) = live(batch.connection, id)? else {
        return Ok(Created::Absent);
    };
    let updated = batch
        .connection
        .prepare_cached("UPDATE teams SET name = ?2, canonical_name = ?3 WHERE id = ?1")?
        .execute(params![number, name, name.canonical()]);
    match updated {
        Err(error) if is_taken(&error) => return Ok(Created::NameTaken),
        updated => updated?,
    };
    team.name = name;
    batch.directory_changed();
    Ok(Created::Created(team))
}

fn remove(batch: &mut Batch<'_>, id: &TeamId, removal: &Removal) -> std::result::Result<(), Failure> {
    let Some(live) = live(batch.connection, id)? else {
        return Ok(());
    };
    batch
        .connection
        .prepare_cached("UPDATE teams SET deleted_at = ?2 WHERE id = ?1")?
        .execute(params![live.number, removal.at])?;
    for statement in [
        "DELETE FROM team_memberships WHERE team = ?1",
        "DELETE FROM invitations WHERE team = ?1",
    ] {
        batch
            .connection
            .prepare_cached(statement)?
            .execute(params![live.number])?;
    }
    let reach = Reach {
        organization: Some(live.team.organization),
        team: Some(live.team.id),
        ..Reach::default()
    };
    batch.end_all(reach, &removal.by, removal.at)?;
    batch.directory_changed();
    Ok(())
}

fn put_member(
    batch: &mut Batch<'_>,
    id: &TeamId,
    email: &Email,
    role: Role,
) -> std::result::Result<MemberChange, Failure> {
    let connection = batch.connection;
    let Some(live) = live(connection, id)? else {
        return Ok(MemberChange::Absent);
    };
    match people::by_email(connection, email)? {
        Some((user, _)) => {
            members::join(connection, live.organization, user, role.brought_along())?;
            connection
                .prepare_cached(
                    "INSERT INTO team_memberships (team, user, role) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET role = excluded.role",
                )?
                .execute(params![live.number, user, role])?;
        }
        None => {
            members::expect(connection, live.organization, 0, email, role.brought_along())?;
            members::invite(connection, live.organization, live.number, email, role)?;
        }
    }
    batch.directory_changed();
    Ok(MemberChange::Done)
}

fn remove_member(
    batch: &mut Batch<'_>,
    id: &TeamId,
    email: &Email,
) -> std::result::Result<MemberChange, Failure> {
    let connection = batch.connection;
    let Some(live) = live(connection, id)? else {
        return Ok(MemberChange::Absent);
    };
    let removed = match people::by_email(connection, email)? {
        Some((user, _)) => connection
            .prepare_cached("DELETE FROM team_memberships WHERE team = ?1 AND user = ?2")?
            .execute(params![live.number, user])?,
        None => connection
            .prepare_cached("DELETE FROM invitations WHERE organization = ?1 AND team = ?2 AND email = ?3")?
            .execute(params![live.organization, live.number, email])?,
    };
    if removed > 0 {
        batch.directory_changed();
    }
    Ok(MemberChange::Done)
}
