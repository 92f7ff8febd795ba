//! People: their rows, searches and removal.

use async_trait::async_trait;

use crate::PostgresStore;
use crate::failure::Failure;
use crate::search::after;
use crate::values::{Bound, Columns, Parameter, Sought, get, params};
use crate::writer::Batch;
use jeton_core::directory::{Email, Person, UserId};
use jeton_store::reads::{Purpose, Tenant};
use jeton_store::rules::audit;
use jeton_store::{
    Cause, Credentials, Generation, NewPerson, OrganizationsOf, People, PersonReference, Result, Slice,
    Versioned,
};

#[async_trait]
impl People for PostgresStore {
    async fn person(&self, reference: PersonReference) -> Result<Option<Versioned<Person>>> {
        let (column, value) = match &reference {
            PersonReference::Email(email) => ("email", email.bound()),
            PersonReference::Id(id) => ("public_id", id.bound()),
        };
        let query = format!(
            "SELECT {COLUMNS}, users.generation FROM users WHERE {column} = $1 AND deleted_at IS NULL"
        );
        let connection = self.connections.read().await?;
        let Some(row) = connection.optional(&query, &[value]).await? else {
            return Ok(None);
        };
        let columns = &mut Columns::of(&row);
        Ok(Some(Versioned {
            value: person(columns)?,
            generation: Generation(columns.take()?),
        }))
    }

    async fn credentials(&self, email: Email) -> Result<Option<Credentials>> {
        let query = format!(
            "SELECT {COLUMNS}, users.password_hash, users.generation FROM users
             WHERE email = $1 AND deleted_at IS NULL"
        );
        let connection = self.connections.read().await?;
        let Some(row) = connection.optional(&query, params![email]).await? else {
            return Ok(None);
        };
        let columns = &mut Columns::of(&row);
        Ok(Some(Credentials {
            person: person(columns)?,
            password_hash: columns.take()?,
            generation: Generation(columns.take()?),
        }))
    }

    async fn people(&self, slice: Slice) -> Result<Vec<Person>> {
        let query = format!(
            "SELECT {COLUMNS} FROM users WHERE deleted_at IS NULL AND email > $1 ORDER BY email LIMIT $2"
        );
        let purpose = Purpose::Listing(Tenant::Deployment);
        let rows = self
            .connections
            .long_rows(purpose, &query, params![after(&slice), slice.limit])
            .await?;
        rows.iter()
            .map(|row| Ok(person(&mut Columns::of(row))?))
            .collect()
    }

    async fn find_people(&self, text: String, of: OrganizationsOf, slice: Slice) -> Result<Vec<Person>> {
        let (rows, whose) = among(&of);
        let query = format!(
            "SELECT {COLUMNS} FROM {rows} WHERE deleted_at IS NULL AND email > $1
             AND (strpos(email, $2) > 0 OR strpos(lower(first_name), $2) > 0 OR strpos(lower(last_name), $2) > 0)
             ORDER BY email LIMIT $3"
        );
        // ASCII only, as lower() of these columns.
        let text = text.to_ascii_lowercase();
        let mut parameters = params![after(&slice), Sought(&text), slice.limit].to_vec();
        parameters.extend(whose);
        let purpose = Purpose::Listing(Tenant::from(&of));
        let rows = self.connections.long_rows(purpose, &query, &parameters).await?;
        rows.iter()
            .map(|row| Ok(person(&mut Columns::of(row))?))
            .collect()
    }
}

/// Returns the tables, up to their condition, in which the people of these organizations are found, and the public id
/// `$4` of the person or the organization.
fn among(of: &OrganizationsOf) -> (&'static str, Option<Bound>) {
    match of {
        OrganizationsOf::Everybody => ("users", None),
        OrganizationsOf::Only(organization) => (
            "(SELECT person FROM memberships
              WHERE organization = (SELECT id FROM organizations WHERE public_id = $4)) AS members
             CROSS JOIN LATERAL (SELECT * FROM users WHERE id = members.person OFFSET 0) AS users",
            Some(organization.bound()),
        ),
        OrganizationsOf::Person(user) => (
            "(SELECT DISTINCT others.person FROM memberships AS own CROSS JOIN LATERAL
                  (SELECT person FROM memberships WHERE organization = own.organization OFFSET 0) AS others
              WHERE own.person = (SELECT id FROM users WHERE public_id = $4)) AS members
             CROSS JOIN LATERAL (SELECT * FROM users WHERE id = members.person OFFSET 0) AS users",
            Some(user.bound()),
        ),
    }
}

