//! Reads each setting: its name in the file, its flag and variable if any, its check and its default.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use super::changes::{self, SETTINGS};
use super::database;
use super::file::{File, Labelled, Lists, is_blank};
use super::secret_file;
use super::setting::{Environment, Flags, Location, MistakeLog, Process, Setting};
use super::{
    Administrator, Algorithm, Audit, Backups, Config, Database, FileText, Issuer, KeyEncryptionKeyFile, Keys,
    Limits, Log, LogFormat, LogRequests, Mistakes, Rate, RateLimits, Served, Tokens,
};
use crate::authority::Quotas;
use crate::authority::password::{NewPassword, Password, PasswordPolicyError};
use crate::regular_file::RegularFile;
use crate::tls;
use jeton_core::directory::{Consent, Email, NotAnEmail};
use jeton_core::file_mode::Secret;
use jeton_core::text::Line;
use jeton_core::token::lifetime::{Lifetime, Span};
use jeton_core::token::scope::{Catalogue, Label, Scope};
use jeton_store::{StoredSettings, Versioned};

/// The configuration file that is read by default, if it exists.
const DEFAULT_FILE: &str = "jeton.toml";

/// The largest configuration file.
const MAXIMUM_BYTES: usize = 1024 * 1024;

/// The largest accepted number: beyond any real setting, and small enough not to overflow in later
/// arithmetic.
const LARGEST_NUMBER: u32 = 1_000_000;

/// Three gigabytes of cached tokens.
const MOST_CACHED_TOKENS: u32 = 10_000_000;

impl Config {
    /// Reads and checks all settings. Relative paths are relative to the working directory, not to the
    /// configuration file.
    ///
    /// # Errors
    ///
    /// All mistakes, not only the first.
    pub fn load(flags: Flags, environment: Environment<'_>) -> Result<Self, Mistakes> {
        Self::load_file(flags, environment, false)
    }

    /// Reads and checks all settings again. If the file had any text in this configuration, it must have some again: a
    /// file that vanishes or is truncated would set every default.
    ///
    /// # Errors
    ///
    /// All mistakes, not only the first.
    pub fn reload(&self, flags: Flags, environment: Environment<'_>) -> Result<Self, Mistakes> {
        Self::load_file(flags, environment, !is_blank(&self.file.0))
    }

    fn load_file(flags: Flags, environment: Environment<'_>, must_have_text: bool) -> Result<Self, Mistakes> {
        let mistakes = MistakeLog::default();
        let process = Process {
            environment,
            mistakes: &mistakes,
        };
        let named = process
            .flag("--config", flags.config.clone(), "JETON_CONFIG")
            .value();
        let path = named.as_deref().map_or(Path::new(DEFAULT_FILE), Path::new);
        let text = file_text(path, named.is_none() && !must_have_text);
        let text = text.and_then(|text| match must_have_text && is_blank(&text) {
            true => {
                Err("is empty, and had settings before: restart the server to use the defaults".to_owned())
            }
            false => Ok(text),
        });
        let text = text.unwrap_or_else(|problem| {
            let location = Location::whole(path);
            mistakes.record(location, problem);
            String::new()
        });
        let config = Self::read_all(flags, process, path, &text, "");
        mistakes.or_mistakes(config)
    }

    /// Reads and checks all settings, with a text in place of the configuration file.
    ///
    /// # Errors
    ///
    /// All mistakes, not only the first.
    pub fn of_text(
        path: &Path,
        text: &str,
        flags: Flags,
        environment: Environment<'_>,
    ) -> Result<Self, Mistakes> {
        let mistakes = MistakeLog::default();
        let process = Process {
            environment,
            mistakes: &mistakes,
        };
        let config = Self::read_all(flags, process, path, text, "");
        mistakes.or_mistakes(config)
    }

