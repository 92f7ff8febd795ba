//! People: their rows, searches and removal.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use crate::SqliteStore;
use crate::failure::Failure;
use crate::readers::{Purpose, Tenant};
use crate::values::{Columns, Parameter, Sought, get, params};
use crate::writer::Batch;
use jeton_core::directory::{Email, OrganizationId, Person, Role, UserId};
use jeton_store::rules::audit;
use jeton_store::{
    Cause, Credentials, Generation, NewPerson, OrganizationsOf, People, PersonReference, Result, Slice,
    Versioned,
};

#[async_trait]
impl People for SqliteStore {
    async fn person(&self, reference: PersonReference) -> Result<Option<Versioned<Person>>> {
        self.readers
            .look_up(move |connection| {
                let (condition, value): (_, &dyn Parameter) = match &reference {
                    PersonReference::Email(email) => ("email = ?1", email),
                    PersonReference::Id(id) => ("public_id = ?1", id),
                };
                let query = format!(
                    "SELECT {COLUMNS}, users.generation FROM users WHERE {condition} AND deleted_at IS NULL"
                );
                Ok(connection
                    .prepare_cached(&query)?
                    .query_row(params![value], |row| {
                        let columns = &mut Columns::of(row);
                        Ok(Versioned {
                            value: person(columns)?,
                            generation: Generation(columns.take()?),
                        })
                    })
                    .optional()?)
            })
            .await
    }

    async fn credentials(&self, email: Email) -> Result<Option<Credentials>> {
        self.readers
            .look_up(move |connection| {
                let query = format!(
                    "SELECT {COLUMNS}, users.password_hash, users.generation FROM users
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
            .read(Purpose::Listing(Tenant::Deployment), move |connection| {
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
            .read(Purpose::Listing(Tenant::from(&of)), move |connection| {
                find(connection, &text, &of, slice)
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
    let whose: &dyn Parameter = match of {
        OrganizationsOf::Everybody => &None::<i64>,
        OrganizationsOf::Only(organization) => organization,
        OrganizationsOf::Person(user) => user,
    };
    let mut query = connection.prepare_cached(&found(of))?;
    // ASCII only, as in SQLite's lower().
    let text = text.to_ascii_lowercase();
    let after = slice.after.unwrap_or_default();
    let found = query.query_map(params![after, Sought(&text), slice.limit, whose], |row| {
        person(&mut Columns::of(row))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Returns the query for a slice of people who match a text: `?1` is the address after which it begins, `?2`
/// the text, `?3` the limit, `?4` the public id of the person whose organizations they share, or of their
/// organization. They are then found by memberships: scanning all addresses would read those of everyone else.
pub(super) fn found(of: &OrganizationsOf) -> String {
    let rows = match of {
        OrganizationsOf::Everybody => "users WHERE ?4 IS NULL",
        OrganizationsOf::Only(_) => {
            "users NOT INDEXED WHERE id IN (SELECT user FROM memberships
             WHERE organization = (SELECT id FROM organizations WHERE public_id = ?4))"
        }
        OrganizationsOf::Person(_) => {
            "users NOT INDEXED WHERE id IN (SELECT user FROM memberships WHERE organization IN
             (SELECT organization FROM memberships WHERE user = (SELECT id FROM users WHERE public_id = ?4)))"
        }
    };
    format!(
        "SELECT {COLUMNS} FROM {rows} AND deleted_at IS NULL AND email > ?1
         AND (instr(email, ?2) OR instr(lower(first_name), ?2) OR instr(lower(last_name), ?2))
         ORDER BY email LIMIT ?3"
    )
}

/// The columns of a person, of `users`.
pub(super) const COLUMNS: &str = "users.public_id, users.email, users.first_name, users.last_name, \
     users.username, users.site_admin, users.disabled_at, users.created_at";

/// The number of those columns.
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

impl Batch<'_> {
    /// Creates a person. Invitations of the address that waive consent become memberships.
    pub(super) fn create_person(
        &mut self,
        new: &NewPerson,
        cause: &Cause,
    ) -> std::result::Result<(), Failure> {
        let person = &new.person;
        let user = self
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
            ])?;
        let waived = self
            .connection
            .prepare_cached(
                "SELECT organizations.id, organizations.public_id, invitations.role
                 FROM invitations JOIN organizations ON organizations.id = invitations.organization
                 WHERE invitations.email = ?1 AND invitations.team = 0 AND invitations.asks = 0
                 ORDER BY organizations.id",
            )?
            .query_map(params![person.email], |row| {
                Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?))
            })?
            .collect::<rusqlite::Result<Vec<(i64, OrganizationId, Role)>>>()?;
        for (number, organization, role) in waived {
            self.join(number, user, &person.email)?;
            self.note_action(&audit::invitation_applied(organization, &person.id, role), cause)?;
        }
        Ok(())
    }

    pub(super) fn change_person(
        &self,
        person: &Person,
        password_hash: Option<String>,
    ) -> std::result::Result<(), Failure> {
        self.connection
            .prepare_cached(
                "UPDATE users SET first_name = ?2, last_name = ?3, username = ?4, site_admin = ?5, disabled_at = ?6,
                    password_hash = coalesce(?7, password_hash)
                 WHERE public_id = ?1",
            )?
            .execute(params![
                person.id,
                person.first_name,
                person.last_name,
                person.username,
                person.site_admin,
                person.disabled_at,
                password_hash,
            ])?;
        Ok(())
    }

    /// Removes a person. The row stays for references to it; a person created again gets another.
    pub(super) fn remove_person(&mut self, user: &UserId, cause: &Cause) -> std::result::Result<(), Failure> {
        let number = self.memory.numbers.user(self.connection, user)?;
        let ended = self
            .connection
            .prepare_cached(
                "SELECT organizations.public_id, memberships.role
                 FROM memberships JOIN organizations ON organizations.id = memberships.organization
                 WHERE memberships.user = ?1 ORDER BY organizations.id",
            )?
            .query_map(params![number], |row| Ok((get(row, 0)?, get(row, 1)?)))?
            .collect::<rusqlite::Result<Vec<(OrganizationId, Role)>>>()?;
        for (organization, role) in ended {
            self.note_action(&audit::member_removed(organization, user, role), cause)?;
        }
        for statement in [
            "UPDATE users SET deleted_at = ?2, password_hash = '' WHERE id = ?1",
            "DELETE FROM invitations WHERE ?2 > 0 AND email = (SELECT email FROM users WHERE id = ?1)",
            "DELETE FROM memberships WHERE ?2 > 0 AND user = ?1",
            "DELETE FROM team_memberships WHERE ?2 > 0 AND user = ?1",
            "DELETE FROM owner_counts WHERE ?2 > 0 AND user <> 0 AND user = ?1",
        ] {
            self.connection
                .prepare_cached(statement)?
                .execute(params![number, cause.at])?;
        }
        Ok(())
    }
}
