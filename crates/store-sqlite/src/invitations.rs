//! Invitations of addresses to organizations and teams.

use rusqlite::{Connection, OptionalExtension};

use crate::failure::Failure;
use crate::values::{Columns, get, params};
use crate::writer::Batch;
use jeton_core::directory::{
    Consent, Email, Invitation, Invited, Name, OrganizationId, Role, SentInvitation, TeamId, UserId,
};
use jeton_store::{Cause, Existing, Slice};

/// The rows of an organization and of a team. Team 0 is the organization itself.
#[derive(Clone, Copy)]
pub(super) struct InvitedTo {
    organization: i64,
    team: i64,
}

/// Selects the live teams that an address `?1` is invited to in an organization `?2`, in the order of their names;
/// at most `?3`.
const TEAMS: &str = "SELECT teams.public_id, teams.name, invitations.role
     FROM invitations JOIN teams ON teams.id = invitations.team
     WHERE invitations.email = ?1 AND invitations.organization = ?2 AND teams.deleted_at IS NULL
     ORDER BY teams.canonical_name LIMIT ?3";

/// No limit, for SQLite.
const ALL_TEAMS: i64 = -1;

/// The most teams of an invitation in a list.
const MOST_TEAMS: i64 = 100;

/// Selects the invitations of an address `?1` to organizations after the name `?2`, at most `?3`. An address has
/// few, and is looked up by index.
pub(super) const LIST: &str = "SELECT organizations.id, organizations.public_id, organizations.name,
     invitations.role, invitations.invited_by, invitations.invited_at
     FROM invitations INDEXED BY invitations_by_email
     CROSS JOIN organizations ON organizations.id = invitations.organization
     WHERE invitations.email = ?1 AND invitations.team = 0 AND organizations.canonical_name > ?2
     ORDER BY organizations.canonical_name LIMIT ?3";

/// Selects the invitations of an organization `?1` to addresses after `?2`, at most `?3`.
pub(super) const SENT: &str = "SELECT organization, email, role, invited_by, invited_at FROM invitations
     WHERE organization = (SELECT id FROM organizations WHERE public_id = ?1) AND team = 0 AND email > ?2
     ORDER BY email LIMIT ?3";

pub(super) fn invited(
    connection: &Connection,
    email: &Email,
    organization: OrganizationId,
) -> Result<Option<Invited>, Failure> {
    // One instant for both queries.
    let transaction = connection.unchecked_transaction()?;
    let found = transaction
        .prepare_cached(
            "SELECT organization, role, asks FROM invitations
             WHERE email = ?1 AND organization = (SELECT id FROM organizations WHERE public_id = ?2) AND team = 0",
        )?
        .query_row(params![email, organization], |row| {
            let columns = &mut Columns::of(row);
            let (organization, role): (i64, Role) = (columns.take()?, columns.take()?);
            let consent = match columns.take()? {
                true => Consent::Required,
                false => Consent::Waived,
            };
            Ok((organization, role, consent))
        })
        .optional()?;
    let Some((organization, role, consent)) = found else {
        return Ok(None);
    };
    let teams = transaction
        .prepare_cached(TEAMS)?
        .query_map(params![email, organization, ALL_TEAMS], |row| {
            Ok((get(row, 0)?, get(row, 2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Invited { role, consent, teams }))
}

pub(super) fn list(connection: &Connection, email: &Email, slice: Slice) -> Result<Vec<Invitation>, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let mut found = Vec::new();
    let mut query = transaction.prepare_cached(LIST)?;
    let rows = query.query_map(
        params![email, slice.after.unwrap_or_default(), slice.limit],
        |row| {
            let columns = &mut Columns::of(row);
            let organization: i64 = columns.take()?;
            let invitation = Invitation {
                organization: columns.take()?,
                name: columns.take()?,
                role: columns.take()?,
                teams: Vec::new(),
                invited_by: columns.take()?,
                invited_at: columns.take()?,
            };
            Ok((organization, invitation))
        },
    )?;
    for row in rows {
        let (organization, mut invitation) = row?;
        invitation.teams = teams(&transaction, email, organization)?;
        found.push(invitation);
    }
    Ok(found)
}

pub(super) fn sent(
    connection: &Connection,
    id: OrganizationId,
    slice: Slice,
) -> Result<Vec<SentInvitation>, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let mut found = Vec::new();
    let mut query = transaction.prepare_cached(SENT)?;
    let rows = query.query_map(params![id, slice.after.unwrap_or_default(), slice.limit], |row| {
        let columns = &mut Columns::of(row);
        let organization: i64 = columns.take()?;
        let invitation = SentInvitation {
            email: columns.take()?,
            role: columns.take()?,
            teams: Vec::new(),
            invited_by: columns.take()?,
            invited_at: columns.take()?,
        };
        Ok((organization, invitation))
    })?;
    for row in rows {
        let (organization, mut invitation) = row?;
        invitation.teams = teams(&transaction, &invitation.email, organization)?;
        found.push(invitation);
    }
    Ok(found)
}

/// Returns the first teams that an address is invited to in an organization.
fn teams(
    connection: &Connection,
    email: &Email,
    organization: i64,
) -> Result<Vec<(TeamId, Name, Role)>, Failure> {
    let mut query = connection.prepare_cached(TEAMS)?;
    let teams = query.query_map(params![email, organization, MOST_TEAMS], |row| {
        Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?))
    })?;
    Ok(teams.collect::<rusqlite::Result<_>>()?)
}

