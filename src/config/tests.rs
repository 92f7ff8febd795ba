#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::ffi::OsString;
use std::path::Path;

use super::*;
use jeton_core::text::Line;
use jeton_core::token::{Label, Scope};
use jeton_store::Versioned;

/// Loads a configuration of a file with this text, these variables and these flags.
fn load(text: &str, variables: &[(&str, &str)], flags: Flags) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jeton.toml");
    std::fs::write(&file, text).unwrap();
    let environment = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| OsString::from(value))
    };
    let flags = Flags {
        config: Some(flags.config.unwrap_or_else(|| file.clone())),
        ..flags
    };
    Config::load(flags, &environment).map_err(|mistakes| {
        let sentences = mistakes.iter().map(ToString::to_string);
        sentences
            .map(|text| text.replace(&*file.to_string_lossy(), "jeton.toml"))
            .collect()
    })
}

fn file(text: &str) -> Result<Config, Vec<String>> {
    load(text, &[], Flags::default())
}

fn mistake(text: &str) -> String {
    let mut mistakes = file(text).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
    mistakes.remove(0)
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = file("").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database.file(), Some(Path::new("jeton.db")));
    assert_eq!(config.keys.folder, Path::new("keys"));
    assert_eq!(config.keys.algorithm, Algorithm::Es256);
    assert_eq!((config.keys.jwks_max_age, config.keys.rotate_every), (300, None));
    assert_eq!(config.issuer, None);
    assert_eq!(config.tokens.default_lifetime.to_string(), "365d");
    assert_eq!(config.tokens.retention.to_string(), "30d");
    assert_eq!(config.session_lifetime.to_string(), "12h");
    assert_eq!(config.consent, Consent::Required);
    assert_eq!(config.catalogue, Catalogue::standard());
    assert_eq!(config.limits, Limits::STANDARD);
    assert_eq!(config.rate_limits, RateLimits::default());
    assert_eq!(config.metrics_listen, None);
    assert_eq!((config.backups, config.journal_copy), (None, None));
    assert_eq!(config.tls, None);
    assert_eq!(config.log.filter, "info");
    assert_eq!(
        (config.log.format, config.log.requests),
        (LogFormat::Text, LogRequests::Failed)
    );
}

