//! The server under test.

use std::path::Path;

use axum::body::Bytes;
use serde::Deserialize;
use tokio::process::Command;

use crate::Outcome;
use crate::client::{Ask, Body, Client};
use crate::issue::{BODY, Created};
use crate::process::Server;

const JETON: &str = env!("CARGO_BIN_EXE_jeton");
const EMAIL: &str = "bench@example.com";
const PASSWORD: &str = "nothing but a bench 7";

pub(crate) const TOKENS: &str = "/api/v1/tokens";
pub(crate) const CURRENT: &str = "/api/v1/tokens/current";
pub(crate) const INTROSPECT: &str = "/oauth/introspect";
pub(crate) const AUTHORIZE_REQUEST: &str = "/oauth/authorize-request?scope=projects:read";

/// A server with an administrator's session, a team, and one token of that team.
pub(crate) struct Jeton {
    pub(crate) server: Server,
    pub(crate) session: String,
    pub(crate) token: Created,
}

impl Jeton {
    pub(crate) async fn start(name: &'static str, folder: &Path, preload: Option<&Path>) -> Outcome<Self> {
        let home = folder.join(name);
        std::fs::create_dir(&home)?;
        let mut command = Command::new(JETON);
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--database",
                "jeton.db",
                "--keys",
                "keys",
            ])
            .current_dir(&home)
            .env("JETON_ADMIN_EMAIL", EMAIL)
            .env("JETON_ADMIN_PASSWORD", PASSWORD)
            .env("RUST_LOG", "warn");
        if let Some(library) = preload {
            command.env("LD_PRELOAD", library);
        }
        let server = Server::start(name, command, folder).await?;

        #[derive(Deserialize)]
        struct Session {
            token: String,
        }
        let mut client = Client::connect(server.address).await?;
        let credentials = format!(r#"{{"email":"{EMAIL}","password":"{PASSWORD}"}}"#);
        let login = Ask {
            method: "POST".to_owned(),
            token: None,
            body: Some(Body::Json(credentials)),
            expected: 200,
        };
        let session: Session = serde_json::from_slice(&client.ask("/api/v1/login", &login).await?)?;
        let team = Ask::post(&session.token, Some(r#"{"name":"bench"}"#));
        client.ask("/api/v1/organizations/default/teams", &team).await?;
        let token = client.ask(TOKENS, &Ask::post(&session.token, Some(BODY))).await?;
        Ok(Self {
            server,
            session: session.token,
            token: serde_json::from_slice(&token)?,
        })
    }

    pub(crate) fn path(&self, id: &str) -> String {
        format!("{TOKENS}/{id}")
    }

    pub(crate) async fn ask(&self, path: &str, ask: &Ask) -> Outcome<Bytes> {
        Client::connect(self.server.address).await?.ask(path, ask).await
    }

    /// A token that may ask about all.
    pub(crate) async fn introspector(&self) -> Outcome<String> {
        let order = r#"{"name":"asks","owner":"deployment","scopes":["tokens:introspect"]}"#;
        let created = self.ask(TOKENS, &Ask::post(&self.session, Some(order))).await?;
        Ok(serde_json::from_slice::<Created>(&created)?.token)
    }

    pub(crate) fn issue(&self) -> Ask {
        Ask::post(&self.session, Some(BODY))
    }
}
