//! The kind, the code and the text of every failure, defined once for all surfaces.
//!
//! A surface maps kinds to its statuses and says in its own words only what it treats differently, so
//! that a new error is described here and nowhere else.

use std::borrow::Cow;

use axum::http::StatusCode;

use crate::authority::Error;
use crate::http::Failure;
use crate::http::input::InputError;

/// What a failure means to a client, whatever it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no credential, or e-mail and password do not belong together.
    Unauthenticated,
    /// The credential is not an active token.
    InvalidToken,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    /// The request cannot be understood.
    BadRequest,
    /// Some fields are wrong.
    InvalidInput,
    TooLarge,
    UnsupportedMedia,
    /// What must be unique belongs to another.
    AlreadyExists,
    /// The state of the thing does not allow this.
    Conflict,
    /// As many exist as are allowed.
    Limit,
    /// The client asks too often.
    Throttled,
    NotSupported,
    /// The server has too much to do.
    Busy,
    /// Something that must work does not.
    Unavailable,
}

impl Kind {
    /// Returns the status that HTTP has for the kind.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::InvalidInput => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::AlreadyExists | Self::Conflict | Self::Limit => StatusCode::CONFLICT,
            Self::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Self::NotSupported => StatusCode::NOT_IMPLEMENTED,
            Self::Busy | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What is said of a failure.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) kind: Kind,
    /// For programs. Never changes.
    pub(super) code: &'static str,
    /// For people.
    pub(super) text: Cow<'static, str>,
}

impl Failure {
    pub(super) fn description(&self) -> Description {
        let (kind, code, text) = match self {
            Self::Input(error) => return of_input(error),
            Self::Refused(error) => return of_refusal(error),
            Self::AmbiguousCredential => (
                Kind::BadRequest,
                "ambiguous_credential",
                "Send one Authorization header: Bearer, or Basic with the token as username.",
            ),
            Self::NoRoute => (Kind::NotFound, "not_found", "There is nothing at this address."),
            Self::NoMethod => (
                Kind::MethodNotAllowed,
                "method_not_allowed",
                "This address does not take this method; see Allow.",
            ),
            Self::NoHistory => (
                Kind::NotSupported,
                "not_supported",
                "Only the present state is kept; ask without time.",
            ),
            Self::TooManyRequests { .. } => (
                Kind::Throttled,
                "too_many_requests",
                "Too many requests; see Retry-After.",
            ),
        };
        Description::new(kind, code, text)
    }
}

impl Description {
    fn new(kind: Kind, code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        Self { kind, code, text }
    }
}

fn of_input(error: &InputError) -> Description {
    let (kind, code, text) = match error {
        InputError::Invalid(violations) => {
            return Description::new(Kind::InvalidInput, "invalid", violations.to_string());
        }
        InputError::BodyTooLarge => (
            Kind::TooLarge,
            "body_too_large",
            "The body is longer than 64 KiB.",
        ),
        InputError::Utf8 => (
            Kind::BadRequest,
            "invalid_utf8",
            "The request is not valid UTF-8.",
        ),
        InputError::UnsupportedMediaType => (
            Kind::UnsupportedMedia,
            "unsupported_media_type",
            "Without Authorization: Bearer, a write needs Content-Type: application/json.",
        ),
        InputError::FormNeeded => (
            Kind::UnsupportedMedia,
            "unsupported_media_type",
            "The body must be application/x-www-form-urlencoded.",
        ),
        InputError::BodyUnreadable(_) => (
            Kind::BadRequest,
            "body_unreadable",
            "The body could not be read to its end.",
        ),
    };
    Description::new(kind, code, text)
}

fn of_refusal(error: &Error) -> Description {
    let (kind, code, text) = match error {
        Error::NoCredential => (
            Kind::Unauthenticated,
            "not_authenticated",
            "Send a token: Authorization: Bearer.",
        ),
        Error::BadCredential(_) => (
            Kind::InvalidToken,
            "invalid_token",
            "The token is not active: unknown, expired or revoked.",
        ),
        Error::BadLogin => (
            Kind::Unauthenticated,
            "login_failed",
            "E-mail or password is wrong.",
        ),
        Error::LockedOut { .. } => (
            Kind::Throttled,
            "login_throttled",
            "Too many failed logins; see Retry-After.",
        ),
        Error::Forbidden => (Kind::Forbidden, "forbidden", "Your role does not allow this."),
        Error::SessionNeeded => (
            Kind::Forbidden,
            "session_needed",
            "A person has to do this, logged in; no API token can.",
        ),
        Error::WrongAudience => (
            Kind::Forbidden,
            "wrong_audience",
            "The token is meant for other services, not for this API.",
        ),
        Error::ScopeNeeded(scope) => {
            return Description::new(
                Kind::Forbidden,
                "insufficient_scope",
                format!("The token lacks the scope {scope}."),
            );
        }
        Error::Absent => (
            Kind::NotFound,
            "not_found",
            "There is no such thing, or it is not yours to see.",
        ),
        Error::NoApiToken => (
            Kind::NotFound,
            "not_found",
            "This address is about the API token that you send, and a session is none.",
        ),
        Error::OrganizationNeeded => (
            Kind::BadRequest,
            "organization_needed",
            "Name the organization, in the field organization or the header x-business-id: you have not exactly one.",
        ),
        Error::NameTaken => (Kind::AlreadyExists, "name_taken", "This name belongs to another."),
        Error::AddressTaken => (
            Kind::AlreadyExists,
            "name_taken",
            "This address belongs to another person.",
        ),
        Error::LastAdmin => (
            Kind::Conflict,
            "last_admin",
            "An organization keeps at least one admin.",
        ),
        Error::LastAdministrator => (
            Kind::Conflict,
            "last_site_administrator",
            "At least one site administrator who can log in has to stay.",
        ),
        Error::WrongPassword => (
            Kind::Forbidden,
            "wrong_password",
            "current_password is missing or wrong.",
        ),
        Error::NotAMember => (
            Kind::Conflict,
            "not_a_member",
            "Only an admin of the organization can bring in people from outside of it.",
        ),
        Error::LimitReached { limit, .. } => {
            return Description::new(
                Kind::Limit,
                "limit_reached",
                format!("The owner has {limit} active tokens, the most that the organization allows."),
            );
        }
        Error::NotActive => (
            Kind::Conflict,
            "not_active",
            "The token is revoked, expired or replaced already; issue another.",
        ),
        Error::LastToken { .. } => (
            Kind::Conflict,
            "last_token",
            "It is the last active token of its owner, and the organization keeps that; force revokes it.",
        ),
        // Made into a list of violations before it comes here.
        Error::Invalid(_) => (Kind::InvalidInput, "invalid", "Some fields are wrong."),
        Error::BadCursor => (
            Kind::BadRequest,
            "bad_cursor",
            "The cursor belongs to another list; repeat the parameters it was given with.",
        ),
        Error::Busy => (
            Kind::Busy,
            "busy",
            "Too much to do at this moment; see Retry-After.",
        ),
        Error::NoSigningKey => (
            Kind::Unavailable,
            "unavailable",
            "No key signs at this moment. Nothing was done.",
        ),
        Error::Unavailable(_) => (
            Kind::Unavailable,
            "unavailable",
            "This cannot be done at this moment. What was asked for may have happened.",
        ),
    };
    Description::new(kind, code, text)
}
