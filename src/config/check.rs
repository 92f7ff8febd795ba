//! Judges what was given. Each mistake is noted and the default taken instead, so that the checks go on.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use validator::ValidateEmail;

use super::mistake::{Given, Mistake, Texts};
use super::raw::{self, Raw};
use super::{Administrator, Config, Issuer, Keys, Limits, Rate, RateLimits, Tokens};
use crate::authority::password::NewPassword;
use jeton_core::token::lifetime::Span;
use jeton_core::token::scope::{Catalogue, Scope};

pub(super) fn check(raw: Raw, mistakes: &mut Vec<Mistake>) -> Config {
    let mut check = Check { mistakes };
    let standard = Config::standard();
    let listen = check
        .with(raw.listen, |text| {
            text.parse()
                .map_err(|_| "must be an IP address and a port such as 127.0.0.1:8080")
        })
        .unwrap_or(standard.listen);
    let issuer = check.parse(raw.issuer);
    let session_audience = issuer
        .clone()
        .unwrap_or_else(|| Issuer::of_address(listen))
        .session_audience();
    Config {
        listen,
        database: raw.database.map_or(standard.database, |given| given.value),
        keys: check.keys(raw.keys, standard.keys),
        issuer,
        trusted_proxies: check.networks(raw.trusted_proxies),
        tokens: Tokens {
            prefix: check.parse(raw.tokens.prefix),
            default_audience: check.with(raw.tokens.default_audience, |text| {
                audience(text, &session_audience)
            }),
            default_lifetime: check
                .parse(raw.tokens.default_lifetime)
                .unwrap_or(standard.tokens.default_lifetime),
            record_addresses: raw
                .tokens
                .record_addresses
                .map_or(standard.tokens.record_addresses, |given| given.value),
            retention: check
                .parse(raw.tokens.retention)
                .unwrap_or(standard.tokens.retention),
            cached: check
                .number_up_to(MOST_CACHED_TOKENS, raw.tokens.cached)
                .and_then(|number| usize::try_from(number.get()).ok())
                .unwrap_or(standard.tokens.cached),
        },
        session_lifetime: check
            .parse(raw.session_lifetime)
            .unwrap_or(standard.session_lifetime),
        catalogue: check.catalogue(raw.scopes, raw.presets),
        limits: check.limits(raw.limits, standard.limits),
        rate_limits: RateLimits {
            per_caller: raw.per_caller.and_then(|rate| check.rate(rate)),
            per_address: raw.per_address.and_then(|rate| check.rate(rate)),
        },
        administrator: Administrator {
            email: check.with(raw.administrator_email, |text| {
                let good = text.validate_email();
                good.then(|| text.to_owned()).ok_or("must be an e-mail address")
            }),
            password: raw.administrator_password.and_then(|given| {
                NewPassword::try_from(given.value)
                    .map_err(|error| check.note(Mistake::new(given.place, format!("is refused: {error}"))))
                    .ok()
            }),
        },
        log: check
            .with(raw.log, |text| {
                let filter = EnvFilter::builder().parse(text);
                filter
                    .map(|_| text.to_owned())
                    .map_err(|_| "must be a log filter such as info or jeton=debug")
            })
            .unwrap_or(standard.log),
    }
}

/// More connections, or requests a second, than one machine serves: a slip of the keyboard.
const LARGEST_NUMBER: u32 = 1_000_000;

/// Three gigabytes of verified tokens.
const MOST_CACHED_TOKENS: u32 = 10_000_000;

struct Check<'a> {
    mistakes: &'a mut Vec<Mistake>,
}