    /// Returns the configuration with the settings in a database in place of the defaults. The file is not read again.
    /// Settings that only another version knows are ignored.
    ///
    /// # Errors
    ///
    /// All mistakes, not only the first.
    pub fn with_stored(
        &self,
        flags: Flags,
        environment: Environment<'_>,
        stored: &Versioned<StoredSettings>,
    ) -> Result<Self, Mistakes> {
        let mut text = String::new();
        for (name, value) in &stored.value {
            match changes::shared(name) {
                Some(_) => text.extend([name, " = ", value, "\n"]),
                None => tracing::warn!(name, "the database has a setting that this version does not know"),
            }
        }
        let mistakes = MistakeLog::default();
        let process = Process {
            environment,
            mistakes: &mistakes,
        };
        let config = Self::read_all(flags, process, Path::new(DEFAULT_FILE), &self.file.0, &text);
        mistakes.or_mistakes(Self {
            stored: Some(stored.generation),
            ..config
        })
    }

    fn read_all(flags: Flags, process: Process<'_>, path: &Path, text: &str, stored: &str) -> Self {
        let file = File::new(path, text, process.mistakes);
        let stored = File::stored(stored, process.mistakes);
        let config = Self::read(flags, process, &file, &stored);
        if config.database.file().is_none() {
            for setting in SETTINGS.iter().filter(|setting| setting.is_shared()) {
                let name = setting.name;
                let problem = format!(
                    "is a setting of all servers, and with PostgreSQL in the database alone: remove it here, and run \
                     `jeton settings set {name} VALUE`"
                );
                file.refuse(name, &problem);
            }
        }
        file.record_unknown();
        Self {
            file: FileText(text.to_owned()),
            ..config
        }
    }

