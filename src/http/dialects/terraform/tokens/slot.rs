//! The tokens of which an owner has one: making another ends the one before in the same step.

use crate::authority::{Authority, Caller, Error, Result, Wanted};
use crate::http::dialects::terraform::tokens::owner::Owner;
use crate::http::input::Choice;
use jeton_core::token::{CountTotal, Direction, NewToken, Page, Record, Slot, Sort, Start, WantedStatus};

/// The kinds of which an owner has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// The token of a team or an organization.
    #[default]
    Authentication,
    /// An organization's token for whoever reads its audit trails.
    AuditTrails,
}

impl Choice for Kind {
    const WORDS: &'static [(&'static str, Self)] = &[("audit-trails", Self::AuditTrails)];
}

impl Kind {
    const ALL: [Self; 2] = [Self::Authentication, Self::AuditTrails];

    /// The kind of a token, if it is of one.
    pub(super) fn of(token: &NewToken) -> Option<Self> {
        let slot = token.slot.as_ref()?;
        Self::ALL.into_iter().find(|kind| kind.name() == slot.as_str())
    }

    /// The place that it takes among its owner's tokens.
    pub(super) fn slot(self) -> Slot {
        Slot::literal(self.name())
    }

    /// The scopes of such a token; `None` is what tokens have where nothing is said.
    pub(super) fn scopes(self) -> Option<Vec<String>> {
        match self {
            Self::Authentication => None,
            // It is made for somebody who reads and does nothing, and there is nothing here to read.
            Self::AuditTrails => Some(Vec::new()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication-token",
            Self::AuditTrails => "audit-trails",
        }
    }
}

/// The token that an owner has of a kind, for whoever manages it.
pub(super) async fn find(
    authority: &Authority,
    caller: &Caller,
    owner: &Owner,
    kind: Kind,
) -> Result<Record> {
    let wanted = Wanted {
        slot: Some(kind.slot()),
        status: Some(WantedStatus::Unrevoked),
        ..owner.wanted()
    };
    // The newest, where the one before is still in its grace.
    let page = Page {
        sort: Sort::default(),
        start: Start::Beginning,
        direction: Direction::Next,
        limit: 1,
        count: CountTotal::No,
    };
    let found = authority.list(caller, &wanted, page).await?;
    found.items.into_iter().next().ok_or(Error::Absent)
}

/// Ends it.
pub(super) async fn remove(authority: &Authority, caller: &Caller, owner: &Owner, kind: Kind) -> Result<()> {
    let record = find(authority, caller, owner, kind).await?;
    authority.delete_tokens(caller, vec![record]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_place_that_can_be_written() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind.slot()));
        }
    }
}
