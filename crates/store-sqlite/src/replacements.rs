//! Tokens that take the place of others: by rotation, and in a slot.

use crate::values::{get, params};
use rusqlite::{Connection, OptionalExtension};

use crate::failure::Failure;
use crate::limits::{OwnerNumbers, is_standing};
use crate::records::by_id;
use crate::revocable::Revocable;
use jeton_core::token::{NewToken, Revocation, Slot, TokenId};
use jeton_store::Rotation;

/// What ends when a token is recorded.
#[derive(Default)]
pub(super) struct Replaced {
    /// The tokens, and how each ends.
    pub(super) ends: Vec<(Revocable, Revocation)>,
    /// How many of them count against the limit of the owner, who is the new token's too.
    pub(super) counted: u32,
}

impl Replaced {
    /// What a token replaces, which is mostly nothing; `None` if what it should replace is no longer
    /// active.
    pub(super) fn by(
        connection: &Connection,
        token: &NewToken,
        owner: OwnerNumbers,
        rotation: Option<Rotation>,
    ) -> Result<Option<Self>, Failure> {
        match (rotation, &token.slot) {
            (None, None) => Ok(Some(Self::default())),
            (Some(rotation), _) => Self::by_rotation(connection, token, rotation),
            (None, Some(slot)) => Self::in_slot(connection, token, owner, slot).map(Some),
        }
    }

    fn by_rotation(
        connection: &Connection,
        token: &NewToken,
        rotation: Rotation,
    ) -> Result<Option<Self>, Failure> {
        // What is active counts, and what was replaced does not: so there is one successor.
        if !is_standing(connection, rotation.token, token.created_at)? {
            return Ok(None);
        }
        let mut replaced = Self {
            counted: 1,
            ..Self::default()
        };
        replaced.end(connection, rotation.token, rotation.revocation)?;
        Ok(Some(replaced))
    }

    fn in_slot(
        connection: &Connection,
        token: &NewToken,
        owner: OwnerNumbers,
        slot: &Slot,
    ) -> Result<Self, Failure> {
        let mut replaced = Self::default();
        let former = connection
            .prepare_cached(IN_SLOT)?
            .query_row(params![slot, owner.organization, owner.team, owner.user], |row| {
                get(row, 0).map(TokenId)
            })
            .optional()?;
        if let Some(former) = former {
            replaced.counted = u32::from(is_standing(connection, former, token.created_at)?);
            let revocation = Revocation {
                revoked_at: token.created_at,
                effective_at: token.created_at,
                revoked_by: token.created_by.clone(),
                reason: Some(format!("replaced in the slot {slot}")),
            };
            replaced.end(connection, former, revocation)?;
        }
        Ok(replaced)
    }

    /// Ends a token, and the one before it if that is still in its grace: of one lineage at most two
    /// are alive, or rotating would be a way around the limit, which counts none in its grace.
    fn end(
        &mut self,
        connection: &Connection,
        former: TokenId,
        revocation: Revocation,
    ) -> Result<(), Failure> {
        let Some(former) = by_id(connection, former)? else {
            return Ok(());
        };
        let before = match former.lineage.rotated_from {
            Some(before) => by_id(connection, before)?,
            None => None,
        };
        if let Some(before) = before.filter(|before| !before.is_revoked(revocation.revoked_at)) {
            let at_once = Revocation {
                effective_at: revocation.revoked_at,
                ..revocation.clone()
            };
            self.ends.push((before.into(), at_once));
        }
        self.ends.push((former.into(), revocation));
        Ok(())
    }
}

/// The token in a slot.
pub(super) const IN_SLOT: &str = "SELECT id FROM tokens INDEXED BY one_token_a_slot
     WHERE slot IS NOT NULL AND effective_at IS NULL AND slot = ?1 AND coalesce(organization, 0) = coalesce(?2, 0)
         AND coalesce(team, 0) = coalesce(?3, 0) AND coalesce(user, 0) = coalesce(?4, 0)";
