//! People.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use crate::SqliteStore;
use crate::failure::{Failure, is_taken};
use crate::members;
use crate::organizations;
use crate::values::{Columns, Parameter, get, params};
use crate::writer::{Batch, Undo};
use jeton_core::directory::{Email, Person, Role, UserId};
use jeton_core::token::{Reach, TokenKind};
use jeton_store::{
    Changed, Created, Credentials, Generation, Judged, NewOrganization, NewPerson, OrganizationsOf, People,
    PersonChanges, PersonReference, Removal, Result, Slice,
};

#[async_trait]
impl People for SqliteStore {
    async fn found(&self, administrator: NewPerson, organization: NewOrganization) -> Result<bool> {
        self.writer
            .run(Undo::Savepoint, move |batch| {
                let is_founded = batch
                    .connection
                    .prepare_cached(
                        "SELECT EXISTS (SELECT 1 FROM users WHERE site_admin = 1 AND deleted_at IS NULL)",
                    )?
                    .query_row((), |row| get(row, 0))?;
                if is_founded {
                    return Ok(false);
                }
                let user = insert(batch, &administrator)?;
                let organization = organizations::insert(batch, &organization.organization)?;
                members::set_role(batch.connection, organization, user, Role::Admin)?;
                batch.directory_changed();
                Ok(true)
            })
            .await
    }

    async fn create_person(&self, new: NewPerson, judged_at: Generation) -> Result<Judged<Created<Person>>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| {
                let user = match insert(batch, &new) {
                    Err(Failure::Sqlite(error)) if is_taken(&error) => return Ok(Created::NameTaken),
                    user => user?,
                };
                accept_invitations(batch.connection, user, &new.person.email)?;
                batch.directory_changed();
                Ok(Created::Created(new.person))
            })
            .await
    }

    async fn person(&self, reference: PersonReference) -> Result<Option<Person>> {
        self.readers
            .look_up(move |connection| match reference {
                PersonReference::Email(email) => Ok(by_email(connection, &email)?.map(|(_, person)| person)),
                PersonReference::Id(id) => Ok(by_id(connection, &id)?.map(|(_, person)| person)),
            })
            .await
    }

    async fn credentials(&self, email: Email) -> Result<Option<Credentials>> {
        self.readers
            .look_up(move |connection| {
                let query = format!(
                    "SELECT {COLUMNS}, users.password_hash, (SELECT generation FROM meta) FROM users
                     WHERE email = ?1 AND deleted_at IS NULL"
                );
                Ok(connection
                    .prepare_cached(&query)?
                    .query_row(params![email], |row| {
                        let columns = &mut Columns::of(row);
                        Ok(Credentials {
                            person: person(columns)?,
                            password_hash: columns.take()?,
                            generation: Generation(columns.take()?),
                        })
                    })
                    .optional()?)
            })
            .await
    }

    async fn people(&self, slice: Slice) -> Result<Vec<Person>> {
        self.readers
            .read(move |connection| {
                let query = format!(
                    "SELECT {COLUMNS} FROM users WHERE deleted_at IS NULL AND email > ?1
                     ORDER BY email LIMIT ?2"
                );
                let mut query = connection.prepare_cached(&query)?;
                let people = query
                    .query_map(params![slice.after.unwrap_or_default(), slice.limit], |row| {
                        person(&mut Columns::of(row))
                    })?;
                Ok(people.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn find_people(&self, text: String, of: OrganizationsOf, slice: Slice) -> Result<Vec<Person>> {
        self.readers
            .read(move |connection| find(connection, &text, &of, slice))
            .await
    }

    async fn change_person(
        &self,
        id: UserId,
        changes: PersonChanges,
        judged_at: Generation,
    ) -> Result<Judged<Changed<Person>>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| {
                change(batch, &id, changes)
            })
            .await
    }

    async fn remove_person(
        &self,
        id: UserId,
        removal: Removal,
        judged_at: Generation,
    ) -> Result<Judged<Changed<()>>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| {
                remove(batch, id, &removal)
            })
            .await
    }
}

