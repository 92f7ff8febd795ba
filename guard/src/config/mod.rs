//! The configuration: one TOML file, flags before it, checked together.

mod fields;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jeton_verifier::{BuildError, Unverified, Verifier};
use toml::{Table, Value};
use uuid::Uuid;
use zeroize::Zeroizing;

use fields::Fields;

/// Where the guard listens by default.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8090);

/// The shortest bound of staleness. The authority confirms every 5 s that nothing was revoked, with a time in whole
/// seconds: with a shorter bound the guard would refuse good tokens all the time.
const LEAST_STALENESS: Duration = Duration::from_secs(7);

/// The shortest bound of staleness by status lists: they are a minute old before they are read again.
const LEAST_STALENESS_BY_LISTS: Duration = Duration::from_secs(2 * 60);

/// The longest bound of staleness: beyond it a revocation means nothing.
const MOST_STALENESS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The most leeway for clocks.
const MOST_LEEWAY: Duration = Duration::from_secs(300);

/// The least length of an introspection token, in bytes: it must not be guessed.
const LEAST_SECRET: usize = 32;

/// A cached token takes a kilobyte or two.
const MOST_CACHED_TOKENS: i64 = 10_000_000;

/// The settings, checked.
#[derive(Debug)]
pub struct Config {
    /// The issuer, exactly as in the tokens.
    pub issuer: String,
    /// The URL of the authority, if it is not the issuer.
    pub authority: Option<String>,
    /// The audience of rules without one of their own, and of introspection.
    pub audience: String,
    /// How the guard learns of revocations.
    pub revocations: Revocations,
    /// How old the knowledge about revocations may be.
    pub max_staleness: Duration,
    /// How far clocks may differ; `None`: the default of [`jeton_verifier`].
    pub leeway: Option<Duration>,
    /// Where the guard keeps what it knows, for a start while the authority is down.
    pub snapshot_file: Option<PathBuf>,
    /// The maximum number of cached tokens; `None`: the default of [`jeton_verifier`].
    pub cached_tokens: Option<usize>,
    /// Whether the authority is told when tokens were last used.
    pub report_usage: bool,
    /// The sockets to listen on, at least one.
    pub listen: Vec<Listen>,
    /// The token with which services introspect over TCP.
    pub introspection_token: Option<Zeroizing<String>>,
    /// What is logged.
    pub log: tracing::Level,
    /// The rules by name.
    pub rules: BTreeMap<String, Rule>,
}

/// How the guard learns of revocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocations {
    /// By the feed, with the token in this file, which has the scope `revocations:read`.
    Feed {
        /// The file with the token.
        token_file: PathBuf,
    },
    /// By the public status lists alone.
    StatusLists,
}

/// A socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// The requirements of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The required audience.
    pub audience: String,
    /// The required scopes, all of them.
    pub scopes: Vec<String>,
    /// The required organization.
    pub organization: Option<Uuid>,
    /// The projects to which access is required, all of them.
    pub projects: Vec<u32>,
    /// The required team.
    pub team: Option<String>,
    /// Whether a token passes while its revocation is unknown.
    pub accepts_if_unknown: bool,
}

/// The flags, each before the setting of its name in the file.
#[derive(Debug, Default, clap::Parser)]
#[command(name = "jeton-guard", version, about, max_term_width = 100)]
pub struct Flags {
    /// The configuration file, which docs/guard.md describes; may be absent if flags say all that is required
    pub file: Option<PathBuf>,
    /// Check the configuration and exit: with 0, or with 2 if there are mistakes, all of which are reported
    #[arg(long)]
    pub check: bool,
    /// The issuer, exactly as in the tokens
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// The audience that tokens must have
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: Option<String>,
    /// A file with a token of the deployment that has the scope revocations:read
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<String>,
    /// How old the knowledge about revocations may be, such as 10s
    #[arg(long, value_name = "SPAN")]
    pub max_staleness: Option<String>,
    /// An address or the path of a Unix socket; may be repeated [default: 127.0.0.1:8090]
    #[arg(long, value_name = "SOCKET")]
    pub listen: Vec<String>,
    /// Where to keep what is known, for a start while the authority is down
    #[arg(long, value_name = "FILE")]
    pub snapshot_file: Option<String>,
    /// A file with the token with which services introspect over TCP
    #[arg(long, value_name = "FILE")]
    pub introspection_token_file: Option<String>,
    /// A rule and the scopes that it requires; may be repeated
    #[arg(long, value_name = "NAME[=SCOPE,…]")]
    pub rule: Vec<String>,
    /// Print the completions of a shell and exit
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub completions: Option<clap_complete::Shell>,
    /// Print the manual page and exit
    #[arg(long, exclusive = true)]
    pub man: bool,
}

