//! SIGHUP: the configuration of a running server.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use axum::http::StatusCode;
use rustix::process::Signal;
use serde_json::json;

use super::client::Client;
use super::home::{Home, SOON, Server, eventually};
use super::metrics::{ANY_PORT, address};

/// Sends SIGHUP and returns the log since, once it contains `last`.
fn reload(server: &Server, last: &str) -> String {
    let before = server.stderr().len();
    server.signal(Signal::HUP);
    let log = eventually(SOON, || {
        let log = server.stderr().split_off(before);
        log.lines().any(|line| line.contains(last)).then_some(log)
    });
    log.unwrap_or_else(|| panic!("{last:?} is not in {}", server.stderr()))
}

/// Returns the lines of a log that contain a text, with the setting that they name.
fn settings<'a>(log: &'a str, text: &str) -> Vec<&'a str> {
    let lines = log.lines().filter(|line| line.contains(text));
    let named = lines.map(|line| line.split_once("setting=").unwrap().1.trim_matches('"'));
    named.collect()
}

fn metric(server: &Server, name: &str) -> f64 {
    let text = Client::new(address(server))
        .get("/metrics")
        .expect(StatusCode::OK);
    let text = String::from_utf8(text.body.to_vec()).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_reload_applies_what_it_can_and_names_what_needs_a_restart() {
    let home = Home::new();
    home.configure(ANY_PORT);
    let mut server = home.serve();
    let mut admin = server.administrator();
    assert_eq!(metric(&server, "jeton_config_last_reload_success"), 1.0);
    let started = metric(&server, "jeton_config_last_reload_time_seconds");

    home.configure(&format!(
        "database = \"other.db\"\nissuer = \"https://other.example\"\n{ANY_PORT}\n\
         [keys]\nalgorithm = \"EdDSA\"\n\
         [tokens]\nprefix = \"acme_\"\ndefault_lifetime = \"7d\"\ncached = 5\n\
         [scopes]\navailable = [\"mail:send\"]\n\
         [presets]\nsender = [\"mail:send\"]\n\
         [quotas]\nteams = 1\n\
         [limits]\nmax_streams = 5\nidle_timeout = \"60s\"\n\
         [rate_limits]\nper_caller = {{ per_second = 1, burst = 40 }}\n"
    ));
    let log = reload(&server, "configuration reloaded");
    assert_eq!(
        settings(&log, "setting changed, but not before a restart"),
        ["database", "issuer", "tokens.cached", "limits.max_streams"]
    );
    let applied = settings(&log, "setting changed ");
    assert_eq!(
        applied,
        [
            "keys.algorithm",
            "tokens.prefix",
            "tokens.default_lifetime",
            "scopes.available",
            "presets",
            "limits.idle_timeout",
            "quotas.teams",
            "rate_limits.per_caller"
        ]
    );
    assert_eq!(metric(&server, "jeton_config_last_reload_success"), 1.0);
    assert!(metric(&server, "jeton_config_last_reload_time_seconds") > started);

    // The connection of before and the session live on, under the new settings.
    let token = json!({"name": "one", "organization": "default", "preset": "sender"});
    let made = admin.post("/api/v1/tokens", token).expect(StatusCode::CREATED);
    let made = made.json();
    assert!(made["token"].as_str().unwrap().starts_with("acme_"), "{made}");
    assert_eq!(made["token_info"]["scopes"], json!(["mail:send"]));
    assert_ne!(made["token_info"]["expires_at"], json!(null));
    let teams = "/api/v1/organizations/default/teams";
    admin
        .post(teams, json!({"name": "first"}))
        .expect(StatusCode::CREATED);
    assert_eq!(
        admin.post(teams, json!({"name": "second"})).json()["code"],
        "quota_reached"
    );
    assert!(!admin.get("/api/v1/me").header("ratelimit-policy").is_empty());
    assert!((0..60).any(|_| admin.get("/api/v1/me").status == 429));
    let listed = || home.run(&["--database", "jeton.db", "keys", "list"]).stdout;
    eventually(SOON, || listed().contains("EdDSA").then_some(())).unwrap();

    // The way back; what needs a restart is as it was at the start, and so not named again.
    home.configure(ANY_PORT);
    let log = reload(&server, "configuration reloaded");
    assert_eq!(settings(&log, "restart"), [""; 0]);
    assert_eq!(settings(&log, "setting changed "), applied);
    assert_eq!(admin.get("/api/v1/me").header("ratelimit-policy"), "");
    let log = reload(&server, "configuration reloaded");
    assert_eq!(settings(&log, "setting changed"), [""; 0]);
    server.signal(Signal::TERM);
    assert_eq!(server.ended(SOON).unwrap().code(), Some(0));
}

#[test]
fn a_configuration_with_mistakes_is_not_applied_and_every_mistake_is_logged() {
    let home = Home::new();
    home.configure(ANY_PORT);
    let server = home.serve();
    let mut admin = server.administrator();
    let since = metric(&server, "jeton_config_last_reload_time_seconds");
    home.configure(&format!(
        "databse = \"x\"\n{ANY_PORT}\n[tokens]\nprefix = \"acme_\"\nretention = 5\n[quotas]\nteams = 0\n"
    ));
    let log = reload(&server, "the former one stays in force");
    for mistake in ["`databse`", "`tokens.retention`", "`quotas.teams`"] {
        let lines = log
            .lines()
            .filter(|line| line.contains("ERROR") && line.contains(mistake));
        assert_eq!(lines.count(), 1, "{mistake}: {log}");
    }
    assert_eq!(settings(&log, "setting changed"), [""; 0]);
    assert_eq!(metric(&server, "jeton_config_last_reload_success"), 0.0);
    assert_eq!(metric(&server, "jeton_config_last_reload_time_seconds"), since);
    let token = json!({"name": "one", "organization": "default"});
    let made = admin
        .post("/api/v1/tokens", token)
        .expect(StatusCode::CREATED)
        .json();
    assert!(!made["token"].as_str().unwrap().starts_with("acme_"));

    home.configure(&format!("{ANY_PORT}\n[tokens]\nprefix = \"acme_\"\n"));
    let log = reload(&server, "configuration reloaded");
    assert_eq!(settings(&log, "setting changed "), ["tokens.prefix"]);
    assert_eq!(metric(&server, "jeton_config_last_reload_success"), 1.0);
}

#[test]
fn no_request_notices_a_reload_and_each_token_has_one_version_of_a_preset() {
    const VERSIONS: [&str; 2] = ["\"a:one\", \"a:two\"", "\"b:one\", \"b:two\""];
    let home = Home::new();
    let configure = |version: usize| {
        let scopes = VERSIONS.join(", ");
        home.configure(&format!(
            "[scopes]\navailable = [{scopes}]\n[presets]\nboth = [{}]\n[limits]\nidle_timeout = \"{}s\"\n",
            VERSIONS[version],
            70 + version,
        ));
    };
    configure(0);
    let server = home.serve();
    let session = server.administrator();
    drop(session);
    let (is_over, issued) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|number| {
                let (server, is_over, issued) = (&server, &is_over, &issued);
                scope.spawn(move || {
                    let mut admin = server.administrator();
                    let mut seen = [0; 2];
                    for count in 0.. {
                        if is_over.load(Ordering::Relaxed) {
                            break;
                        }
                        let name = format!("{number}-{count}");
                        let body = json!({"name": name, "organization": "default", "preset": "both"});
                        let made = admin.post("/api/v1/tokens", body).expect(StatusCode::CREATED);
                        let scopes = made.json()["token_info"]["scopes"].clone();
                        let version = [json!(["a:one", "a:two"]), json!(["b:one", "b:two"])]
                            .iter()
                            .position(|version| *version == scopes);
                        seen[version.unwrap_or_else(|| panic!("mixed: {scopes}"))] += 1;
                        issued.fetch_add(1, Ordering::Relaxed);
                    }
                    seen
                })
            })
            .collect();
        // Reloads that are over before the clients have logged in would show nothing.
        let goes_on = || {
            let before = issued.load(Ordering::Relaxed);
            eventually(SOON, || {
                (issued.load(Ordering::Relaxed) > before + 3).then_some(())
            })
        };
        for round in 1..=20 {
            configure(round % 2);
            reload(&server, "configuration reloaded");
            if goes_on().is_none() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let seen: Vec<[u32; 2]> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        for version in 0..2 {
            assert!(seen.iter().any(|seen| seen[version] > 0), "{seen:?}");
        }
    });
}

