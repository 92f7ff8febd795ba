//! Configuration: flags, then `JETON_…` variables, then `jeton.toml`, into one checked form.
//!
//! A setting that is wrong is noted and its default goes on in its place, so that a report holds every
//! mistake and a [`Config`] none.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::authority::password::NewPassword;
use jeton_core::token::lifetime::{Lifetime, Span};
use jeton_core::token::scope::Catalogue;

mod file;
mod issuer;
mod read;
mod setting;

pub use issuer::{Issuer, IssuerError, NotAPrefix, Prefix};
pub use jeton_verifier::{Algorithm, NotAnAlgorithm};
pub use setting::{Environment, Flags, Mistakes};

/// Everything that can be set, checked.
#[derive(Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// The database file.
    pub database: PathBuf,
    pub keys: Keys,
    /// `None` where it is to be [`Issuer::of_address`] of the address that is bound.
    pub issuer: Option<Issuer>,
    /// Peers whose forwarded headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    pub tokens: Tokens,
    pub session_lifetime: Span,
    pub catalogue: Catalogue,
    pub limits: Limits,
    pub rate_limits: RateLimits,
    pub administrator: Administrator,
    /// Directives for the log, such as `info` or `jeton=debug`.
    pub log: String,
}

#[derive(Debug)]
pub struct Keys {
    /// Where the private halves are.
    pub folder: PathBuf,
    /// What a new key is made for.
    pub algorithm: Algorithm,
    /// For how many seconds anybody may keep the JWKS.
    pub jwks_max_age: u32,
    /// How old the newest key becomes before its successor is published.
    pub rotate_every: Option<Span>,
}

#[derive(Debug)]
pub struct Tokens {
    pub prefix: Option<Prefix>,
    /// `None` where it is to be the issuer.
    pub default_audience: Option<String>,
    pub default_lifetime: Lifetime,
    /// Whether it is kept from which address a token was last used.
    pub record_addresses: bool,
    /// How long a token's record is kept after the token has ended.
    pub retention: Span,
    /// How many verified tokens are cached, of at most 300 bytes each.
    pub cached: usize,
}

/// What one connection, and all together, may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_connections: usize,
    /// From the first byte, or the opening of the connection, to the end of the headers.
    pub header_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub body_timeout: Duration,
    /// Between two requests of one connection.
    pub idle_timeout: Duration,
    /// From the signal to stop to the end of the process, whatever is still under way.
    pub drain_deadline: Duration,
}

/// How many requests are answered; `None`: all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimits {
    pub per_caller: Option<Rate>,
    pub per_address: Option<Rate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    /// How many may come at once.
    pub burst: NonZeroU32,
}

/// The first administrator, made where none exists yet.
#[derive(Debug, Default)]
pub struct Administrator {
    pub email: Option<String>,
    pub password: Option<NewPassword>,
}

impl Limits {
    /// Those of a server that is told none. The drain ends within the ten seconds that container
    /// runtimes leave between SIGTERM and SIGKILL.
    pub const STANDARD: Self = Self {
        max_connections: 4096,
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(30),
        // Longer than the 60 s for which common proxies keep a connection, so that it is the proxy
        // that closes and no request meets a closed door.
        idle_timeout: Duration::from_secs(75),
        drain_deadline: Duration::from_secs(8),
    };
}

#[cfg(test)]
mod tests;
