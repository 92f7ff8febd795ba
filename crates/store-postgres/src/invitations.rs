//! Invitations of addresses to organizations and teams.

use crate::connection::Connection;
use crate::failure::Failure;
use crate::members::is_replaced;
use crate::search::after;
use crate::values::{Columns, params};
use crate::writer::Batch;
use jeton_core::directory::{
    Consent, Email, Invitation, Invited, OrganizationId, Role, SentInvitation, TeamId, UserId,
};
use jeton_store::{Cause, Existing, Slice};

/// The rows of an organization and of a team. Team 0 is the organization itself.
#[derive(Clone, Copy)]
pub(super) struct InvitedTo {
    organization: i64,
    team: i64,
}

/// The most teams of an invitation in a list.
const MOST_TEAMS: u32 = 100;

/// Returns the roles that an address is invited to, by one statement and so of one instant.
pub(super) async fn invited(
    connection: &Connection,
    email: &Email,
    organization: OrganizationId,
) -> Result<Option<Invited>, Failure> {
    let rows = connection
        .rows(
            "SELECT teams.public_id, invitations.role, invitations.asks
             FROM invitations LEFT JOIN teams ON teams.id = invitations.team AND teams.deleted_at IS NULL
             WHERE email = $1 AND invitations.organization = (SELECT id FROM organizations WHERE public_id = $2)
             AND (team = 0 OR teams.id IS NOT NULL)
             ORDER BY teams.canonical_name NULLS FIRST",
            params![email, organization],
        )
        .await?;
    let mut found: Option<Invited> = None;
    for row in rows {
        let columns = &mut Columns::of(&row);
        match (columns.take()?, &mut found) {
            (Some(team), Some(invited)) => invited.teams.push((team, columns.take()?)),
            // The row of the organization is the first one, and without it an address is not invited.
            (Some(_), None) => return Ok(None),
            (None::<TeamId>, found) => {
                *found = Some(Invited {
                    role: columns.take()?,
                    consent: match columns.take()? {
                        true => Consent::Required,
                        false => Consent::Waived,
                    },
                    teams: Vec::new(),
                });
            }
        }
    }
    Ok(found)
}

/// Returns a slice of an address's invitations. An address has few, and is looked up by index.
pub(super) async fn list(
    connection: &Connection,
    email: &Email,
    slice: &Slice,
) -> Result<Vec<Invitation>, Failure> {
    let rows = connection
        .rows(
            &format!(
                "SELECT own.public_id, own.name, own.role, own.invited_by, own.invited_at,
                     offered.public_id, offered.name, offered.role
                 FROM (
                     SELECT organizations.*, role, invited_by, invited_at
                     FROM invitations CROSS JOIN LATERAL
                         (SELECT id, public_id, name, canonical_name FROM organizations
                          WHERE id = invitations.organization OFFSET 0) AS organizations
                     WHERE email = $1 AND team = 0 AND canonical_name > $2
                     ORDER BY canonical_name LIMIT $3
                 ) AS own LEFT JOIN LATERAL (
                     SELECT public_id, name, canonical_name, role
                     FROM invitations JOIN teams ON teams.id = team
                     WHERE email = $1 AND invitations.organization = own.id AND deleted_at IS NULL
                     ORDER BY canonical_name LIMIT {MOST_TEAMS}
                 ) AS offered ON true
                 ORDER BY own.canonical_name, offered.canonical_name"
            ),
            params![email, after(slice), slice.limit],
        )
        .await?;
    let mut found: Vec<Invitation> = Vec::new();
    for row in rows {
        let columns = &mut Columns::of(&row);
        let invitation = Invitation {
            organization: columns.take()?,
            name: columns.take()?,
            role: columns.take()?,
            teams: Vec::new(),
            invited_by: columns.take()?,
            invited_at: columns.take()?,
        };
        if found.last().map(|last| last.organization) != Some(invitation.organization) {
            found.push(invitation);
        }
        if let Some(id) = columns.take()?
            && let Some(invitation) = found.last_mut()
        {
            invitation.teams.push((id, columns.take()?, columns.take()?));
        }
    }
    Ok(found)
}

