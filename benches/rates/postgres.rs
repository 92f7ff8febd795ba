//! Rows of one and two servers on a PostgreSQL database on the same machine.
//!
//! Two servers share the machine's cores with PostgreSQL and the driver: no row compares their rates.

use std::path::Path;
use std::time::{Duration, Instant};

use jeton_store_postgres::Host;
use jeton_store_postgres::cluster::Cluster;

use crate::Outcome;
use crate::client::{Ask, Body, Client};
use crate::issue::{BODY, Created};
use crate::load::{Keep, Load};
use crate::pace::Measured;
use crate::process::{Server, processor_time_of_all};
use crate::report::{Bound, Pair, Quantity, Row, Target};
use crate::rows::{Bench, drive};
use crate::subject::{AUTHORIZE_REQUEST, Jeton, TOKENS, json};

const ISSUE: Row = Row {
    name: "PostgreSQL: issue (64 connections)",
    baseline: "bare rows, so many",
    target: Target::RateAtLeast(0.60),
};
const REVOKE: Row = Row {
    name: "PostgreSQL: revoke (64 connections)",
    baseline: "issue",
    target: Target::RateAtLeast(0.50),
};
const TWO_SERVERS: Row = Row {
    name: "PostgreSQL: issue at two servers (32 each)",
    baseline: "at one server (64)",
    target: Target::ProcessorAtMost(1.15),
};
const REFUSED: Bound = Bound {
    name: "PostgreSQL: refused by the other server (p99)",
    at_most: Quantity::Time(Duration::from_millis(50)),
};
const LAST_REFUSED: Bound = Bound {
    name: "PostgreSQL: refused by the other server (last)",
    at_most: Quantity::Time(Duration::from_millis(300)),
};

/// How many revocations are followed to the other server.
const REVOCATIONS: usize = 500;

const BARE: &str = "/rows";

pub(crate) async fn rows(bench: &Bench<'_>) -> Outcome<()> {
    let names = [
        ISSUE.name,
        REVOKE.name,
        TWO_SERVERS.name,
        REFUSED.name,
        LAST_REFUSED.name,
    ];
    if !bench.report.wants_any(&names) {
        return Ok(());
    }
    // Not in memory, and where the user of PostgreSQL may enter.
    let cluster = match Cluster::start_in(Path::new("/var/tmp")) {
        Ok(cluster) => cluster,
        Err(error) => {
            println!("PostgreSQL is not measured: {error}");
            return Ok(());
        }
    };
    let jeton = Jeton::start_on_postgres("postgres", bench.folder, &new_database(&cluster).await?).await?;
    let load = bench.load(&jeton.server, jeton.issue(), TOKENS)?;
    if bench.report.wants(ISSUE.name) {
        let rows = new_database(&cluster).await?;
        let bare = bench.bare_over("bare-postgres", &rows, &[], None).await?;
        let baseline = bench.load(&bare, jeton.issue(), BARE)?;
        bench.compare(&ISSUE, &baseline, &load).await?;
    }
    if bench.report.wants(REVOKE.name) {
        revoke(bench, &jeton, &load).await?;
    }
    if bench.report.wants(TWO_SERVERS.name) {
        two_servers(bench, &cluster, &jeton, &load).await?;
    }
    if bench.report.wants(REFUSED.name) || bench.report.wants(LAST_REFUSED.name) {
        refused_elsewhere(bench, &jeton).await?;
    }
    jeton.server.stop().await
}

/// Returns the URL of a new database.
async fn new_database(cluster: &Cluster) -> Outcome<String> {
    let name = cluster.create_database().await?;
    match cluster.config(&name).get_hosts() {
        [Host::Unix(folder)] => {
            let folder = folder.to_str().ok_or("the folder is no text")?;
            Ok(format!("postgres://jeton@{}/{name}", folder.replace('/', "%2F")))
        }
        _ => Err("the cluster has no socket".into()),
    }
}

/// Revokes the tokens of the previous round.
async fn revoke(bench: &Bench<'_>, jeton: &Jeton, issue: &Load) -> Outcome<()> {
    let issue = Load {
        keep: Keep::Ids,
        ..issue.clone()
    };
    let mut pairs = Vec::new();
    for _ in 0..bench.size.pairs {
        let baseline = drive(&issue).await?;
        let subject = drive(&bench.revoke(jeton, &baseline.ids)?).await?;
        pairs.push(Pair { baseline, subject });
    }
    bench.report.row(&REVOKE, &pairs);
    Ok(())
}