    /// Reads each setting. Those that all servers share are in `stored` if the database is PostgreSQL's.
    pub(super) fn read(flags: Flags, process: Process<'_>, file: &File<'_>, stored: &File<'_>) -> Self {
        let listen = listen(flags.listen, process, file);
        let tls = tls(flags.tls_certificate, flags.tls_key, process, file);
        let database = process.flag("--database", flags.database, "JETON_DATABASE");
        let move_to = process.flag_alone("--to", flags.move_to);
        let (database, move_to, postgres) = database::read(database, move_to, process, file, stored);
        let shared = match &database {
            Database::File(_) => file,
            Database::Postgres(_) => stored,
        };
        let keys = process.flag("--keys", flags.keys, "JETON_KEYS");
        let key_encryption_key = process.flag(
            "--key-encryption-key",
            flags.key_encryption_key,
            "JETON_KEY_ENCRYPTION_KEY_FILE",
        );
        let issuer = process.flag("--issuer", flags.issuer, "JETON_ISSUER");
        let issuer: Option<Issuer> = issuer.or(file.text("issuer")).parse().value();
        let in_tokens = issuer.clone();
        let in_tokens = in_tokens.unwrap_or_else(|| Issuer::of_address(listen, tls.is_some()));
        let session_audience = in_tokens.session_audience();
        let jwks_max_age = shared.text("keys.jwks_max_age").check(up_to_a_day).unwrap_or(300);
        let retention = shared.text("tokens.retention").parse().unwrap_or(Span::MONTH);
        let cached = file.integer("tokens.cached");
        let cached = cached
            .check_value(|number| number_up_to(MOST_CACHED_TOKENS, number))
            .value();
        let trusted_proxies = file.texts("trusted_proxies").unwrap_or_default().into_iter();
        Self {
            file: FileText::default(),
            stored: None,
            listen,
            database,
            move_to,
            postgres,
            keys: Keys {
                folder: keys.or(file.text("keys.folder")).unwrap_or("keys".into()).into(),
                key_encryption_key: key_encryption_key
                    .or(file.text("keys.key_encryption_key_file"))
                    .check_value(secret_file::not_a_key)
                    .named_value()
                    .map(|(path, setting)| KeyEncryptionKeyFile::new(path, setting)),
                algorithm: shared.text("keys.algorithm").parse().unwrap_or(Algorithm::Es256),
                jwks_max_age,
                rotate_every: shared
                    .text("keys.rotate_every")
                    .check(|text| rotation(text, jwks_max_age))
                    .value(),
            },
            issuer,
            tls,
            trusted_proxies: trusted_proxies
                .filter_map(|item| item.check(network).value())
                .collect(),
            tokens: Tokens {
                prefix: shared.text("tokens.prefix").parse().value(),
                default_audience: shared
                    .text("tokens.default_audience")
                    .check(|text| audience(text, &session_audience))
                    .value(),
                default_lifetime: shared
                    .text("tokens.default_lifetime")
                    .parse()
                    .unwrap_or(Lifetime::Limited(Span::YEAR)),
                record_addresses: shared.boolean("tokens.record_addresses").unwrap_or(false),
                retention,
                cached: cached.map_or(200_000, |number| number.get() as usize),
            },
            session_lifetime: shared
                .text("sessions.lifetime")
                .parse()
                .unwrap_or(Span::HALF_A_DAY),
            catalogue: catalogue(
                shared.names("scopes.available").value(),
                shared.lists("presets").value(),
            ),
            consent: shared
                .text("people.consent")
                .check(consent)
                .unwrap_or(Consent::Required),
            limits: limits(file, Limits::STANDARD),
            quotas: quotas(shared, Quotas::STANDARD),
            rate_limits: RateLimits {
                per_caller: rate(file, "rate_limits.per_caller"),
                per_address: rate(file, "rate_limits.per_address"),
            },
            metrics_listen: file.text("metrics.listen").check(address).value(),
            backups: backups(file, retention),
            journal_copy: file.text("journal.copy").check_value(folder).value(),
            audit: Audit {
                retention: shared
                    .text("audit.retention")
                    .parse()
                    .unwrap_or(Span::FOUR_HUNDRED_DAYS),
                checkpoints: file.text("audit.checkpoints").parse().value(),
            },
            administrator: administrator(process, flags.email),
            log: Log {
                filter: process
                    .variable("JETON_LOG")
                    .check(log_filter)
                    .unwrap_or("info".to_owned()),
                format: file.text("log.format").check(log_format).unwrap_or_default(),
                requests: file.text("log.requests").check(log_requests).unwrap_or_default(),
            },
        }
    }
}

impl Served {
    /// Reads the settings that say how a server is reached. A running server may have read another file, so mistakes in
    /// other settings are ignored.
    ///
    /// # Errors
    ///
    /// A mistake in `listen`, without which the server cannot be found, or a file that cannot be read where only it can
    /// have the address.
    pub fn load(flags: Flags, environment: Environment<'_>) -> Result<Self, Mistakes> {
        let (mistakes, ignored) = (MistakeLog::default(), MistakeLog::default());
        let process = |mistakes| Process {
            environment,
            mistakes,
        };
        let named = process(&ignored)
            .flag("--config", flags.config, "JETON_CONFIG")
            .value();
        let path = named.as_deref().map_or(Path::new(DEFAULT_FILE), Path::new);
        let is_given = process(&ignored)
            .flag("--listen", flags.listen.clone(), "JETON_LISTEN")
            .is_given();
        let text = file_text(path, named.is_none()).unwrap_or_else(|problem| {
            if !is_given {
                mistakes.record(Location::whole(path), problem);
            }
            String::new()
        });
        let file = |mistakes| File::incomplete(path, &text, mistakes);
        let listen = listen(flags.listen, process(&mistakes), &file(&mistakes));
        let tls = tls(
            flags.tls_certificate,
            flags.tls_key,
            process(&ignored),
            &file(&ignored),
        );
        mistakes.or_mistakes(Self { listen, tls })
    }
}

