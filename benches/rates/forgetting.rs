//! The bound of issuing while the records of many expired tokens are deleted.

use std::time::Duration;

use serde::Deserialize;

use crate::Outcome;
use crate::client::Ask;
use crate::crowd::one_after_the_other;
use crate::report::{Bound, Quantity};
use crate::rows::{Bench, drive};
use crate::subject::{Jeton, TOKENS, json};

const FORGETTING: Bound = Bound {
    name: "slowest issue while 100k records are deleted",
    at_most: Quantity::Time(Duration::from_millis(250)),
};

const COUNT: usize = 100_000;

const FOR_A_SECOND: &str =
    r#"{"name":"gone","organization":"default","owner":"organization","expires_in":"1s"}"#;

/// Records are deleted as soon as their tokens have expired.
const SHORT_RETENTION: &str = "[tokens]\nretention = \"1s\"\n";

/// More rounds than deletion ever takes.
const MOST_ROUNDS: usize = 100;

pub(crate) async fn rows(bench: &Bench<'_>) -> Outcome<()> {
    if !bench.report.wants(FORGETTING.name) {
        return Ok(());
    }
    let jeton = Jeton::start("expired", bench.folder).await?;
    let ask = Ask::post(&jeton.session, json(FOR_A_SECOND));
    bench.ids(&jeton, ask, bench.size.count(COUNT)).await?;
    // Deletion starts with the server.
    let (jeton, _) = jeton.restart(SHORT_RETENTION).await?;
    let issue = one_after_the_other(bench, &jeton)?;
    let mut beside = Vec::new();
    while expired(&jeton).await? > 0 {
        if beside.len() == MOST_ROUNDS {
            return Err("not all records of expired tokens were deleted".into());
        }
        beside.push(drive(&issue).await?.slowest);
    }
    let mut without = Vec::new();
    for _ in &beside {
        without.push(drive(&issue).await?.slowest);
    }
    jeton.server.stop().await?;
    let (Some(beside), Some(without)) = (beside.into_iter().max(), without.into_iter().max()) else {
        return Err("nothing was deleted meanwhile".into());
    };
    let detail = format!("without that {:.1} ms", without.as_secs_f64() * 1000.0);
    bench.report.bound(&FORGETTING, Quantity::Time(beside), &detail);
    Ok(())
}

/// Returns the number of recorded tokens that have expired.
async fn expired(jeton: &Jeton) -> Outcome<u64> {
    #[derive(Deserialize)]
    struct List {
        total: u64,
    }
    let path = format!("{TOKENS}?organization=default&status=expired&limit=1&include_total_count=true");
    let list: List = jeton.read(&path, &Ask::get(&jeton.session)).await?;
    Ok(list.total)
}
