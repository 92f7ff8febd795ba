//! The server under test: started from its binary, and driven by HTTP alone.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::process::Command;
use tokio::time::sleep;

use crate::Outcome;
use crate::client::{Ask, Body, Caller, Client};
use crate::issue::{BODY, Created};
use crate::process::Server;

pub(crate) const JETON: &str = env!("CARGO_BIN_EXE_jeton");

const EMAIL: &str = "bench@example.com";
const PASSWORD: &str = "nothing but a bench 7";

pub(crate) const TOKENS: &str = "/api/v1/tokens";
pub(crate) const CURRENT: &str = "/api/v1/tokens/current";
pub(crate) const INTROSPECT: &str = "/oauth/introspect";
pub(crate) const AUTHORIZE_REQUEST: &str = "/oauth/authorize-request?scope=projects:read";
pub(crate) const LOGIN: &str = "/api/v1/login";

/// The maximum duration of background work.
const PATIENCE: Duration = Duration::from_secs(180);

/// A server with an administrator's session, a team, and one token of that team.
pub(crate) struct Jeton {
    name: &'static str,
    binary: PathBuf,
    home: PathBuf,
    /// Where the data are: arguments of the command.
    storage: Vec<String>,
    pub(crate) server: Server,
    pub(crate) session: String,
    pub(crate) token: Created,
}

/// A bulk revocation, as far as the benchmark reads it.
#[derive(Debug, Deserialize)]
pub(crate) struct RevokedTokens {
    pub(crate) id: String,
    pub(crate) matched: u64,
    pub(crate) revoked: u64,
    finished_at: Option<String>,
}

impl Jeton {
    /// Starts the server of this build in a new folder of this name.
    pub(crate) async fn start(name: &'static str, folder: &Path) -> Outcome<Self> {
        Self::start_with(name, folder, JETON.as_ref(), None).await
    }

    pub(crate) async fn start_with(
        name: &'static str,
        folder: &Path,
        binary: &Path,
        preload: Option<&Path>,
    ) -> Outcome<Self> {
        let storage = ["--database", "jeton.db", "--keys", "keys"].map(str::to_owned);
        Self::start_on(name, folder, binary, preload, storage.into()).await
    }

    /// Starts the server of this build on a PostgreSQL database.
    pub(crate) async fn start_on_postgres(name: &'static str, folder: &Path, url: &str) -> Outcome<Self> {
        let seal = folder.join("seal");
        std::fs::write(&seal, STANDARD.encode([7; 32]))?;
        std::fs::set_permissions(&seal, Permissions::from_mode(0o600))?;
        let storage = [
            "--database",
            url,
            "--key-encryption-key",
            seal.to_str().ok_or("the folder is no text")?,
            "--issuer",
            "http://127.0.0.1:8080",
        ];
        let storage = storage.map(str::to_owned).into();
        let jeton = Self::start_on(name, folder, JETON.as_ref(), None, storage).await?;
        // There they are no settings of a file.
        for quota in QUOTAS {
            let most = u32::MAX.to_string();
            let set = ["settings", "set", quota, &most, "--database", url];
            let set = Command::new(JETON).args(set).current_dir(folder).output().await?;
            if !set.status.success() {
                return Err(String::from_utf8(set.stderr)?.into());
            }
        }
        Ok(jeton)
    }

    /// Starts another server on the same data.
    pub(crate) async fn beside(&self, name: &'static str, folder: &Path) -> Outcome<Server> {
        let home = folder.join(name);
        std::fs::create_dir_all(&home)?;
        configure(&home, "", &self.storage)?;
        serve(name, &self.binary, &home, &self.storage, None).await
    }

