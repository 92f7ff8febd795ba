//! What has a bound of its own, whatever the machine's ceiling is.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::Outcome;
use crate::client::Ask;
use crate::load::{Load, Paths};
use crate::rows::{Size, drive, load};
use crate::subject::{Jeton, TOKENS};

/// A page of a list, in whichever order, of an organization with ten thousand tokens.
const LIST_WITHIN: Duration = Duration::from_millis(20);

/// Any other write while many tokens are revoked.
const WRITE_WITHIN: Duration = Duration::from_millis(250);

/// Something measured, and what it may be at most.
pub(crate) struct Bound {
    what: String,
    measured: String,
    at_most: String,
    is_met: bool,
}

impl Bound {
    pub(crate) fn time(what: String, measured: Duration, at_most: Duration) -> Self {
        let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
        Self {
            what,
            measured: milliseconds(measured),
            at_most: milliseconds(at_most),
            is_met: measured <= at_most,
        }
    }

    pub(crate) fn megabytes(what: String, measured: u64, at_most: u64) -> Self {
        Self {
            what,
            measured: format!("{} MB", measured / 1_000_000),
            at_most: format!("{} MB", at_most / 1_000_000),
            is_met: measured <= at_most,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            measured,
            at_most,
            is_met,
        } = self;
        let verdict = if *is_met { "met" } else { "MISSED" };
        write!(f, "{what:<84} {measured:>10}   at most {at_most:>9} {verdict}")
    }
}

/// The slowest order of a list, one page after the other.
pub(crate) async fn lists(size: Size, jeton: &Jeton, tokens: usize) -> Outcome<Bound> {
    let mut slowest = (Duration::ZERO, "");
    for order in [
        "created_at",
        "expires_at",
        "last_used_at",
        "name",
        "team",
        "created_by",
    ] {
        let path = format!("{TOKENS}?organization=default&sort_by={order}");
        let list = Load {
            connections: 1,
            asks: vec![Ask::get(&jeton.session)],
            ..load(size, &jeton.server, Paths::Round(vec![path]))
        };
        slowest = slowest.max((drive(&list).await?.p99, order));
    }
    let (time, order) = slowest;
    let what = format!("p99 of a page of a list of {tokens} tokens, in its slowest order, {order}");
    Ok(Bound::time(what, time, LIST_WITHIN))
}

/// Issuing, one token after the other, while the tokens of an organization are revoked by a filter. It
/// leaves no token of it behind.
pub(crate) async fn writes_beside_a_bulk_revocation(size: Size, jeton: &Jeton) -> Outcome<Bound> {
    #[derive(Deserialize)]
    struct Order {
        id: String,
        matched: u64,
        revoked: u64,
    }
    let order = Ask {
        expected: 202,
        ..Ask::post(
            &jeton.session,
            Some(r#"{"organization":"default","owner":"organization"}"#),
        )
    };
    let path = format!("{TOKENS}/revoke");
    let ordered: Order = serde_json::from_slice(&jeton.ask(&path, &order).await?)?;
    let issue = Load {
        connections: 1,
        warm_up: Duration::ZERO,
        asks: vec![jeton.issue()],
        ..load(size, &jeton.server, Paths::Round(vec![TOKENS.to_owned()]))
    };
    let slowest = drive(&issue).await?.slowest;
    let progress = jeton
        .ask(&format!("{path}/{}", ordered.id), &Ask::get(&jeton.session))
        .await?;
    let Order { matched, revoked, .. } = serde_json::from_slice(&progress)?;
    if ordered.matched != matched || revoked == 0 {
        return Err("nothing was revoked meanwhile".into());
    }
    let what = format!("the slowest issue while {revoked} of {matched} tokens were revoked by a filter");
    Ok(Bound::time(what, slowest, WRITE_WITHIN))
}
