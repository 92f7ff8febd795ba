#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use clap::Parser;

use super::*;

/// A token of nobody, in shape.
const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6Ik56YkxzWGg4dURDY2QtNk1Od1hGNFdfN25vV1hGWkFmSGt4WnNSR0M5WHMiLCJ0eXAiOiJhdCtqd3QifQ.e30.AA";

/// A complete configuration with a token file.
fn complete(folder: &Path) -> String {
    let token = folder.join("token");
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    format!(
        "issuer = 'https://tokens.example.com'\naudience = 'https://api.example.com'\ntoken_file = '{}'\nmax_staleness = '10s'\n",
        token.display()
    )
}

fn load(text: &str, arguments: &[&str]) -> Result<Config, String> {
    let flags = Flags::try_parse_from([&["jeton-guard"], arguments].concat()).unwrap();
    Config::of_text(text, &flags).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn the_shortest_configuration_listens_on_loopback_and_fails_closed() {
    let folder = tempfile::tempdir().unwrap();
    let config = load(&format!("{}[rules.api]\n", complete(folder.path())), &[]).unwrap();
    assert_eq!(config.listen, [Listen::Tcp("127.0.0.1:8090".parse().unwrap())]);
    assert_eq!(config.max_staleness, Duration::from_secs(10));
    assert_eq!(
        config.rules["api"],
        Rule {
            audience: "https://api.example.com".to_owned(),
            scopes: Vec::new(),
            organization: None,
            projects: Vec::new(),
            team: None,
            accepts_if_unknown: false,
        }
    );
    assert!(config.introspection_token.is_none());
}

#[test]
fn every_setting_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, format!("{}\n", "s".repeat(32))).unwrap();
    let text = format!(
        r#"{}
        authority = "http://10.0.0.1:8080"
        leeway = "1m"
        snapshot_file = "{}/snapshot"
        cached_tokens = 5000
        report_usage = true
        listen = ["[::1]:9000", "/run/jeton-guard/socket"]
        introspection_token_file = "{}"
        log = "debug"
        [rules.read]
        audience = "https://files.example.com"
        scopes = ["projects:read", "content:write"]
        organization = "0190b6a4-8f6e-7cc1-9d0a-3f2f1f7f0a11"
        projects = [7, 8]
        team = "team-Hn5Lq9BcX1dF7gJk"
        when_unknown = "accept"
        [rules.api]
        when_unknown = "refuse"
        "#,
        complete(folder.path()),
        folder.path().display(),
        secret.display()
    );
    let config = load(&text, &[]).unwrap();
    assert_eq!(config.authority.as_deref(), Some("http://10.0.0.1:8080"));
    assert_eq!(config.leeway, Some(Duration::from_secs(60)));
    assert_eq!(config.cached_tokens, Some(5000));
    assert!(config.report_usage);
    assert_eq!(
        config.listen,
        [
            Listen::Tcp("[::1]:9000".parse().unwrap()),
            Listen::Unix("/run/jeton-guard/socket".into())
        ]
    );
    assert_eq!(**config.introspection_token.as_ref().unwrap(), "s".repeat(32));
    assert_eq!(config.log, tracing::Level::DEBUG);
    let read = &config.rules["read"];
    assert_eq!(read.scopes, ["projects:read", "content:write"]);
    assert_eq!(read.projects, [7, 8]);
    assert!(read.accepts_if_unknown && read.organization.is_some() && read.team.is_some());
    assert_eq!(
        config.further_audiences().collect::<Vec<_>>(),
        ["https://files.example.com"]
    );
}

#[test]
fn flags_alone_are_enough_and_come_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = complete(folder.path());
    let token = folder.path().join("token");
    let flags = [
        "--issuer",
        "http://127.0.0.1:8080",
        "--audience",
        "api",
        "--token-file",
        token.to_str().unwrap(),
        "--max-staleness",
        "1m",
        "--listen",
        "127.0.0.1:1",
        "--listen",
        "/run/guard",
        "--rule",
        "read=projects:read,content:write",
        "--rule",
        "any",
    ];
    for text in ["", &format!("{file}listen = '[::1]:2'\n[rules.more]\n")] {
        let config = load(text, &flags).unwrap();
        assert_eq!(config.issuer, "http://127.0.0.1:8080");
        assert_eq!(config.max_staleness, Duration::from_secs(60));
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.rules["read"].scopes, ["projects:read", "content:write"]);
        assert!(config.rules["any"].scopes.is_empty());
        assert_eq!(config.rules.contains_key("more"), !text.is_empty());
    }
}

