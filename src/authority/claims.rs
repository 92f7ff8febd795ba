//! What a token says: the claims, made from what its record holds and nothing else.

use jeton_verifier::{Claims, NEVER, StatusReference};

use jeton_core::token::{NewToken, Place, TokenKind};

/// Where the token's bit is published.
fn status_reference(issuer: &str, place: Place) -> StatusReference {
    StatusReference {
        index: place.index,
        uri: status_list_uri(issuer, place.list),
    }
}

/// The address of a status list.
pub(super) fn status_list_uri(issuer: &str, list: u32) -> String {
    format!("{issuer}/status-lists/{list}")
}

/// The claims of a token (RFC 9068, and `status` of the Token Status List).
///
/// `iat` is rounded down and there is no `nbf`: a verifier whose clock is a little behind would
/// otherwise refuse a token that it was just handed.
pub(super) fn claims(token: &NewToken, place: Place, issuer: &str) -> Claims {
    let subject = token.owner.subject();
    Claims {
        issuer: issuer.to_owned(),
        subject: subject.clone(),
        audience: token.audience.clone(),
        client_id: subject,
        issued_at: token.created_at.seconds(),
        expires_at: token.expires_at.map_or(NEVER, |end| end.seconds()),
        jti: token.jti,
        // RFC 6749, section 3.3: a scope has at least one name, so that none is written as no claim.
        // An empty text would be a malformed token, refused by every verifier and by us.
        scope: match token.kind {
            TokenKind::Api if !token.scopes.is_empty() => {
                Some(token.scopes.iter().map(ToString::to_string).collect())
            }
            TokenKind::Api | TokenKind::Session => None,
        },
        organization: token.owner.organization().map(|organization| organization.0),
        team: token.owner.team().map(ToString::to_string),
        projects: token.projects.clone(),
        status: status_reference(issuer, place),
    }
}