/// Returns a slice of an organization's invitations.
pub(super) async fn sent(
    connection: &Connection,
    id: OrganizationId,
    slice: &Slice,
) -> Result<Vec<SentInvitation>, Failure> {
    let rows = connection
        .rows(
            &format!(
                "SELECT own.email, own.role, own.invited_by, own.invited_at,
                     offered.public_id, offered.name, offered.role
                 FROM (
                     SELECT organization, email, role, invited_by, invited_at FROM invitations
                     WHERE organization = (SELECT id FROM organizations WHERE public_id = $1) AND team = 0 AND email > $2
                     ORDER BY email LIMIT $3
                 ) AS own LEFT JOIN LATERAL (
                     SELECT public_id, name, canonical_name, role
                     FROM invitations JOIN teams ON teams.id = team
                     WHERE email = own.email AND invitations.organization = own.organization AND deleted_at IS NULL
                     ORDER BY canonical_name LIMIT {MOST_TEAMS}
                 ) AS offered ON true
                 ORDER BY own.email, offered.canonical_name"
            ),
            params![id, after(slice), slice.limit],
        )
        .await?;
    let mut found: Vec<SentInvitation> = Vec::new();
    for row in rows {
        let columns = &mut Columns::of(&row);
        let invitation = SentInvitation {
            email: columns.take()?,
            role: columns.take()?,
            teams: Vec::new(),
            invited_by: columns.take()?,
            invited_at: columns.take()?,
        };
        if found.last().map(|last| &last.email) != Some(&invitation.email) {
            found.push(invitation);
        }
        if let Some(id) = columns.take()?
            && let Some(invitation) = found.last_mut()
        {
            invitation.teams.push((id, columns.take()?, columns.take()?));
        }
    }
    Ok(found)
}

impl Batch<'_> {
    pub(super) async fn invite(
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
            .execute(
                "INSERT INTO invitations (organization, team, email, role, asks, invited_by, invited_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (organization, team, email) DO UPDATE SET role = excluded.role, asks = excluded.asks,
                    invited_by = excluded.invited_by, invited_at = excluded.invited_at
                 WHERE $8",
                params![
                    to.organization,
                    to.team,
                    email,
                    role,
                    asks,
                    cause.by.name,
                    cause.at,
                    is_replaced(existing),
                ],
            )
            .await?;
        Ok(())
    }

    /// Deletes an address's invitation to a team; without one, to an organization and all of its teams.
    pub(super) async fn uninvite(
        &mut self,
        organization: OrganizationId,
        team: Option<&TeamId>,
        email: &Email,
    ) -> Result<(), Failure> {
        let InvitedTo { organization, team } = self.invited_to(organization, team).await?;
        self.connection
            .execute(
                "DELETE FROM invitations WHERE organization = $1 AND email = $2 AND (team = $3 OR $3 = 0)",
                params![organization, email, team],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn accept_invitations(
        &mut self,
        organization: OrganizationId,
        user: &UserId,
    ) -> Result<(), Failure> {
        let numbers = &mut self.memory.numbers;
        let organization = numbers.organization(self.connection, organization).await?;
        let user = numbers.user(self.connection, user).await?;
        self.join(organization, user).await
    }

    /// Turns the invitations of a person's address to an organization into memberships. Existing roles stay.
    pub(super) async fn join(&self, organization: i64, user: i64) -> Result<(), Failure> {
        self.connection
            .execute(
                "WITH accepted AS (
                     DELETE FROM invitations
                     WHERE organization = $1 AND email = (SELECT email FROM users WHERE id = $2)
                     RETURNING organization, team, role
                 ), joined AS (
                     INSERT INTO memberships (organization, person, role)
                     SELECT organization, $2::bigint, role FROM accepted WHERE team = 0
                     ON CONFLICT DO NOTHING
                 )
                 INSERT INTO team_memberships (team, person, role)
                 SELECT team, $2::bigint, role FROM accepted WHERE team <> 0
                 ON CONFLICT DO NOTHING",
                params![organization, user],
            )
            .await?;
        Ok(())
    }

    /// Returns the rows of an organization and of a team in it.
    pub(super) async fn invited_to(
        &mut self,
        organization: OrganizationId,
        team: Option<&TeamId>,
    ) -> Result<InvitedTo, Failure> {
        let numbers = &mut self.memory.numbers;
        Ok(InvitedTo {
            organization: numbers.organization(self.connection, organization).await?,
            team: match team {
                Some(team) => numbers.team(self.connection, team).await?,
                None => 0,
            },
        })
    }
}
