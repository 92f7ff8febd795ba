//! Signing keys: `/keys`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jeton_verifier::feed::Cursor;
use jeton_verifier::{Algorithm, KeyId};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::authority::{self, Error, ListedKey, Propagation};
use crate::http::caller::{Caller, LoggedIn, Once, RevokesOnce};
use crate::http::domain_types::{self, Word};
use crate::http::input::{Choice, Form, Input};
use crate::http::routes::routes;
use crate::http::v1::render::Problem;
use crate::http::{App, Failure};
use crate::keys::PlannedStep;
use jeton_core::clock::Timestamp;
use jeton_core::text::Prose;
use jeton_store::KeyState;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(rotate))
        .routes(routes!(retire))
        .routes(routes!(revoke))
}

/// The key.
#[derive(Debug, Form)]
#[form(path)]
struct KeyPath {
    /// The `kid` of the key.
    #[form(example = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")]
    kid: String,
}

impl KeyPath {
    /// Returns the id. A text that is none is answered like an unknown key.
    fn id(&self) -> Result<KeyId, Error> {
        self.kid.parse().map_err(|_| Error::Absent)
    }
}

/// Why a key is changed. The body may be absent, empty, `null` or `{}`.
#[derive(Debug, Form)]
#[form(body, name = "ChangeKey", presence = Optional, unknown = Forbidden, example = json!({"reason": "the backup was public"}))]
pub(crate) struct ReasonForm {
    /// The reason, at most 1000 characters, for the audit. It is not published to verifiers.
    #[form(length(max = 1000))]
    reason: Option<Prose>,
}

impl Choice for Algorithm {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("ES256", Self::Es256),
        ("EdDSA", Self::EdDsa),
        ("RS256", Self::Rs256),
    ];

    const NAME: Option<&'static str> = Some("Algorithm");
    const DESCRIPTION: Option<&'static str> = Some("The algorithm of a signing key (RFC 7518, RFC 8037).");
}

impl Choice for KeyState {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("published", Self::Published),
        ("signing", Self::Signing),
        ("retired", Self::Retired),
        ("gone", Self::Gone),
        ("withdrawn", Self::Withdrawn),
    ];

    const NAME: Option<&'static str> = Some("KeyState");
    const DESCRIPTION: Option<&'static str> = Some(
        "The state of a signing key. `published`: in the key set, and does not sign yet. `signing`: signs; one key does. \
         `retired`: in the key set, to verify what it has signed. `gone`: removed from the key set, since everything it \
         signed has ended. `withdrawn`: revoked, and everything it signed with it.",
    );
}

impl Choice for PlannedStep {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("sign", Self::Sign),
        ("rotate", Self::Rotate),
        ("retire", Self::Retire),
        ("leave", Self::Leave),
    ];

    const NAME: Option<&'static str> = Some("KeyStep");
    const DESCRIPTION: Option<&'static str> = Some(
        "A step in the life of a signing key. `sign`: it begins to sign. `rotate`: its successor is published. `retire`: its \
         successor begins to sign. `leave`: it leaves the key set.",
    );
}

type AlgorithmWord = Word<Algorithm>;
type KeyStateWord = Word<KeyState>;
type PlannedStepWord = Word<PlannedStep>;

/// The next step of a key.
#[derive(Debug, Serialize, ToSchema)]
struct NextKeyStep {
    /// The step.
    #[schema(value_type = PlannedStepWord)]
    step: Word<PlannedStep>,
    /// From when on it is due. It is taken within a second if a server runs.
    #[schema(value_type = domain_types::Instant)]
    at: Timestamp,
}

/// A signing key. No response contains its private key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
struct KeyInfo {
    /// The id, as in the header of tokens and in the key set.
    #[schema(example = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")]
    kid: String,
    /// The algorithm.
    #[schema(value_type = AlgorithmWord)]
    algorithm: Word<Algorithm>,
    /// The state.
    #[schema(value_type = KeyStateWord)]
    state: Word<KeyState>,
    /// When the key was published.
    #[schema(value_type = domain_types::Instant)]
    created_at: Timestamp,
    /// From when on the key may sign: every cached key set contains it by then.
    #[schema(value_type = domain_types::Instant)]
    signs_from: Timestamp,
    /// Since when the key is in this state.
    #[schema(value_type = domain_types::Instant)]
    changed_at: Timestamp,
    /// The number of live tokens that it signed, sessions included: those that a revocation of the key would end. `null`:
    /// not counted by this operation.
    #[schema(required = true, example = 12)]
    live_tokens: Option<u64>,
    /// What happens next without a request; `null`: nothing, such as for a retired key with a token that never expires.
    #[schema(required = true)]
    next_step: Option<NextKeyStep>,
}

impl From<ListedKey> for KeyInfo {
    fn from(key: ListedKey) -> Self {
        let ListedKey {
            row,
            live_tokens,
            next_step,
        } = key;
        Self {
            kid: row.key.kid,
            algorithm: Word(row.key.algorithm),
            state: Word(row.state),
            created_at: row.created_at,
            signs_from: row.signs_from,
            changed_at: row.changed_at,
            live_tokens,
            next_step: next_step.map(|(step, at)| NextKeyStep { step: Word(step), at }),
        }
    }
}