/// Returns the text of the configuration file; nothing for a missing one that is optional. The error continues a
/// sentence that begins with the file.
fn file_text(path: &Path, is_optional: bool) -> Result<String, String> {
    let unreadable = |error| format!("cannot be read: {error}");
    let file = match RegularFile::open(path) {
        Ok(file) => file.ok_or("must be a regular file")?,
        Err(error) if is_optional && error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let bytes = file.read(MAXIMUM_BYTES).map_err(unreadable)?;
    let bytes = bytes.ok_or("must have at most 1 MiB")?;
    let text = String::from_utf8(bytes.to_vec());
    text.map_err(|_| "must be UTF-8".to_owned())
}

fn listen(flag: Option<String>, process: Process<'_>, file: &File<'_>) -> SocketAddr {
    let listen = process.flag("--listen", flag, "JETON_LISTEN");
    let listen = listen.or(file.text("listen")).check(address);
    listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))
}

/// Returns the files of the certificate, if both or neither are given. They are read by those who need them: other
/// commands may run as a user who cannot read the key.
fn tls(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    process: Process<'_>,
    file: &File<'_>,
) -> Option<tls::Files> {
    let certificate = process.flag("--tls-certificate", certificate, "JETON_TLS_CERTIFICATE");
    let certificate = certificate.or(file.text("tls.certificate"));
    let key = process.flag("--tls-key", key, "JETON_TLS_KEY");
    let key = key.or(file.text("tls.key"));
    let (has_certificate, has_key) = (certificate.is_given(), key.is_given());
    let needs = |other: bool, what| move |path: OsString| if other { Ok(path) } else { Err(what) };
    let certificate = certificate.check_value(needs(
        has_key,
        "needs its private key too: set `--tls-key`, `JETON_TLS_KEY` or `tls.key`",
    ));
    let key = key.check_value(needs(
        has_certificate,
        "needs its certificate too: set `--tls-certificate`, `JETON_TLS_CERTIFICATE` or `tls.certificate`",
    ));
    Some(tls::Files {
        certificate: certificate.value()?.into(),
        key: key.value()?.into(),
    })
}

fn administrator(process: Process<'_>, address: Option<String>) -> Administrator {
    let variable = process.variable("JETON_ADMIN_PASSWORD");
    let both = variable.is_given();
    let file = process
        .variable("JETON_ADMIN_PASSWORD_FILE")
        .check_value(|path| match both {
            true => Err("must not be set together with `JETON_ADMIN_PASSWORD`".to_owned()),
            false => password_in(path.into()),
        });
    let (password_file, in_file) = file.value().unzip();
    Administrator {
        email: process
            .flag("--email", address, "JETON_ADMIN_EMAIL")
            .check(email)
            .value(),
        password: variable.check_value(password).value().or(in_file),
        password_file,
    }
}

fn email(text: &str) -> Result<Email, String> {
    text.parse().map_err(|error: NotAnEmail| format!("is {error}"))
}

fn limits(file: &File<'_>, default: Limits) -> Limits {
    let duration = |name, default| file.text(name).check(up_to_an_hour).unwrap_or(default);
    let count = |name, default| {
        let given = file.integer(name).check_value(number);
        given.value().map_or(default, |number| number.get() as usize)
    };
    Limits {
        max_connections: count("limits.max_connections", default.max_connections),
        max_streams: count("limits.max_streams", default.max_streams),
        header_timeout: duration("limits.header_timeout", default.header_timeout),
        body_timeout: duration("limits.body_timeout", default.body_timeout),
        idle_timeout: duration("limits.idle_timeout", default.idle_timeout),
        drain_deadline: duration("limits.drain_deadline", default.drain_deadline),
    }
}

