//! Findings about the server as its clients reach it: the issuer, its key set, its status lists, and what a proxy between
//! passes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jeton_verifier::client::{Probe, ProbeError};
use jeton_verifier::{ExpectedList, KeySet, MAX_STATUS_LIST_BYTES, UnverifiedStatusList};
use serde::Deserialize;

use super::{Finding, Level, compared, keys};
use crate::backend::{self, DatabaseExamined};
use crate::config::Config;
use jeton_core::clock::Timestamp;
use jeton_store::KeyState;

/// For how long a published status list may lag behind a revocation, in seconds: a list is valid for some minutes in the
/// caches of proxies.
pub(super) const LAG: i64 = 600;

/// The largest document that is read.
const DOCUMENT: usize = 1 << 20;

/// At most so many status lists are compared.
const LISTS: usize = 64;

/// A text that is no token: a server that gets it says so, and one that gets none says that it is missing.
const NO_TOKEN: &str = "jeton-doctor";

pub(super) async fn findings(
    database: &Path,
    config: &Config,
    examined: &DatabaseExamined,
    now: Timestamp,
) -> Vec<Finding> {
    let Some(issuer) = &examined.issuer else {
        return vec![Finding::warn(
            "issuer",
            "no server has started on this database",
            "start it: the first start stores the issuer",
        )];
    };
    let mut findings = Vec::new();
    if let Some(configured) = config.issuer.as_ref().map(ToString::to_string)
        && configured != *issuer
    {
        findings.push(Finding::fail(
            "issuer",
            format!("the configuration says {configured}, and the database {issuer}"),
            "set `issuer` to that of the database, which all its tokens contain",
        ));
    }
    findings.push(judge_scheme(issuer));
    let probe = match Probe::new(issuer) {
        Ok(probe) => probe,
        Err(error) => {
            let advice = "install the certificates of the system's authorities (ca-certificates)";
            findings.push(Finding::fail("reachable", error.to_string(), advice));
            return findings;
        }
    };
    match metadata(&probe, issuer).await {
        Ok(finding) => findings.push(finding),
        Err(finding) => {
            findings.push(finding);
            return findings;
        }
    }
    let (finding, keys) = compared(
        async || key_set(&probe, database).await,
        |(finding, _)| finding.level == Level::Ok,
    )
    .await;
    findings.push(finding);
    findings.push(authorization(&probe).await);
    findings.push(judge_proxy(
        issuer,
        config.tls.is_some(),
        config.trusted_proxies.len(),
    ));
    if let Some(keys) = keys {
        findings.push(status_lists(&probe, issuer, &keys, examined, now).await);
    }
    findings
}

fn judge_scheme(issuer: &str) -> Finding {
    let host = issuer.strip_prefix("http://").map(|rest| {
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        match host.split_once(']') {
            // An IPv6 address contains colons.
            Some((address, _)) => address,
            None => host.split_once(':').map_or(host, |(host, _)| host),
        }
    });
    match host {
        None => Finding::ok("https", format!("{issuer} is reached over HTTPS")),
        Some("localhost" | "127.0.0.1" | "[::1") => {
            Finding::ok("https", format!("{issuer} is on this machine alone"))
        }
        Some(_) => Finding::warn(
            "https",
            format!("{issuer} is reached without HTTPS: anybody between reads tokens and passwords"),
            "begin a deployment with an https issuer: the issuer of this one cannot be changed",
        ),
    }
}

/// Asks for the metadata: is this authority at its own URL, with the path in front of it?
async fn metadata(probe: &Probe, issuer: &str) -> Result<Finding, Finding> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
    }
    let advice = "check the address, the firewall, the certificate, and the proxy's route: the path of the issuer must be \
                  cut off before jeton";
    let path = "/.well-known/oauth-authorization-server";
    let failed = |what: String| Finding::fail("reachable", format!("{issuer}{path}: {what}"), advice);
    let body = probe
        .get(path, None, DOCUMENT)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let found: Metadata =
        serde_json::from_slice(&body).map_err(|_| failed("the answer is no metadata".to_owned()))?;
    match found.issuer == issuer {
        true => Ok(Finding::ok("reachable", format!("{issuer} answers from here"))),
        false => Err(failed(format!("the answer is of {}", found.issuer))),
    }
}