/// Compares the processor time of an issue at one server, and at two that share the load. The second one is stopped
/// meanwhile.
async fn two_servers(bench: &Bench<'_>, cluster: &Cluster, jeton: &Jeton, load: &Load) -> Outcome<()> {
    let mut pairs = Vec::new();
    let mut of_postgres = Vec::new();
    for _ in 0..bench.size.pairs {
        let before = processor_time_of_all(cluster.process())?;
        let baseline = drive(load).await?;
        let between = processor_time_of_all(cluster.process())?;
        let one = (between - before).as_secs_f64() / issued(bench, &baseline);
        let second = jeton.beside("second", bench.folder).await?;
        let half = Load {
            connections: load.connections / 2,
            ..load.clone()
        };
        let other = Load {
            address: second.address,
            process: second.process()?,
            ..half.clone()
        };
        let before = processor_time_of_all(cluster.process())?;
        let (half, other) = tokio::try_join!(drive(&half), drive(&other))?;
        let after = processor_time_of_all(cluster.process())?;
        second.stop().await?;
        let subject = together(&half, &other);
        let two = (after - before).as_secs_f64() / issued(bench, &subject);
        of_postgres.push((one, two));
        pairs.push(Pair { baseline, subject });
    }
    bench.report.row(&TWO_SERVERS, &pairs);
    of_postgres.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    if let Some((one, two)) = of_postgres.get(of_postgres.len() / 2) {
        println!(
            "  PostgreSQL's processor time for each of these issues: {:.0} µs with one server, {:.0} µs with two",
            one * 1e6,
            two * 1e6
        );
    }
    Ok(())
}

/// Returns about how many tokens a round has issued, its warm-up included.
fn issued(bench: &Bench<'_>, measured: &Measured) -> f64 {
    measured.rate * (bench.size.warm_up + bench.size.time).as_secs_f64()
}

/// Returns the measurements of two rounds at the same time as those of one.
fn together(one: &Measured, other: &Measured) -> Measured {
    let rate = one.rate + other.rate;
    let processor = one.processor.mul_f64(one.rate / rate) + other.processor.mul_f64(other.rate / rate);
    Measured {
        rate,
        p50: one.p50.max(other.p50),
        p99: one.p99.max(other.p99),
        slowest: one.slowest.max(other.slowest),
        processor,
        busy: one.busy + other.busy,
        ids: Vec::new(),
    }
}

/// Revokes tokens at one server, one after the other, and measures from the answer until the other server refuses each: until
/// the last request that it accepts begins.
async fn refused_elsewhere(bench: &Bench<'_>, jeton: &Jeton) -> Outcome<()> {
    let second = jeton.beside("second", bench.folder).await?;
    let mut delays = Vec::new();
    let mut clients = Vec::new();
    let servers: [&Server; 2] = [&jeton.server, &second];
    for server in servers {
        clients.push(Client::connect(server.address).await?);
    }
    for _ in 0..bench.size.count(REVOCATIONS).max(20) {
        clients.reverse();
        let [revoking, other] = clients.as_mut_slice() else {
            return Err("there are two servers".into());
        };
        let issued = revoking
            .ask(TOKENS, &Ask::post(&jeton.session, json(BODY)), "")
            .await?;
        let issued: Created = serde_json::from_slice(&issued)?;
        let check = Ask::get(&issued.token);
        // It knows the token by heart.
        other.ask(AUTHORIZE_REQUEST, &check, "").await?;
        let path = format!("{}/revoke", jeton.path(&issued.token_info.id));
        revoking
            .ask(&path, &Ask::post(&jeton.session, Body::Empty), "")
            .await?;
        let answered = Instant::now();
        let mut delay = Duration::ZERO;
        loop {
            let begun = answered.elapsed();
            // Anything but 200 is an error.
            if other.ask(AUTHORIZE_REQUEST, &check, "").await.is_err() {
                break;
            }
            delay = begun;
            if begun > Duration::from_secs(10) {
                return Err("the other server never refuses the token".into());
            }
        }
        delays.push(delay);
    }
    second.stop().await?;
    delays.sort_unstable();
    let at = |percent: usize| {
        let number = (delays.len() * percent / 100).saturating_sub(1);
        delays.get(number).copied().unwrap_or_default()
    };
    let detail = format!(
        "p50 {:.1} ms, {} revocations",
        at(50).as_secs_f64() * 1e3,
        delays.len()
    );
    bench.report.bound(&REFUSED, Quantity::Time(at(99)), &detail);
    bench.report.bound(&LAST_REFUSED, Quantity::Time(at(100)), "");
    Ok(())
}
