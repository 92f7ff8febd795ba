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
            Self::NoRoute => (Kind::NotFound, "not_found", "There is no such endpoint."),
            Self::NoMethod => (
                Kind::MethodNotAllowed,
                "method_not_allowed",
                "This endpoint does not support this method; Allow lists those it does.",
            ),
            Self::NoHistory => (
                Kind::NotSupported,
                "not_supported",
                "Past states are not kept: repeat the request without `time`.",
            ),
            Self::TooManyRequests { .. } => (
                Kind::Throttled,
                "too_many_requests",
                "Too many requests: retry after the seconds in Retry-After.",
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
            "Send Content-Type: application/json; only requests with Authorization: Bearer may omit it.",
        ),
        InputError::FormNeeded => (
            Kind::UnsupportedMedia,
            "unsupported_media_type",
            "Send the body as Content-Type: application/x-www-form-urlencoded.",
        ),
        InputError::BodyUnreadable(_) => (
            Kind::BadRequest,
            "body_unreadable",
            "The body ended early or could not be read.",
        ),
    };
    Description::new(kind, code, text)
}

fn of_refusal(error: &Error) -> Description {
    let (kind, code, text) = match error {
        Error::NoCredential => (
            Kind::Unauthenticated,
            "not_authenticated",
            "Authentication is required: send a token as Authorization: Bearer.",
        ),
        Error::BadCredential(_) => (
            Kind::InvalidToken,
            "invalid_token",
            "The token is not active: it is unknown, expired or revoked.",
        ),
        Error::BadLogin => (
            Kind::Unauthenticated,
            "login_failed",
            "The e-mail address or the password is wrong.",
        ),
        Error::LockedOut { .. } => (
            Kind::Throttled,
            "login_throttled",
            "Too many failed logins: retry after the seconds in Retry-After.",
        ),
        Error::Forbidden => (Kind::Forbidden, "forbidden", "Your role does not allow this."),
        Error::SessionNeeded => (
            Kind::Forbidden,
            "session_needed",
            "This operation needs a session: log in, and do not use an API token.",
        ),
        Error::WrongAudience => (
            Kind::Forbidden,
            "wrong_audience",
            "The token's audience does not include this API.",
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
            "No such resource, or you may not see it.",
        ),
        Error::NoApiToken => (
            Kind::NotFound,
            "not_found",
            "This endpoint needs an API token, and the request has a session.",
        ),
        Error::OrganizationNeeded => (
            Kind::BadRequest,
            "organization_needed",
            "Name the organization in the field `organization` or the header `x-business-id`: you do not belong to exactly one.",
        ),
        Error::NameTaken => (Kind::AlreadyExists, "name_taken", "This name is already in use."),
        Error::AddressTaken => (
            Kind::AlreadyExists,
            "name_taken",
            "This e-mail address belongs to another user.",
        ),
        Error::LastAdmin => (
            Kind::Conflict,
            "last_admin",
            "An organization must keep at least one admin.",
        ),
        Error::LastAdministrator => (
            Kind::Conflict,
            "last_site_administrator",
            "At least one site administrator who can log in must remain.",
        ),
        Error::WrongPassword => (
            Kind::Forbidden,
            "wrong_password",
            "`current_password` is missing or wrong.",
        ),
        Error::NotAMember => (
            Kind::Conflict,
            "not_a_member",
            "Only an admin of the organization can add users who are not its members.",
        ),
        Error::LimitReached { limit, .. } => {
            return Description::new(
                Kind::Limit,
                "limit_reached",
                format!(
                    "The owner already has {limit} active tokens, the organization's limit: revoke one first."
                ),
            );
        }
        Error::NotActive => (
            Kind::Conflict,
            "not_active",
            "The token is revoked, expired or already replaced: create another.",
        ),
        Error::LastToken { .. } => (
            Kind::Conflict,
            "last_token",
            "This is the owner's last active token, which the organization's policy keeps: `force` revokes it.",
        ),
        // Made into a list of violations before it comes here.
        Error::Invalid(_) => (Kind::InvalidInput, "invalid", "Some fields are wrong."),
        Error::BadCursor => (
            Kind::BadRequest,
            "bad_cursor",
            "The cursor does not belong to this list: repeat the filters and the order of the request that returned it.",
        ),
        Error::Busy => (
            Kind::Busy,
            "busy",
            "The server is overloaded: retry after the seconds in Retry-After.",
        ),
        Error::NoSigningKey => (
            Kind::Unavailable,
            "unavailable",
            "No signing key is available. Nothing was changed.",
        ),
        Error::Unavailable(_) => (
            Kind::Unavailable,
            "unavailable",
            "The request failed in the server. It may have been carried out: check before you retry.",
        ),
    };
    Description::new(kind, code, text)
}
