//! The bare server: the handlers that rows are compared with. It accepts and parses the same requests
//! with the same accept loop and axum, without authentication and permission checks.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Bytes;
use axum::extract::{Form, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jeton::http::connections::{Drained, Listener, serve};
use jeton::http::{Adjustable, Streams};
use jeton::keys::SigningKey;
use jeton::system::SystemClock;
use jeton::system::SystemEntropy;
use jeton_core::clock::{Clock, Timestamp};
use jeton_core::entropy::Entropy;
use jeton_verifier::{Algorithm, Claims, Header, StatusReference, TokenType, assemble, signing_input};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::Outcome;
use crate::bare_rows::Rows;
use crate::issue::Create;

/// Serves until its standard input closes, which happens when the parent process ends. The first
/// argument is the database of `/rows`, each further one the size of a JSON response of `/json/{size}`
/// and `/form/{size}`.
pub(crate) fn run(mut arguments: impl Iterator<Item = String>) -> Outcome<()> {
    let rows = Rows::open(&arguments.next().ok_or("no database")?)?;
    let answers = arguments
        .map(|size| Ok(Fields::of(size.parse()?)))
        .collect::<Outcome<Vec<_>>>()?;
    let (key, _) = SigningKey::generate(Algorithm::Es256)?;
    let header = Header {
        algorithm: key.algorithm(),
        kid: key.kid().clone(),
        token_type: TokenType::Access,
    };
    let bare = Arc::new(Bare {
        header: header.encode(),
        key,
        rows,
        answers,
    });
    let router = Router::new()
        .route("/rows", post(issue))
        .route("/json/{size}", get(json))
        .route("/bytes/{size}", get(bytes))
        .route("/form/{size}", post(form))
        .route("/empty", get(empty))
        .with_state(bare);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("listening on http://{}", listener.local_addr()?);
            let input_ends = async {
                // Read on a thread of its own, which ends with the process.
                let read = tokio::task::spawn_blocking(|| {
                    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
                });
                let _ = read.await;
            };
            match serve(
                Listener::bound(listener),
                router,
                Arc::new(ArcSwap::from_pointee(Adjustable::default())),
                Streams::new(0),
                input_ends,
            )
            .await
            {
                Drained::Complete => Ok(()),
                Drained::Cut(connections) => Err(format!("{connections} connections were cut").into()),
            }
        })
}

struct Bare {
    header: String,
    key: SigningKey,
    rows: Rows,
    answers: Vec<Fields>,
}