#[test]
fn everything_can_be_set() {
    let config = file(
        r#"
        listen = "[::1]:0"
        database = "/var/lib/jeton/jeton.db"
        issuer = "https://tokens.example.com"
        trusted_proxies = ["10.0.0.0/8", "fd00::/8"]

        [tls]
        certificate = "chain.pem"
        key = "tls.pem"

        [keys]
        folder = "/var/lib/jeton/keys"
        algorithm = "EdDSA"
        jwks_max_age = "10m"
        rotate_every = "30d"

        [tokens]
        prefix = "jeton_"
        default_audience = "https://api.example.com"
        default_lifetime = "never"
        record_addresses = true
        cached = 5000
        retention = "7d"

        [sessions]
        lifetime = "8h"

        [people]
        consent = "waived"

        [scopes]
        available = ["mail:send", "mail:read"]

        [presets]
        reader = ["mail:read"]

        [limits]
        max_connections = 0x1_0000
        max_streams = 10000
        header_timeout = "5s"
        body_timeout = "6s"
        idle_timeout = "2m"
        drain_deadline = "9s"

        [quotas]
        tokens_per_owner = 4_000_000_000
        organizations_per_person = 2
        teams = 3
        projects = 4
        members = 5
        sessions = 6

        [log]
        format = "json"
        requests = "all"

        [metrics]
        listen = "127.0.0.1:9464"

        [backup]
        every = "12h"
        keep = 14
        folder = "/mnt/backup/jeton"

        [journal]
        copy = "/mnt/other/jeton"

        [rate_limits]
        per_caller = { per_second = 20, burst = 40 }
        per_address.per_second = 5
        "#,
    )
    .unwrap();
    assert_eq!(config.listen.to_string(), "[::1]:0");
    assert_eq!(config.issuer.unwrap().as_str(), "https://tokens.example.com");
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!(config.keys.algorithm, Algorithm::EdDsa);
    assert_eq!(config.keys.jwks_max_age, 600);
    assert_eq!(config.keys.rotate_every, Span::from_days(30));
    assert_eq!(config.tokens.prefix.unwrap().as_str(), "jeton_");
    assert_eq!(
        config.tokens.default_audience.as_deref(),
        Some("https://api.example.com")
    );
    assert_eq!(config.tokens.default_lifetime, Lifetime::Never);
    assert!(config.tokens.record_addresses);
    assert_eq!(config.tokens.cached, 5000);
    assert_eq!(config.tokens.retention.to_string(), "7d");
    assert_eq!(config.session_lifetime.seconds(), 28_800);
    assert_eq!(config.consent, Consent::Waived);
    let own: Vec<_> = config
        .catalogue
        .grantable_by_default()
        .map(ToString::to_string)
        .collect();
    assert_eq!(own, ["mail:send", "mail:read"]);
    let presets: Vec<_> = config
        .catalogue
        .presets()
        .iter()
        .map(|preset| &**preset.name())
        .collect();
    assert_eq!(
        presets,
        ["reader"],
        "the standard preset went with the standard catalogue"
    );
    assert_eq!(config.limits.max_connections, 65_536);
    assert_eq!(config.limits.max_streams, 10_000);
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(120));
    let quotas = Quotas {
        tokens_per_owner: 4_000_000_000,
        organizations_per_person: 2,
        teams: 3,
        projects: 4,
        members: 5,
        sessions: 6,
    };
    assert_eq!(config.quotas, quotas);
    let rate = |per_second, burst| {
        let [per_second, burst] = [per_second, burst].map(|number| NonZeroU32::new(number).unwrap());
        Some(Rate { per_second, burst })
    };
    assert_eq!(
        config.metrics_listen,
        Some(SocketAddr::from(([127, 0, 0, 1], 9464)))
    );
    let backups = Backups {
        every: Span::HALF_A_DAY,
        keep: 14,
        folder: "/mnt/backup/jeton".into(),
    };
    assert_eq!(config.backups, Some(backups));
    assert_eq!(
        config.journal_copy.as_deref(),
        Some(Path::new("/mnt/other/jeton"))
    );
    let tls = config.tls.unwrap();
    assert_eq!(tls.certificate, Path::new("chain.pem"));
    assert_eq!(tls.key, Path::new("tls.pem"));
    assert_eq!(
        (config.log.format, config.log.requests),
        (LogFormat::Json, LogRequests::All)
    );
    assert_eq!(config.rate_limits.per_caller, rate(20, 40));
    assert_eq!(config.rate_limits.per_address, rate(5, 5));
}

#[test]
fn backups_need_an_interval_and_a_folder() {
    let needed = "must have `every`, the time between two backups, and `folder`, where they are";
    for text in ["keep = 3", "every = '1d'", "folder = 'backups'"] {
        let said = mistake(&format!("[backup]\n{text}"));
        assert_eq!(said, format!("`backup` in `jeton.toml` (line 1) {needed}"));
    }
    let backups = file("[backup]\nevery = '1m'\nfolder = 'b'")
        .unwrap()
        .backups
        .unwrap();
    assert_eq!(backups.keep, 7);
    let kept = mistake("[backup]\nevery = '1d'\nfolder = 'b'\nkeep = 0");
    assert_eq!(
        kept,
        "`backup.keep` in `jeton.toml` (line 4) must be a number from 1 to 1000000 (it is 0)"
    );
    let every = mistake("[backup]\nevery = '59s'\nfolder = 'b'");
    assert_eq!(
        every,
        "`backup.every` in `jeton.toml` (line 2) must be at least 1 minute (it is \"59s\")"
    );
    let every = mistake("[backup]\nevery = '7d'\nfolder = 'b'\n[tokens]\nretention = '7d'");
    assert_eq!(
        every,
        "`backup.every` in `jeton.toml` (line 2) must be shorter than `tokens.retention`: no older backup can be \
         completed (it is \"7d\")"
    );
    let folder = mistake("[journal]\ncopy = ''");
    assert_eq!(
        folder,
        "`journal.copy` in `jeton.toml` (line 2) must be the path of a folder"
    );
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let text = "listen = '127.0.0.1:1'\ndatabase = 'file.db'\nissuer = 'https://file.example'";
    let variables = [
        ("JETON_LISTEN", "127.0.0.1:2"),
        ("JETON_DATABASE", "variable.db"),
        ("JETON_ISSUER", ""),
        ("JETON_KEYS", "variable"),
    ];
    let flags = Flags {
        listen: Some("127.0.0.1:3".to_owned()),
        keys: Some("flag".into()),
        ..Flags::default()
    };
    let config = load(text, &variables, flags).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.keys.folder, Path::new("flag"));
    assert_eq!(config.database.file(), Some(Path::new("variable.db")));
    assert_eq!(
        config.issuer.unwrap().as_str(),
        "https://file.example",
        "an empty variable is none"
    );
}

