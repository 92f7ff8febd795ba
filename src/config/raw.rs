//! Everything that was given, by flag, variable or file, before any of it is judged.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mistake::{Given, Mistake, Place, Texts};
use super::section::{Document, Section};
use crate::authority::password::Password;

/// The configuration file that is read where none is named, if it is there.
const DEFAULT_FILE: &str = "jeton.toml";

/// What was given on the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub database: Option<PathBuf>,
    pub keys: Option<PathBuf>,
    pub listen: Option<String>,
    pub issuer: Option<String>,
}

/// The process's environment, or a test's. A variable without a value counts as absent, since
/// that is what templates for containers make of an option left open.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) listen: Option<Given<String>>,
    pub(super) database: Option<Given<PathBuf>>,
    pub(super) keys: Keys,
    pub(super) issuer: Option<Given<String>>,
    pub(super) trusted_proxies: Option<Texts>,
    pub(super) tokens: Tokens,
    pub(super) session_lifetime: Option<Given<String>>,
    pub(super) scopes: Option<Texts>,
    pub(super) presets: Option<Vec<(String, Texts)>>,
    pub(super) limits: Limits,
    pub(super) per_caller: Option<Rate>,
    pub(super) per_address: Option<Rate>,
    pub(super) administrator_email: Option<Given<String>>,
    pub(super) administrator_password: Option<Given<Password>>,
    pub(super) log: Option<Given<String>>,
}

#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) folder: Option<Given<PathBuf>>,
    pub(super) algorithm: Option<Given<String>>,
    pub(super) jwks_max_age: Option<Given<String>>,
    pub(super) rotate_every: Option<Given<String>>,
}

#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub(super) prefix: Option<Given<String>>,
    pub(super) default_audience: Option<Given<String>>,
    pub(super) default_lifetime: Option<Given<String>>,
    pub(super) record_addresses: Option<Given<bool>>,
    pub(super) retention: Option<Given<String>>,
    pub(super) cached: Option<Given<u64>>,
}

#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) max_connections: Option<Given<u64>>,
    pub(super) header_timeout: Option<Given<String>>,
    pub(super) body_timeout: Option<Given<String>>,
    pub(super) idle_timeout: Option<Given<String>>,
    pub(super) drain_deadline: Option<Given<String>>,
}

#[derive(Debug)]
pub(super) struct Rate {
    pub(super) place: Place,
    pub(super) per_second: Option<Given<u64>>,
    pub(super) burst: Option<Given<u64>>,
}

impl Raw {
    /// Flags before variables before the file. What is malformed is noted and left out.
    pub(super) fn gather(flags: Flags, environment: Environment<'_>, mistakes: &mut Vec<Mistake>) -> Self {
        let mut variables = Variables {
            environment,
            mistakes,
        };
        let named = path_flag(flags.config, "--config").or_else(|| variables.path("JETON_CONFIG"));
        let listen = flag(flags.listen, "--listen").or_else(|| variables.text("JETON_LISTEN"));
        let database = path_flag(flags.database, "--database").or_else(|| variables.path("JETON_DATABASE"));
        let folder = path_flag(flags.keys, "--keys").or_else(|| variables.path("JETON_KEYS"));
        let issuer = flag(flags.issuer, "--issuer").or_else(|| variables.text("JETON_ISSUER"));
        let administrator_email = variables.text("JETON_ADMIN_EMAIL");
        let administrator_password = variables
            .text("JETON_ADMIN_PASSWORD")
            .map(|given| given.map(Password::new));
        let log = variables.text("JETON_LOG");

        let file = Self::read(named, mistakes);
        Self {
            listen: listen.or(file.listen),
            database: database.or(file.database),
            keys: Keys {
                folder: folder.or(file.keys.folder),
                ..file.keys
            },
            issuer: issuer.or(file.issuer),
            administrator_email,
            administrator_password,
            log,
            ..file
        }
    }

