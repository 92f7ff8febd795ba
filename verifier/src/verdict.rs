use crate::{Claims, Header, Malformed, TokenType, judge_expiry, judge_issue};

/// A token with a valid signature, whose issuer, audience, type and times are not checked yet.
///
/// Its claims are accessible only through [`Verified::judge`], which also checks the type: no caller
/// can forget that a session is not an API token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    header: Header,
    claims: Claims,
}

/// The expectations that a token must meet.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The issuer, compared character by character.
    pub issuer: &'a str,
    /// The verifier's own audience, one of the token's; `None` accepts any.
    pub audience: Option<&'a str>,
    /// The required token type.
    pub token_type: TokenType,
    /// The current time, in seconds since the Unix epoch.
    pub now: i64,
    /// The allowed clock skew, in seconds. The authority itself allows none.
    pub leeway: i64,
}

/// The reason why a token is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The text is not a well-formed token.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No trusted key has the token's `kid`.
    #[error("the token is signed with an unknown key")]
    UnknownKey,
    /// The header's `alg` differs from the key's.
    #[error("the token's `alg` differs from the algorithm of its key")]
    WrongAlgorithm,
    /// The signature is invalid.
    #[error("the token's signature is invalid")]
    BadSignature,
    /// The token has another type, such as a session.
    #[error("the token has another type")]
    WrongType,
    /// The token is from another issuer.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// The token is for another audience.
    #[error("the token is for another audience")]
    WrongAudience,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token was issued in the future.
    #[error("the token was issued in the future")]
    NotYetIssued,
    /// The token is revoked.
    #[error("the token is revoked")]
    Revoked,
    /// Whether the token is revoked is unknown: what is known is older than its bound.
    #[error("whether the token is revoked is unknown")]
    RevocationUnknown,
    /// The token lacks a required scope.
    #[error("the token lacks a required scope")]
    InsufficientScope,
    /// The token is of another organization, or of none.
    #[error("the token is of another organization")]
    WrongOrganization,
    /// The token is of another team, or of none.
    #[error("the token is of another team")]
    WrongTeam,
    /// The token is restricted to other projects.
    #[error("the token is restricted to other projects")]
    WrongProject,
    /// The status list is not the requested one.
    #[error("the status list is not the requested one")]
    WrongList,
    /// The status list is older than the known feed position.
    #[error("the status list is older than the known feed position")]
    Outdated,
}

impl Rejection {
    /// Returns a name for logs and metrics, which never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::BadSignature => "bad_signature",
            Self::WrongType => "wrong_type",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetIssued => "not_yet_issued",
            Self::Revoked => "revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::InsufficientScope => "insufficient_scope",
            Self::WrongOrganization => "wrong_organization",
            Self::WrongTeam => "wrong_team",
            Self::WrongProject => "wrong_project",
            Self::WrongList => "wrong_list",
            Self::Outdated => "outdated",
        }
    }

    /// Returns the status of an HTTP response to a request with the token (RFC 6750 section 3.1): 401; 403 if the
    /// token is good but not for this request; 503 if that is unknown.
    pub const fn status(self) -> u16 {
        match self {
            Self::RevocationUnknown => 503,
            Self::InsufficientScope | Self::WrongOrganization | Self::WrongTeam | Self::WrongProject => 403,
            _ => 401,
        }
    }
}

impl Verified {
    pub(crate) fn new(header: Header, claims: Claims) -> Self {
        Self { header, claims }
    }

    #[cfg(feature = "client")]
    pub(crate) fn into_parts(self) -> (Header, Claims) {
        (self.header, self.claims)
    }

    /// Returns the verified header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the claims if the token meets the expectations. Whether it is revoked is checked
    /// elsewhere.
    ///
    /// Cheap, so that a cached token is checked again at every use.
    pub fn judge(&self, expected: &Expected<'_>) -> Result<&Claims, Rejection> {
        let claims = self.judge_identity(expected)?;
        judge_expiry(claims.expires_at, expected.now, expected.leeway)?;
        judge_issue(claims.issued_at, expected.now, expected.leeway)?;
        Ok(claims)
    }

    /// Returns the claims as [`Verified::judge`] does, but does not check `exp` and `iat`. Only for a caller that looks
    /// up the token's record and checks its expiry then: their clock may have been set back since the token was issued.
    pub fn judge_identity(&self, expected: &Expected<'_>) -> Result<&Claims, Rejection> {
        let mut unmet = expected.unmet(self.header.token_type, &self.claims);
        let unmet = unmet.find(|unmet| *unmet != Rejection::Expired);
        unmet.map_or(Ok(&self.claims), Err)
    }
}

impl Expected<'_> {
    /// Returns the expectations that a token does not meet, in the order in which [`Verified::judge`] checks
    /// them: type, issuer, audience, expiry. The claims may be unverified: this shows only why a token is refused.
    pub fn unmet(&self, token_type: TokenType, claims: &Claims) -> impl Iterator<Item = Rejection> {
        let is_for_us = |me: &str| claims.audience.iter().any(|audience| audience == me);
        [
            (token_type != self.token_type).then_some(Rejection::WrongType),
            (claims.issuer != self.issuer).then_some(Rejection::WrongIssuer),
            self.audience
                .is_some_and(|me| !is_for_us(me))
                .then_some(Rejection::WrongAudience),
            judge_expiry(claims.expires_at, self.now, self.leeway).err(),
        ]
        .into_iter()
        .flatten()
    }
}
