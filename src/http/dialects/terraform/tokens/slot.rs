//! The kinds of token of which an owner has one: creating another revokes the one before in the same transaction.

use crate::http::input::Choice;
use jeton_core::token::{NewToken, Slot};

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
