//! Rows of issuing and revoking, which sync to disk.

use std::time::Duration;

use crate::Outcome;
use crate::client::Ask;
use crate::issue::Created;
use crate::load::{Keep, Load, Pace};
use crate::process::Server;
use crate::report::{Pair, Row, Target};
use crate::rows::{Bench, drive};
use crate::subject::{JETON, Jeton, TOKENS, json};

const ISSUE: Row = Row {
    name: "issue (64 connections)",
    baseline: "bare rows",
    target: Target::RateAtLeast(0.85),
};
const SLOW_DISK: Row = Row {
    name: "issue with 5 ms added to each sync (512)",
    baseline: "bare rows so",
    target: Target::RateAtLeast(0.85),
};
const HALF_LOAD: Row = Row {
    name: "issue at half load (open loop)",
    baseline: "bare rows so",
    target: Target::P99AtMost(2.5),
};
const REVOKE: Row = Row {
    name: "revoke (64 connections)",
    baseline: "issue",
    target: Target::RateAtLeast(0.85),
};
const BY_TOKEN: Row = Row {
    name: "issue by a token",
    baseline: "by a session",
    target: Target::RateAtLeast(0.95),
};

const BARE: &str = "/rows";

pub(crate) async fn rows(bench: &Bench<'_>) -> Outcome<()> {
    let names = [ISSUE.name, HALF_LOAD.name, REVOKE.name, BY_TOKEN.name];
    if bench.report.wants_any(&names) {
        let jeton = Jeton::start("issuing", bench.folder).await?;
        let bare = bench.bare("bare-issuing", &[], None).await?;
        let load = bench.load(&jeton.server, jeton.issue(), TOKENS)?;
        let baseline = bench.load(&bare, jeton.issue(), BARE)?;
        bench.compare(&ISSUE, &baseline, &load).await?;
        if bench.report.wants(HALF_LOAD.name) {
            half_load(bench, &baseline, &load).await?;
        }
        if bench.report.wants(REVOKE.name) {
            revoke(bench, &jeton, &load).await?;
        }
        if bench.report.wants(BY_TOKEN.name) {
            by_token(bench, &jeton).await?;
        }
        jeton.server.stop().await?;
    }
    if bench.report.wants(SLOW_DISK.name) {
        slow_disk(bench).await?;
    }
    Ok(())
}

async fn half_load(bench: &Bench<'_>, baseline: &Load, load: &Load) -> Outcome<()> {
    let per_second = drive(load).await?.rate / 2.0;
    let open = |load: &Load| Load {
        pace: Pace::Open(per_second),
        ..load.clone()
    };
    let pairs = bench.pairs(&open(baseline), &open(load)).await?;
    bench.report.row(&HALF_LOAD, &pairs);
    Ok(())
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

/// Measures the same token issued by a session and by a token of the organization.
async fn by_token(bench: &Bench<'_>, jeton: &Jeton) -> Outcome<()> {
    let issuer = json(
        r#"{"name":"issues","organization":"default","owner":"organization","scopes":["tokens:write","projects:read"]}"#,
    );
    let issuer: Created = jeton.read(TOKENS, &Ask::post(&jeton.session, issuer)).await?;
    let body =
        r#"{"name":"bench","organization":"default","owner":"organization","scopes":["projects:read"]}"#;
    let load = |token: &str| bench.load(&jeton.server, Ask::post(token, json(body)), TOKENS);
    let pairs = bench.pairs(&load(&jeton.session)?, &load(&issuer.token)?).await?;
    bench.report.row(&BY_TOKEN, &pairs);
    Ok(())
}

async fn slow_disk(bench: &Bench<'_>) -> Outcome<()> {
    let library = bench.slow_sync().await?;
    let jeton = Jeton::start_with("slow", bench.folder, JETON.as_ref(), Some(&library)).await?;
    let bare = bench.bare("bare-slow", &[], Some(&library)).await?;
    let load = |server: &Server, path| -> Outcome<Load> {
        Ok(Load {
            connections: 512,
            ..bench.load(server, jeton.issue(), path)?
        })
    };
    for (server, path) in [(&jeton.server, TOKENS), (&bare, BARE)] {
        let one = Load {
            connections: 1,
            ..load(server, path)?
        };
        let took = drive(&one.numbered(1)).await?.slowest;
        if took < Duration::from_millis(5) {
            return Err(format!("issued in {took:?}: the syncs were not slowed down").into());
        }
    }
    let pairs = bench
        .pairs(&load(&bare, BARE)?, &load(&jeton.server, TOKENS)?)
        .await?;
    bench.report.row(&SLOW_DISK, &pairs);
    jeton.server.stop().await
}