fn quotas(file: &File<'_>, default: Quotas) -> Quotas {
    let quota = |name: &str, default| {
        let given = file.integer(&format!("quotas.{name}"));
        let given = given.check_value(|number| number_up_to(u32::MAX, number));
        given.value().map_or(default, NonZeroU32::get)
    };
    Quotas {
        tokens_per_owner: quota("tokens_per_owner", default.tokens_per_owner),
        organizations_per_person: quota("organizations_per_person", default.organizations_per_person),
        teams: quota("teams", default.teams),
        projects: quota("projects", default.projects),
        members: quota("members", default.members),
        sessions: quota("sessions", default.sessions),
    }
}

fn rate(file: &File<'_>, name: &str) -> Option<Rate> {
    let per_second = file.integer(&format!("{name}.per_second"));
    let burst = file.integer(&format!("{name}.burst"));
    if !per_second.is_given() {
        file.record_table(name, "must have `per_second`, the number of requests per second");
    }
    let burst = burst.check_value(number).value();
    per_second.check_value(number).value().map(|per_second| Rate {
        per_second,
        burst: burst.unwrap_or(per_second),
    })
}

fn backups(file: &File<'_>, retention: Span) -> Option<Backups> {
    let (every, target) = (file.text("backup.every"), file.text("backup.folder"));
    if !(every.is_given() && target.is_given()) {
        file.record_table(
            "backup",
            "must have `every`, the time between two backups, and `folder`, where they are",
        );
    }
    let keep = file.integer("backup.keep").check_value(number).value();
    let (every, folder) = (
        every.check(|text| interval(text, retention)).value(),
        target.check_value(folder).value(),
    );
    Some(Backups {
        every: every?,
        keep: keep.map_or(7, |number| number.get() as usize),
        folder: folder?,
    })
}

/// Returns the catalogue: configured scopes replace the standard ones and their presets, configured
/// presets the standard presets.
fn catalogue(scopes: Option<Vec<Labelled<'_>>>, presets: Option<Lists<'_>>) -> Catalogue {
    let mut catalogue = match (&scopes, &presets) {
        (None, None) => return Catalogue::standard(),
        (Some(_), _) => Catalogue::management(),
        (None, Some(_)) => Catalogue::standard_scopes(),
    };
    for scope in scopes.into_iter().flatten() {
        let label = label(scope.title, scope.description);
        let scope = scope.value.parse();
        scope.check_value(|scope| catalogue.add_scope(scope, label));
    }
    for (name, preset) in presets.into_iter().flatten() {
        let label = label(preset.title, preset.description);
        preset.value.check_value(|items| {
            let given = items.len();
            let scopes: Vec<Scope> = items
                .into_iter()
                .filter_map(|item| item.parse().value())
                .collect();
            // An invalid scope is already reported; a check of the remaining ones would only add noise.
            if scopes.len() < given {
                Ok(())
            } else {
                catalogue.add_preset(&name, scopes, label)
            }
        });
    }
    catalogue
}

/// Returns how people are shown a scope or a preset.
fn label(title: Setting<'_>, description: Setting<'_>) -> Label {
    let short = |setting: Setting<'_>, most: usize| {
        let line = setting.check(|text| match text.parse::<Line>() {
            Ok(line) if (1..=most).contains(&line.as_ref().chars().count()) => Ok(line),
            Ok(_) => Err(format!("must have 1 to {most} characters")),
            Err(error) => Err(error.to_string()),
        });
        line.value()
    };
    Label {
        title: short(title, Label::LONGEST_TITLE),
        description: short(description, Label::LONGEST_DESCRIPTION),
    }
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "must be an IP address and a port such as 127.0.0.1:8080")
}

fn network(text: &str) -> Result<IpNet, &'static str> {
    let network: IpNet = text.parse().map_err(|_| "must be a network such as 10.0.0.0/8")?;
    // 10.0.0.1/8 could mean one host or sixteen million, and trust depends on which.
    if network.trunc() != network {
        return Err("must have no bits set beyond its prefix length");
    }
    Ok(network)
}

