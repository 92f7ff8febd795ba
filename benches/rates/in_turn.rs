//! Rows of introspecting very many tokens in turn against few: the effect of the token cache.

use crate::Outcome;
use crate::client::{Ask, Body};
use crate::load::Load;
use crate::report::{Pair, Row, Target};
use crate::rows::{Bench, drive};
use crate::subject::{INTROSPECT, Jeton};
use crate::tokens::Tokens;

const MANY: Row = Row {
    name: "introspect 100k tokens in turn",
    baseline: "1k in turn",
    target: Target::RateAtLeast(0.85),
};
/// Takes two minutes, and a cache that holds as many.
const VERY_MANY: Row = Row {
    name: "introspect 1M tokens in turn",
    baseline: "1k in turn",
    target: Target::RateAtLeast(0.70),
};

const FEW: usize = 1_000;

/// The environment variable with the configuration of [`VERY_MANY`]'s server: lines of `jeton.toml` that
/// make its cache hold a million tokens.
const CONFIGURATION: &str = "INTROSPECT_1M_CONFIGURATION";

pub(crate) async fn rows(bench: &Bench<'_>) -> Outcome<()> {
    if bench.report.wants(MANY.name) {
        measure(bench, &MANY, 100_000, "").await?;
    }
    if bench.report.wants_by_name(VERY_MANY.name) {
        let configuration = std::env::var(CONFIGURATION);
        let configuration =
            configuration.map_err(|_| format!("{CONFIGURATION} must say how large the cache is"))?;
        measure(bench, &VERY_MANY, 1_000_000, &configuration).await?;
    }
    Ok(())
}

async fn measure(bench: &Bench<'_>, row: &Row, count: usize, configuration: &str) -> Outcome<()> {
    let jeton = Jeton::start("many-in-turn", bench.folder).await?;
    let (jeton, _) = jeton.restart(configuration).await?;
    let introspector = jeton.introspector().await?;
    let many = bench
        .tokens(&jeton, "tokens-in-turn", bench.size.count(count))
        .await?;
    let few = Tokens {
        count: bench.size.count(FEW),
        ..many.clone()
    };
    let load = |tokens: &Tokens| -> Outcome<Load> {
        let ask = Ask::introspect(&introspector, Body::AboutInTurn);
        Ok(Load {
            tokens: Some(tokens.clone()),
            ..bench.load(&jeton.server, ask, INTROSPECT)?
        })
    };
    // Each token once: a timed round might cover only some of them.
    let all = load(&many)?.numbered(many.count);
    drive(&all).await?;
    let mut pairs = Vec::new();
    for _ in 0..bench.size.pairs {
        pairs.push(Pair {
            baseline: drive(&load(&few)?).await?,
            subject: drive(&all).await?,
        });
    }
    bench.report.row(row, &pairs);
    std::fs::remove_file(&many.file)?;
    jeton.server.stop().await
}