#[test]
fn keys_rotate_no_faster_than_jwks_copies_expire() {
    for (text, problem) in [
        ("rotate_every = \"1m\"", "must be at least `keys.jwks_max_age`"),
        (
            "jwks_max_age = \"1h\"\nrotate_every = \"59m\"",
            "must be at least",
        ),
        ("jwks_max_age = \"0s\"", "must be a positive whole number"),
        ("jwks_max_age = \"25h\"", "must be at most 1 day"),
    ] {
        let mistakes = file(&format!("[keys]\n{text}")).unwrap_err();
        assert!(
            matches!(mistakes.as_slice(), [only] if only.contains(problem)),
            "{mistakes:?}"
        );
    }
    let second = file("[keys]\njwks_max_age = \"1s\"\nrotate_every = \"1s\"").unwrap();
    assert_eq!(second.keys.jwks_max_age, 1);
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line() {
    let text = r#"listen = 8080
databse = "x"
issuer = "https://example.com/"
trusted_proxies = ["10.0.0.1/8",
  "everyone"]
[keys]
algorithm = "HS256"
[tokens]
prefix = "no"
default_lifetime = "forever"
lifetime = "1d"
[sessions]
lifetime = "never"
[scopes]
available = ["a:b", "a:b", "tokens:read", "nonsense", 5]
[presets]
empty = []
unknown = ["c:d"]
management = ["tokens:write"]
[limits]
max_connections = 0
idle_timeout = "2h"
drain_deadline = 5
[rate_limits]
per_caller = { burst = -1 }
[surprise]
"#;
    let variables = [
        ("JETON_ADMIN_EMAIL", "nobody"),
        ("JETON_ADMIN_PASSWORD", "short"),
        ("JETON_LOG", "a=b=c"),
    ];
    let flags = Flags {
        listen: Some("localhost".to_owned()),
        ..Flags::default()
    };
    let mistakes = load(text, &variables, flags).unwrap_err();
    insta::assert_snapshot!(mistakes.join("\n"), @r#"
    the flag `--listen` must be an IP address and a port such as 127.0.0.1:8080 (it is "localhost")
    the variable `JETON_ADMIN_EMAIL` is not an e-mail address; expected the form name@example.com (it is "nobody")
    the variable `JETON_ADMIN_PASSWORD` is refused: a password must have at least 8 characters
    the variable `JETON_LOG` must be a log filter such as info or jeton=debug (it is "a=b=c")
    `listen` in `jeton.toml` (line 1) must be a string in quotation marks, without invisible characters
    `databse` in `jeton.toml` (line 2) is not a setting; the settings here are audit, backup, database, issuer, journal, keys, limits, listen, log, metrics, people, postgresql, presets, quotas, rate_limits, scopes, sessions, tls, tokens, trusted_proxies
    `issuer` in `jeton.toml` (line 3) must not end with a slash (it is "https://example.com/")
    `trusted_proxies` in `jeton.toml` (line 4) must have no bits set beyond its prefix length (it is "10.0.0.1/8")
    `trusted_proxies` in `jeton.toml` (line 5) must be a network such as 10.0.0.0/8 (it is "everyone")
    `keys.algorithm` in `jeton.toml` (line 7) must be ES256, EdDSA or RS256 (it is "HS256")
    `tokens.prefix` in `jeton.toml` (line 9) must be 1 to 16 letters or digits followed by an underscore, such as jeton_ (it is "no")
    `tokens.default_lifetime` in `jeton.toml` (line 10) must be a positive whole number and a unit (s, m, h, d, w or y), such as 30d (it is "forever")
    `tokens.lifetime` in `jeton.toml` (line 11) is not a setting; the settings here are cached, default_audience, default_lifetime, prefix, record_addresses, retention
    `sessions.lifetime` in `jeton.toml` (line 13) must be a positive whole number and a unit (s, m, h, d, w or y), such as 30d (it is "never")
    `scopes.available` in `jeton.toml` (line 15) must be a string in quotation marks, or a table with `name`, `title` and `description`
    `scopes.available` in `jeton.toml` (line 15) must not contain `a:b` twice
    `scopes.available` in `jeton.toml` (line 15) must not contain `tokens:read`, a built-in scope
    `scopes.available` in `jeton.toml` (line 15) must be `resource:action`, at most 64 characters from a-z, 0-9, `_` and `-` (it is "nonsense")
    `presets.empty` in `jeton.toml` (line 17) must contain at least one scope
    `presets.unknown` in `jeton.toml` (line 18) must not contain `c:d`, which is not an available scope
    `presets.management` in `jeton.toml` (line 19) must not contain `tokens:write`, since management scopes are granted only by name
    `limits.max_connections` in `jeton.toml` (line 21) must be a number from 1 to 1000000 (it is 0)
    `limits.idle_timeout` in `jeton.toml` (line 22) must be at most 1 hour (it is "2h")
    `limits.drain_deadline` in `jeton.toml` (line 23) must be a string in quotation marks, without invisible characters
    `rate_limits.per_caller.burst` in `jeton.toml` (line 25) must be a whole number, 0 or greater
    `rate_limits.per_caller` in `jeton.toml` (line 25) must have `per_second`, the number of requests per second
    `surprise` in `jeton.toml` (line 26) is not a setting; the settings here are audit, backup, database, issuer, journal, keys, limits, listen, log, metrics, people, postgresql, presets, quotas, rate_limits, scopes, sessions, tls, tokens, trusted_proxies
    "#);
}

#[test]
fn a_file_that_is_not_toml_is_reported_by_line() {
    let mistakes = file("listen = \n[keys\nissuer = 'x' 'y'\n").unwrap_err();
    assert!(mistakes.len() > 1, "{mistakes:?}");
    assert!(
        mistakes.iter().all(|text| text.contains("is not TOML: ")),
        "{mistakes:?}"
    );
    assert!(
        mistakes
            .iter()
            .any(|text| text.starts_with("line 3 of `jeton.toml`")),
        "{mistakes:?}"
    );
}

#[test]
fn a_named_file_must_exist_and_the_default_one_need_not() {
    let flags = Flags {
        config: Some("/nowhere/jeton.toml".into()),
        ..Flags::default()
    };
    let mistakes = load("", &[], flags).unwrap_err();
    assert_eq!(mistakes.len(), 1);
    assert!(
        mistakes
            .concat()
            .starts_with("the file `/nowhere/jeton.toml` cannot be read: ")
    );

    // Unit tests run in the folder of the package, which has no jeton.toml.
    assert!(Config::load(Flags::default(), &|_| None).is_ok());
    let variable = |name: &str| (name == "JETON_CONFIG").then(|| OsString::from("/nowhere/jeton.toml"));
    assert!(Config::load(Flags::default(), &variable).is_err());
}

#[test]
fn tokens_cannot_have_the_audience_of_sessions() {
    let sentence =
        mistake("issuer = 'https://a.example'\ntokens.default_audience = 'https://a.example/session'");
    assert!(
        sentence.contains("must not be the audience of sessions"),
        "{sentence}"
    );
    let sentence = mistake("tokens.default_audience = 'http://127.0.0.1:8080/session'");
    assert!(
        sentence.contains("must not be the audience of sessions"),
        "{sentence}"
    );
    assert!(file("tokens.default_audience = 'https://b.example/session'").is_ok());
}

#[test]
fn no_text_of_the_file_holds_an_invisible_character() {
    for text in [r"\u0000", r"\u200b", r"\u202e"] {
        for setting in ["issuer", "database", "keys.folder", "tokens.default_audience"] {
            let sentence = mistake(&format!("{setting} = \"a{text}b\""));
            assert!(sentence.contains("without invisible characters"), "{sentence}");
        }
        let sentence = mistake(&format!("scopes.available = [\"a:b{text}\"]"));
        assert!(sentence.contains("without invisible characters"), "{sentence}");
    }
}

#[test]
fn configured_presets_use_the_standard_scopes() {
    let config = file("[presets]\nzebra = ['ai:use']\nant = ['content:write', 'ai:use']").unwrap();
    let names: Vec<_> = config
        .catalogue
        .presets()
        .iter()
        .map(|preset| &**preset.name())
        .collect();
    assert_eq!(names, ["zebra", "ant"], "in the order of the file");
}

#[test]
fn scopes_and_presets_have_titles_and_descriptions() {
    let config = file(
        r#"
        [scopes]
        available = [
            "mail:read",
            { name = "mail:send", title = "Send mail", description = "Send mail in the owner's name." },
            { name = "mail:drop" },
        ]
        [presets]
        reader = ["mail:read"]
        [presets.writer]
        scopes = ["mail:read", "mail:send"]
        title = "Read and send"
        "#,
    )
    .unwrap();
    let catalogue = config.catalogue;
    let own: Vec<_> = catalogue.grantable_by_default().map(Scope::as_str).collect();
    assert_eq!(own, ["mail:read", "mail:send", "mail:drop"]);
    let label = |title: Option<&'static str>, description: Option<&'static str>| Label {
        title: title.map(Line::from),
        description: description.map(Line::from),
    };
    let labels: Vec<_> = catalogue
        .grantable_by_default()
        .map(|scope| catalogue.label(scope))
        .collect();
    assert_eq!(
        labels,
        [
            label(None, None),
            label(Some("Send mail"), Some("Send mail in the owner's name.")),
            label(None, None),
        ]
    );
    let presets: Vec<_> = catalogue
        .presets()
        .iter()
        .map(|preset| (&**preset.name(), preset.scopes().len(), preset.label().clone()))
        .collect();
    assert_eq!(
        presets,
        [
            ("reader", 1, label(None, None)),
            ("writer", 2, label(Some("Read and send"), None))
        ]
    );
    assert!(
        !catalogue
            .label(&"tokens:read".parse().unwrap())
            .title
            .unwrap()
            .as_ref()
            .is_empty()
    );
}

#[test]
fn mistakes_in_titles_and_descriptions_are_told_by_their_fields() {
    let text = r#"
[scopes]
available = [
    { title = "no name" },
    { name = 5, title = 6 },
    { name = "a:b", tilte = "x", title = "" },
    { name = "c:d", description = "a\u0007b" },
    7,
]
[presets]
one = { title = "no scopes" }
two = { scopes = ["a:b", "x:y"], about = "z" }
three = "a:b"
"#;
    let mistakes = load(text, &[], Flags::default()).unwrap_err();
    insta::assert_snapshot!(mistakes.join("\n"), @r#"
    `scopes.available` in `jeton.toml` (line 4) must have `name`
    `scopes.available.title` in `jeton.toml` (line 5) must be a string in quotation marks, without invisible characters
    `scopes.available.name` in `jeton.toml` (line 5) must be a string in quotation marks, without invisible characters
    `scopes.available.tilte` in `jeton.toml` (line 6) is not a setting; the settings here are name, title, description
    `scopes.available.title` in `jeton.toml` (line 6) must have 1 to 100 characters (it is "")
    `scopes.available.description` in `jeton.toml` (line 7) must be a string in quotation marks, without invisible characters
    `scopes.available` in `jeton.toml` (line 8) must be a string in quotation marks, or a table with `name`, `title` and `description`
    `presets.one` in `jeton.toml` (line 11) must have `scopes`
    `presets.two.about` in `jeton.toml` (line 12) is not a setting; the settings here are scopes, title, description
    `presets.two.scopes` in `jeton.toml` (line 12) must not contain `x:y`, which is not an available scope
    `presets.three` in `jeton.toml` (line 13) must be a list of strings in square brackets, or a table with `scopes`, `title` and `description`
    "#);
    let long = "x".repeat(501);
    let sentence = mistake(&format!(
        "scopes.available = [{{ name = 'a:b', description = '{long}' }}]"
    ));
    assert!(sentence.contains("must have 1 to 500 characters"), "{sentence}");
}

#[test]
fn no_output_of_a_configuration_contains_the_password() {
    let variables = [("JETON_ADMIN_PASSWORD", "hunter2hunter2")];
    let config = load("", &variables, Flags::default()).unwrap();
    assert!(config.administrator.password.is_some());
    assert!(!format!("{config:?}").contains("hunter2"));
    let refused = load("", &[("JETON_ADMIN_PASSWORD", "hunter2")], Flags::default());
    let sentence = refused.unwrap_err().concat();
    assert!(!sentence.contains("hunter2"), "{sentence}");
}

const URL: &str =
    "postgres://jeton:hunter2@one,two:5433/tokens?target_session_attrs=read-write&sslmode=require";

#[test]
fn a_database_is_a_file_or_the_url_of_a_postgresql_database() {
    let config = file(&format!("database = '{URL}'")).unwrap();
    assert_eq!(config.database.to_string(), "postgres://one,two/tokens");
    assert_eq!(config.database.file(), None);
    assert_eq!(file("").unwrap().postgres.stale_after, Duration::from_secs(5));
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    for (text, problem) in [
        (
            "database = 'postgres://jeton:hunter2@one/t?ssl=on'",
            "must be the path of a file",
        ),
        (
            "database = 'postgres://jeton:hunter2@one'",
            "must name a host and a database",
        ),
        ("postgresql.ca = 'ca.pem'\n", "is for a PostgreSQL database"),
        (
            "database = 'postgres://one/t'\npostgresql.stale_after = '3s'",
            "run `jeton settings set postgresql.stale_after VALUE`",
        ),
        (
            "database = 'postgres://one/t'\npostgresql.key = 'k'",
            "must have both `certificate` and `key`",
        ),
    ] {
        let mistake = mistake(text);
        assert!(mistake.contains(problem), "{mistake}");
        assert!(!mistake.contains("hunter2"), "{mistake}");
    }
}

/// Returns a configuration on PostgreSQL with these settings in the database.
fn stored(settings: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config = file(&format!("database = '{URL}'\nquotas = {{}}\ntokens.cached = 7")).unwrap();
    config.with_stored(
        Flags::default(),
        &|_| None,
        &Versioned {
            value: settings.collect(),
            generation: Generation(9),
        },
    )
}

#[test]
fn settings_in_the_database_take_the_place_of_defaults() {
    let config = stored(&[
        ("tokens.prefix", "'acme_' # ours"),
        ("quotas.teams", "7"),
        ("postgresql.stale_after", "\"9s\""),
        ("tokens.of_a_later_version", "{}"),
    ])
    .unwrap();
    assert_eq!(config.tokens.prefix.unwrap().as_str(), "acme_");
    assert_eq!((config.quotas.teams, config.tokens.cached), (7, 7));
    assert_eq!(config.stored, Some(Generation(9)));
    assert_eq!(config.postgres.stale_after, Duration::from_secs(9));
    let mistakes = stored(&[("postgresql.stale_after", "'1s'"), ("quotas.teams", "'x'")]).unwrap_err();
    let mistakes: Vec<_> = mistakes.iter().collect();
    assert_eq!(
        mistakes,
        [
            "the setting `postgresql.stale_after` must be from 2 seconds to 1 minute (it is \"1s\")",
            "the setting `quotas.teams` must be a whole number, 0 or greater"
        ]
    );
}

#[test]
fn the_settings_of_postgresql_are_also_those_of_a_database_to_move_to() {
    let moving = |to: &str| Flags {
        move_to: Some(to.into()),
        ..Flags::default()
    };
    let text = "postgresql.ca = 'ca.pem'";
    let config = load(text, &[], moving(URL)).unwrap();
    assert_eq!(config.database.file(), Some(Path::new("jeton.db")));
    assert_eq!(config.move_to.unwrap().to_string(), "postgres://one,two/tokens");
    let mistakes = load(text, &[], moving("other.db")).unwrap_err();
    assert!(
        mistakes[0].contains("is for a PostgreSQL database"),
        "{mistakes:?}"
    );
    let mistakes = load("", &[], moving("postgres://jeton:hunter2@one")).unwrap_err();
    assert!(mistakes[0].contains("the flag `--to` must name"), "{mistakes:?}");
    assert!(!mistakes[0].contains("hunter2"), "{mistakes:?}");
}

#[test]
fn the_password_of_postgresql_is_in_its_url_or_in_a_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, "hunter3\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let named = [("JETON_DATABASE_PASSWORD_FILE", path.to_str().unwrap())];
    let load = |url: &str| load(&format!("database = '{url}'"), &named, Flags::default());
    let Database::Postgres(config) = load("postgres://jeton@one/t").unwrap().database else {
        panic!("a URL is PostgreSQL's");
    };
    assert_eq!(config.get_password(), Some(b"hunter3".as_slice()));
    let mistakes = load(URL).unwrap_err();
    assert!(
        mistakes[0].contains("must not be set together with a password"),
        "{mistakes:?}"
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mistakes = load("postgres://jeton@one/t").unwrap_err();
    assert!(mistakes[0].contains("is readable by other users"), "{mistakes:?}");
    assert!(!mistakes[0].contains("hunter3"), "{mistakes:?}");
}
