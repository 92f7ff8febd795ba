//! Rules for retention: which ended data are deleted, and when.

use crate::{Aged, Cause, Deleted, Effect, Order, Purge};
use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, TokenId};

/// How long an idempotency key is kept at least, in seconds: a client retries within it.
pub const IDEMPOTENCY_KEYS_KEPT: i64 = 86_400;

/// The instants by which data had ended that are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Of records, events, cut-offs and lists.
    pub by: Timestamp,
    /// Of idempotency keys.
    pub idempotency_keys_by: Timestamp,
}

impl Ended {
    /// Returns the instants at a settled time, if records and events are kept for this number of seconds.
    pub fn at(settled: Timestamp, kept: i64) -> Self {
        Self {
            by: settled.plus_seconds(-kept),
            idempotency_keys_by: settled.plus_seconds(-IDEMPOTENCY_KEYS_KEPT),
        }
    }
}

/// The numbers of things deleted from one portion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// The number of records of tokens.
    pub records: usize,
    /// The number of events of the feed.
    pub events: usize,
    /// The number of idempotency keys.
    pub idempotency_keys: usize,
    /// Whether all idempotency keys of the portion were deleted, so that older ones may follow.
    pub may_have_more_keys: bool,
    /// The numbers of both in the scan so far, this portion included.
    pub scan: Deleted,
    /// The token after which the next portion begins; `None` at the end of the scan.
    pub next: Option<TokenId>,
}

/// Deletes data that had ended by an instant: records of expired tokens, revoked or not; the oldest events of
/// the feed; cut-offs that cover no record; status lists all of whose tokens had expired; the oldest idempotency
/// keys. `None` if there is nothing to delete. Records and events that the audit has not sealed or statistics have not
/// counted stay until the next scan. `before` is what earlier portions of the scan have deleted.
///
/// The order needs no guard. The data had ended for good when they were read: a token's expiry never changes,
/// and recording a token that a known cut-off covers is refused.
pub fn purge(cause: Cause, aged: Aged, ended: Ended, before: Deleted) -> (Option<Order>, Purged) {
    let ended_by = ended.by;
    // In whole seconds, as in `exp`. A token that never expires is never deleted.
    let has_ended = |end: Option<Timestamp>| end.is_some_and(|end| end.seconds() <= ended_by.seconds());
    let keys = aged.idempotency_keys.iter();
    let keys = keys.take_while(|(_, at)| *at <= ended.idempotency_keys_by);
    let sealed = aged.sealed;
    let expired = aged.records.into_iter();
    // Otherwise it is unknown whether they have expired, or were revoked before.
    let is_counted = |end: &Option<Timestamp>| {
        let uncounted = aged.uncounted_since.map(Timestamp::seconds);
        uncounted.is_none_or(|since| end.is_some_and(|end| end.seconds() <= since))
    };
    let expired = expired.filter(|(token, end)| *token <= sealed.token && has_ended(*end) && is_counted(end));
    let events = aged.events.iter();
    let events = events.take_while(|(sequence, at)| *sequence <= sealed.event && *at <= ended_by);
    let cut_offs = aged.cut_offs.iter();
    let idle = cut_offs.filter(|(_, cut_off)| is_idle(cut_off, aged.oldest_record));
    let lists = aged.lists.iter();
    let retired = lists.filter(|list| list.class.has_ended(list.opened_at, ended_by));
    let records: Vec<TokenId> = expired.map(|(token, _)| token).collect();
    let deleted = Deleted {
        records: before.records + records.len(),
        events: before.events + events.clone().count(),
    };
    let purge = Purge {
        ended_by,
        records,
        events_through: events.clone().last().map(|(sequence, _)| *sequence),
        cut_offs: idle.map(|(sequence, _)| *sequence).collect(),
        lists: retired.map(|list| list.id).collect(),
        idempotency_keys_through: keys.clone().last().map(|(number, _)| *number),
        ends_scan: aged.next.is_none(),
        deleted,
    };
    let deleted_keys = keys.count();
    let purged = Purged {
        records: purge.records.len(),
        events: events.count(),
        idempotency_keys: deleted_keys,
        may_have_more_keys: deleted_keys > 0 && deleted_keys == aged.idempotency_keys.len(),
        scan: deleted,
        next: aged.next,
    };
    let is_needed =
        aged.next.is_none() || purged.records > 0 || purged.events > 0 || purged.idempotency_keys > 0;
    let order = is_needed.then(|| Order::new(cause).effect(Effect::Purge(Box::new(purge))));
    (order, purged)
}

/// Returns whether a cut-off covers no record, given when the oldest was made. A cut-off of a key stays: a
/// thief of the key can forge the time of issue.
pub fn is_idle(cut_off: &CutOff, oldest_record: Option<Timestamp>) -> bool {
    cut_off.reach.kid.is_none()
        && oldest_record.is_none_or(|oldest| cut_off.issued_through < oldest.seconds())
}