impl Check<'_> {
    fn note(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    fn parse<T: FromStr<Err: Display>>(&mut self, given: Option<Given<String>>) -> Option<T> {
        self.with(given, str::parse)
    }

    fn with<T, E: Display>(
        &mut self,
        given: Option<Given<String>>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let Given { value, place } = given?;
        parse(&value)
            .map_err(|error| self.note(Mistake::new(place, format!("{error} (it is {value:?})"))))
            .ok()
    }

    fn number(&mut self, given: Option<Given<u64>>) -> Option<NonZeroU32> {
        self.number_up_to(LARGEST_NUMBER, given)
    }

    fn number_up_to(&mut self, largest: u32, given: Option<Given<u64>>) -> Option<NonZeroU32> {
        let Given { value, place } = given?;
        let number = u32::try_from(value)
            .ok()
            .and_then(NonZeroU32::new)
            .filter(|number| number.get() <= largest);
        if number.is_none() {
            let problem = format!("must be a number from 1 to {largest} (it is {value})");
            self.note(Mistake::new(place, problem));
        }
        number
    }

    fn duration(&mut self, given: Option<Given<String>>, standard: Duration) -> Duration {
        self.with(given, |text| {
            let span: Span = text.parse().map_err(|error| format!("{error}"))?;
            if span > Span::HOUR {
                return Err("must be at most an hour".to_owned());
            }
            Ok(Duration::from_secs(span.seconds()))
        })
        .unwrap_or(standard)
    }

    fn keys(&mut self, raw: raw::Keys, standard: Keys) -> Keys {
        let jwks_max_age = self
            .with(raw.jwks_max_age, |text| {
                let span: Span = text.parse().map_err(|error| format!("{error}"))?;
                u32::try_from(span.seconds())
                    .ok()
                    .filter(|_| span <= Span::DAY)
                    .ok_or_else(|| "must be at most a day".to_owned())
            })
            .unwrap_or(standard.jwks_max_age);
        Keys {
            folder: raw.folder.map_or(standard.folder, |given| given.value),
            algorithm: self.parse(raw.algorithm).unwrap_or(standard.algorithm),
            jwks_max_age,
            rotate_every: self.with(raw.rotate_every, |text| {
                let span: Span = text.parse().map_err(|error| format!("{error}"))?;
                // Each would wait for its turn in the JWKS, with all that come after it.
                if span.seconds() < jwks_max_age.into() {
                    return Err("must not be shorter than `keys.jwks_max_age`".to_owned());
                }
                Ok(span)
            }),
        }
    }

    fn limits(&mut self, raw: raw::Limits, standard: Limits) -> Limits {
        Limits {
            max_connections: self
                .number(raw.max_connections)
                .and_then(|number| usize::try_from(number.get()).ok())
                .unwrap_or(standard.max_connections),
            header_timeout: self.duration(raw.header_timeout, standard.header_timeout),
            body_timeout: self.duration(raw.body_timeout, standard.body_timeout),
            idle_timeout: self.duration(raw.idle_timeout, standard.idle_timeout),
            drain_deadline: self.duration(raw.drain_deadline, standard.drain_deadline),
        }
    }

    fn rate(&mut self, raw: raw::Rate) -> Option<Rate> {
        if raw.per_second.is_none() {
            self.note(Mistake::new(
                raw.place,
                "must have `per_second`, requests a second",
            ));
        }
        let per_second = self.number(raw.per_second);
        let burst = self.number(raw.burst);
        let per_second = per_second?;
        Some(Rate {
            per_second,
            burst: burst.unwrap_or(per_second),
        })
    }

    fn networks(&mut self, given: Option<Texts>) -> Vec<IpNet> {
        let items = given.map_or_else(Vec::new, |given| given.value);
        items
            .into_iter()
            .filter_map(|item| self.with(Some(item), network))
            .collect()
    }

    /// A catalogue of one's own replaces the standard one with its presets; presets of one's own
    /// replace the standard presets.
    fn catalogue(&mut self, scopes: Option<Texts>, presets: Option<Vec<(String, Texts)>>) -> Catalogue {
        let mut catalogue = match (&scopes, &presets) {
            (None, None) => return Catalogue::standard(),
            (Some(_), _) => Catalogue::management(),
            (None, Some(_)) => Catalogue::standard_scopes(),
        };
        for item in scopes.map_or_else(Vec::new, |given| given.value) {
            let Given { value, place } = item;
            let added = value
                .parse()
                .map_err(|error| format!("{error} (it is {value:?})"))
                .and_then(|scope| catalogue.add_scope(scope).map_err(|error| error.to_string()));
            if let Err(problem) = added {
                self.note(Mistake::new(place, problem));
            }
        }
        for (name, Given { value, place }) in presets.unwrap_or_default() {
            let given = value.len();
            let scopes: Vec<Scope> = value
                .into_iter()
                .filter_map(|item| self.parse(Some(item)))
                .collect();
            // Where an item is no scope, whether the rest would make a preset does not matter.
            if scopes.len() == given
                && let Err(error) = catalogue.add_preset(&name, scopes)
            {
                self.note(Mistake::new(place, error));
            }
        }
        catalogue
    }
}

fn audience(text: &str, session_audience: &str) -> Result<String, &'static str> {
    if text == session_audience {
        return Err("must not be the audience of sessions");
    }
    if text.is_empty()
        || text.len() > 255
        || text.contains(|letter: char| letter.is_whitespace() || letter.is_control())
    {
        return Err("must be 1 to 255 bytes without spaces");
    }
    Ok(text.to_owned())
}

fn network(text: &str) -> Result<IpNet, &'static str> {
    let network: IpNet = text.parse().map_err(|_| "must be a network such as 10.0.0.0/8")?;
    // 10.0.0.1/8 is either one host or sixteen million; which one matters here.
    if network.trunc() != network {
        return Err("must have no bits beyond its mask");
    }
    Ok(network)
}
