//! Rows of a server with a million tokens against one with ten thousand, and bounds for both.

use std::time::Duration;

use crate::Outcome;
use crate::client::Ask;
use crate::load::Load;
use crate::report::{Bound, Quantity, Row, Target};
use crate::rows::{Bench, drive};
use crate::subject::{CURRENT, Jeton, RevokedTokens, TOKENS, json};

const ISSUE: Row = row("1M tokens: issue");
const AUTHENTICATE: Row = row("1M tokens: authenticate");
const GET: Row = row("1M tokens: get one by id");
const LIST: Row = row("1M tokens: list of another organization");

const fn row(name: &'static str) -> Row {
    Row {
        name,
        baseline: "10k tokens",
        target: Target::RateAtLeast(0.90),
    }
}

const PAGE: Bound = Bound {
    name: "page of 10k tokens in the slowest order (p99)",
    at_most: Quantity::Time(Duration::from_millis(20)),
};
const READY: Bound = Bound {
    name: "1M tokens: ready after a start",
    at_most: Quantity::Time(Duration::from_secs(2)),
};
const MEMORY: Bound = Bound {
    name: "1M tokens: memory after the rounds",
    at_most: Quantity::Bytes(100_000_000),
};
const BULK: Bound = Bound {
    name: "1M tokens: slowest issue beside a revocation",
    at_most: Quantity::Time(Duration::from_millis(250)),
};

const FEW: usize = 10_000;
const MANY: usize = 1_000_000;

/// Every tenth token is revoked.
const REVOKED: usize = 10;

/// The number of tokens of another organization, whose list is read.
const OTHERS: usize = 100;
const OTHERS_LIST: &str = "/api/v1/tokens?organization=other&limit=100";

const OF_DEFAULT: &str = r#"{"name":"seeded","description":"one of very many","organization":"default","owner":"organization","scopes":["projects:read","content:write"]}"#;
const OF_OTHER: &str = r#"{"name":"one of few","organization":"other","owner":"organization"}"#;

pub(crate) async fn rows(bench: &Bench<'_>) -> Outcome<()> {
    let report = bench.report;
    let compared = [ISSUE.name, AUTHENTICATE.name, GET.name, LIST.name];
    let wants_compared = report.wants_any(&compared);
    let wants_bounds = report.wants_any(&[READY.name, MEMORY.name, BULK.name]);
    if !wants_compared && !wants_bounds && !report.wants(PAGE.name) {
        return Ok(());
    }
    let few = Crowd::gather(bench, "few", FEW).await?;
    // Before the rounds, which add tokens to it.
    if report.wants(PAGE.name) {
        few.slowest_page(bench).await?;
    }
    if wants_compared || wants_bounds {
        let many = Crowd::gather(bench, "many", MANY).await?;
        compare(bench, &few, &many).await?;
        if report.wants(READY.name) {
            report.bound(&READY, Quantity::Time(many.ready), "");
        }
        if report.wants(MEMORY.name) {
            let bytes = few.jeton.server.memory()?;
            let detail = format!("with 10k: {} MB", bytes / 1_000_000);
            report.bound(&MEMORY, Quantity::Bytes(many.jeton.server.memory()?), &detail);
        }
        if report.wants(BULK.name) {
            many.issue_beside_a_bulk_revocation(bench).await?;
        }
        many.jeton.server.stop().await?;
    }
    few.jeton.server.stop().await
}

/// A server with many tokens, a tenth of them revoked.
struct Crowd {
    jeton: Jeton,
    /// Ten thousand active tokens, spread over all.
    ids: Vec<String>,
    ready: Duration,
}

