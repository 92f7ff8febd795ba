//! Settings that all servers of a deployment share: in the database with PostgreSQL, in the file beside a database file.

use std::fs;

use axum::http::StatusCode;
use serde_json::json;

use super::client::Client;
use super::home::{Home, Server};
use super::two_nodes::{Deployment, issue, refused, succeeded, text, waits_for};

fn set(home: &Home, name: &str, value: &str) -> String {
    succeeded(home.run(&["settings", "set", name, value]))
}

/// Returns the line of `jeton settings show` for a setting.
fn shown(home: &Home, name: &str) -> String {
    let shown = succeeded(home.run(&["settings", "show"]));
    let mut lines = shown.lines().filter(|line| {
        let line = line.trim_start_matches("# ");
        line.starts_with(&format!("{name} "))
    });
    lines
        .next()
        .unwrap_or_else(|| panic!("{name}: {shown}"))
        .to_owned()
}

fn prefix_of_a_token(client: &mut Client) -> String {
    let token = text(&issue(client), "token");
    token.split_once("eyJ").unwrap().0.to_owned()
}

/// Returns the `Cache-Control` of the key set.
fn caching(server: &Server) -> String {
    let answer = server.client().get("/.well-known/jwks.json");
    answer.expect(StatusCode::OK).header("cache-control").to_owned()
}

#[test]
fn two_servers_share_settings_and_follow_their_changes_while_they_run() {
    let deployment = Deployment::new(&[("tokens.prefix", "first_")]);
    let home = &deployment.home;
    let servers = [home.serve(), home.serve()];
    let mut clients = servers.each_ref().map(Server::administrator);
    for client in &mut clients {
        assert_eq!(prefix_of_a_token(client), "first_");
    }
    let said = set(home, "tokens.prefix", "second_");
    assert_eq!(
        said,
        "tokens.prefix = \"second_\"\nrunning servers follow within seconds\n"
    );
    assert_eq!(shown(home, "tokens.prefix"), "tokens.prefix = \"second_\"");
    set(home, "quotas.teams", "0x10");
    assert_eq!(shown(home, "quotas.teams"), "quotas.teams = 16");
    set(home, "scopes.available", "['mail:send', 'mail:read']");
    set(home, "presets", "{zebra = ['mail:send'], ant = ['mail:read']}");
    for (server, client) in servers.iter().zip(&mut clients) {
        waits_for(&"second_".to_owned(), || prefix_of_a_token(client));
        waits_for(&json!(["zebra", "ant"]), || {
            let listed = client.get("/api/v1/scopes").expect(StatusCode::OK).json();
            let presets = listed["presets"].as_array().unwrap().iter();
            presets.map(|preset| preset["name"].clone()).collect()
        });
        let log = server.stderr();
        assert!(log.contains("setting=\"tokens.prefix\""), "{log}");
        assert!(!log.contains("ERROR"), "{log}");
    }
    let audit = clients[0].get("/api/v1/audit?action=setting.update&q=tokens.prefix");
    let audit = audit.expect(StatusCode::OK).json();
    let line = &audit["items"][0];
    assert_eq!(line["target"], "tokens.prefix");
    assert_eq!(line["before"], json!({"value": "\"first_\""}));
    assert_eq!(line["after"], json!({"value": "\"second_\""}));
    assert_eq!(
        (&line["actor"], &line["surface"]),
        (&json!("operator"), &json!("command"))
    );

    succeeded(home.run(&["settings", "reset", "tokens.prefix"]));
    assert_eq!(shown(home, "tokens.prefix"), "# tokens.prefix is not set");
    for client in &mut clients {
        waits_for(&String::new(), || prefix_of_a_token(client));
    }
}

#[test]
fn servers_serve_the_key_set_for_as_long_as_the_last_that_started_has_promised() {
    let deployment = Deployment::new(&[]);
    let home = &deployment.home;
    let mut one = home.serve();
    let two = home.serve();
    let said = set(home, "keys.jwks_max_age", "2m");
    assert!(said.ends_with("servers follow when they start again\n"), "{said}");
    for server in [&one, &two] {
        waits_for(&true, || {
            let log = server.stderr();
            let warned =
                |line: &str| line.contains("keys.jwks_max_age") && line.contains("not before a restart");
            log.lines().any(warned)
        });
        assert_eq!(caching(server), "public, max-age=300");
    }
    one.kill();
    let one = home.serve();
    assert_eq!(caching(&one), "public, max-age=120");
    waits_for(&"public, max-age=120".to_owned(), || caching(&two));
}

