//! Which settings a reload applies at once, which need a restart, and which all servers of a deployment share. Apart from
//! the settings themselves, so that the whole list stands in one place; tests compare it with the settings that are read
//! and with docs/operations.md.

use std::fmt::Display;
use std::path::Path;

use jeton_core::directory::Consent;
use jeton_core::token::lifetime::Span;
use jeton_core::token::scope::{Label, Scope};
use jeton_store::StoredSettings;

use super::{Config, Flags, Mistakes, Prefix};

/// When a changed setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// At a reload.
    AtOnce,
    /// At the next start.
    AtRestart,
}

/// A setting, and how two configurations differ in it.
#[derive(Debug)]
pub struct Comparison {
    /// The name in the file.
    pub name: &'static str,
    /// When a change takes effect.
    pub effect: Effect,
    differs: fn(&Config, &Config) -> bool,
    /// The value in TOML, if it has one, of a setting that all servers share; `None` for one of each server.
    shown: Option<fn(&Config) -> Option<String>>,
}

impl Comparison {
    /// Returns whether two configurations differ in the setting.
    pub fn differs(&self, one: &Config, other: &Config) -> bool {
        (self.differs)(one, other)
    }

    /// Returns whether all servers of a deployment share the setting: with PostgreSQL it is in the database.
    pub fn is_shared(&self) -> bool {
        self.shown.is_some()
    }

    /// Returns the value of a setting that all servers share, in TOML; `None` if it has none.
    pub fn shown(&self, config: &Config) -> Option<String> {
        self.shown.and_then(|shown| shown(config))
    }
}

/// Returns the setting that all servers share with this name.
pub fn shared(name: &str) -> Option<&'static Comparison> {
    SETTINGS
        .iter()
        .find(|setting| setting.is_shared() && setting.name == name)
}

/// Returns those that all servers share and that are not at their defaults, each as a value in TOML.
///
/// # Errors
///
/// None: the defaults are without mistakes.
pub fn stored(config: &Config) -> Result<StoredSettings, Mistakes> {
    let default = Config::of_text(Path::new(""), "", Flags::default(), &|_| None)?;
    let changed = SETTINGS
        .iter()
        .filter(|setting| setting.differs(config, &default));
    let values = changed.filter_map(|setting| Some((setting.name.to_owned(), setting.shown(config)?)));
    Ok(values.collect())
}

/// Compares one field of two configurations.
macro_rules! compare {
    ($name:literal, $effect:ident, $($field:tt)+) => {
        Comparison {
            name: $name,
            effect: Effect::$effect,
            differs: |one, other| one.$($field)+ != other.$($field)+,
            shown: None,
        }
    };
}

/// Compares one field of two configurations, which all servers share, and shows its value in TOML.
macro_rules! shared {
    ($name:literal, $effect:ident, $show:expr, $($field:tt)+) => {
        Comparison {
            shown: Some(|config| $show(&config.$($field)+)),
            ..compare!($name, $effect, $($field)+)
        }
    };
}

/// Returns a text in TOML.
fn text(value: impl Display) -> Option<String> {
    Some(toml::Value::String(value.to_string()).to_string())
}

/// Returns a number or a truth value in TOML.
fn plain(value: &impl Display) -> Option<String> {
    Some(value.to_string())
}

fn optional<T: Display>(value: &Option<T>) -> Option<String> {
    value.as_ref().and_then(text)
}

fn seconds(value: u64) -> Option<String> {
    match Span::from_seconds(value) {
        Some(span) => text(span),
        None => text(format_args!("{value}s")),
    }
}

fn consent(value: &Consent) -> Option<String> {
    text(match value {
        Consent::Required => "required",
        Consent::Waived => "waived",
    })
}

fn scopes(values: &[Scope]) -> String {
    let names: Vec<_> = values.iter().filter_map(text).collect();
    format!("[{}]", names.join(", "))
}

/// Returns a value in TOML, or a table with it as `field` if it has a title or a description.
fn labelled(field: &str, value: String, label: &Label) -> String {
    let labels = [("title", &label.title), ("description", &label.description)];
    let labels = labels.into_iter().filter_map(|(field, line)| {
        let line = text(line.as_ref()?.as_ref())?;
        Some(format!(", {field} = {line}"))
    });
    match labels.collect::<String>() {
        none if none.is_empty() => value,
        labels => format!("{{ {field} = {value}{labels} }}"),
    }
}