/// All mistakes of a configuration, at least one, each a sentence that begins with the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Mistakes(Vec<String>);

impl Config {
    /// Reads and checks all settings. Relative paths are relative to the working directory.
    ///
    /// # Errors
    ///
    /// All mistakes, not only the first.
    pub fn load(flags: &Flags) -> Result<Self, Mistakes> {
        let text = match &flags.file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| Mistakes(vec![format!("`{}` cannot be read: {error}", path.display())]))?,
            None => String::new(),
        };
        Self::of_text(&text, flags)
    }

    fn of_text(text: &str, flags: &Flags) -> Result<Self, Mistakes> {
        let mut table: Table = text
            .parse()
            .map_err(|error| Mistakes(vec![format!("the file is not TOML: {error}")]))?;
        flags.put_into(&mut table);
        let mut mistakes = Vec::new();
        let mut fields = Fields::new("", table, &mut mistakes);
        let config = Self::read(&mut fields);
        fields.refuse_unknown();
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(Mistakes(mistakes)),
        }
    }

    /// Returns `None` only if a mistake was recorded.
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let issuer = fields.required("issuer", url);
        let authority = fields.optional("authority", url);
        let audience = fields.required("audience", text);
        let token_file = fields.optional("token_file", text);
        let lists_only = fields.optional("status_lists_only", boolean).unwrap_or(false);
        let revocations = match (token_file, lists_only) {
            (Some(path), false) => {
                let token_file = PathBuf::from(path);
                let token = fields.read_file("token_file", &token_file);
                // The content is a secret, also if it is no token.
                if token.is_some_and(|token| Unverified::parse(token.trim_end()).is_err()) {
                    fields.refuse("token_file", "must name a file that contains a token of jeton");
                }
                Some(Revocations::Feed { token_file })
            }
            (None, true) => Some(Revocations::StatusLists),
            (Some(_), true) => {
                fields.refuse(
                    "status_lists_only",
                    "cannot be used with `token_file`: remove one of the two",
                );
                None
            }
            (None, false) => {
                if !fields.refused("token_file") {
                    fields.refuse(
                        "token_file",
                        "is missing; without a token, set `status_lists_only = true`",
                    );
                }
                None
            }
        };
        let max_staleness = fields.required("max_staleness", |value| {
            span(value, LEAST_STALENESS, MOST_STALENESS)
        });
        if lists_only && max_staleness.is_some_and(|bound| bound < LEAST_STALENESS_BY_LISTS) {
            let least = spelled(LEAST_STALENESS_BY_LISTS);
            let problem =
                format!("must be at least {least} with `status_lists_only`: a list may be a minute old");
            fields.refuse("max_staleness", &problem);
        }
        let leeway = fields.optional("leeway", |value| span(value, Duration::ZERO, MOST_LEEWAY));
        let snapshot_file = fields.optional("snapshot_file", snapshot_file);
        let cached_tokens = fields.optional("cached_tokens", cached_tokens);
        let report_usage = fields.optional("report_usage", boolean).unwrap_or(false);
        if report_usage && lists_only {
            fields.refuse("report_usage", "needs `token_file`");
        }
        let listen = fields
            .list("listen", true, |value| Listen::of_text(&text(value)?))
            .unwrap_or_else(|| vec![Listen::Tcp(LISTEN)]);
        for (number, one) in listen.iter().enumerate() {
            if listen.iter().take(number).any(|earlier| earlier == one) {
                fields.refuse("listen", &format!("must name {one} only once"));
            }
        }
        let introspection_token = introspection_token(fields, &listen);
        let log = fields.optional("log", level).unwrap_or(tracing::Level::INFO);
        let rules = rules(fields, audience.as_deref());
        if rules.is_empty() && !fields.refused("rules") {
            fields.refuse(
                "rules",
                "is missing: name at least one rule, such as `[rules.api]`",
            );
        }
        Some(Self {
            issuer: issuer?,
            authority,
            audience: audience?,
            revocations: revocations?,
            max_staleness: max_staleness?,
            leeway,
            snapshot_file,
            cached_tokens,
            report_usage,
            listen,
            introspection_token,
            log,
            rules,
        })
    }

    /// Returns the audiences of all rules other than [`Self::audience`], each once.
    pub fn further_audiences(&self) -> impl Iterator<Item = &str> {
        let audiences: std::collections::BTreeSet<&str> =
            self.rules.values().map(|rule| rule.audience.as_str()).collect();
        audiences
            .into_iter()
            .filter(|audience| *audience != self.audience)
    }
}

