//! What has a bound of its own, whatever the machine's ceiling is.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use jeton::system::SystemClock;
use jeton_core::clock::Clock;
use serde::Deserialize;

use crate::Outcome;
use crate::client::Ask;
use crate::load::{Load, Paths};
use crate::rows::{Size, drive, load};
use crate::seed::seed;
use crate::subject::{Jeton, TOKENS};

/// A page of a list, in whichever order, of an organization with ten thousand tokens.
const LIST_WITHIN: Duration = Duration::from_millis(20);

/// Any other write while many tokens are revoked or forgotten.
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
    let slowest = drive(&one_after_the_other(size, jeton)).await?.slowest;
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

/// How long ago tokens of a year were made whose records are kept no more: a year and a `retention`, and
/// some days.
const LONG_AGO: i64 = 400 * 86_400;

/// More rounds than any forgetting takes.
const MOST_ROUNDS: usize = 100;

/// Issuing, one token after the other, while the records of many tokens are forgotten, and as long
/// without.
pub(crate) async fn writes_beside_forgetting(size: Size, folder: &Path) -> Outcome<Bound> {
    let made_by = SystemClock.now().plus_seconds(-LONG_AGO);
    let jeton = Jeton::start("ended", folder, None).await?;
    let jeton = jeton
        .restart_after(async |database: &Path| seed(database, size.ended, made_by).await.map(drop))
        .await?;
    let issue = one_after_the_other(size, &jeton);
    // It forgets from its start on.
    let mut beside = Vec::new();
    while ended(&jeton).await? > 0 {
        if beside.len() == MOST_ROUNDS {
            return Err("not all that has ended was forgotten".into());
        }
        beside.push(drive(&issue).await?.slowest);
    }
    let mut without = Vec::new();
    for _ in &beside {
        without.push(drive(&issue).await?.slowest);
    }
    jeton.server.stop().await?;
    let (Some(beside), Some(without)) = (beside.into_iter().max(), without.into_iter().max()) else {
        return Err("nothing was forgotten meanwhile".into());
    };
    let what = format!(
        "the slowest issue while {} records were forgotten (without that {:.1} ms)",
        size.ended,
        without.as_secs_f64() * 1000.0
    );
    Ok(Bound::time(what, beside, WRITE_WITHIN))
}

/// How many tokens are on record that have ended.
async fn ended(jeton: &Jeton) -> Outcome<u64> {
    #[derive(Deserialize)]
    struct List {
        total: u64,
    }
    let path = format!("{TOKENS}?organization=default&status=expired&limit=1&include_total_count=true");
    let list: List = serde_json::from_slice(&jeton.ask(&path, &Ask::get(&jeton.session)).await?)?;
    Ok(list.total)
}

/// One connection that issues a token once it has the one before.
fn one_after_the_other(size: Size, jeton: &Jeton) -> Load {
    Load {
        connections: 1,
        warm_up: Duration::ZERO,
        asks: vec![jeton.issue()],
        ..load(size, &jeton.server, Paths::Round(vec![TOKENS.to_owned()]))
    }
}