#[test]
fn all_mistakes_are_reported_and_each_names_its_field() {
    let mistakes = load(
        r#"
        issuer = "https://tokens.example.com/"
        token_file = "/does/not/exist"
        max_staleness = "2s"
        max_stalenes = "2s"
        listen = "localhost:8090"
        cached_tokens = 0
        log = "loud"
        [rules.api]
        scopes = "projects:read"
        scope = ["projects:read"]
        organization = "acme"
        when_unknown = "open"
        [rules."a b"]
        projects = [7]
        "#,
        &[],
    );
    let mistakes = mistakes.unwrap_err();
    let lines: Vec<&str> = mistakes.lines().collect();
    for begin in [
        "`issuer` must be an http or https URL without user, query, fragment, and slash at its end",
        "`audience` is missing",
        "`token_file` names `/does/not/exist`, which cannot be read",
        "`max_staleness` must be a whole number and a unit (s, m, h or d), from 7s to 7d (it is \"2s\")",
        "`max_stalenes` is not a setting; the settings here are issuer,",
        "`listen[0]` must be an address with a port",
        "`cached_tokens` must be a whole number from 1",
        "`log` must be",
        "`rules.api.scopes` must be a list",
        "`rules.api.scope` is not a setting; the settings here are audience, scopes,",
        "`rules.api.organization` must be the id of an organization",
        "`rules.api.when_unknown` must be \"refuse\" or \"accept\"",
        "`rules.a b` must have a name of 1 to 64 characters",
        "`rules.a b.projects` needs `organization`",
    ] {
        let found = lines.iter().filter(|line| line.starts_with(begin)).count();
        assert_eq!(found, 1, "{begin}\n{mistakes}");
    }
    assert_eq!(lines.len(), 14, "{mistakes}");
}

#[test]
fn every_wrong_value_is_reported_with_the_value_and_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let text = complete(folder.path()).replace("'https://api.example.com'", "''");
    let text = format!(
        r#"{text}
        listen = ["127.0.0.1:1", "localhost:x", "relative/socket", 5]
        [rules.a]
        scopes = ["a b", "", "good"]
        projects = [1, -1, 99999999999]
        organization = "0190b6a4-8f6e-7cc1-9d0a-3f2f1f7f0a11"
        team = 7
        "#
    );
    let mistakes = load(&text, &[]).unwrap_err();
    for mistake in [
        "`audience` must not be empty",
        "`listen[1]` must be an address with a port such as 127.0.0.1:8090, or the absolute path of a Unix socket (it is \"localhost:x\")",
        "`listen[2]` must be an address with a port such as 127.0.0.1:8090, or the absolute path of a Unix socket (it is \"relative/socket\")",
        "`listen[3]` must be a text in quotation marks (it is 5)",
        "`rules.a.scopes[0]` must be one scope such as `projects:read`; a list has each as a text of its own (it is \"a b\")",
        "`rules.a.scopes[1]` must not be empty",
        "`rules.a.projects[1]` must be the number of a project, from 0 to 4294967295 (it is -1)",
        "`rules.a.projects[2]` must be the number of a project, from 0 to 4294967295 (it is 99999999999)",
        "`rules.a.team` must be a text in quotation marks (it is 7)",
    ] {
        assert!(
            mistakes.lines().any(|line| line == mistake),
            "{mistake}\n{mistakes}"
        );
    }
    assert_eq!(mistakes.lines().count(), 9, "{mistakes}");
}

#[test]
fn a_token_file_contains_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{}[rules.a]", complete(folder.path()));
    for content in ["", "\n", "hunter2", "a.b", "a.b.c", "e30.e30.AA"] {
        std::fs::write(folder.path().join("token"), content).unwrap();
        let mistakes = load(&text, &[]).unwrap_err();
        assert_eq!(
            mistakes, "`token_file` must name a file that contains a token of jeton",
            "{content}"
        );
    }
    std::fs::write(folder.path().join("token"), format!("jeton_{TOKEN}\r\n")).unwrap();
    load(&text, &[]).unwrap();
}

#[test]
fn a_snapshot_file_is_in_a_folder_that_exists() {
    let folder = tempfile::tempdir().unwrap();
    let within = |name: &str| folder.path().join(name).display().to_string();
    for (path, good) in [
        (within("snapshot"), true),
        ("snapshot".to_owned(), true),
        (within("absent/snapshot"), false),
        (within("token/snapshot"), false),
        (within(""), false),
        ("/".to_owned(), false),
    ] {
        let text = format!("{}snapshot_file = '{path}'\n[rules.a]", complete(folder.path()));
        match load(&text, &[]) {
            Ok(_) => assert!(good, "{path}"),
            Err(mistakes) => {
                assert!(
                    !good && mistakes.starts_with("`snapshot_file` must name a file in"),
                    "{mistakes}"
                );
            }
        }
    }
}