    fn read(named: Option<Given<PathBuf>>, mistakes: &mut Vec<Mistake>) -> Self {
        let path = named
            .as_ref()
            .map_or(Path::new(DEFAULT_FILE), |given| given.value.as_path());
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(Arc::from(path), &text, mistakes),
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(error) => {
                let problem = format!("cannot be read: {error}");
                mistakes.push(Mistake::new(Place::File(Arc::from(path)), problem));
                Self::default()
            }
        }
    }

    fn parse(path: Arc<Path>, text: &str, mistakes: &mut Vec<Mistake>) -> Self {
        let document = Document::new(path, text);
        let raw = Self::from_root(document.root());
        mistakes.extend(document.into_mistakes());
        raw
    }

    fn from_root(mut root: Section<'_, '_>) -> Self {
        let mut keys = root.section("keys");
        let mut tokens = root.section("tokens");
        let mut limits = root.section("limits");
        let mut rate_limits = root.section("rate_limits");
        Self {
            listen: root.text("listen"),
            database: root.text("database").map(|given| given.map(PathBuf::from)),
            issuer: root.text("issuer"),
            trusted_proxies: root.texts("trusted_proxies"),
            keys: Keys {
                folder: keys.text("folder").map(|given| given.map(PathBuf::from)),
                algorithm: keys.text("algorithm"),
                jwks_max_age: keys.text("jwks_max_age"),
                rotate_every: keys.text("rotate_every"),
            },
            tokens: Tokens {
                prefix: tokens.text("prefix"),
                default_audience: tokens.text("default_audience"),
                default_lifetime: tokens.text("default_lifetime"),
                record_addresses: tokens.boolean("record_addresses"),
                retention: tokens.text("retention"),
                cached: tokens.integer("cached"),
            },
            session_lifetime: root.section("sessions").text("lifetime"),
            scopes: root.section("scopes").texts("available"),
            presets: root
                .optional_section("presets")
                .map(|(mut presets, _)| presets.named_texts()),
            limits: Limits {
                max_connections: limits.integer("max_connections"),
                header_timeout: limits.text("header_timeout"),
                body_timeout: limits.text("body_timeout"),
                idle_timeout: limits.text("idle_timeout"),
                drain_deadline: limits.text("drain_deadline"),
            },
            per_caller: Rate::read(&mut rate_limits, "per_caller"),
            per_address: Rate::read(&mut rate_limits, "per_address"),
            administrator_email: None,
            administrator_password: None,
            log: None,
        }
    }
}

impl Rate {
    fn read(limits: &mut Section<'_, '_>, key: &'static str) -> Option<Self> {
        let (mut rate, place) = limits.optional_section(key)?;
        Some(Self {
            place,
            per_second: rate.integer("per_second"),
            burst: rate.integer("burst"),
        })
    }
}

struct Variables<'a> {
    environment: Environment<'a>,
    mistakes: &'a mut Vec<Mistake>,
}

impl Variables<'_> {
    fn text(&mut self, name: &'static str) -> Option<Given<String>> {
        let place = Place::Variable(name);
        match self.value(name)?.into_string() {
            Ok(value) => Some(Given { value, place }),
            Err(_) => {
                self.mistakes.push(Mistake::new(place, "must be UTF-8"));
                None
            }
        }
    }

    fn path(&self, name: &'static str) -> Option<Given<PathBuf>> {
        self.value(name).map(|value| Given {
            value: value.into(),
            place: Place::Variable(name),
        })
    }

    fn value(&self, name: &str) -> Option<OsString> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }
}

fn flag(value: Option<String>, name: &'static str) -> Option<Given<String>> {
    value.map(|value| Given {
        value,
        place: Place::Flag(name),
    })
}

fn path_flag(value: Option<PathBuf>, name: &'static str) -> Option<Given<PathBuf>> {
    value.map(|value| Given {
        value,
        place: Place::Flag(name),
    })
}