async fn compare(bench: &Bench<'_>, few: &Crowd, many: &Crowd) -> Outcome<()> {
    let pair = async |row: &Row, load: &dyn Fn(&Crowd) -> Outcome<Load>| {
        bench.compare(row, &load(few)?, &load(many)?).await
    };
    pair(&ISSUE, &|crowd| {
        bench.load(&crowd.jeton.server, crowd.jeton.issue(), TOKENS)
    })
    .await?;
    pair(&AUTHENTICATE, &|crowd| {
        bench.load(&crowd.jeton.server, Ask::get(&crowd.jeton.token.token), CURRENT)
    })
    .await?;
    pair(&GET, &|crowd| {
        let get = Ask::get(&crowd.jeton.session);
        Ok(Load {
            paths: crowd.ids.iter().map(|id| crowd.jeton.path(id)).collect(),
            ..bench.load(&crowd.jeton.server, get, "")?
        })
    })
    .await?;
    pair(&LIST, &|crowd| {
        let get = Ask::get(&crowd.jeton.session);
        bench.load(&crowd.jeton.server, get, OTHERS_LIST)
    })
    .await
}

impl Crowd {
    async fn gather(bench: &Bench<'_>, name: &'static str, count: usize) -> Outcome<Self> {
        let jeton = Jeton::start(name, bench.folder).await?;
        jeton.create_organization("other").await?;
        let ask = |body| Ask::post(&jeton.session, json(body));
        bench.ids(&jeton, ask(OF_OTHER), OTHERS).await?;
        let count = bench.size.count(count);
        let ids = bench.ids(&jeton, ask(OF_DEFAULT), count).await?;
        let (revoked, active): (Vec<_>, Vec<_>) = ids
            .into_iter()
            .enumerate()
            .partition(|(number, _)| number.is_multiple_of(REVOKED));
        let revoked: Vec<String> = revoked.into_iter().map(|(_, id)| id).collect();
        drive(&bench.revoke(&jeton, &revoked)?).await?;
        let step = (active.len() / FEW).max(1);
        let ids = active.into_iter().map(|(_, id)| id).step_by(step).collect();
        let (jeton, ready) = jeton.restart("").await?;
        Ok(Self { jeton, ids, ready })
    }

    /// Reads the first page in each order, sequentially on one connection.
    async fn slowest_page(&self, bench: &Bench<'_>) -> Outcome<()> {
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
                time: bench.size.time / 2,
                ..bench.load(&self.jeton.server, Ask::get(&self.jeton.session), &path)?
            };
            slowest = slowest.max((drive(&list).await?.p99, order));
        }
        let (time, order) = slowest;
        bench
            .report
            .bound(&PAGE, Quantity::Time(time), &format!("by {order}"));
        Ok(())
    }

    /// Issues tokens sequentially while a bulk revocation runs. It leaves none of the revocation's
    /// tokens active.
    async fn issue_beside_a_bulk_revocation(&self, bench: &Bench<'_>) -> Outcome<()> {
        let filter = json(r#"{"organization":"default","owner":"organization"}"#);
        let order = Ask {
            expected: 202,
            ..Ask::post(&self.jeton.session, filter)
        };
        let path = format!("{TOKENS}/revoke");
        let ordered: RevokedTokens = self.jeton.read(&path, &order).await?;
        let slowest = drive(&one_after_the_other(bench, &self.jeton)?).await?.slowest;
        let RevokedTokens { matched, revoked, .. } = self.jeton.revocation(&ordered.id).await?;
        if ordered.matched != matched || revoked == 0 {
            return Err("nothing was revoked meanwhile".into());
        }
        let detail = format!("{revoked} of {matched} tokens were revoked meanwhile");
        bench.report.bound(&BULK, Quantity::Time(slowest), &detail);
        Ok(())
    }
}

/// Returns the load of one connection that issues tokens sequentially.
pub(crate) fn one_after_the_other(bench: &Bench<'_>, jeton: &Jeton) -> Outcome<Load> {
    Ok(Load {
        connections: 1,
        warm_up: Duration::ZERO,
        ..bench.load(&jeton.server, jeton.issue(), TOKENS)?
    })
}