/// Signs the claims that a token would have, records a row, and returns both once the row is durable.
async fn issue(State(bare): State<Arc<Bare>>, Json(create): Json<Create>) -> Response {
    let entropy: &dyn Entropy = &SystemEntropy;
    let now = SystemClock.now();
    let jti = entropy.uuid_v7(now);
    let signed = bare.sign(&create, jti, now);
    let recorded = bare.rows.record(jti, create.name.clone(), now).await;
    match recorded.and(signed) {
        Ok(answer) => (
            StatusCode::CREATED,
            [(header::CACHE_CONTROL, "no-store")],
            Json(answer),
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn json(State(bare): State<Arc<Bare>>, Path(size): Path<usize>) -> Response {
    match bare.answers.iter().find(|fields| fields.size == size) {
        Some(fields) => Json(fields).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Returns static bytes.
async fn bytes(Path(size): Path<usize>) -> Response {
    static READY: [u8; 1 << 18] = [b'x'; 1 << 18];
    match READY.get(..size) {
        Some(bytes) => Bytes::from_static(bytes).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// An introspection request (RFC 7662).
#[derive(Deserialize)]
#[expect(
    dead_code,
    reason = "parsing them is the work; the handler has no use for them"
)]
struct Introspect {
    token: String,
    token_type_hint: Option<String>,
}

async fn form(bare: State<Arc<Bare>>, size: Path<usize>, Form(_form): Form<Introspect>) -> Response {
    json(bare, size).await
}

/// Returns as many headers as request authorization, without a body.
async fn empty() -> impl IntoResponse {
    [
        ("x-member-one", TEAM),
        ("x-member-two", ORGANIZATION),
        ("x-member-three", TEAM),
        (
            "x-member-four",
            "projects:read content:write subscription:read ai:use",
        ),
        ("x-member-five", "123456"),
    ]
}

const ORGANIZATION: &str = "3f0c2f6e-8a8b-4c0e-9f3b-0c5a7d1e2f34";
const TEAM: &str = "team-0123456789abcdef";
const DAY: i64 = 86_400;

impl Bare {
    fn sign(&self, create: &Create, jti: Uuid, now: Timestamp) -> Outcome<Issued> {
        let organization = ORGANIZATION;
        let issuer = "http://127.0.0.1:8080";
        let claims = Claims {
            issuer: issuer.to_owned(),
            subject: TEAM.to_owned(),
            audience: vec![issuer.to_owned()],
            client_id: TEAM.to_owned(),
            issued_at: now.seconds(),
            expires_at: now.seconds() + 365 * DAY,
            jti,
            scope: Some(SCOPES.map(str::to_owned).to_vec()),
            organization: Some(organization.parse()?),
            team: Some(TEAM.to_owned()),
            projects: None,
            status: StatusReference {
                index: 123_456,
                uri: format!("{issuer}/status-lists/1"),
            },
        };
        let input = signing_input(&self.header, &claims)?;
        let signature = self.key.sign(input.as_bytes())?;
        let token = assemble(input, &signature);
        let token_info = Info {
            id: "123456",
            jti: jti.to_string(),
            name: create.name.clone(),
            description: create.description.clone(),
            token_prefix: token.chars().take(12).collect(),
            token_type: "api",
            organization,
            owner: "team",
            team: TEAM,
            user: None,
            scopes: SCOPES,
            preset: None,
            projects: None,
            audience: claims.audience,
            status: "active",
            created_at: now.to_string(),
            created_by: "bench@example.com",
            last_used_at: None,
            expires_at: now.plus_seconds(365 * DAY).to_string(),
            revoked_at: None,
            revoked_by: None,
            revocation_reason: None,
        };
        Ok(Issued { token, token_info })
    }
}

const SCOPES: [&str; 4] = ["projects:read", "content:write", "subscription:read", "ai:use"];

#[derive(Serialize)]
struct Issued {
    token: String,
    token_info: Info,
}

#[derive(Serialize)]
struct Info {
    id: &'static str,
    jti: String,
    name: String,
    description: Option<String>,
    token_prefix: String,
    token_type: &'static str,
    organization: &'static str,
    owner: &'static str,
    team: &'static str,
    user: Option<&'static str>,
    scopes: [&'static str; 4],
    preset: Option<&'static str>,
    projects: Option<Vec<u32>>,
    audience: Vec<String>,
    status: &'static str,
    created_at: String,
    created_by: &'static str,
    last_used_at: Option<String>,
    expires_at: String,
    revoked_at: Option<String>,
    revoked_by: Option<String>,
    revocation_reason: Option<String>,
}

/// A response of a given size, with about as many members as a token's metadata.
struct Fields {
    size: usize,
    members: Vec<(String, String)>,
}

impl Fields {
    fn of(size: usize) -> Self {
        const MEMBERS: usize = 20;
        // Two braces, and per member four quotes, a colon, a comma and a name of eight letters.
        let room = size.saturating_sub(2 + 14 * MEMBERS - 1);
        let member = |number: usize| {
            let length = room / MEMBERS + usize::from(number < room % MEMBERS);
            (format!("member{number:02}"), "x".repeat(length))
        };
        Self {
            size,
            members: (0..MEMBERS).map(member).collect(),
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.members.len()))?;
        for (name, value) in &self.members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
