//! Ids of memberships.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::authority::{Authority, Caller, Error};
use jeton_core::directory::{Belonging, Email, Organization, OrganizationId};
use jeton_store::Search;

/// The id of a membership: `ou-`, then the organization and the e-mail address in base64url. It needs no table,
/// and is the same before and after the address accepts its invitation, whether or not a user has the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http::dialects::terraform) struct MembershipId {
    pub(in crate::http::dialects::terraform) organization: OrganizationId,
    pub(in crate::http::dialects::terraform) email: Email,
}

const PREFIX: &str = "ou-";

impl fmt::Display for MembershipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [self.organization.0.as_bytes(), self.email.as_str().as_bytes()].concat();
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(named))
    }
}

impl FromStr for MembershipId {
    type Err = Error;

    /// Parses an id. An invalid id is answered like an unknown membership.
    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || {
            let named = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
            let (organization, email) = named.split_first_chunk()?;
            Some(Self {
                organization: OrganizationId(Uuid::from_bytes(*organization)),
                email: std::str::from_utf8(email).ok()?.parse().ok()?,
            })
        };
        // A membership has one id only, so the address is in its canonical form.
        read().filter(|id| id.to_string() == text).ok_or(Error::Absent)
    }
}

impl MembershipId {
    /// Returns the membership and its organization.
    pub(in crate::http::dialects::terraform) async fn find(
        &self,
        authority: &Authority,
        caller: &Caller,
    ) -> Result<(Organization, Belonging), Error> {
        let reference = self.organization.into();
        let organization = authority.organization(caller, &reference).await?;
        let only = Search {
            keys: Some(vec![self.email.to_string()]),
            limit: 1,
            ..Search::default()
        };
        let found = authority.find_members(caller, &reference, None, only).await?;
        let belonging = found.items.into_iter().next().ok_or(Error::Absent)?;
        Ok((organization, belonging))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_one_membership_and_a_membership_has_one_id() {
        let id = MembershipId {
            organization: OrganizationId(Uuid::from_u128(7)),
            email: "ada@example.com".parse().unwrap(),
        };
        let text = id.to_string();
        assert_eq!(text, "ou-AAAAAAAAAAAAAAAAAAAAB2FkYUBleGFtcGxlLmNvbQ");
        assert_eq!(text.parse::<MembershipId>().unwrap(), id);
        let named = |email: &str| {
            let named = [id.organization.0.as_bytes(), email.as_bytes()].concat();
            format!("ou-{}", URL_SAFE_NO_PAD.encode(named))
        };
        assert_eq!(named("ada@example.com"), text);
        for other in [
            &named("Ada@example.com"),
            &named(" ada@example.com"),
            &named("ada"),
            &named(""),
            &format!("{text}="),
            text.trim_start_matches("ou-"),
            "ou-AAAAAAAAAAAAAAAAAAAA",
            "ou-",
            "",
        ] {
            assert!(
                matches!(other.parse::<MembershipId>(), Err(Error::Absent)),
                "{other}"
            );
        }
    }
}