impl Flags {
    fn put_into(&self, table: &mut Table) {
        let texts = [
            ("issuer", &self.issuer),
            ("audience", &self.audience),
            ("token_file", &self.token_file),
            ("max_staleness", &self.max_staleness),
            ("snapshot_file", &self.snapshot_file),
            ("introspection_token_file", &self.introspection_token_file),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                table.insert(name.to_owned(), Value::String(value.clone()));
            }
        }
        let strings = |texts: &[String]| Value::Array(texts.iter().cloned().map(Value::String).collect());
        if !self.listen.is_empty() {
            table.insert("listen".to_owned(), strings(&self.listen));
        }
        for rule in &self.rule {
            let rules = table.entry("rules").or_insert_with(|| Value::Table(Table::new()));
            let (name, scopes) = match rule.split_once('=') {
                Some((name, scopes)) => (name, Some(scopes)),
                None => (rule.as_str(), None),
            };
            if let Some(rules) = rules.as_table_mut() {
                let mut rule = Table::new();
                if let Some(scopes) = scopes {
                    let scopes: Vec<String> = scopes.split(',').map(str::to_owned).collect();
                    rule.insert("scopes".to_owned(), strings(&scopes));
                }
                rules.insert(name.to_owned(), Value::Table(rule));
            }
        }
    }
}

fn rules(fields: &mut Fields<'_>, audience: Option<&str>) -> BTreeMap<String, Rule> {
    let tables = fields.optional("rules", |value| match value {
        Value::Table(table) => Ok(table),
        _ => Err("must be tables, such as `[rules.api]`".to_owned()),
    });
    let mut rules = BTreeMap::new();
    for (name, value) in tables.unwrap_or_default() {
        let path = format!("rules.{name}");
        // The name is a segment of a path, in which it must have one spelling.
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if !matches!(name.len(), 1..=64) || !name.bytes().all(is_plain) {
            fields.refuse(
                &path,
                "must have a name of 1 to 64 characters from a-z, 0-9, `-` and `_`",
            );
        }
        let Value::Table(table) = value else {
            fields.refuse(&path, "must be a table");
            continue;
        };
        let mut fields = fields.below(&path, table);
        let own_audience = fields.optional("audience", text);
        let rule = Rule {
            audience: own_audience.or(audience.map(str::to_owned)).unwrap_or_default(),
            scopes: fields.list("scopes", false, scope).unwrap_or_default(),
            organization: fields.optional("organization", organization),
            projects: fields.list("projects", false, project).unwrap_or_default(),
            team: fields.optional("team", team),
            accepts_if_unknown: fields.optional("when_unknown", when_unknown).unwrap_or(false),
        };
        if !rule.projects.is_empty() && rule.organization.is_none() && !fields.refused("organization") {
            // A token that is not restricted has access to all projects, of its own organization only.
            fields.refuse("projects", "needs `organization`, whose projects they are");
        }
        fields.refuse_unknown();
        rules.insert(name, rule);
    }
    rules
}

/// Reads the token with which services introspect. The file's line ending is not part of it.
fn introspection_token(fields: &mut Fields<'_>, listen: &[Listen]) -> Option<Zeroizing<String>> {
    const NAME: &str = "introspection_token_file";
    let path = PathBuf::from(fields.optional(NAME, text)?);
    if !listen.iter().all(Listen::is_local) {
        fields.refuse(
            NAME,
            "needs `listen` on loopback: tokens would cross the network unencrypted",
        );
    }
    let content = fields.read_file(NAME, &path)?;
    let token = Zeroizing::new(content.trim_end_matches(['\r', '\n']).to_owned());
    let is_sendable = token.bytes().all(|byte| byte.is_ascii_graphic());
    if token.len() < LEAST_SECRET || !is_sendable {
        fields.refuse(
            NAME,
            "must contain one line of at least 32 visible ASCII characters",
        );
    }
    Some(token)
}