/// A read of a pipe waits for a writer, also while the process ends.
#[test]
fn a_pipe_in_place_of_the_file_is_refused_and_the_server_still_stops() {
    let home = Home::new();
    home.configure(ANY_PORT);
    let mut server = home.serve();
    fs::remove_file(home.path("jeton.toml")).unwrap();
    let made = Command::new("mkfifo").arg(home.path("jeton.toml")).status();
    assert!(made.unwrap().success());
    let log = reload(&server, "the former one stays in force");
    assert!(
        log.contains("the file `jeton.toml` must be a regular file"),
        "{log}"
    );
    assert_eq!(metric(&server, "jeton_config_last_reload_success"), 0.0);
    server.signal(Signal::TERM);
    assert_eq!(server.ended(SOON).unwrap().code(), Some(0));
    let refused = home.run(&["serve", "--check-config"]);
    assert!(refused.stderr.contains("must be a regular file"), "{refused:?}");
}

#[test]
fn a_file_that_vanishes_or_is_truncated_does_not_set_every_default() {
    let home = Home::new();
    let text = format!("[tokens]\nprefix = \"acme_\"\n{ANY_PORT}");
    home.configure(&text);
    let server = home.serve();
    fs::remove_file(home.path("jeton.toml")).unwrap();
    let log = reload(&server, "the former one stays in force");
    assert!(
        log.contains("the file `jeton.toml` cannot be read: No such file"),
        "{log}"
    );
    home.configure("\n");
    let log = reload(&server, "the former one stays in force");
    assert!(
        log.contains("the file `jeton.toml` is empty, and had settings before"),
        "{log}"
    );
    assert_eq!(metric(&server, "jeton_config_last_reload_success"), 0.0);
    home.configure(&text);
    let log = reload(&server, "configuration reloaded");
    assert_eq!(settings(&log, "setting changed"), [""; 0]);
}

#[test]
fn a_reload_refuses_what_the_next_start_would_refuse() {
    let home = Home::new();
    home.configure(ANY_PORT);
    let server = home.serve();
    fs::write(home.path("file"), "").unwrap();
    for (text, problem) in [
        (
            "issuer = \"https://other.example\"",
            "the issuer https://other.example differs from the issuer",
        ),
        (
            "[tls]\ncertificate = \"missing.pem\"\nkey = \"missing.pem\"",
            "the TLS certificate missing.pem cannot be read: No such file",
        ),
        (
            "[backup]\nevery = \"1d\"\nfolder = \"file\"",
            "the folder of backups file is not a folder",
        ),
    ] {
        home.configure(&format!("quotas.teams = 1\n{text}\n{ANY_PORT}"));
        let log = reload(&server, "the former one stays in force");
        assert!(log.contains(problem), "{problem}: {log}");
        assert_eq!(settings(&log, "setting changed"), [""; 0]);
        assert_eq!(metric(&server, "jeton_config_last_reload_success"), 0.0);
        let checked = home.run(&["serve", "--check-config"]);
        assert_eq!(checked.code, Some(1), "{checked:?}");
        assert!(checked.stderr.contains(problem), "{checked:?}");
    }
}