#[test]
fn no_requirement_is_empty_and_no_socket_is_named_twice() {
    let folder = tempfile::tempdir().unwrap();
    let complete = complete(folder.path());
    for (more, field) in [
        ("listen = []\n[rules.a]", "`listen` must not be an empty list"),
        (
            "listen = ['127.0.0.1:1', '/run/a', '127.0.0.1:1']\n[rules.a]",
            "`listen` must name 127.0.0.1:1 only once",
        ),
        (
            "listen = ['/run/a', '/run/a']\n[rules.a]",
            "`listen` must name /run/a only once",
        ),
        (
            "[rules.a]\nscopes = []",
            "`rules.a.scopes` must not be an empty list",
        ),
        (
            "[rules.a]\nprojects = []",
            "`rules.a.projects` must not be an empty list",
        ),
        (
            "[rules.a]\nteam = 'runners'",
            "`rules.a.team` must be the id of a team, which begins with `team-`",
        ),
        (
            "[rules.a]\nteam = 'team-'",
            "`rules.a.team` must be the id of a team",
        ),
    ] {
        let mistakes = load(&format!("{complete}{more}"), &[]).unwrap_err();
        assert!(mistakes.starts_with(field), "{more}\n{mistakes}");
        assert_eq!(mistakes.lines().count(), 1, "{mistakes}");
    }
    for rule in ["a=", "a=b,", "a=,b"] {
        let mistakes = load(&complete, &["--rule", rule]).unwrap_err();
        assert!(mistakes.starts_with("`rules.a.scopes["), "{rule}: {mistakes}");
        assert!(mistakes.ends_with("must not be empty"), "{rule}: {mistakes}");
    }
}

#[test]
fn settings_that_exclude_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let complete = complete(folder.path());
    let without_token: String = complete
        .lines()
        .filter(|line| !line.starts_with("token"))
        .map(|line| format!("{line}\n"))
        .collect();
    let slow = without_token.replace("10s", "2m");
    for (text, mistake) in [
        (
            format!("{without_token}status_lists_only = true\n[rules.a]"),
            "`max_staleness` must be at least 2m with `status_lists_only`",
        ),
        (
            format!(
                "{}status_lists_only = true\n[rules.a]",
                complete.replace("10s", "2m")
            ),
            "`status_lists_only` cannot be used with `token_file`",
        ),
        (format!("{without_token}[rules.a]"), "`token_file` is missing"),
        (
            format!("{slow}status_lists_only = true\nreport_usage = true\n[rules.a]"),
            "`report_usage` needs `token_file`",
        ),
        (complete.clone(), "`rules` is missing"),
        (format!("{complete}rules = 7"), "`rules` must be tables"),
        (format!("{complete}[rules]\na = 7"), "`rules.a` must be a table"),
    ] {
        let mistakes = load(&text, &[]).unwrap_err();
        assert!(mistakes.starts_with(mistake), "{mistakes}");
        assert_eq!(mistakes.lines().count(), 1, "{mistakes}");
    }
    load(&format!("{slow}status_lists_only = true\n[rules.a]"), &[]).unwrap();
}

#[test]
fn times_have_bounds_which_are_named_in_their_largest_unit() {
    let folder = tempfile::tempdir().unwrap();
    let complete = complete(folder.path());
    for (leeway, good) in [
        ("0s", true),
        ("5m", true),
        ("300s", true),
        ("301s", false),
        ("1h", false),
    ] {
        match load(&format!("{complete}leeway = '{leeway}'\n[rules.a]"), &[]) {
            Ok(_) => assert!(good, "{leeway}"),
            Err(mistakes) => assert!(!good && mistakes.contains(" from 0s to 5m (it is "), "{mistakes}"),
        }
    }
    for (bound, good) in [("6s", false), ("7s", true), ("7d", true), ("169h", false)] {
        match load(&format!("{}[rules.a]", complete.replace("10s", bound)), &[]) {
            Ok(_) => assert!(good, "{bound}"),
            Err(mistakes) => assert!(!good && mistakes.contains(" from 7s to 7d (it is "), "{mistakes}"),
        }
    }
}

#[test]
fn an_introspection_token_is_long_and_stays_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let name = format!("introspection_token_file = '{}'\n", path.display());
    let load_with = |secret: &str, more: &str| {
        std::fs::write(&path, secret).unwrap();
        load(&format!("{}{name}{more}[rules.a]", complete(folder.path())), &[])
    };
    let good = "0123456789abcdef0123456789abcdef";
    for secret in [good.to_owned(), format!("{good}\n"), format!("{good}\r\n")] {
        let config = load_with(&secret, "").unwrap();
        assert_eq!(**config.introspection_token.as_ref().unwrap(), *good);
    }
    for secret in [
        "",
        "short\n",
        "0123456789abcdef 0123456789abcdef\n",
        &format!("{good}\n{good}\n"),
    ] {
        let mistakes = load_with(secret, "").unwrap_err();
        assert!(
            mistakes.starts_with("`introspection_token_file` must contain"),
            "{mistakes}"
        );
        assert!(secret.is_empty() || !mistakes.contains(secret.trim()));
    }
    let mistakes = load_with(good, "listen = '0.0.0.0:8090'\n").unwrap_err();
    assert!(mistakes.contains("needs `listen` on loopback"), "{mistakes}");
}

#[test]
fn an_issuer_is_a_plain_url() {
    for (text, good) in [
        ("http://127.0.0.1:8080", true),
        ("https://example.com/jeton", true),
        ("https://example.com/", false),
        ("https://me@example.com", false),
        ("https://example.com?a=b", false),
        ("https://example.com?", false),
        ("https://example.com#a", false),
        ("ftp://example.com", false),
        ("example.com", false),
        ("", false),
    ] {
        assert_eq!(url(Value::String(text.to_owned())).is_ok(), good, "{text}");
    }
}
