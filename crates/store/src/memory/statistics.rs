//! Statistics, computed by their definition from all tokens and events there ever were.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jeton_core::clock::{Day, Timestamp};
use jeton_core::directory::OrganizationId;
use jeton_core::token::{CutOff, NewToken, TokenId, TokenKind};

use super::MemoryStore;
use crate::{DayCounts, Result, Statistics};

/// What statistics are computed from. Nothing is deleted, in contrast to the records.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    tokens: BTreeMap<TokenId, NewToken>,
    /// The tokens that were revoked, and when each revocation takes effect.
    revocations: Vec<(TokenId, Timestamp)>,
    cut_offs: Vec<CutOff>,
    /// The organization of the token, the instant and the number.
    refusals: Vec<(Option<OrganizationId>, Timestamp, u64)>,
}

impl History {
    pub(super) fn note_token(&mut self, id: TokenId, token: &NewToken) {
        if token.kind == TokenKind::Api {
            self.tokens.insert(id, token.clone());
        }
    }

    pub(super) fn note_revocation(&mut self, token: TokenId, effective_at: Timestamp) {
        self.revocations.push((token, effective_at));
    }

    pub(super) fn note_cut_off(&mut self, cut_off: &CutOff) {
        self.cut_offs.push(cut_off.clone());
    }

    pub(super) fn note_refusals(&mut self, token: &NewToken, count: u64, last_at: Timestamp) {
        if token.kind == TokenKind::Api {
            self.refusals.push((token.owner.organization(), last_at, count));
        }
    }

    /// Returns when a token ends, and whether it is revoked then; `None` if it never ends.
    fn end(&self, id: TokenId, token: &NewToken) -> Option<(Timestamp, bool)> {
        let revocations = self.revocations.iter().filter(|(revoked, _)| *revoked == id);
        let cut_offs = self
            .cut_offs
            .iter()
            .filter(|cut_off| cut_off.ends(token, Timestamp::LAST));
        let revoked = revocations
            .map(|(_, effective_at)| *effective_at)
            .chain(cut_offs.map(|cut_off| cut_off.effective_at))
            .map(|effective_at| (effective_at, true));
        let expiry = token
            .expires_at
            .and_then(|at| Timestamp::from_seconds(at.seconds()));
        revoked.chain(expiry.map(|expiry| (expiry, false))).min()
    }

    fn counts(&self, organization: Option<OrganizationId>, day: Day) -> DayCounts {
        let mut counts = DayCounts {
            day,
            issued: 0,
            revoked: 0,
            expired: 0,
            active: 0,
            refused: 0,
        };
        let is_meant =
            |of: Option<OrganizationId>| organization.is_none_or(|organization| of == Some(organization));
        for (id, token) in &self.tokens {
            let issued = Day::of(token.created_at);
            if !is_meant(token.owner.organization()) || issued > day {
                continue;
            }
            let end = self.end(*id, token).map(|(end, revoked)| (Day::of(end), revoked));
            counts.issued += u64::from(issued == day);
            counts.revoked += u64::from(end == Some((day, true)));
            counts.expired += u64::from(end == Some((day, false)));
            counts.active += u64::from(end.is_none_or(|(end, _)| end > day));
        }
        for (of, at, count) in &self.refusals {
            if is_meant(*of) && Day::of(*at) == day {
                counts.refused += count;
            }
        }
        counts
    }
}

#[async_trait]
impl Statistics for MemoryStore {
    async fn statistics(
        &self,
        organization: Option<OrganizationId>,
        from: Day,
        through: Day,
    ) -> Result<Vec<DayCounts>> {
        let data = self.data();
        let days = (from.number()..=through.number()).filter_map(Day::from_number);
        Ok(days.map(|day| data.history.counts(organization, day)).collect())
    }
}
