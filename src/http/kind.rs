//! The kind, code and message of every failure, defined once for all APIs.
//!
//! A code has one kind. An API maps kinds to its status codes and overrides only what differs, so that a
//! new error is described only here.

use std::borrow::Cow;

use axum::http::StatusCode;

use crate::authority::{AlreadyDone, Counted, Error, Inactive, KeyStateFault, LostLine, LostPlace};
use crate::http::Failure;
use crate::http::input::{Choice, InputError};
use jeton_core::token::Scope;
use jeton_store::Made;

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
    /// What the request continues from is no longer kept.
    Gone,
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
            Self::Gone => StatusCode::GONE,
            Self::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Self::NotSupported => StatusCode::NOT_IMPLEMENTED,
            Self::Busy | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Declares the error codes: each with its word, its kind and its meaning.
macro_rules! codes {
    ($($code:ident $word:literal $kind:ident $meaning:literal)*) => {
        /// The error code for programs. Its word never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code {
            /// Fields are invalid: the response lists them and has no code.
            Invalid,
            $(#[doc = $meaning] $code,)*
        }

        impl Code {
            /// Returns the category of failures with this code.
            pub(super) fn kind(self) -> Kind {
                match self {
                    Self::Invalid => Kind::InvalidInput,
                    $(Self::$code => Kind::$kind,)*
                }
            }
        }

        impl Choice for Code {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$code)),*];
            const NAME: Option<&'static str> = Some("ErrorCode");
            const DESCRIPTION: Option<&'static str> = Some(concat!(
                "The error code. Codes never change; a later version may add some.\n",
                $("\n- `", $word, "`: ", $meaning),*
            ));
        }
    };
}

codes! {
    NotAuthenticated "not_authenticated" Unauthenticated "The request has no credential."
    InvalidToken "invalid_token" InvalidToken "The token is not active."
    LoginFailed "login_failed" Unauthenticated "The e-mail address or the password is wrong."
    WrongSetup "wrong_setup_code" Forbidden "The code that the start of the server printed is another one, or older than 30 minutes."
    AlreadySetUp "already_set_up" Conflict "The deployment has a site administrator."
    LoginThrottled "login_throttled" Throttled "Too many failed logins."
    AmbiguousCredential "ambiguous_credential" BadRequest "The `Authorization` header is repeated or cannot be read."
    Forbidden "forbidden" Forbidden "The role of the caller does not allow this."
    InsufficientScope "insufficient_scope" Forbidden "The token lacks a scope."
    WrongAudience "wrong_audience" Forbidden "The token is for another service."
    SessionNeeded "session_needed" Forbidden "An API token was sent; only a session may do this."
    ApiTokenNeeded "api_token_needed" Forbidden "A session was sent; this is about an API token."
    DeploymentTokenNeeded "deployment_token_needed" Forbidden "Only a token of the deployment may do this."
    WrongPassword "wrong_password" Forbidden "`current_password` is missing or wrong."
    NotFound "not_found" NotFound "The resource or endpoint does not exist, or the caller may not see it."
    MethodNotAllowed "method_not_allowed" MethodNotAllowed "The endpoint does not support the method."
    OrganizationNeeded "organization_needed" BadRequest "The request must name the organization."
    BadCursor "bad_cursor" BadRequest "The cursor belongs to another list."
    CursorPruned "cursor_pruned" Gone "The events after the cursor are no longer kept: start again from a snapshot."
    CursorAhead "cursor_ahead" Conflict "The cursor is ahead of the feed, whose end was lost: start again from a snapshot."
    OtherEpoch "other_epoch" Conflict "The cursor is of another history, such as before a restore: start again from a snapshot."
    AuditPruned "audit_pruned" Gone "The lines of the audit after this one are no longer kept."
    AuditAhead "audit_ahead" Conflict "The audit has not come as far as this line."
    TooCostly "too_costly" BadRequest "The list is too long for its order, filter or count."
    InvalidUtf8 "invalid_utf8" BadRequest "The request is not valid UTF-8."
    BodyUnreadable "body_unreadable" BadRequest "The body ended early or could not be read."
    BodyTooLarge "body_too_large" TooLarge "The body is longer than 64 KiB."
    UnsupportedMediaType "unsupported_media_type" UnsupportedMedia "The body has another media type or a content coding."
    NameTaken "name_taken" AlreadyExists "The name or e-mail address is in use."
    LastAdmin "last_admin" Conflict "The organization would be left without an admin."
    LastSiteAdministrator "last_site_administrator" Conflict "The deployment would be left without a site administrator who can log in."
    NotAMember "not_a_member" Conflict "The user is not a member of the organization."
    LimitReached "limit_reached" Limit "The owner has as many active tokens as the organization allows."
    QuotaReached "quota_reached" Limit "The deployment's quota is reached."
    LastToken "last_token" Conflict "The organization keeps the last active token of an owner."
    NotActive "not_active" Conflict "The token is revoked, expired or already replaced."
    KeyState "key_state" Conflict "The state of the signing keys does not allow this."
    AlreadyDone "already_done" Conflict "A request with this `Idempotency-Key` was carried out already."
    NotSupported "not_supported" NotSupported "Past states are not kept."
    TooManyRequests "too_many_requests" Throttled "The rate limit is exceeded."
    Busy "busy" Busy "The server is overloaded."
    ClockBehind "clock_behind" Unavailable "The server's clock is behind, and nothing is issued."
    ClockDiffers "clock_differs" Unavailable "The server's clock differs from the database's, and nothing is written."
    Unavailable "unavailable" Unavailable "The request failed in the server."
}