/// All settings of the file.
pub const SETTINGS: &[Comparison] = &[
    compare!("listen", AtRestart, listen),
    compare!("database", AtRestart, database),
    compare!("postgresql.password_file", AtRestart, postgres.password_file),
    compare!("postgresql.ca", AtRestart, postgres.ca),
    compare!(
        "postgresql.certificate",
        AtRestart,
        postgres.certificate.as_ref().map(|files| &files.certificate)
    ),
    compare!(
        "postgresql.key",
        AtRestart,
        postgres.certificate.as_ref().map(|files| &files.key)
    ),
    Comparison {
        // A database file has one server, and no leases.
        shown: Some(|config| {
            let stale_after = config.postgres.stale_after.as_secs();
            config.database.file().is_none().then(|| seconds(stale_after))?
        }),
        ..compare!("postgresql.stale_after", AtRestart, postgres.stale_after)
    },
    compare!("postgresql.journal", AtRestart, postgres.journal),
    compare!("issuer", AtRestart, issuer),
    compare!("trusted_proxies", AtOnce, trusted_proxies),
    // The files themselves are looked at all the time.
    compare!(
        "tls.certificate",
        AtRestart,
        tls.as_ref().map(|files| &files.certificate)
    ),
    compare!("tls.key", AtRestart, tls.as_ref().map(|files| &files.key)),
    compare!("log.format", AtRestart, log.format),
    compare!("log.requests", AtOnce, log.requests),
    compare!("metrics.listen", AtRestart, metrics_listen),
    compare!(
        "backup.every",
        AtRestart,
        backups.as_ref().map(|backups| backups.every)
    ),
    compare!(
        "backup.keep",
        AtRestart,
        backups.as_ref().map(|backups| backups.keep)
    ),
    compare!(
        "backup.folder",
        AtRestart,
        backups.as_ref().map(|backups| &backups.folder)
    ),
    compare!("journal.copy", AtRestart, journal_copy),
    shared!("audit.retention", AtOnce, text, audit.retention),
    compare!("audit.checkpoints", AtRestart, audit.checkpoints),
    compare!("keys.folder", AtRestart, keys.folder),
    compare!(
        "keys.key_encryption_key_file",
        AtRestart,
        keys.key_encryption_key.as_ref().map(|file| &file.path)
    ),
    shared!("keys.algorithm", AtOnce, text, keys.algorithm),
    // The promise how long the JWKS may be cached is made at the start.
    shared!(
        "keys.jwks_max_age",
        AtRestart,
        |value: &u32| seconds((*value).into()),
        keys.jwks_max_age
    ),
    shared!("keys.rotate_every", AtOnce, optional, keys.rotate_every),
    shared!(
        "tokens.prefix",
        AtOnce,
        |value: &Option<Prefix>| value.as_ref().and_then(|value| text(value.as_str())),
        tokens.prefix
    ),
    shared!(
        "tokens.default_audience",
        AtOnce,
        optional,
        tokens.default_audience
    ),
    shared!("tokens.default_lifetime", AtOnce, text, tokens.default_lifetime),
    shared!("tokens.record_addresses", AtOnce, plain, tokens.record_addresses),
    shared!("tokens.retention", AtOnce, text, tokens.retention),
    compare!("tokens.cached", AtRestart, tokens.cached),
    shared!("sessions.lifetime", AtOnce, text, session_lifetime),
    shared!("people.consent", AtOnce, consent, consent),
    Comparison {
        shown: Some(|config| {
            let scopes = config.catalogue.grantable_by_default();
            let each = scopes
                .filter_map(|scope| Some(labelled("name", text(scope)?, &config.catalogue.label(scope))));
            Some(format!("[{}]", each.collect::<Vec<_>>().join(", ")))
        }),
        name: "scopes.available",
        effect: Effect::AtOnce,
        differs: |one, other| {
            let [one, other] = [one, other].map(|config| &config.catalogue);
            (one.scopes(), one.labels()) != (other.scopes(), other.labels())
        },
    },
    Comparison {
        shown: Some(|config| {
            let presets = config.catalogue.presets().iter();
            let each = presets.map(|preset| {
                let value = labelled("scopes", scopes(preset.scopes()), preset.label());
                format!("{} = {value}", preset.name())
            });
            Some(format!("{{ {} }}", each.collect::<Vec<_>>().join(", ")))
        }),
        ..compare!("presets", AtOnce, catalogue.presets())
    },
    compare!("limits.max_connections", AtOnce, limits.max_connections),
    compare!("limits.max_streams", AtRestart, limits.max_streams),
    compare!("limits.header_timeout", AtOnce, limits.header_timeout),
    compare!("limits.body_timeout", AtOnce, limits.body_timeout),
    compare!("limits.idle_timeout", AtOnce, limits.idle_timeout),
    compare!("limits.drain_deadline", AtOnce, limits.drain_deadline),
    shared!("quotas.tokens_per_owner", AtOnce, plain, quotas.tokens_per_owner),
    shared!(
        "quotas.organizations_per_person",
        AtOnce,
        plain,
        quotas.organizations_per_person
    ),
    shared!("quotas.teams", AtOnce, plain, quotas.teams),
    shared!("quotas.projects", AtOnce, plain, quotas.projects),
    shared!("quotas.members", AtOnce, plain, quotas.members),
    shared!("quotas.sessions", AtOnce, plain, quotas.sessions),
    compare!("rate_limits.per_caller", AtOnce, rate_limits.per_caller),
    compare!("rate_limits.per_address", AtOnce, rate_limits.per_address),
];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::super::file::File;
    use super::super::setting::{Flags, MistakeLog, Process};
    use super::*;

    fn with(effect: Effect) -> BTreeSet<&'static str> {
        let settings = SETTINGS.iter().filter(|setting| setting.effect == effect);
        settings.map(|setting| setting.name).collect()
    }

    fn names<'a>(settings: impl Iterator<Item = &'a Comparison>) -> BTreeSet<String> {
        settings.map(|setting| setting.name.to_owned()).collect()
    }

    /// Returns the settings that are read of the file and of the database.
    fn read_of(text: &str) -> [BTreeSet<String>; 2] {
        let mistakes = MistakeLog::default();
        let process = Process {
            environment: &|_| None,
            mistakes: &mistakes,
        };
        let file = File::new(Path::new("jeton.toml"), text, &mistakes);
        let stored = File::stored("", &mistakes);
        Config::read(Flags::default(), process, &file, &stored);
        [file, stored].map(|file| file.known_names().into_iter().map(whole_rate).collect())
    }

    #[test]
    fn every_setting_of_the_file_has_an_effect() {
        let listed = names(SETTINGS.iter());
        assert_eq!(listed.len(), SETTINGS.len(), "a setting is listed twice");
        let [of_file, of_database] = read_of("");
        let read = of_file.union(&of_database).cloned().collect();
        assert_eq!(
            listed, read,
            "list each setting in src/config/changes.rs, with what a reload does"
        );
    }

    #[test]
    fn with_postgresql_the_settings_of_all_servers_are_read_of_the_database_alone() {
        let (shared, own): (Vec<_>, Vec<_>) = SETTINGS.iter().partition(|setting| setting.is_shared());
        let read = read_of("database = 'postgres://localhost/jeton'");
        assert_eq!(read, [names(own.into_iter()), names(shared.into_iter())]);
    }

    /// The two numbers of a rate are one setting.
    fn whole_rate(name: String) -> String {
        let rate = name.strip_suffix(".per_second").or(name.strip_suffix(".burst"));
        rate.map(str::to_owned).unwrap_or(name)
    }

    #[test]
    fn the_documentation_lists_each_setting_with_its_effect() {
        let text = include_str!("../../docs/operations.md");
        for (title, effect) in [
            ("| at once |", Effect::AtOnce),
            ("| at a restart |", Effect::AtRestart),
        ] {
            let line = text.lines().find(|line| line.starts_with(title)).unwrap();
            // Every second part stands between backquotes.
            let documented: BTreeSet<_> = line.split('`').skip(1).step_by(2).collect();
            assert_eq!(documented, with(effect), "{title}");
        }
    }

    #[test]
    fn the_documentation_lists_the_settings_that_all_servers_share() {
        let text = include_str!("../../docs/operations.md");
        let line = text.lines().find(|line| line.starts_with("| in the database |"));
        let documented: BTreeSet<_> = line
            .unwrap()
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        let shared = SETTINGS.iter().filter(|setting| setting.is_shared());
        assert_eq!(documented, names(shared));
    }

    #[test]
    fn a_changed_setting_is_found_by_its_name() {
        let read = |text: &str| {
            let mistakes = MistakeLog::default();
            let process = Process {
                environment: &|_| None,
                mistakes: &mistakes,
            };
            let file = File::new(Path::new("jeton.toml"), text, &mistakes);
            let none = File::stored("", &mistakes);
            let config = Config::read(Flags::default(), process, &file, &none);
            mistakes.or_mistakes(config).unwrap()
        };
        let changed = |one: &str, other: &str| -> Vec<_> {
            let (one, other) = (read(one), read(other));
            let changed = SETTINGS.iter().filter(|setting| setting.differs(&one, &other));
            changed.map(|setting| setting.name).collect()
        };
        assert_eq!(changed("", ""), [""; 0]);
        assert_eq!(changed("", "listen = '127.0.0.1:8080'"), [""; 0], "the default");
        assert_eq!(
            changed("quotas.teams = 1", "quotas.teams = 2\npeople.consent = 'waived'"),
            ["people.consent", "quotas.teams"]
        );
        assert_eq!(
            changed("presets.one = ['ai:use']", "presets.one = ['content:write']"),
            ["presets"]
        );
        assert_eq!(
            changed(
                "scopes.available = ['a:b']",
                "scopes.available = [{ name = 'a:b', title = 'A' }]"
            ),
            ["scopes.available"]
        );
        assert_eq!(
            changed(
                "presets.one = ['ai:use']",
                "presets.one = { scopes = ['ai:use'], title = 'A' }"
            ),
            ["presets"]
        );
        assert_eq!(
            changed("rate_limits.per_caller.per_second = 1", ""),
            ["rate_limits.per_caller"]
        );
    }
}