fn find(
    connection: &Connection,
    text: &str,
    of: &OrganizationsOf,
    slice: Slice,
) -> std::result::Result<Vec<Person>, Failure> {
    let (belongs, whose): (_, &dyn Parameter) = match of {
        OrganizationsOf::Everybody => ("?4 IS NULL", &None::<i64>),
        OrganizationsOf::Only(organization) => (
            "EXISTS (SELECT 1 FROM memberships WHERE user = users.id
                 AND organization = (SELECT id FROM organizations WHERE public_id = ?4))",
            organization,
        ),
        OrganizationsOf::Person(user) => (
            "EXISTS (SELECT 1 FROM memberships WHERE user = users.id AND organization IN
                 (SELECT organization FROM memberships
                  WHERE user = (SELECT id FROM users WHERE public_id = ?4)))",
            user,
        ),
    };
    let query = format!(
        "SELECT {COLUMNS} FROM users WHERE deleted_at IS NULL AND email > ?1
         AND (instr(email, ?2) OR instr(lower(first_name), ?2) OR instr(lower(last_name), ?2))
         AND {belongs} ORDER BY email LIMIT ?3"
    );
    let mut query = connection.prepare_cached(&query)?;
    // As SQLite's lower() does it.
    let text = text.to_ascii_lowercase();
    let after = slice.after.unwrap_or_default();
    let found = query.query_map(params![after, text, slice.limit, whose], |row| {
        person(&mut Columns::of(row))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The columns of a person, of `users`.
pub(super) const COLUMNS: &str = "users.public_id, users.email, users.first_name, users.last_name, \
     users.username, users.site_admin, users.disabled_at, users.created_at";

/// How many columns those are.
pub(super) const COUNT: usize = 8;

/// Reads [`COLUMNS`] of a row that may have no person.
pub(super) fn person_if_any(columns: &mut Columns<'_>) -> rusqlite::Result<Option<Person>> {
    if columns.is_null()? {
        Ok(None)
    } else {
        person(columns).map(Some)
    }
}

/// Reads [`COLUMNS`].
pub(super) fn person(columns: &mut Columns<'_>) -> rusqlite::Result<Person> {
    Ok(Person {
        id: columns.take()?,
        email: columns.take()?,
        first_name: columns.take()?,
        last_name: columns.take()?,
        username: columns.take()?,
        site_admin: columns.take()?,
        disabled_at: columns.take()?,
        created_at: columns.take()?,
    })
}

/// The number and the person with this address.
pub(super) fn by_email(
    connection: &Connection,
    email: &Email,
) -> std::result::Result<Option<(i64, Person)>, Failure> {
    one(connection, "email = ?1", email.as_str())
}

fn by_id(connection: &Connection, id: &UserId) -> std::result::Result<Option<(i64, Person)>, Failure> {
    one(connection, "public_id = ?1", id.as_str())
}

/// The number of the person with this id.
pub(super) fn number(connection: &Connection, id: &UserId) -> std::result::Result<Option<i64>, Failure> {
    Ok(by_id(connection, id)?.map(|(number, _)| number))
}

fn one(
    connection: &Connection,
    condition: &str,
    value: &str,
) -> std::result::Result<Option<(i64, Person)>, Failure> {
    let query = format!("SELECT id, {COLUMNS} FROM users WHERE {condition} AND deleted_at IS NULL");
    Ok(connection
        .prepare_cached(&query)?
        .query_row(params![value], |row| {
            Ok((get(row, 0)?, person(&mut Columns::from(row, 1))?))
        })
        .optional()?)
}

fn insert(batch: &Batch<'_>, new: &NewPerson) -> std::result::Result<i64, Failure> {
    let person = &new.person;
    Ok(batch
        .connection
        .prepare_cached(
            "INSERT INTO users (public_id, email, first_name, last_name, username, password_hash, site_admin,
                disabled_at, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .insert(params![
            person.id,
            person.email,
            person.first_name,
            person.last_name,
            person.username,
            new.password_hash,
            person.site_admin,
            person.disabled_at,
            person.created_at,
        ])?)
}

/// Turns what waited for an address into memberships.
fn accept_invitations(connection: &Connection, user: i64, email: &Email) -> std::result::Result<(), Failure> {
    for statement in [
        "INSERT INTO memberships (organization, user, role)
         SELECT organization, ?1, role FROM invitations WHERE email = ?2 AND team = 0",
        "INSERT INTO team_memberships (team, user, role)
         SELECT team, ?1, role FROM invitations WHERE email = ?2 AND team <> 0",
    ] {
        connection
            .prepare_cached(statement)?
            .execute(params![user, email])?;
    }
    connection
        .prepare_cached("DELETE FROM invitations WHERE email = ?1")?
        .execute(params![email])?;
    Ok(())
}

fn change(
    batch: &mut Batch<'_>,
    id: &UserId,
    changes: PersonChanges,
) -> std::result::Result<Changed<Person>, Failure> {
    let Some((user, mut person)) = by_id(batch.connection, id)? else {
        return Ok(Changed::Absent);
    };
    let was_administrator = can_administrate(&person);
    let was_disabled = person.disabled_at.is_some();
    let PersonChanges {
        first_name,
        last_name,
        username,
        site_admin,
        disabled,
        password_hash,
        change,
    } = changes;
    person.first_name = first_name.unwrap_or(person.first_name);
    person.last_name = last_name.unwrap_or(person.last_name);
    person.username = username.unwrap_or(person.username);
    person.site_admin = site_admin.unwrap_or(person.site_admin);
    person.disabled_at = match disabled {
        Some(true) => person.disabled_at.or(Some(change.at)),
        Some(false) => None,
        None => person.disabled_at,
    };
    if was_administrator && !can_administrate(&person) && !another_administrates(batch.connection, user)? {
        return Ok(Changed::LastAdministrator);
    }
    batch
        .connection
        .prepare_cached(
            "UPDATE users SET first_name = ?2, last_name = ?3, username = ?4, site_admin = ?5, disabled_at = ?6,
                password_hash = coalesce(?7, password_hash)
             WHERE id = ?1",
        )?
        .execute(params![
            user,
            person.first_name,
            person.last_name,
            person.username,
            person.site_admin,
            person.disabled_at,
            password_hash,
        ])?;
    let reach = Reach {
        user: Some(person.id.clone()),
        ..Reach::default()
    };
    if person.disabled_at.is_some() && !was_disabled {
        batch.end_all(reach, &change.by, change.at)?;
    } else if password_hash.is_some() {
        // Whoever knew the old password may hold a session; API tokens have their own life.
        let sessions = Reach {
            kind: Some(TokenKind::Session),
            ..reach
        };
        batch.end_all(sessions, &change.by, change.at)?;
    }
    batch.directory_changed();
    Ok(Changed::Changed(person))
}

fn remove(batch: &mut Batch<'_>, id: UserId, removal: &Removal) -> std::result::Result<Changed<()>, Failure> {
    let Some((user, person)) = by_id(batch.connection, &id)? else {
        return Ok(Changed::Absent);
    };
    if can_administrate(&person) && !another_administrates(batch.connection, user)? {
        return Ok(Changed::LastAdministrator);
    }
    batch
        .connection
        .prepare_cached("UPDATE users SET deleted_at = ?2, password_hash = '' WHERE id = ?1")?
        .execute(params![user, removal.at])?;
    // The row stays for those who were made by them; a person made again has another.
    for statement in [
        "DELETE FROM memberships WHERE user = ?1",
        "DELETE FROM team_memberships WHERE user = ?1",
    ] {
        batch
            .connection
            .prepare_cached(statement)?
            .execute(params![user])?;
    }
    let reach = Reach {
        user: Some(id),
        ..Reach::default()
    };
    batch.end_all(reach, &removal.by, removal.at)?;
    batch.directory_changed();
    Ok(Changed::Changed(()))
}

fn can_administrate(person: &Person) -> bool {
    person.site_admin && person.disabled_at.is_none()
}

fn another_administrates(connection: &Connection, user: i64) -> std::result::Result<bool, Failure> {
    Ok(connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM users
             WHERE site_admin = 1 AND deleted_at IS NULL AND disabled_at IS NULL AND id <> ?1)",
        )?
        .query_row(params![user], |row| get(row, 0))?)
}