    async fn start_on(
        name: &'static str,
        folder: &Path,
        binary: &Path,
        preload: Option<&Path>,
        storage: Vec<String>,
    ) -> Outcome<Self> {
        let home = folder.join(name);
        std::fs::create_dir(&home)?;
        configure(&home, "", &storage)?;
        let mut check = command(binary, &home, &storage);
        if !check.arg("--check-config").output().await?.status.success() {
            // The server of a commit before quotas, which has none.
            std::fs::remove_file(home.join("jeton.toml"))?;
        }
        let server = serve(name, binary, &home, &storage, preload).await?;

        #[derive(Deserialize)]
        struct Session {
            token: String,
        }
        let mut client = Client::connect(server.address).await?;
        let answer = client.ask(LOGIN, &login(EMAIL, PASSWORD), "").await?;
        let session = serde_json::from_slice::<Session>(&answer)?.token;
        let team = Ask::post(&session, json(r#"{"name":"bench"}"#));
        client
            .ask("/api/v1/organizations/default/teams", &team, "")
            .await?;
        let token = client.ask(TOKENS, &Ask::post(&session, json(BODY)), "").await?;
        Ok(Self {
            name,
            binary: binary.to_owned(),
            home,
            storage,
            server,
            session,
            token: serde_json::from_slice(&token)?,
        })
    }

    /// Restarts the server with this configuration file. Also returns how long it took until it was
    /// ready.
    pub(crate) async fn restart(self, configuration: &str) -> Outcome<(Self, Duration)> {
        self.server.stop().await?;
        configure(&self.home, configuration, &self.storage)?;
        let begun = Instant::now();
        let server = serve(self.name, &self.binary, &self.home, &self.storage, None).await?;
        let restarted = Self { server, ..self };
        restarted.ask("/readyz", &Ask::get_as_nobody()).await?;
        Ok((restarted, begun.elapsed()))
    }

    pub(crate) async fn ask(&self, path: &str, ask: &Ask) -> Outcome<Bytes> {
        Client::connect(self.server.address)
            .await?
            .ask(path, ask, "")
            .await
    }

    pub(crate) async fn read<T: DeserializeOwned>(&self, path: &str, ask: &Ask) -> Outcome<T> {
        Ok(serde_json::from_slice(&self.ask(path, ask).await?)?)
    }

    pub(crate) fn path(&self, id: &str) -> String {
        format!("{TOKENS}/{id}")
    }

    /// Returns the request that issues a token of the team `bench`.
    pub(crate) fn issue(&self) -> Ask {
        Ask::post(&self.session, json(BODY))
    }

    /// Issues a token of the deployment that may introspect all tokens.
    pub(crate) async fn introspector(&self) -> Outcome<String> {
        let body = r#"{"name":"asks","owner":"deployment","scopes":["tokens:introspect"]}"#;
        let ask = Ask::post(&self.session, json(body));
        Ok(self.read::<Created>(TOKENS, &ask).await?.token)
    }

    /// Creates an organization with this name.
    pub(crate) async fn create_organization(&self, name: &str) -> Outcome<()> {
        let body = json(&format!(r#"{{"name":"{name}"}}"#));
        let path = "/api/v1/organizations";
        self.ask(path, &Ask::post(&self.session, body)).await.map(drop)
    }

    /// Returns the progress of a bulk revocation.
    pub(crate) async fn revocation(&self, id: &str) -> Outcome<RevokedTokens> {
        let path = format!("{TOKENS}/revoke/{id}");
        self.read(&path, &Ask::get(&self.session)).await
    }

    /// Waits until a bulk revocation has finished.
    pub(crate) async fn finish(&self, id: &str) -> Outcome<RevokedTokens> {
        let begun = Instant::now();
        loop {
            let revocation = self.revocation(id).await?;
            if revocation.finished_at.is_some() {
                return Ok(revocation);
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("a revocation was not finished: {revocation:?}").into());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) fn json(text: &str) -> Body {
    Body::Json(text.to_owned())
}

/// Returns a login request.
pub(crate) fn login(email: &str, password: &str) -> Ask {
    let credentials = format!(r#"{{"email":"{email}","password":"{password}"}}"#);
    Ask {
        caller: Caller::Nobody,
        expected: 200,
        ..Ask::post("", Body::Json(credentials))
    }
}

/// Quotas that would end a round early.
const QUOTAS: [&str; 2] = ["quotas.tokens_per_owner", "quotas.sessions"];

/// Writes the configuration file.
fn configure(home: &Path, further: &str, storage: &[String]) -> Outcome<()> {
    let mut settings = String::new();
    if !storage.iter().any(|argument| argument.starts_with("postgres:")) {
        for quota in QUOTAS {
            settings += &format!("{quota} = {}\n", u32::MAX);
        }
    }
    Ok(std::fs::write(home.join("jeton.toml"), settings + further)?)
}

async fn serve(
    name: &'static str,
    binary: &Path,
    home: &Path,
    storage: &[String],
    preload: Option<&Path>,
) -> Outcome<Server> {
    let mut command = command(binary, home, storage);
    if let Some(library) = preload {
        command.env("LD_PRELOAD", library);
    }
    Server::start(name, command, home).await
}

fn command(binary: &Path, home: &Path, storage: &[String]) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(storage)
        .current_dir(home)
        .env("JETON_ADMIN_EMAIL", EMAIL)
        .env("JETON_ADMIN_PASSWORD", PASSWORD)
        .env("RUST_LOG", "warn");
    command
}
