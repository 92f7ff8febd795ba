//! What the authority signs about its revocations: status lists, and heads and snapshots of the feed.
//!
//! A statement is no credential. It has a `typ` of its own, and its issuer and audience are those of no token:
//! a library that checks no `typ` still refuses it as an access token.

use std::marker::PhantomData;

use serde::Serialize;

use crate::token::{Unsignable, Unverified, signing_input_within};
use crate::{Header, Malformed, PublicKey, Rejection, TokenType};

/// Claims of a statement. Serializes to exactly the signed text.
pub trait Statement: Serialize + Sized + sealed::Sealed {
    /// The type in the header.
    const TYPE: TokenType;
    /// The maximum size, both to parse and to sign, in bytes.
    const MAX_BYTES: usize;
    /// The expected size of the claims in JSON, in bytes, for the buffer of the signer.
    #[doc(hidden)]
    fn expected_bytes(&self) -> usize;
    #[doc(hidden)]
    fn from_json(json: &[u8]) -> Option<Self>;
}

pub(crate) mod sealed {
    /// Only this crate defines statements.
    pub trait Sealed {}
}

/// A well-formed statement whose signature is not verified yet.
#[derive(Debug)]
pub struct UnverifiedStatement<'a, S>(Unverified<'a>, PhantomData<S>);

impl<'a, S: Statement> UnverifiedStatement<'a, S> {
    /// Parses a compact JWS.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        if text.len() > S::MAX_BYTES {
            return Err(Malformed::TooLong);
        }
        Ok(Self(Unverified::split(text)?, PhantomData))
    }

    /// Returns the unverified header. Use it only to find the key.
    pub fn header(&self) -> &Header {
        self.0.header()
    }

    /// Verifies the signature and then parses the claims.
    pub fn verify(self, key: &PublicKey) -> Result<VerifiedStatement<S>, Rejection> {
        let (header, claims) = self.0.signed(key)?;
        if header.token_type != S::TYPE {
            return Err(Rejection::WrongType);
        }
        let claims = S::from_json(&claims).ok_or(Malformed::Claims)?;
        Ok(VerifiedStatement(claims))
    }
}

/// A statement with a valid signature, which may still be about something else, or outdated.
#[derive(Debug, Clone)]
pub struct VerifiedStatement<S>(pub(crate) S);

/// Returns the text to sign of a statement; [`assemble`](crate::assemble) adds the signature.
pub fn statement_signing_input<S: Statement>(header: &str, claims: &S) -> Result<String, Unsignable> {
    signing_input_within(S::MAX_BYTES, claims.expected_bytes(), header, claims)
}