/// The signing keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Keys)]
struct KeysInfo {
    /// All keys ever published, the oldest first.
    items: Vec<KeyInfo>,
}

/// A key that is revoked.
#[derive(Debug, Serialize, ToSchema)]
struct RevokedKey {
    /// The key.
    key: KeyInfo,
    /// The `kid` of the key that signs now. `null`: no key could be created, and none signs; a server creates one within a
    /// second if it can.
    #[schema(required = true, example = "Fz5-oZk8mKzq0c6Jd2FqZyVvA1m9Yb3Xr7tLQeWnUsE")]
    signing_key: Option<String>,
    /// A position in the revocation feed that includes the revocation: wait for it to know that a verifier has it.
    #[schema(value_type = String, min_length = 75, max_length = 75)]
    revocation_cursor: Cursor,
    /// With PostgreSQL: from when on every server refuses the tokens, the one that answers having done so before. `null`
    /// with a database file, whose only server does.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    refused_everywhere_by: Option<Timestamp>,
}

impl RevokedKey {
    fn of(revoked: authority::RevokedKey, propagation: Propagation) -> Self {
        let authority::RevokedKey { key, signing } = revoked;
        Self {
            key: key.into(),
            signing_key: signing,
            revocation_cursor: Cursor(propagation.position),
            refused_everywhere_by: propagation.refused_everywhere_by,
        }
    }
}

/// List signing keys
///
/// Returns all keys with their states, the number of live tokens that each signed, and what happens next. Only for site
/// administrators. Counting reads every token: one such list is made at a time, and a few wait for it.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys", operation_id = "list_keys",
    responses((status = OK, description = "The keys", body = KeysInfo),
              (status = FORBIDDEN, description = "Only site administrators may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn list(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    _: Input,
) -> Result<Json<KeysInfo>, Failure> {
    let keys = app.authority.list_keys(&caller).await?;
    let items = keys.into_iter().map(KeyInfo::from).collect();
    Ok(Json(KeysInfo { items }))
}

/// Rotate the signing key
///
/// Creates a key of the configured algorithm and publishes it in the key set, within a second. It replaces the signing key once every cached
/// key set contains it (`signs_from`); the former key then stays in the key set until everything that it signed has ended.
/// No token is refused. Only for site administrators.
#[utoipa::path(post, path = "/api/v1/keys/rotate", tag = "keys", operation_id = "rotate_key",
    request_body = Option<ReasonForm>,
    responses((status = CREATED, description = "The successor, published; if no key signed, it signs", body = KeyInfo),
              (status = CONFLICT, description = "A successor is published already", body = Problem, example = json!("successor_waits")),
              (status = FORBIDDEN, description = "Only site administrators may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn rotate(
    caller: Caller<Once<LoggedIn>>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), ReasonForm>,
) -> Result<impl IntoResponse, Failure> {
    let reason = body.reason.map(Into::into);
    let key = app.authority.rotate_key(&caller, reason).await?;
    Ok((StatusCode::CREATED, Json(KeyInfo::from(key))))
}

/// Retire a published key
///
/// Takes back a rotation: a published key that does not sign yet never will, and leaves the key set. A retired key stays as
/// it is. Only for site administrators.
#[utoipa::path(post, path = "/api/v1/keys/{kid}/retire", tag = "keys", operation_id = "retire_key",
    params(KeyPath), request_body = Option<ReasonForm>,
    responses((status = OK, description = "The key, which does not sign", body = KeyInfo),
              (status = CONFLICT, description = "The key signs", body = Problem, example = json!("key_signs")),
              (status = FORBIDDEN, description = "Only site administrators may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn retire(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<KeyPath, (), ReasonForm>,
) -> Result<Json<KeyInfo>, Failure> {
    let reason = body.reason.map(Into::into);
    let key = app.authority.retire_key(&caller, &path.id()?, reason).await?;
    Ok(Json(key.into()))
}

/// Revoke a signing key
///
/// For a leaked key: removes it from the key set at once and revokes every token and session that it signed, with one
/// permanent event in the revocation feed, however many they are. `live_tokens` of `GET /api/v1/keys` says how many that is.
/// If the key signs, a new key is created and signs at once. If it signed your session, that ends too: log in again.
/// Revoking it again changes nothing. Only for site administrators.
#[utoipa::path(post, path = "/api/v1/keys/{kid}/revoke", tag = "keys", operation_id = "revoke_key",
    params(KeyPath), request_body = Option<ReasonForm>,
    responses((status = CREATED, description = "The key is revoked, and all that it signed", body = RevokedKey),
              (status = FORBIDDEN, description = "Only site administrators may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn revoke(
    caller: Caller<RevokesOnce<LoggedIn>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<KeyPath, (), ReasonForm>,
) -> Result<impl IntoResponse, Failure> {
    let reason = body.reason.map(Into::into);
    let revoked = app.authority.revoke_key(&caller, &path.id()?, reason).await?;
    let propagation = app.authority.propagation().await?;
    Ok((StatusCode::CREATED, Json(RevokedKey::of(revoked, propagation))))
}