/// Compares the published keys with those of the database.
async fn key_set(probe: &Probe, database: &Path) -> (Finding, Option<KeySet>) {
    #[derive(Deserialize)]
    struct Jwks {
        keys: Vec<Key>,
    }
    #[derive(Deserialize)]
    struct Key {
        kid: String,
    }
    let advice = "purge the caches between here and the server, and restart it if that does not help";
    let fetched = probe.get("/.well-known/jwks.json", None, DOCUMENT).await;
    let parsed = match &fetched {
        Ok(body) => serde_json::from_slice::<Jwks>(body).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let served: BTreeSet<String> = match parsed {
        Ok(jwks) => jwks.keys.into_iter().map(|key| key.kid).collect(),
        Err(error) => return (Finding::fail("jwks", error, advice), None),
    };
    let published =
        |state: KeyState| matches!(state, KeyState::Published | KeyState::Signing | KeyState::Retired);
    let expected = match backend::keys(database) {
        Ok(keys) => keys.into_iter().filter(|(_, state)| published(*state)),
        Err(error) => return (keys::unreadable(&error), None),
    };
    let expected: BTreeSet<String> = expected.map(|(kid, _)| kid).collect();
    let set = fetched
        .ok()
        .and_then(|body| KeySet::from_json(std::str::from_utf8(&body).ok()?).ok());
    (judge_key_set(&served, &expected), set)
}

fn judge_key_set(served: &BTreeSet<String>, expected: &BTreeSet<String>) -> Finding {
    let joined = |kids: Vec<&String>| kids.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let missing = joined(expected.difference(served).collect());
    let foreign = joined(served.difference(expected).collect());
    if !missing.is_empty() {
        Finding::fail(
            "jwks",
            format!("the published key set lacks {missing}"),
            "restart the server, and purge caches between: verifiers refuse good tokens",
        )
    } else if !foreign.is_empty() {
        Finding::fail(
            "jwks",
            format!("the published key set has {foreign}, which the database does not publish"),
            "purge the caches between: a withdrawn key is still trusted, or another server answers",
        )
    } else {
        Finding::ok("jwks", format!("{} keys, those of the database", served.len()))
    }
}

/// Sends a credential that is none, and finds out whether it has arrived.
async fn authorization(probe: &Probe) -> Finding {
    let answer = probe.get("/api/v1/me", Some(NO_TOKEN), DOCUMENT).await;
    judge_authorization(answer.map(drop))
}

fn judge_authorization(answer: Result<(), ProbeError>) -> Finding {
    let advice = "have the proxy pass on `Authorization`, and nothing in its place";
    match answer {
        Err(ProbeError::Refused { status: 401, code }) if code == "invalid_token" => {
            Finding::ok("authorization", "the header arrives at the server")
        }
        Err(ProbeError::Refused { status: 401, code }) if code == "not_authenticated" => Finding::fail(
            "authorization",
            "the header `Authorization` does not arrive at the server",
            advice,
        ),
        Err(error) => Finding::fail("authorization", format!("an unexpected answer: {error}"), advice),
        Ok(()) => Finding::fail(
            "authorization",
            "a text that is no token was accepted: another server answers, or the proxy replaces the header",
            advice,
        ),
    }
}

/// Judges whether a proxy stands in front whose clients are taken for one: what it sends in `X-Forwarded-For` cannot be
/// seen from here.
fn judge_proxy(issuer: &str, has_tls: bool, trusted: usize) -> Finding {
    let is_proxied = issuer.starts_with("https://") && !has_tls;
    match is_proxied && trusted == 0 {
        true => Finding::warn(
            "forwarded",
            "a proxy ends TLS, and `trusted_proxies` names none: all clients count as one address",
            "set `trusted_proxies` to the proxy's address, and have it replace `X-Forwarded-For`",
        ),
        false => Finding::ok(
            "forwarded",
            match trusted {
                0 => "no proxy is trusted".to_owned(),
                trusted => format!("{trusted} networks of proxies are trusted"),
            },
        ),
    }
}

/// Compares the published status lists, which the server renders from its index in memory, with the revoked tokens of the
/// database.
async fn status_lists(
    probe: &Probe,
    issuer: &str,
    keys: &KeySet,
    examined: &DatabaseExamined,
    now: Timestamp,
) -> Finding {
    let mut revoked: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for at in &examined.revoked {
        revoked.entry(at.list).or_default().push(at.index);
    }
    let mut compared = 0;
    for (list, indexes) in revoked.iter().take(LISTS) {
        let path = format!("/status-lists/{list}");
        match missing_bits(probe, issuer, &path, keys, indexes, now).await {
            Ok(0) => compared += indexes.len(),
            Ok(missing) => {
                return Finding::fail(
                    "status_lists",
                    format!("{path} lacks {missing} tokens that have been revoked for {LAG} seconds"),
                    "purge caches between here and the server, and restart it: verifiers accept these tokens",
                );
            }
            Err(error) => {
                return Finding::fail(
                    "status_lists",
                    format!("{path}: {error}"),
                    "see the log of the server: verifiers that read it learn of no revocation",
                );
            }
        }
    }
    Finding::ok(
        "status_lists",
        format!("they have all {compared} revoked tokens that were compared"),
    )
}

/// Returns how many of the indexes are not set in a published list.
async fn missing_bits(
    probe: &Probe,
    issuer: &str,
    path: &str,
    keys: &KeySet,
    indexes: &[u32],
    now: Timestamp,
) -> Result<usize, String> {
    let body = probe.get(path, None, MAX_STATUS_LIST_BYTES).await;
    let body = body.map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&body).map_err(|error| error.to_string())?;
    let list = UnverifiedStatusList::parse(text).map_err(|error| error.to_string())?;
    let verified = keys.verify_statement(list).map_err(|error| error.to_string())?;
    let uri = format!("{issuer}{path}");
    let expected = ExpectedList {
        uri: &uri,
        known: None,
        now: now.seconds(),
        leeway: 60,
    };
    let claims = verified.judge(&expected).map_err(|error| error.to_string())?;
    let bits = claims.list.inflate().map_err(|error| error.to_string())?;
    let is_missing = |index: &&u32| bits.is_set(**index) != Some(true);
    Ok(indexes.iter().filter(is_missing).count())
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_proxy_that_drops_the_credential_is_found() {
        let refused = |status, code: &str| {
            Err(ProbeError::Refused {
                status,
                code: code.to_owned(),
            })
        };
        for (answer, level) in [
            (refused(401, "invalid_token"), Level::Ok),
            (refused(401, "not_authenticated"), Level::Fail),
            (refused(502, ""), Level::Fail),
            (Ok(()), Level::Fail),
            (Err(ProbeError::Unreachable("reset".to_owned())), Level::Fail),
        ] {
            assert_eq!(judge_authorization(answer.clone()).level, level, "{answer:?}");
        }
    }

    #[test]
    fn a_key_set_is_exactly_that_of_the_database() {
        let set = |kids: &[&str]| kids.iter().map(|kid| (*kid).to_owned()).collect::<BTreeSet<_>>();
        for (served, level) in [
            (set(&["a", "b"]), Level::Ok),
            (set(&["a"]), Level::Fail),
            (set(&["a", "b", "c"]), Level::Fail),
            (set(&[]), Level::Fail),
        ] {
            assert_eq!(
                judge_key_set(&served, &set(&["a", "b"])).level,
                level,
                "{served:?}"
            );
        }
    }

    #[test]
    fn a_proxy_that_is_not_named_hides_its_clients() {
        for (issuer, has_tls, trusted, level) in [
            ("https://jeton.example", false, 0, Level::Warn),
            ("https://jeton.example", false, 1, Level::Ok),
            ("https://jeton.example", true, 0, Level::Ok),
            ("http://127.0.0.1:8080", false, 0, Level::Ok),
        ] {
            assert_eq!(judge_proxy(issuer, has_tls, trusted).level, level, "{issuer}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        for (issuer, level) in [
            ("https://jeton.example", Level::Ok),
            ("http://127.0.0.1:8080", Level::Ok),
            ("http://localhost/auth", Level::Ok),
            ("http://[::1]", Level::Ok),
            ("http://[::1]:8080/auth", Level::Ok),
            ("http://[2001:db8::1]:8080", Level::Warn),
            ("http://jeton.example:80/x", Level::Warn),
        ] {
            assert_eq!(judge_scheme(issuer).level, level, "{issuer}");
        }
    }
}
