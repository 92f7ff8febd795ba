//! `jeton settings`: shows and sets the settings that all servers of a deployment share.

use std::fmt::Write;

use clap::Subcommand;

use super::deployment::Deployment;
use super::{Failure, output};
use crate::backend;
use crate::config::changes::{self, Effect, SETTINGS};
use crate::config::{Config, Database, Flags};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the settings that all servers share, as a TOML document, with those that are not set
    Show,
    /// Set one of them, with PostgreSQL; running servers follow within seconds, or at their next start
    Set {
        /// The name, such as tokens.prefix
        name: String,
        /// The value in TOML; a text needs no quotation marks
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Return one of them to its default
    Reset {
        /// The name
        name: String,
    },
}

pub(super) fn run(command: Command, flags: Flags) -> Result<(), Failure> {
    match command {
        Command::Show => output::print(&document(&*super::prepare_with_stored(flags)?)),
        Command::Set { name, value } => change(&name, Some(in_toml(value)), flags),
        Command::Reset { name } => change(&name, None, flags),
    }
}

/// Returns all settings that servers share: a configuration file with this text gives the same.
fn document(config: &Config) -> String {
    let shared = SETTINGS.iter().filter(|setting| setting.is_shared());
    let lines = shared.map(|setting| match setting.shown(config) {
        Some(value) => format!("{} = {value}", setting.name),
        None => format!("# {} is not set", setting.name),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns a value in TOML: what is none is a text.
fn in_toml(value: String) -> String {
    match value.trim().parse::<toml::Value>() {
        Ok(_) => value.trim().to_owned(),
        Err(_) => toml::Value::String(value).to_string(),
    }
}

fn change(name: &str, value: Option<String>, flags: Flags) -> Result<(), Failure> {
    let setting = match changes::shared(name) {
        Some(setting) => setting,
        None if SETTINGS.iter().any(|setting| setting.name == name) => {
            return Err(Failure::SettingOfServer(name.to_owned()));
        }
        None => return Err(Failure::UnknownSetting(name.to_owned())),
    };
    let config = super::prepare(flags.clone())?;
    if let Database::File(_) = config.database {
        return Err(Failure::SettingsInFile(name.to_owned()));
    }
    super::runtime()?.block_on(async {
        // It creates the tables before the first start.
        let deployment = Deployment::existing(&config).await?;
        // This command signs no token, so the authority needs no issuer.
        let authority = deployment.authority(&config, String::new())?;
        let mut stored = backend::settings(&config).await?.unwrap_or_default();
        let before = stored.clone();
        match value.clone() {
            Some(value) => _ = stored.value.insert(name.to_owned(), value),
            None => _ = stored.value.remove(name),
        }
        let environment = &|name: &str| std::env::var_os(name);
        config.with_stored(flags, environment, &stored)?;
        if name == "postgresql.stale_after" {
            let servers = authority.operator_lists_nodes().await?.nodes;
            if servers.iter().any(|server| server.is_current) {
                return Err(Failure::ServersRun(name.to_owned()));
            }
        }
        if !authority.operator_sets(&before, name, value.clone()).await? {
            return Err(Failure::SettingsMoved);
        }
        let mut said = match value {
            Some(value) => format!("{name} = {value}"),
            None => format!("{name} is at its default"),
        };
        // Writing to a string does not fail.
        let _ = match setting.effect {
            Effect::AtOnce => write!(said, "\nrunning servers follow within seconds"),
            Effect::AtRestart => write!(said, "\nservers follow when they start again"),
        };
        output::print(&said)
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Config {
        Config::of_text(Path::new("jeton.toml"), text, Flags::default(), &|_| None).unwrap()
    }

    #[test]
    fn what_is_shown_gives_the_same_configuration() {
        for text in [
            "",
            "tokens.prefix = 'a_'\ntokens.default_lifetime = 'never'\npeople.consent = 'waived'\n\
             keys.rotate_every = '36h'\nkeys.algorithm = 'EdDSA'\ntokens.default_audience = 'a\"b\\c'\n\
             quotas.teams = 3\nscopes.available = ['z:a', 'b:c']\npresets = { z = ['b:c', 'z:a'], a = ['b:c'] }",
            "scopes.available = ['z:a', { name = 'b:c', title = 'B \"c\"', description = 'Ü\\.' }, { name = 'd:e' }]\n\
             presets = { z = { scopes = ['b:c'], description = 'All' }, a = ['d:e'] }",
            "scopes.available = []",
        ] {
            let config = read(text);
            let shown = document(&config);
            let again = read(&shown);
            for setting in SETTINGS {
                assert!(!setting.differs(&config, &again), "{}: {shown}", setting.name);
            }
        }
    }

    #[test]
    fn a_value_is_toml_or_a_text() {
        for (given, stored) in [
            ("acme_", "\"acme_\""),
            ("\"acme_\"", "\"acme_\""),
            ("30d", "\"30d\""),
            (" 5 ", "5"),
            ("true", "true"),
            ("['a:b']", "['a:b']"),
            ("1\nx = 2", "\"\"\"\n1\nx = 2\"\"\""),
        ] {
            assert_eq!(in_toml(given.to_owned()), stored);
        }
    }
}
