//! Reads the published status lists, for verifiers that cannot read the feed.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::sleep;

use super::discovery::Endpoints;
use super::http::{Ask, FetchError};
use super::task::{Context, jittered};
use crate::event::Position;
use crate::known::WithdrawnKeys;
use crate::{
    ExpectedList, KeyId, Known, MAX_STATUS_LIST_BYTES, Malformed, Rejection, StatusListClaims,
    UnverifiedStatusList,
};

/// The maximum number of lists: a thousand million tokens.
const MAX_LISTS: usize = 1000;

/// The least time between two rounds.
const MIN_WAIT: Duration = Duration::from_secs(5);

/// The newest of each list that was read, by its URL, with the key that signed it.
pub(super) type Held = HashMap<String, (KeyId, StatusListClaims)>;

/// All lists, and the time for which they are complete.
pub(super) struct Lists {
    pub(super) known: Known,
    /// When the oldest was signed, in seconds.
    pub(super) issued_at: i64,
    /// When to read them again.
    pub(super) wait: Duration,
    /// Why some of them are those of an earlier round.
    pub(super) failure: Option<ListsError>,
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

/// Reads all lists, and keeps the newest of each in `held`. `known` is the position that they must include and the time,
/// in seconds, at which it was signed. What a withdrawn key signed is refused.
pub(super) async fn read(
    context: &Context,
    endpoints: &Endpoints,
    known: Option<(Position, i64)>,
    withdrawn: &WithdrawnKeys,
    held: &mut Held,
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
    let is_usable = |kid: &KeyId, list: &StatusListClaims| {
        !withdrawn.contains_key(kid.as_str()) && !known.is_some_and(|known| is_outdated(list, known))
    };
    let mut failure = None;
    for uri in &wire.status_lists {
        let (kid, list) = match read_one(context, uri).await {
            Ok(read) => read,
            Err(error) => {
                failure = Some(error);
                continue;
            }
        };
        let own = shared.own_clock.now() / 1000;
        let is_older = held
            .get(uri)
            .is_some_and(|(_, before)| is_before(&list, before, own));
        if is_older || !is_usable(&kid, &list) {
            failure = Some(Rejection::Outdated.into());
        } else {
            held.insert(uri.clone(), (kid, list));
        }
    }
    held.retain(|uri, (kid, list)| wire.status_lists.contains(uri) && is_usable(kid, list));
    // Those of an epoch that ended say nothing.
    let newest = held.values().max_by_key(|(_, list)| list.issued_at);
    if let Some(epoch) = newest.map(|(_, list)| list.feed.epoch) {
        held.retain(|_, (_, list)| list.feed.epoch == epoch);
    }
    let published: Vec<_> = held.values().map(|(_, list)| list.clone()).collect();
    let (Some(ttl), Some(issued_at)) = (
        published.iter().map(|list| list.ttl).min(),
        published.iter().map(|list| list.issued_at).min(),
    ) else {
        return Err(failure.unwrap_or(ListsError::Unreadable));
    };
    let wait = Duration::from_secs(ttl.into()).min(shared.max_staleness / 4);
    let issuer = shared.issuer.clone();
    let read = tokio::task::spawn_blocking(move || Known::from_status_lists(&issuer, &published)).await;
    Ok(Lists {
        known: read.map_err(|_| ListsError::Unreadable)??,
        issued_at,
        wait,
        failure,
    })
}

async fn read_one(context: &Context, uri: &str) -> Result<(KeyId, StatusListClaims), ListsError> {
    let (shared, http) = (&context.shared, &context.settings.http);
    let answer = http.get(Ask::document(uri, MAX_STATUS_LIST_BYTES)).await?;
    let text = str::from_utf8(&answer.body).map_err(|_| ListsError::Unreadable)?;
    let keys = shared.keys.load();
    let keys = keys.as_ref().ok_or(Rejection::UnknownKey)?;
    let list = UnverifiedStatusList::parse(text)?;
    let kid = list.header().kid.clone();
    let list = keys.set.verify_statement(list);
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
    let claims = match judge(shared.view.load().now()) {
        // The authority's clock may have been ahead. How old the list is is judged later.
        Err(Rejection::Expired) => judge(shared.own_clock.now())?,
        judged => judged?,
    };
    Ok((kid, claims.clone()))
}

/// Returns whether a list is older than the one before, unless the authority's clock was ahead then. `own` is the time of
/// this machine, in seconds.
fn is_before(list: &StatusListClaims, before: &StatusListClaims, own: i64) -> bool {
    let is_undone = before.issued_at > own && list.issued_at <= own;
    let is_of_epoch = list.feed.epoch == before.feed.epoch;
    is_of_epoch && list.feed.sequence < before.feed.sequence
        || list.issued_at < before.issued_at && !is_undone
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