fn audience(text: &str, session_audience: &str) -> Result<String, &'static str> {
    if text == session_audience {
        return Err("must not be the audience of sessions");
    }
    let is_wrong = |letter: char| letter.is_whitespace() || letter.is_control();
    if text.is_empty() || text.len() > 255 || text.contains(is_wrong) {
        return Err("must be 1 to 255 bytes without spaces or control characters");
    }
    Ok(text.to_owned())
}

fn consent(text: &str) -> Result<Consent, &'static str> {
    match text {
        "required" => Ok(Consent::Required),
        "waived" => Ok(Consent::Waived),
        _ => Err("must be required or waived"),
    }
}

fn password(text: OsString) -> Result<NewPassword, String> {
    let text = text.into_string().map_err(|_| "must be UTF-8".to_owned())?;
    NewPassword::try_from(Password::new(text)).map_err(|error| format!("is refused: {error}"))
}

/// Returns a file and the password in it, without one line ending.
fn password_in(path: PathBuf) -> Result<(PathBuf, NewPassword), String> {
    let refused = |error: &dyn std::fmt::Display| format!("is refused: {error}");
    let password = match secret_file::read(&path, Password::MAXIMUM_LINE, Secret::Password)? {
        None => Err(PasswordPolicyError::TooLong),
        Some(line) => Password::of_line(&line)
            .map_err(|error| refused(&error))?
            .try_into(),
    };
    Ok((path, password.map_err(|error| refused(&error))?))
}

fn log_filter(text: &str) -> Result<String, &'static str> {
    let filter = EnvFilter::builder().parse(text);
    filter
        .map(|_| text.to_owned())
        .map_err(|_| "must be a log filter such as info or jeton=debug")
}

fn log_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json"),
    }
}

fn log_requests(text: &str) -> Result<LogRequests, &'static str> {
    match text {
        "failed" => Ok(LogRequests::Failed),
        "all" => Ok(LogRequests::All),
        "none" => Ok(LogRequests::None),
        _ => Err("must be failed, all or none"),
    }
}

fn up_to_a_day(text: &str) -> Result<u32, String> {
    let seconds = span(text)?.seconds();
    let seconds = u32::try_from(seconds)
        .ok()
        .filter(|seconds| u64::from(*seconds) <= Span::DAY.seconds());
    seconds.ok_or_else(|| "must be at most 1 day".to_owned())
}

fn up_to_an_hour(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if span > Span::HOUR {
        return Err("must be at most 1 hour".to_owned());
    }
    Ok(Duration::from_secs(span.seconds()))
}

fn rotation(text: &str, jwks_max_age: u32) -> Result<Span, String> {
    let span = span(text)?;
    // Each key is published for `jwks_max_age` before it signs, so faster rotation would queue up keys.
    if span.seconds() < jwks_max_age.into() {
        return Err("must be at least `keys.jwks_max_age`".to_owned());
    }
    Ok(span)
}

fn interval(text: &str, retention: Span) -> Result<Span, String> {
    let span = span(text)?;
    if span < Span::MINUTE {
        return Err("must be at least 1 minute".to_owned());
    }
    // The journal has no older revocations.
    if span >= retention {
        return Err("must be shorter than `tokens.retention`: no older backup can be completed".to_owned());
    }
    Ok(span)
}

fn folder(path: OsString) -> Result<PathBuf, &'static str> {
    match path.is_empty() {
        true => Err("must be the path of a folder"),
        false => Ok(path.into()),
    }
}

fn span(text: &str) -> Result<Span, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn number(value: u64) -> Result<NonZeroU32, String> {
    number_up_to(LARGEST_NUMBER, value)
}

fn number_up_to(largest: u32, value: u64) -> Result<NonZeroU32, String> {
    let number = u32::try_from(value).ok().filter(|number| *number <= largest);
    let number = number.and_then(NonZeroU32::new);
    number.ok_or_else(|| format!("must be a number from 1 to {largest} (it is {value})"))
}
