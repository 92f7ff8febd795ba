//! The kinds of token of which an owner has one: creating another revokes the one before in the same transaction.

use crate::http::input::Choice;
use jeton_core::token::{ManagementScope, NewToken, Slot};

/// A kind of token of which an owner has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// The usual token of a team or an organization.
    #[default]
    Authentication,
    /// The token of an organization for reading audit trails.
    AuditTrails,
}

impl Choice for Kind {
    const WORDS: &'static [(&'static str, Self)] = &[("audit-trails", Self::AuditTrails)];
}

impl Kind {
    const ALL: [Self; 2] = [Self::Authentication, Self::AuditTrails];

    /// Returns the kind of a token, if an owner has only one of it.
    pub(super) fn of(token: &NewToken) -> Option<Self> {
        let slot = token.slot.as_ref()?;
        Self::ALL.into_iter().find(|kind| kind.name() == slot.as_str())
    }

    /// Returns the slot of the kind.
    pub(super) fn slot(self) -> Slot {
        Slot::literal(self.name())
    }

    /// Returns the scopes of the kind; `None` means the default scopes.
    pub(super) fn scopes(self) -> Option<Vec<String>> {
        match self {
            Self::Authentication => None,
            Self::AuditTrails => Some(vec![ManagementScope::AuditRead.as_str().to_owned()]),
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
    fn every_kind_has_a_valid_slot() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind.slot()));
        }
    }
}
