//! The row of revoking an organization's tokens after a grace period, against revoking them at once.

use std::time::Duration;

use serde::Deserialize;

use crate::Outcome;
use crate::client::Ask;
use crate::pace::Measured;
use crate::process::processor_time;
use crate::report::{Pair, Row, Target};
use crate::rows::Bench;
use crate::subject::{Jeton, json};

const DEFERRED: Row = Row {
    name: "end 48k tokens after 30 days",
    baseline: "end them at once",
    target: Target::ProcessorAtMost(1.5),
};

const COUNT: usize = 48_000;

const AT_ONCE: &str = r#""existing_tokens":"revoke""#;
const AFTER_30_DAYS: &str = r#""existing_tokens":"end_early","grace_period":"30d""#;

pub(crate) async fn rows(bench: &Bench<'_>) -> Outcome<()> {
    if !bench.report.wants(DEFERRED.name) {
        return Ok(());
    }
    let mut pairs = Vec::new();
    for _ in 0..bench.size.pairs {
        pairs.push(Pair {
            baseline: end(bench, AT_ONCE).await?,
            subject: end(bench, AFTER_30_DAYS).await?,
        });
    }
    bench.report.row(&DEFERRED, &pairs);
    Ok(())
}

/// Fills an organization of a new server, and revokes its tokens with a policy that all of them
/// violate.
async fn end(bench: &Bench<'_>, how: &str) -> Outcome<Measured> {
    #[derive(Deserialize)]
    struct Changed {
        breaking_tokens: Breaking,
    }
    #[derive(Deserialize)]
    struct Breaking {
        revocation: String,
    }
    let home = tempfile::TempDir::with_prefix_in("deferred-", bench.folder)?;
    let jeton = Jeton::start("deferred", home.path()).await?;
    let count = bench.size.count(COUNT);
    bench.ids(&jeton, jeton.issue(), count).await?;
    let process = jeton.server.process()?;
    let before = processor_time(process)?;
    let change = Ask {
        method: "PATCH".to_owned(),
        expected: 200,
        ..Ask::post(
            &jeton.session,
            json(&format!(r#"{{"policy":{{"max_lifetime":"1m"}},{how}}}"#)),
        )
    };
    let changed: Changed = jeton.read("/api/v1/organizations/default", &change).await?;
    let begun = std::time::Instant::now();
    let ended = jeton.finish(&changed.breaking_tokens.revocation).await?;
    let took = begun.elapsed();
    let processor = processor_time(process)?.saturating_sub(before);
    // One more: the token of the start.
    let ended_count = usize::try_from(ended.revoked)?;
    if ended_count != count + 1 {
        return Err(format!("{ended_count} tokens were ended, not {}", count + 1).into());
    }
    jeton.server.stop().await?;
    let each = |time: Duration| -> Outcome<Duration> { Ok(time / u32::try_from(ended_count)?) };
    Ok(Measured {
        rate: each(took)?.as_secs_f64().recip(),
        processor: each(processor)?,
        ..Measured::default()
    })
}
