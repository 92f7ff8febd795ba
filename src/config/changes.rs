//! Which settings a reload applies at once, and which need a restart. Apart from the settings themselves, so that the
//! whole list stands in one place; a test compares it with the settings that are read and with docs/operations.md.

use super::Config;

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
}

impl Comparison {
    /// Returns whether two configurations differ in the setting.
    pub fn differs(&self, one: &Config, other: &Config) -> bool {
        (self.differs)(one, other)
    }
}

/// Compares one field of two configurations.
macro_rules! compare {
    ($name:literal, $effect:ident, $($field:tt)+) => {
        Comparison {
            name: $name,
            effect: Effect::$effect,
            differs: |one, other| one.$($field)+ != other.$($field)+,
        }
    };
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
    compare!("postgresql.stale_after", AtRestart, postgres.stale_after),
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
    compare!("audit.retention", AtOnce, audit.retention),
    compare!("audit.checkpoints", AtRestart, audit.checkpoints),
    compare!("keys.folder", AtRestart, keys.folder),
    compare!(
        "keys.key_encryption_key_file",
        AtRestart,
        keys.key_encryption_key.as_ref().map(|file| &file.path)
    ),
    compare!("keys.algorithm", AtOnce, keys.algorithm),
    // The promise how long the JWKS may be cached is made at the start.
    compare!("keys.jwks_max_age", AtRestart, keys.jwks_max_age),
    compare!("keys.rotate_every", AtOnce, keys.rotate_every),
    compare!("tokens.prefix", AtOnce, tokens.prefix),
    compare!("tokens.default_audience", AtOnce, tokens.default_audience),
    compare!("tokens.default_lifetime", AtOnce, tokens.default_lifetime),
    compare!("tokens.record_addresses", AtOnce, tokens.record_addresses),
    compare!("tokens.retention", AtOnce, tokens.retention),
    compare!("tokens.cached", AtRestart, tokens.cached),
    compare!("sessions.lifetime", AtOnce, session_lifetime),
    compare!("people.consent", AtOnce, consent),
    compare!("scopes.available", AtOnce, catalogue.scopes()),
    compare!("presets", AtOnce, catalogue.presets()),
    compare!("limits.max_connections", AtOnce, limits.max_connections),
    compare!("limits.max_streams", AtRestart, limits.max_streams),
    compare!("limits.header_timeout", AtOnce, limits.header_timeout),
    compare!("limits.body_timeout", AtOnce, limits.body_timeout),
    compare!("limits.idle_timeout", AtOnce, limits.idle_timeout),
    compare!("limits.drain_deadline", AtOnce, limits.drain_deadline),
    compare!("quotas.tokens_per_owner", AtOnce, quotas.tokens_per_owner),
    compare!(
        "quotas.organizations_per_person",
        AtOnce,
        quotas.organizations_per_person
    ),
    compare!("quotas.teams", AtOnce, quotas.teams),
    compare!("quotas.projects", AtOnce, quotas.projects),
    compare!("quotas.members", AtOnce, quotas.members),
    compare!("quotas.sessions", AtOnce, quotas.sessions),
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

    #[test]
    fn every_setting_of_the_file_has_an_effect() {
        let mistakes = MistakeLog::default();
        let process = Process {
            environment: &|_| None,
            mistakes: &mistakes,
        };
        let file = File::new(Path::new("jeton.toml"), "", &mistakes);
        Config::read(Flags::default(), process, &file);
        let listed: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.name.to_owned()).collect();
        assert_eq!(listed.len(), SETTINGS.len(), "a setting is listed twice");
        let read: BTreeSet<_> = file.known_names().into_iter().map(whole_rate).collect();
        assert_eq!(
            read, listed,
            "list each setting in src/config/changes.rs, with what a reload does"
        );
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
    fn a_changed_setting_is_found_by_its_name() {
        let read = |text: &str| {
            let mistakes = MistakeLog::default();
            let process = Process {
                environment: &|_| None,
                mistakes: &mistakes,
            };
            let file = File::new(Path::new("jeton.toml"), text, &mistakes);
            let config = Config::read(Flags::default(), process, &file);
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
            changed("rate_limits.per_caller.per_second = 1", ""),
            ["rate_limits.per_caller"]
        );
    }
}
