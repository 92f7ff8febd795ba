//! Errors of operations. They contain facts; each API renders them in its own format.

use std::borrow::Cow;
use std::time::Duration;

use crate::authority::Inactive;
use crate::authority::audit_log::LostLine;
use crate::authority::feed::LostPlace;
use crate::authority::idempotency::AlreadyDone;
use crate::authority::keys::KeyStateFault;
use crate::authority::password::PasswordError;
use crate::authority::quotas::Counted;
use crate::keys::{RingError, SigningError};
use jeton_core::token::OwnerKind;
use jeton_store::StoreError;

/// The result of an operation.
pub type Result<T> = std::result::Result<T, Error>;

/// The error of an operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request has no credential.
    #[error("no credential was sent")]
    NoCredential,
    /// The credential is not an active token.
    #[error("the token is not active")]
    BadCredential(#[source] Inactive),
    /// The e-mail address or the password is wrong, or the user is disabled.
    #[error("the e-mail address or the password is wrong")]
    BadLogin,
    /// The code of the server's start is another one or too old.
    #[error("the code is wrong or too old")]
    WrongSetupCode,
    /// There is a site administrator.
    #[error("the deployment is set up already")]
    AlreadySetUp,
    /// Too many failed logins.
    #[error("too many failed logins")]
    LockedOut {
        /// Seconds until the next attempt is allowed.
        retry_after: u32,
    },
    /// The caller may see the object, but lacks the right for this operation.
    #[error("not allowed")]
    Forbidden,
    /// The operation needs a session; no API token may do it.
    #[error("this operation needs a session")]
    SessionNeeded,
    /// The audience of the token does not include the authority or the service.
    #[error("the audience of the token does not include this API")]
    WrongAudience,
    /// The token lacks at least one of these scopes.
    #[error("the token lacks the scope {0}")]
    ScopeNeeded(Cow<'static, str>),
    /// The object does not exist, or the caller may not know that it exists.
    #[error("not found")]
    Absent,
    /// Only an API token may do this, and the request has a session.
    #[error("an API token is needed, and the request has a session")]
    ApiTokenNeeded,
    /// Only a token of the deployment with this scope may do this.
    #[error("a token of the deployment with the scope {0} is needed")]
    DeploymentTokenNeeded(&'static str),
    /// The request names no organization, and the caller does not belong to exactly one.
    #[error("name the organization: the caller does not belong to exactly one")]
    OrganizationNeeded,
    /// The name is already in use.
    #[error("the name is already in use")]
    NameTaken,
    /// The e-mail address belongs to another user.
    #[error("the e-mail address belongs to another user")]
    AddressTaken,
    /// The operation would leave the organization without an admin.
    #[error("the last admin of an organization cannot be removed")]
    LastAdmin,
    /// The operation would leave the deployment without a site administrator.
    #[error("the last site administrator cannot be removed")]
    LastAdministrator,
    /// The current password, which a user sends with a new one, is missing or wrong.
    #[error("the current password is missing or wrong")]
    WrongPassword,
    /// An admin of a team can add only members of the organization.
    #[error("the user is not a member of the organization")]
    NotAMember,
    /// The owner has as many active tokens as the organization's policy allows.
    #[error("the owner has as many active tokens as the organization allows")]
    LimitReached {
        /// The kind of owner.
        owner: OwnerKind,
        /// The maximum number of active tokens.
        limit: u32,
    },
    /// The deployment's quota is reached.
    #[error("the quota of {most} {what} is reached")]
    QuotaReached {
        /// What the quota counts.
        what: Counted,
        /// The quota.
        most: u32,
    },
    /// The token to replace is revoked, expired or already replaced.
    #[error("the token is revoked, expired or already replaced")]
    NotActive,
    /// The token is the last active one of its owner, and the policy keeps the last token.
    #[error("the organization keeps the last active token of an owner")]
    LastToken {
        /// The kind of owner.
        owner: OwnerKind,
    },
    /// The state of the signing keys does not allow the operation.
    #[error(transparent)]
    KeyState(KeyStateFault),
    /// A request with the same idempotency key was carried out. Nothing was done.
    #[error("the request was carried out already")]
    AlreadyDone(Box<AlreadyDone>),
    /// Another request with the same idempotency key was carried out. Nothing was done.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Fields that are well-formed, but not valid in this operation.
    #[error("some fields are invalid")]
    Invalid(Vec<FieldFault>),
    /// The cursor is not one of this list.
    #[error("the cursor does not belong to this list")]
    BadCursor,
    /// The feed cannot be continued from this position.
    #[error(transparent)]
    LostPlace(LostPlace),
    /// The audit cannot be followed from this line.
    #[error(transparent)]
    LostLine(LostLine),
    /// A list is too long for its order, filter or count.
    #[error("the list is too long for this order, filter or count")]
    TooCostly,
    /// A queue is full, or other writes keep conflicting with the operation. The client can retry.
    #[error("the server is overloaded")]
    Busy,
    /// The system clock is this long behind the latest recorded instant. Nothing was issued.
    #[error("the clock is {} seconds behind the latest recorded instant", .0.as_secs())]
    ClockBehind(Duration),
    /// The system clock differs from that of the database by more than a second. Nothing was done.
    #[error("the clock differs from that of the database by more than a second, and nothing is written")]
    ClockDiffers,
    /// The private key of the signing key is missing. Nothing was done.
    #[error("no signing key is available")]
    NoSigningKey,
    /// No signing key could be created. Nothing was done.
    #[error("no key was created, and nothing was changed")]
    NoNewKey(#[source] Box<RingError>),
    /// The store, signing or hashing failed. The operation may have been carried out.
    #[error("the request failed in the server and may have been carried out")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Returns whether the operation was refused, and not carried out for certain. Otherwise a part of the server
    /// failed or is overloaded.
    pub(super) fn is_refusal(&self) -> bool {
        !matches!(self, Self::Busy | Self::Unavailable(_))
    }
}

/// An invalid field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// The field of the body, with a dot before the field of a nested object.
    pub field: &'static str,
    /// The index of the invalid element, if the field is a list.
    pub index: Option<usize>,
    /// Why the value is invalid.
    pub message: String,
}

impl FieldFault {
    /// Returns a fault of a whole field.
    pub fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            field,
            index: None,
            message: message.into(),
        }
    }

    /// Returns a fault of an element of a list.
    pub fn element(field: &'static str, index: usize, message: impl Into<String>) -> Self {
        Self {
            field,
            index: Some(index),
            message: message.into(),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::TooCostly => Self::TooCostly,
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
