//! The claims of a token. Apart, so that they come from its record and nothing else: `active` builds them
//! again to compare a presented token with its record.

use jeton_verifier::{Claims, NEVER, StatusReference};

use jeton_core::token::{ListIndex, NewToken, TokenKind};

/// Returns the `status` claim: status list and index.
fn status_reference(issuer: &str, list_index: ListIndex) -> StatusReference {
    StatusReference {
        index: list_index.index,
        uri: status_list_uri(issuer, list_index.list),
    }
}

/// Returns the URL of a status list.
pub(super) fn status_list_uri(issuer: &str, list: u32) -> String {
    format!("{}/{list}", status_lists_uri(issuer))
}

/// Returns the URL below which all status lists are: the issuer and audience of each, which no token has.
pub(super) fn status_lists_uri(issuer: &str) -> String {
    format!("{issuer}/status-lists")
}

/// Returns the claims of a token (RFC 9068, and `status` of Token Status List).
///
/// `iat` is rounded down and there is no `nbf`: otherwise a verifier with a slow clock would refuse a
/// new token.
pub(super) fn claims(token: &NewToken, list_index: ListIndex, issuer: &str) -> Claims {
    let subject = token.owner.subject();
    Claims {
        issuer: issuer.to_owned(),
        subject: subject.clone(),
        audience: token.audience.clone(),
        client_id: subject,
        issued_at: token.created_at.seconds(),
        expires_at: token.expires_at.map_or(NEVER, |end| end.seconds()),
        jti: token.jti,
        // RFC 6749, section 3.3: `scope` has at least one name. A token without scopes has no such claim;
        // verifiers, this one included, refuse an empty one as malformed.
        scope: match token.kind {
            TokenKind::Api if !token.scopes.is_empty() => {
                Some(token.scopes.iter().map(ToString::to_string).collect())
            }
            TokenKind::Api | TokenKind::Session => None,
        },
        organization: token.owner.organization().map(|organization| organization.0),
        team: token.owner.team().map(ToString::to_string),
        projects: token.projects.clone(),
        status: status_reference(issuer, list_index),
    }
}