/// A failure's code and message.
#[derive(Debug)]
pub(super) struct Description {
    /// The code for programs.
    pub(super) code: Code,
    /// The message for people.
    pub(super) text: Cow<'static, str>,
}

impl Failure {
    pub(super) fn description(&self) -> Description {
        let (code, text) = match self {
            Self::Input(error) => return describe_input(error),
            Self::Refused(error) => return describe_refusal(error),
            Self::AmbiguousCredential => (
                Code::AmbiguousCredential,
                "Send one Authorization header: Bearer, or Basic with the token as username.",
            ),
            Self::NoRoute => (Code::NotFound, "There is no such endpoint."),
            Self::NoMethod => (
                Code::MethodNotAllowed,
                "This endpoint does not support this method; Allow lists those it does.",
            ),
            Self::NoHistory => (
                Code::NotSupported,
                "Past states are not kept: repeat the request without `time`.",
            ),
            Self::TooManyRequests { .. } => (
                Code::TooManyRequests,
                "Too many requests: retry after the seconds in Retry-After.",
            ),
        };
        Description::new(code, text)
    }
}

impl Description {
    fn new(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        Self { code, text }
    }

    /// Returns the category of the failure.
    pub(super) fn kind(&self) -> Kind {
        self.code.kind()
    }
}

fn describe_input(error: &InputError) -> Description {
    let (code, text) = match error {
        InputError::Invalid(violations) => {
            return Description::new(Code::Invalid, violations.to_string());
        }
        InputError::BodyTooLarge => (Code::BodyTooLarge, "The body is longer than 64 KiB."),
        InputError::Utf8 => (Code::InvalidUtf8, "The request is not valid UTF-8."),
        InputError::UnsupportedMediaType => (
            Code::UnsupportedMediaType,
            "Send Content-Type: application/json; only requests with Authorization: Bearer may omit it.",
        ),
        InputError::FormNeeded => (
            Code::UnsupportedMediaType,
            "Send the body as Content-Type: application/x-www-form-urlencoded.",
        ),
        InputError::Encoded => (
            Code::UnsupportedMediaType,
            "Send the body without Content-Encoding.",
        ),
        InputError::Refused(error) => return describe_refusal(error),
        InputError::BodyUnreadable(_) => (Code::BodyUnreadable, "The body ended early or could not be read."),
    };
    Description::new(code, text)
}

