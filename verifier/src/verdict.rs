use crate::{Claims, Header, Malformed, TokenType, judge_time};

/// A token whose signature is good, and which may still be anybody's, for anything, from any time.
///
/// Its type stays with its claims, and [`Verified::judge`] is the only way to them: no caller can
/// forget that a session is not an API token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    header: Header,
    claims: Claims,
}

/// What a token must be to be good here and now.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The issuer, compared character by character.
    pub issuer: &'a str,
    /// Who we are, which must be among the token's audiences; `None` where any will do.
    pub audience: Option<&'a str>,
    /// What the token must be for.
    pub token_type: TokenType,
    /// The present second since the Unix epoch.
    pub now: i64,
    /// By how many seconds the signer's clock and ours may differ. The authority itself allows none.
    pub leeway: i64,
}

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// It is no token of ours, whoever signed it.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No key of ours has its `kid`.
    #[error("the token is signed with an unknown key")]
    UnknownKey,
    /// The key signs otherwise than the header says.
    #[error("the token names another algorithm than its key has")]
    WrongAlgorithm,
    /// The key did not sign these bytes.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// It is for another use, a session for instance.
    #[error("the token is of another type")]
    WrongType,
    /// Another authority's.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// For somebody else.
    #[error("the token is for another audience")]
    WrongAudience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// It is from the future.
    #[error("the token is not good yet")]
    NotYetIssued,
    /// It is another status list than the one that was asked for.
    #[error("the status list is another one")]
    WrongList,
    /// A status list that includes less than is known already: a copy that was kept too long.
    #[error("the status list is older than what is known")]
    Outdated,
}

impl Verified {
    pub(crate) fn new(header: Header, claims: Claims) -> Self {
        Self { header, claims }
    }

    /// The header, which was under the signature.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The claims, if the token is what is expected. Whether it is revoked is another question.
    ///
    /// Cheap, so that a token that was verified once is judged anew at every use.
    pub fn judge(&self, expected: &Expected<'_>) -> Result<&Claims, Rejection> {
        let claims = &self.claims;
        if self.header.token_type != expected.token_type {
            return Err(Rejection::WrongType);
        }
        if claims.issuer != expected.issuer {
            return Err(Rejection::WrongIssuer);
        }
        if expected
            .audience
            .is_some_and(|me| !claims.audience.iter().any(|audience| audience == me))
        {
            return Err(Rejection::WrongAudience);
        }
        judge_time(claims.issued_at, claims.expires_at, expected.now, expected.leeway)?;
        Ok(claims)
    }
}
