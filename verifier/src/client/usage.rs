//! Reports the use of tokens to the authority.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::sleep;
use uuid::Uuid;

use super::cache::VerifiedToken;
use super::http::{Ask, FetchError};
use super::task::{Context, Trouble, jittered, one_line};
use crate::event::instant;

/// The time between two reports.
const BETWEEN: Duration = Duration::from_secs(60);

/// The maximum number of tokens in a report.
const MAX_USES: usize = 500;

/// The maximum number of tokens that wait for the next report while reports fail.
const MAX_WAITING: usize = 100_000;

#[derive(Serialize)]
struct Report {
    uses: Vec<Use>,
}

#[derive(Clone, Copy, Serialize)]
struct Use {
    jti: Uuid,
    #[serde(with = "instant")]
    at: i64,
}

/// Reports once a minute, for ever. What could not be reported is tried again.
pub(super) async fn report(context: &Context, mut uses: mpsc::Receiver<Arc<VerifiedToken>>) {
    let mut trouble = Trouble::new("reporting the use of tokens");
    let mut waiting: HashMap<Uuid, i64> = HashMap::new();
    loop {
        sleep(jittered(BETWEEN)).await;
        while let Ok(token) = uses.try_recv() {
            let at = token.unreported_use.swap(0, Ordering::AcqRel);
            if waiting.len() >= MAX_WAITING {
                let counters = &context.shared.counters;
                counters.count(&counters.unreported_uses);
                continue;
            }
            // A token can be cached a second time, and is reported once.
            let last = waiting.entry(token.claims.jti).or_default();
            *last = at.max(*last);
        }
        match send(context, &mut waiting).await {
            Ok(()) => trouble.ended(context),
            Err(error) => trouble.failed(context, &error),
        }
    }
}

/// Sends all uses, and removes those that were sent.
async fn send(context: &Context, waiting: &mut HashMap<Uuid, i64>) -> Result<(), FetchError> {
    let url = format!("{}/api/v1/usage", context.shared.issuer);
    while !waiting.is_empty() {
        let some = waiting.iter().take(MAX_USES);
        let uses: Vec<Use> = some.map(|(jti, at)| Use { jti: *jti, at: *at }).collect();
        let sent: Vec<Uuid> = uses.iter().map(|used| used.jti).collect();
        let json =
            serde_json::to_vec(&Report { uses }).map_err(|error| FetchError::Body(error.to_string()))?;
        let token = context.token().await?;
        let mut ask = Ask::document(&url, 64 * 1024);
        ask.token = token.as_ref().map(|token| token.as_str());
        match context.settings.http.post(ask, json).await {
            // They would be refused again, and hold up those after them.
            Err(error) if error.is_final() => {
                let counters = &context.shared.counters;
                let count = sent.len() as u64;
                counters.unreported_uses.fetch_add(count, Ordering::Relaxed);
                tracing::warn!(error = one_line(&error), count, "uses of tokens are not reported");
            }
            sent => drop(sent?),
        }
        for jti in sent {
            waiting.remove(&jti);
        }
    }
    Ok(())
}