fn describe_refusal(error: &Error) -> Description {
    let (code, text) = match error {
        Error::NoCredential => (
            Code::NotAuthenticated,
            "Authentication is required: send a token as Authorization: Bearer.",
        ),
        // Only the holder of a token with a valid signature and a record gets these two.
        Error::BadCredential(Inactive::Expired) => (
            Code::InvalidToken,
            "The token has expired. Log in again, or create another API token.",
        ),
        Error::BadCredential(Inactive::Revoked) => (
            Code::InvalidToken,
            "The token is revoked. Log in again, or use another API token; the owner of this one sees when, by whom and \
             why in `GET /api/v1/tokens?include_revoked=true`.",
        ),
        Error::BadCredential(_) => (
            Code::InvalidToken,
            "The token is not active. Log in again, or use another API token; the owner of this one sees its status in \
             `GET /api/v1/tokens?include_revoked=true`.",
        ),
        Error::BadLogin => (Code::LoginFailed, "The e-mail address or the password is wrong."),
        Error::WrongSetupCode => (
            Code::WrongSetup,
            "The code is wrong or older than 30 minutes. The server prints another one when it starts again.",
        ),
        Error::AlreadySetUp => (
            Code::AlreadySetUp,
            "This deployment has an administrator, or another server's start printed the code: log in, or ask them for an account.",
        ),
        Error::LockedOut { .. } => (
            Code::LoginThrottled,
            "Too many failed logins: retry after the seconds in Retry-After.",
        ),
        Error::Forbidden => (
            Code::Forbidden,
            "Your role, or that of the token's owner, does not allow this.",
        ),
        Error::SessionNeeded => (
            Code::SessionNeeded,
            "This operation needs a session: log in, and do not use an API token.",
        ),
        Error::WrongAudience => (
            Code::WrongAudience,
            "The token is for other services: its audience does not include this one. Create a token with this `audience`.",
        ),
        Error::ScopeNeeded(scope) => {
            return Description::new(
                Code::InsufficientScope,
                match scope.parse().is_ok_and(|scope: Scope| scope.is_deployment_only()) {
                    true => format!(
                        "The token lacks the scope {scope}, which only a token of the deployment can have: a site \
                         administrator creates one with `owner: deployment`."
                    ),
                    false => format!("The token lacks the scope {scope}: create a token that has it."),
                },
            );
        }
        Error::Absent => (Code::NotFound, "No such resource, or you may not see it."),
        Error::ApiTokenNeeded => (
            Code::ApiTokenNeeded,
            "This needs an API token, and the request has a session: create a token with `POST /api/v1/tokens`.",
        ),
        Error::DeploymentTokenNeeded(scope) => {
            return Description::new(
                Code::DeploymentTokenNeeded,
                format!(
                    "Only a token of the deployment may do this: a site administrator creates one with \
                     `owner: deployment` and the scope {scope}."
                ),
            );
        }
        Error::OrganizationNeeded => (
            Code::OrganizationNeeded,
            "Name the organization in the field `organization` or the header `x-business-id`: you do not belong to exactly one.",
        ),
        Error::NameTaken => (Code::NameTaken, "This name is already in use."),
        Error::AddressTaken => (Code::NameTaken, "This e-mail address belongs to another user."),
        Error::LastAdmin => (Code::LastAdmin, "An organization must keep at least one admin."),
        Error::LastAdministrator => (
            Code::LastSiteAdministrator,
            "At least one site administrator who can log in must remain.",
        ),
        Error::WrongPassword => (Code::WrongPassword, "`current_password` is missing or wrong."),
        Error::NotAMember => (
            Code::NotAMember,
            "Only an admin of the organization can add users who are not its members.",
        ),
        Error::LimitReached { limit, .. } => {
            return Description::new(
                Code::LimitReached,
                format!(
                    "The owner already has {limit} active tokens, the organization's limit: revoke one first."
                ),
            );
        }
        Error::QuotaReached { what, most } => {
            return Description::new(
                Code::QuotaReached,
                match what {
                    Counted::Sessions => format!(
                        "The quota is reached: at most {most} {what}. Log out of one; a new password ends all."
                    ),
                    Counted::IdempotencyKeys => format!(
                        "The quota is reached: at most {most} {what}. Repeat the request tomorrow, or without a key."
                    ),
                    _ => format!("The quota is reached: at most {most} {what}. Remove one first."),
                },
            );
        }
        Error::NotActive => (
            Code::NotActive,
            "The token is revoked, expired or already replaced: create another.",
        ),
        Error::LastToken { .. } => (
            Code::LastToken,
            "This is the owner's last active token, which the organization's policy keeps: `force` revokes it.",
        ),
        Error::KeyState(KeyStateFault::SuccessorWaits) => (
            Code::KeyState,
            "A successor of the signing key is published already, and signs once all cached key sets have it. To rotate \
             again, wait until then, or retire it; after a leak, revoke the signing key.",
        ),
        Error::KeyState(KeyStateFault::Signs) => (
            Code::KeyState,
            "The key signs, and retires when its successor begins to: rotate it, or revoke it after a leak.",
        ),
        Error::AlreadyDone(already) => return Description::new(Code::AlreadyDone, already_done(already)),
        // Converted to a list of violations before this is called.
        Error::Invalid(_) | Error::KeyReused => (Code::Invalid, "Some fields are wrong."),
        Error::BadCursor => (
            Code::BadCursor,
            "The cursor does not belong to this list: repeat the filters and the order of the request that returned it.",
        ),
        Error::LostPlace(LostPlace::Pruned) => (
            Code::CursorPruned,
            "The events after this cursor are no longer kept: start again from `GET /api/v1/revocations/snapshot`.",
        ),
        Error::LostPlace(LostPlace::Ahead) => (
            Code::CursorAhead,
            "The feed has not come as far as this cursor, since its end was lost: start again from \
             `GET /api/v1/revocations/snapshot`.",
        ),
        Error::LostPlace(LostPlace::OtherEpoch) => (
            Code::OtherEpoch,
            "The cursor is of another history of the feed, such as before a restore: start again from \
             `GET /api/v1/revocations/snapshot`.",
        ),
        Error::LostLine(LostLine::Pruned) => (
            Code::AuditPruned,
            "The lines after this one are no longer kept: `GET /api/v1/audit` lists those that are.",
        ),
        Error::LostLine(LostLine::Ahead) => (
            Code::AuditAhead,
            "The audit has no such line, since its end was lost or another history was restored: `GET /api/v1/audit` lists \
             what is there.",
        ),
        Error::TooCostly => (
            Code::TooCostly,
            "Too many rows would be read for this order, filter or count: name an organization, a token or a shorter time, \
             sort by `created_at`, or leave out the count.",
        ),
        Error::Busy => (
            Code::Busy,
            "The server is overloaded: retry after the seconds in Retry-After.",
        ),
        Error::ClockBehind(_) => (
            Code::ClockBehind,
            "The server's clock is behind the latest recorded instant, and nothing is issued until it has caught up: \
             retry after the seconds in Retry-After.",
        ),
        Error::ClockDiffers => (
            Code::ClockDiffers,
            "The server's clock differs from that of the database by more than a second, and it changes nothing until the \
             clock is right. Nothing was changed: retry, at another server.",
        ),
        Error::NoSigningKey | Error::NoNewKey(_) => (
            Code::Unavailable,
            "No signing key is available. Nothing was changed.",
        ),
        Error::Unavailable(_) => (
            Code::Unavailable,
            "The request failed in the server. It may have been carried out: check before you retry.",
        ),
    };
    Description::new(code, text)
}

/// Returns the message about a request that was carried out already.
fn already_done(AlreadyDone { at, made, .. }: &AlreadyDone) -> String {
    let done = format!("A request with this Idempotency-Key was carried out already, at {at}");
    match made {
        Some(made @ Made::Token(id)) => format!(
            "{done}, and created the {} {id}. No response shows its secret again: rotate it with a grace period of 0 to \
             get another.",
            noun(made)
        ),
        Some(made) => format!("{done}, and created the {} {}.", noun(made), made.id()),
        None => format!("{done}."),
    }
}

fn noun(made: &Made) -> &'static str {
    match made {
        Made::Token(_) => "token",
        Made::BulkRevocation(_) => "bulk revocation",
        Made::CutOff(_) => "revocation",
        Made::Organization(_) => "organization",
        Made::Team(_) => "team",
        Made::Project(_) => "project",
        Made::Person(_) => "user",
        Made::Key(_) => "key",
    }
}
