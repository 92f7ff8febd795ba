//! Why an operation was not carried out, as facts; each surface says them in its own words.

use std::borrow::Cow;

use crate::authority::Inactive;
use crate::authority::password::PasswordError;
use crate::keys::{RingError, SigningError};
use jeton_core::token::OwnerKind;
use jeton_store::StoreError;

/// What operations return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody says who is asking.
    #[error("no credential was sent")]
    NoCredential,
    /// The credential is no active token.
    #[error("the token is not active")]
    BadCredential(#[source] Inactive),
    /// E-mail and password do not belong together, or the person is shut out.
    #[error("the e-mail address or the password is wrong")]
    BadLogin,
    /// Too many failed logins.
    #[error("too many failed logins")]
    LockedOut {
        /// Seconds until the next attempt can be let through.
        retry_after: u32,
    },
    /// The caller may know that it exists, and may not do this.
    #[error("not allowed")]
    Forbidden,
    /// A person has to do this, logged in: no API token can.
    #[error("this operation needs a session")]
    SessionNeeded,
    /// The token is for other services, not for the authority itself.
    #[error("the audience of the token does not include this API")]
    WrongAudience,
    /// The token lacks a scope, or one of several.
    #[error("the token lacks the scope {0}")]
    ScopeNeeded(Cow<'static, str>),
    /// It does not exist, or the caller may not know that it does.
    #[error("not found")]
    Absent,
    /// The caller holds a session, where it is about the API token that they hold.
    #[error("this endpoint needs an API token, and the request has a session")]
    NoApiToken,
    /// No organization was named and the caller has not exactly one.
    #[error("name the organization: the caller does not belong to exactly one")]
    OrganizationNeeded,
    /// The name belongs to another.
    #[error("the name is already in use")]
    NameTaken,
    /// The address belongs to another person.
    #[error("the e-mail address belongs to another user")]
    AddressTaken,
    /// The organization would have no admin.
    #[error("the last admin of an organization cannot be removed")]
    LastAdmin,
    /// The deployment would have no site administrator.
    #[error("the last site administrator cannot be removed")]
    LastAdministrator,
    /// The present password, which goes with a new one, is missing or wrong.
    #[error("the current password is missing or wrong")]
    WrongPassword,
    /// A team's admin can only add people of the organization.
    #[error("the user is not a member of the organization")]
    NotAMember,
    /// The owner has as many active tokens as the organization's policy allows.
    #[error("the owner has as many active tokens as the organization allows")]
    LimitReached {
        /// What kind of thing the owner is.
        owner: OwnerKind,
        /// How many.
        limit: u32,
    },
    /// What should be replaced is revoked, expired or replaced already.
    #[error("the token is revoked, expired or already replaced")]
    NotActive,
    /// It is the last active token of its owner, and the organization keeps those.
    #[error("the organization keeps the last active token of an owner")]
    LastToken {
        /// What kind of thing the owner is.
        owner: OwnerKind,
    },
    /// Fields that are right by themselves and wrong here.
    #[error("some fields are invalid")]
    Invalid(Vec<FieldFault>),
    /// A cursor that was not given out for this list.
    #[error("the cursor does not belong to this list")]
    BadCursor,
    /// More is waiting than is taken on.
    #[error("the server is overloaded")]
    Busy,
    /// No key is here to sign with. Nothing was done.
    #[error("no signing key is available")]
    NoSigningKey,
    /// Something that must work does not. What was asked may have happened.
    #[error("the request failed in the server and may have been carried out")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// Which field of the body; one of an object in it after a dot.
    pub field: &'static str,
    /// Which element of it, where it is a list.
    pub index: Option<usize>,
    /// What was given.
    pub input: serde_json::Value,
    /// What is wrong with it.
    pub message: String,
}

impl FieldFault {
    /// A fault of a whole field.
    pub fn new(field: &'static str, input: impl Into<serde_json::Value>, message: impl Into<String>) -> Self {
        Self {
            field,
            index: None,
            input: input.into(),
            message: message.into(),
        }
    }

    /// A fault of an element of a list.
    pub fn element(
        field: &'static str,
        index: usize,
        input: impl Into<serde_json::Value>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            field,
            index: Some(index),
            input: input.into(),
            message: message.into(),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::Failed(_) => Self::Unavailable(error.into()),
        }
    }
}

impl From<SigningError> for Error {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::NoKey => Self::NoSigningKey,
            other => Self::Unavailable(other.into()),
        }
    }
}

impl From<RingError> for Error {
    fn from(error: RingError) -> Self {
        match error {
            RingError::Store(error) => error.into(),
            other => Self::Unavailable(other.into()),
        }
    }
}

impl From<PasswordError> for Error {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy,
            PasswordError::Hash(_) | PasswordError::Interrupted(_) => Self::Unavailable(error.into()),
        }
    }
}