/// The columns of a person, of `users`.
pub(super) const COLUMNS: &str = "users.public_id, users.email, users.first_name, users.last_name, \
     users.username, users.site_admin, users.disabled_at, users.created_at";

/// The number of those columns.
pub(super) const COUNT: usize = 8;

/// Reads [`COLUMNS`] of a row that may have no person.
pub(super) fn person_if_any(columns: &mut Columns<'_>) -> std::result::Result<Option<Person>, Failure> {
    if columns.is_null()? {
        Ok(None)
    } else {
        person(columns).map(Some)
    }
}

/// Reads [`COLUMNS`].
pub(super) fn person(columns: &mut Columns<'_>) -> std::result::Result<Person, Failure> {
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
    pub(super) async fn create_person(
        &mut self,
        new: &NewPerson,
        cause: &Cause,
    ) -> std::result::Result<(), Failure> {
        let person = &new.person;
        let row = self
            .connection
            .row(
                "INSERT INTO users (public_id, email, first_name, last_name, username, password_hash, site_admin,
                    disabled_at, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
                params![
                    person.id,
                    person.email,
                    person.first_name,
                    person.last_name,
                    person.username,
                    new.password_hash,
                    person.site_admin,
                    person.disabled_at,
                    person.created_at,
                ],
            )
            .await?;
        let user = get(&row, 0)?;
        let waived = self
            .connection
            .rows(
                "SELECT organizations.id, organizations.public_id, invitations.role
                 FROM invitations JOIN organizations ON organizations.id = invitations.organization
                 WHERE invitations.email = $1 AND invitations.team = 0 AND NOT invitations.asks
                 ORDER BY organizations.id",
                params![person.email],
            )
            .await?;
        for row in waived {
            self.join(get(&row, 0)?, user).await?;
            let applied = audit::invitation_applied(get(&row, 1)?, &person.id, get(&row, 2)?);
            self.note_action(&applied, cause).await?;
        }
        Ok(())
    }

    pub(super) async fn change_person(
        &self,
        person: &Person,
        password_hash: Option<String>,
    ) -> std::result::Result<(), Failure> {
        self.connection
            .execute(
                "UPDATE users SET first_name = $2, last_name = $3, username = $4, site_admin = $5, disabled_at = $6,
                    password_hash = coalesce($7, password_hash)
                 WHERE public_id = $1",
                params![
                    person.id,
                    person.first_name,
                    person.last_name,
                    person.username,
                    person.site_admin,
                    person.disabled_at,
                    password_hash,
                ],
            )
            .await?;
        Ok(())
    }

    /// Removes a person. The row stays for references to it; a person created again gets another.
    pub(super) async fn remove_person(
        &mut self,
        user: &UserId,
        cause: &Cause,
    ) -> std::result::Result<(), Failure> {
        let number = self.memory.numbers.user(self.connection, user).await?;
        let ended = self
            .connection
            .rows(
                "SELECT organizations.public_id, memberships.role
                 FROM memberships JOIN organizations ON organizations.id = memberships.organization
                 WHERE memberships.person = $1 ORDER BY organizations.id",
                params![number],
            )
            .await?;
        for row in ended {
            let removed = audit::member_removed(get(&row, 0)?, user, get(&row, 1)?);
            self.note_action(&removed, cause).await?;
        }
        self.connection
            .execute(
                "WITH uninvited AS (
                     DELETE FROM invitations WHERE email = (SELECT email FROM users WHERE id = $1)
                 ), left_organizations AS (
                     DELETE FROM memberships WHERE person = $1
                 ), left_teams AS (
                     DELETE FROM team_memberships WHERE person = $1
                 ), uncounted AS (
                     DELETE FROM owner_counts WHERE person = $1 AND person <> 0
                 )
                 UPDATE users SET deleted_at = $2, password_hash = '' WHERE id = $1",
                params![number, cause.at],
            )
            .await?;
        Ok(())
    }
}