impl Listen {
    /// Returns whether only this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    fn of_text(text: &str) -> Result<Self, String> {
        if Path::new(text).is_absolute() {
            return Ok(Self::Unix(text.into()));
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!("must be an address with a port such as {LISTEN}, or the absolute path of a Unix socket (it is {text:?})")
        })
    }
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) if text.is_empty() => Err("must not be empty".to_owned()),
        Value::String(text) if text.contains(char::is_control) => {
            Err("must not contain control characters".to_owned())
        }
        Value::String(text) => Ok(text),
        other => Err(format!("must be a text in quotation marks (it is {other})")),
    }
}

fn boolean(value: Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "must be true or false".to_owned())
}

fn url(value: Value) -> Result<String, String> {
    let text = text(value)?;
    // The verifier's rule. Without an audience it is built no further.
    if let Err(BuildError::Url(_)) = Verifier::builder(&text, "").build() {
        return Err(format!(
            "must be an http or https URL without user, query, fragment, and slash at its end, such as https://tokens.example.com (it is {text:?})"
        ));
    }
    Ok(text)
}

/// The file itself need not exist: the guard writes it.
fn snapshot_file(value: Value) -> Result<PathBuf, String> {
    let path = PathBuf::from(text(value)?);
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => &path,
    };
    match folder.is_dir() && !path.is_dir() {
        true => Ok(path),
        false => Err(format!(
            "must name a file in a folder that exists (it is {path:?})"
        )),
    }
}

/// The units of time, and the seconds of each.
const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)];

fn span(value: Value, least: Duration, most: Duration) -> Result<Duration, String> {
    let text = text(value)?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let size = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, size)| size);
    let number: Option<u64> = number.parse().ok();
    let seconds = number.and_then(|number| number.checked_mul(*size?));
    let span = seconds.map(Duration::from_secs);
    span.filter(|span| (least..=most).contains(span)).ok_or_else(|| {
        let (least, most) = (spelled(least), spelled(most));
        format!("must be a whole number and a unit (s, m, h or d), from {least} to {most} (it is {text:?})")
    })
}

/// Returns a time as [`span`] reads it, in the largest unit without a rest.
fn spelled(span: Duration) -> String {
    let seconds = span.as_secs();
    let is_whole = |size: &u64| seconds > 0 && seconds.is_multiple_of(*size);
    let unit = UNITS.iter().rev().find(|(_, size)| is_whole(size));
    let (unit, size) = unit.unwrap_or(&("s", 1));
    format!("{}{unit}", seconds / size)
}

fn cached_tokens(value: Value) -> Result<usize, String> {
    let number = value
        .as_integer()
        .filter(|number| (1..=MOST_CACHED_TOKENS).contains(number));
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("must be a whole number from 1 to {MOST_CACHED_TOKENS}"))
}

/// The characters of RFC 6749, section 3.3, without the space between scopes.
fn scope(value: Value) -> Result<String, String> {
    let text = text(value)?;
    let is_good = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    match text.bytes().all(is_good) {
        true => Ok(text),
        false => Err(format!(
            "must be one scope such as `projects:read`; a list has each as a text of its own (it is {text:?})"
        )),
    }
}

fn organization(value: Value) -> Result<Uuid, String> {
    let text = text(value)?;
    text.parse()
        .map_err(|_| format!("must be the id of an organization, not its name (it is {text:?})"))
}

fn team(value: Value) -> Result<String, String> {
    let text = text(value)?;
    match text.strip_prefix("team-") {
        Some(rest) if !rest.is_empty() => Ok(text),
        _ => Err(format!(
            "must be the id of a team, which begins with `team-`, not its name (it is {text:?})"
        )),
    }
}

fn project(value: Value) -> Result<u32, String> {
    let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| {
        format!(
            "must be the number of a project, from 0 to {} (it is {value})",
            u32::MAX
        )
    })
}

fn when_unknown(value: Value) -> Result<bool, String> {
    match value.as_str() {
        Some("refuse") => Ok(false),
        Some("accept") => Ok(true),
        _ => Err("must be \"refuse\" or \"accept\"".to_owned()),
    }
}

fn level(value: Value) -> Result<tracing::Level, String> {
    let level = value.as_str().and_then(|text| text.parse().ok());
    level.ok_or_else(|| "must be \"error\", \"warn\", \"info\", \"debug\" or \"trace\"".to_owned())
}
