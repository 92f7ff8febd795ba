//! The kind, code and message of every failure, defined once for all APIs.
//!
//! An API maps kinds to its status codes and overrides only what differs, so that a new error is
//! described only here.

use std::borrow::Cow;

use axum::http::StatusCode;

use crate::authority::{Counted, Error};
use crate::http::Failure;
use crate::http::input::InputError;

/// The category of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No credential, or wrong e-mail address or password.
    Unauthenticated,
    /// The credential is not an active token.
    InvalidToken,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    /// The request is malformed.
    BadRequest,
    /// One or more fields are invalid.
    InvalidInput,
    TooLarge,
    UnsupportedMedia,
    /// A value that must be unique is in use.
    AlreadyExists,
    /// The state of the resource does not allow the operation.
    Conflict,
    /// The maximum number of resources exists.
    Limit,
    /// The client exceeds a rate limit.
    Throttled,
    NotSupported,
    /// The server is overloaded.
    Busy,
    /// A component that the request needs fails.
    Unavailable,
}

impl Kind {
    /// Returns the default HTTP status of the kind.
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

/// A failure's kind, code and message.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) kind: Kind,
    /// The error code for programs. It never changes.
    pub(super) code: &'static str,
    /// The message for people.
    pub(super) text: Cow<'static, str>,
}

impl Failure {
    pub(super) fn description(&self) -> Description {
        let (kind, code, text) = match self {
            Self::Input(error) => return describe_input(error),
            Self::Refused(error) => return describe_refusal(error),
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

fn describe_input(error: &InputError) -> Description {
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
        InputError::Encoded => (
            Kind::UnsupportedMedia,
            "unsupported_media_type",
            "Send the body without Content-Encoding.",
        ),
        InputError::Refused(error) => return describe_refusal(error),
        InputError::BodyUnreadable(_) => (
            Kind::BadRequest,
            "body_unreadable",
            "The body ended early or could not be read.",
        ),
    };
    Description::new(kind, code, text)
}

fn describe_refusal(error: &Error) -> Description {
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
        Error::QuotaReached { what, most } => {
            return Description::new(
                Kind::Limit,
                "quota_reached",
                match what {
                    Counted::Sessions => format!(
                        "The quota is reached: at most {most} {what}. Log out of one; a new password ends all."
                    ),
                    _ => format!("The quota is reached: at most {most} {what}. Remove one first."),
                },
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
        // Converted to a list of violations before this is called.
        Error::Invalid(_) => (Kind::InvalidInput, "invalid", "Some fields are wrong."),
        Error::BadCursor => (
            Kind::BadRequest,
            "bad_cursor",
            "The cursor does not belong to this list: repeat the filters and the order of the request that returned it.",
        ),
        Error::TooCostly => (
            Kind::BadRequest,
            "too_costly",
            "This list is too long for its order, filter or count: narrow it, sort by `created_at`, or leave out the count.",
        ),
        Error::Busy => (
            Kind::Busy,
            "busy",
            "The server is overloaded: retry after the seconds in Retry-After.",
        ),
        Error::ClockBehind(_) => (
            Kind::Unavailable,
            "clock_behind",
            "The server's clock is behind the latest recorded instant, and nothing is issued until it has caught up: \
             retry after the seconds in Retry-After.",
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