#[test]
fn servers_that_notice_another_algorithm_one_after_the_other_publish_one_key() {
    let deployment = Deployment::new(&[]);
    let home = &deployment.home;
    let servers = [home.serve(), home.serve()];
    for (changes, algorithm) in (1..).zip(["EdDSA", "ES256", "EdDSA", "ES256"]) {
        set(home, "keys.algorithm", algorithm);
        for server in &servers {
            waits_for(&changes, || {
                let log = server.stderr();
                let changed = log
                    .lines()
                    .filter(|line| line.contains("setting=\"keys.algorithm\""));
                changed.count()
            });
        }
        waits_for(&true, || deployment.keys().len() > changes);
        assert_eq!(deployment.keys().len(), changes + 1, "{:?}", deployment.keys());
    }
}

#[test]
fn a_file_with_a_setting_of_all_servers_is_refused_on_postgresql() {
    let deployment = Deployment::new(&[]);
    let home = &deployment.home;
    let server = home.serve();
    let file = fs::read_to_string(home.path("jeton.toml")).unwrap();
    home.configure(&format!(
        "{file}[tokens]\nprefix = 'mine_'\ncached = 5\n[quotas]\nteams = 3\n[postgresql]\nstale_after = '3s'\n"
    ));
    for command in [
        ["serve", "--check-config"].as_slice(),
        &["keys", "list"],
        &["settings", "show"],
    ] {
        let finished = home.run(command);
        let said = refused(&finished);
        assert_eq!(said.lines().count(), 3, "{said}");
        for name in ["tokens.prefix", "quotas.teams", "postgresql.stale_after"] {
            let line = said
                .lines()
                .find(|line| line.contains(&format!("`{name}`")))
                .unwrap();
            assert!(
                line.contains(&format!("`jeton settings set {name} VALUE`")),
                "{line}"
            );
        }
    }
    let mut client = server.administrator();
    assert_eq!(prefix_of_a_token(&mut client), "", "of the database");
}

#[test]
fn a_setting_that_is_not_valid_is_refused_and_named() {
    let deployment = Deployment::new(&[("keys.jwks_max_age", "10m")]);
    let home = &deployment.home;
    let before = succeeded(home.run(&["settings", "show"]));
    for (name, value, problem) in [
        (
            "tokens.retention",
            "banana",
            "the setting `tokens.retention` must be a positive whole number and a unit",
        ),
        (
            "tokens.retention",
            "5",
            "the setting `tokens.retention` must be a string",
        ),
        (
            "quotas.teams",
            "none",
            "the setting `quotas.teams` must be a whole number",
        ),
        (
            "quotas.teams",
            "0",
            "the setting `quotas.teams` must be a number from 1",
        ),
        // Together with another one.
        (
            "keys.rotate_every",
            "9m",
            "the setting `keys.rotate_every` must be at least `keys.jwks_max_age`",
        ),
        (
            "presets",
            "{one = ['no:such']}",
            "the setting `presets.one` must not contain `no:such`",
        ),
        (
            "tokens.prefix",
            "a_\"\nquotas.teams = 1",
            "the setting `tokens.prefix` must be a string",
        ),
        (
            "tokens.prefix",
            "\"a_\" \nquotas.teams = 1",
            "the setting `tokens.prefix` must be a string",
        ),
        (
            "tokens.cached",
            "5",
            "`tokens.cached` is a setting of each server",
        ),
        ("tokens", "{}", "`tokens` is not a setting"),
    ] {
        let finished = home.run(&["settings", "set", name, value]);
        let said = refused(&finished);
        assert!(said.contains(problem), "{problem}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert_eq!(succeeded(home.run(&["settings", "show"])), before);
    assert_eq!(shown(home, "keys.jwks_max_age"), "keys.jwks_max_age = \"10m\"");
}

#[test]
fn the_length_of_leases_changes_only_while_no_server_runs() {
    let deployment = Deployment::new(&[("postgresql.stale_after", "2s")]);
    let home = &deployment.home;
    let mut server = home.serve();
    let longer = ["settings", "set", "postgresql.stale_after", "9s"];
    let finished = home.run(&longer);
    assert!(
        refused(&finished).contains("cannot change while servers run"),
        "{finished:?}"
    );
    server.kill();
    waits_for(&Some(0), || home.run(&longer).code);
    assert_eq!(
        shown(home, "postgresql.stale_after"),
        "postgresql.stale_after = \"9s\""
    );
}

#[test]
fn beside_a_database_file_settings_are_in_the_configuration_file() {
    let home = Home::new();
    home.configure("tokens.prefix = 'mine_'");
    assert_eq!(shown(&home, "tokens.prefix"), "tokens.prefix = \"mine_\"");
    for command in [
        ["settings", "set", "tokens.prefix", "acme_"].as_slice(),
        &["settings", "reset", "tokens.prefix"],
    ] {
        let finished = home.run(command);
        let said = refused(&finished);
        assert!(
            said.contains("change tokens.prefix there, and send SIGHUP"),
            "{said}"
        );
    }
    assert!(!home.path("jeton.db").exists());
}
