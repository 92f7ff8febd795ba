//! Reads the published status lists, for whoever cannot have the feed.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::sleep;

use super::discovery::Endpoints;
use super::http::{Ask, FetchError};
use super::task::{Context, jittered};
use crate::event::Position;
use crate::known::WithdrawnKeys;
use crate::{
    ExpectedList, Known, MAX_STATUS_LIST_BYTES, Malformed, Rejection, StatusListClaims, UnverifiedStatusList,
};

/// The maximum number of lists: a thousand million tokens.
const MAX_LISTS: usize = 1000;

/// The least time between two rounds.
const MIN_WAIT: Duration = Duration::from_secs(5);

/// All lists, and the time for which they are complete.
pub(super) struct Lists {
    pub(super) known: Known,
    /// When the oldest was signed, in seconds.
    pub(super) issued_at: i64,
    /// When to read them again.
    pub(super) wait: Duration,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ListsError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the list of status lists is unreadable, empty or too long")]
    Unreadable,
    #[error("a status list was refused: {0}")]
    Refused(#[from] Rejection),
}

impl From<Malformed> for ListsError {
    fn from(malformed: Malformed) -> Self {
        Self::Refused(malformed.into())
    }
}

/// Reads all lists. `known` is the position that they must include and the time, in seconds, at which it was signed.
/// What a withdrawn key signed is refused.
pub(super) async fn read(
    context: &Context,
    endpoints: &Endpoints,
    known: Option<(Position, i64)>,
    withdrawn: &WithdrawnKeys,
) -> Result<Lists, ListsError> {
    #[derive(Deserialize)]
    struct Wire {
        status_lists: Vec<String>,
    }
    let (shared, http) = (&context.shared, &context.settings.http);
    let url = endpoints.status_list_aggregation_endpoint.as_ref();
    let url = url.ok_or(ListsError::Unreadable)?;
    let answer = http.get(Ask::document(url, 256 * 1024)).await?;
    let wire: Wire = serde_json::from_slice(&answer.body).map_err(|_| ListsError::Unreadable)?;
    if wire.status_lists.is_empty() || wire.status_lists.len() > MAX_LISTS {
        return Err(ListsError::Unreadable);
    }
    let mut published = Vec::with_capacity(wire.status_lists.len());
    for uri in &wire.status_lists {
        let answer = http.get(Ask::document(uri, MAX_STATUS_LIST_BYTES)).await?;
        let text = str::from_utf8(&answer.body).map_err(|_| ListsError::Unreadable)?;
        let keys = shared.keys.load();
        let keys = keys.as_ref().ok_or(Rejection::UnknownKey)?;
        let list = UnverifiedStatusList::parse(text)?;
        let is_withdrawn = withdrawn.contains_key(list.header().kid.as_str());
        let list = if is_withdrawn {
            Err(Rejection::UnknownKey)
        } else {
            keys.set.verify_statement(list)
        };
        if matches!(list, Err(Rejection::UnknownKey)) {
            shared.want_keys();
        }
        let list = list?;
        let judge = |now: i64| {
            list.judge(&ExpectedList {
                uri,
                known: None,
                now: now / 1000,
                leeway: shared.leeway,
            })
        };
        let list = match judge(shared.view.load().now()) {
            // The authority's clock may have been ahead. How old the list is is judged later.
            Err(Rejection::Expired) => judge(shared.own_clock.now())?,
            judged => judged?,
        };
        if known.is_some_and(|known| is_outdated(list, known)) {
            return Err(Rejection::Outdated.into());
        }
        published.push(list.clone());
    }
    let ttl = published.iter().map(|list| list.ttl).min().unwrap_or_default();
    let wait = Duration::from_secs(ttl.into()).min(shared.max_staleness / 4);
    let issued_at = published.iter().map(|list| list.issued_at).min();
    let issuer = shared.issuer.clone();
    let read = tokio::task::spawn_blocking(move || Known::from_status_lists(&issuer, &published)).await;
    Ok(Lists {
        known: read.map_err(|_| ListsError::Unreadable)??,
        issued_at: issued_at.unwrap_or_default(),
        wait,
    })
}

/// Returns whether a list is older than what is known. Positions of another epoch cannot be compared: it must be signed
/// later.
fn is_outdated(list: &StatusListClaims, (position, signed_at): (Position, i64)) -> bool {
    if list.feed.epoch == position.epoch {
        list.feed.sequence < position.sequence
    } else {
        list.issued_at < signed_at
    }
}

/// Waits until the lists are due. A token of a list that is not known yet makes it shorter.
pub(super) async fn wait(context: &Context, time: Duration) {
    let least = sleep(time.min(MIN_WAIT));
    let due = sleep(jittered(time));
    least.await;
    tokio::select! {
        () = due => {}
        () = context.shared.wanted_list.notified() => {}
    }
}