impl Batch<'_> {
    pub(super) fn invite(
        &mut self,
        to: InvitedTo,
        email: &Email,
        role: Role,
        consent: Consent,
        existing: Existing,
        cause: &Cause,
    ) -> Result<(), Failure> {
        let asks = match consent {
            Consent::Required => true,
            Consent::Waived => false,
        };
        self.connection
            .prepare_cached(match existing {
                Existing::Stays => {
                    "INSERT INTO invitations (organization, team, email, role, asks, invited_by, invited_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT DO NOTHING"
                }
                Existing::Replaced => {
                    "INSERT INTO invitations (organization, team, email, role, asks, invited_by, invited_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT DO UPDATE SET role = excluded.role, asks = excluded.asks,
                        invited_by = excluded.invited_by, invited_at = excluded.invited_at"
                }
            })?
            .execute(params![
                to.organization,
                to.team,
                email,
                role,
                asks,
                cause.by.name,
                cause.at
            ])?;
        Ok(())
    }

    pub(super) fn uninvite(
        &mut self,
        organization: OrganizationId,
        team: Option<&TeamId>,
        email: &Email,
    ) -> Result<(), Failure> {
        let InvitedTo { organization, team } = self.invited_to(organization, team)?;
        self.connection
            .prepare_cached(
                "DELETE FROM invitations WHERE organization = ?1 AND email = ?2 AND (team = ?3 OR ?3 = 0)",
            )?
            .execute(params![organization, email, team])?;
        Ok(())
    }

    pub(super) fn accept_invitations(
        &mut self,
        organization: OrganizationId,
        user: &UserId,
    ) -> Result<(), Failure> {
        let numbers = &mut self.memory.numbers;
        let organization = numbers.organization(self.connection, organization)?;
        let user = numbers.user(self.connection, user)?;
        let email: Email = self
            .connection
            .prepare_cached("SELECT email FROM users WHERE id = ?1")?
            .query_row(params![user], |row| get(row, 0))?;
        self.join(organization, user, &email)
    }

    /// Turns the invitations of an address to an organization into memberships of a person. Existing roles stay.
    pub(super) fn join(&self, organization: i64, user: i64, email: &Email) -> Result<(), Failure> {
        for statement in [
            "INSERT INTO memberships (organization, user, role)
             SELECT organization, ?2, role FROM invitations
             WHERE organization = ?1 AND email = ?3 AND team = 0
             ON CONFLICT DO NOTHING",
            "INSERT INTO team_memberships (team, user, role)
             SELECT team, ?2, role FROM invitations
             WHERE organization = ?1 AND email = ?3 AND team <> 0
             ON CONFLICT DO NOTHING",
            "DELETE FROM invitations WHERE organization = ?1 AND ?2 > 0 AND email = ?3",
        ] {
            self.connection
                .prepare_cached(statement)?
                .execute(params![organization, user, email])?;
        }
        Ok(())
    }

    /// Returns the rows of an organization and of a team in it.
    pub(super) fn invited_to(
        &mut self,
        organization: OrganizationId,
        team: Option<&TeamId>,
    ) -> Result<InvitedTo, Failure> {
        let numbers = &mut self.memory.numbers;
        Ok(InvitedTo {
            organization: numbers.organization(self.connection, organization)?,
            team: match team {
                Some(team) => numbers.team(self.connection, team)?,
                None => 0,
            },
        })
    }
}
