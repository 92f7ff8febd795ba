//! The last events of the feed, for those who follow it: a stream reads what is new from here, not from the store.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use jeton_verifier::event::{Entry, Position};
use tokio::sync::watch;

/// How many events are kept: a follower that lags further behind reads the rest from the store.
const KEPT: usize = 16_384;

/// An event, and its text in a stream, which is made once for all streams.
#[derive(Debug)]
pub struct Told {
    /// The event.
    pub entry: Arc<Entry>,
    /// When this process has learned of it; `None` if it was read from the store later.
    pub since: Option<Instant>,
    text: OnceLock<Bytes>,
}

impl Told {
    /// Returns an event whose text is not made yet.
    pub fn new(entry: Arc<Entry>, since: Option<Instant>) -> Arc<Self> {
        let text = OnceLock::new();
        Arc::new(Self { entry, since, text })
    }

    /// Returns the text in a stream, written by the first caller.
    pub fn text(&self, write: impl FnOnce(&Entry) -> Bytes) -> Bytes {
        Bytes::clone(self.text.get_or_init(|| write(&self.entry)))
    }
}

/// What is new after a position.
#[derive(Debug)]
pub enum Heard {
    /// All events after it, at most as many as were asked for.
    Events(Vec<Arc<Told>>),
    /// The tail does not reach back to the position, or does not know it: the store tells more.
    Elsewhere,
}

/// The last events, without a gap up to the last one that the index has applied.
#[derive(Debug, Default)]
pub(super) struct Tail {
    kept: Mutex<Kept>,
    /// Changes with every event that is kept.
    reached: watch::Sender<Position>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The position before the first of the events.
    after: Position,
    events: VecDeque<Arc<Told>>,
}

impl Kept {
    fn position(&self) -> Position {
        let last = self.events.back();
        last.map_or(self.after, |told| told.entry.position())
    }
}

impl Tail {
    /// Starts at a position without events before it.
    pub(super) fn begin(&self, position: Position) {
        self.with(|kept| {
            kept.after = position;
            kept.events.clear();
        });
        self.reached.send_replace(position);
    }

    /// Appends the events between two positions.
    pub(super) fn extend(&self, entries: impl IntoIterator<Item = Arc<Entry>>) {
        let now = Instant::now();
        let reached = self.with(|kept| {
            for entry in entries {
                kept.events.push_back(Told::new(entry, Some(now)));
                if kept.events.len() > KEPT
                    && let Some(oldest) = kept.events.pop_front()
                {
                    kept.after = oldest.entry.position();
                }
            }
            kept.position()
        });
        self.reached.send_replace(reached);
    }

    /// Returns the events after a position.
    pub(super) fn after(&self, position: Position, most: usize) -> Heard {
        self.with(|kept| {
            let Some(skipped) = position.sequence.checked_sub(kept.after.sequence) else {
                return Heard::Elsewhere;
            };
            let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
            let known = match skipped.checked_sub(1) {
                None => Some(kept.after),
                Some(index) => kept.events.get(index).map(|told| told.entry.position()),
            };
            if known != Some(position) {
                return Heard::Elsewhere;
            }
            let later = kept.events.iter().skip(skipped).take(most);
            Heard::Events(later.map(Arc::clone).collect())
        })
    }

    /// Returns a receiver of the last position, which changes with every event.
    pub(super) fn reached(&self) -> watch::Receiver<Position> {
        self.reached.subscribe()
    }

    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        work(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use jeton_verifier::event::{CutOff, Ends, Event};
    use uuid::Uuid;

    use super::*;

    fn next(position: Position) -> Arc<Entry> {
        let event = Event {
            epoch: position.epoch,
            sequence: position.sequence + 1,
            recorded_at: 0,
            effective_at: 0,
            ends: Ends::CutOff(CutOff {
                organization: None,
                team: None,
                user: None,
                project: None,
                kid: None,
                kind: None,
                issued_through: 0,
            }),
        };
        Arc::new(Entry::after(&position.hash, event))
    }

    fn numbers(heard: Heard) -> Option<Vec<u64>> {
        match heard {
            Heard::Events(events) => Some(events.iter().map(|told| told.entry.event.sequence).collect()),
            Heard::Elsewhere => None,
        }
    }

    #[test]
    fn the_tail_returns_what_follows_a_position_that_it_knows() {
        let tail = Tail::default();
        let beginning = Position {
            sequence: 4,
            hash: [4; 32],
            ..Position::beginning(Uuid::from_u128(1))
        };
        tail.begin(beginning);
        let mut reached = tail.reached();
        let fifth = next(beginning);
        let sixth = next(fifth.position());
        tail.extend([Arc::clone(&fifth), Arc::clone(&sixth)]);
        assert_eq!(*reached.borrow_and_update(), sixth.position());
        let after = |position, most| numbers(tail.after(position, most));
        assert_eq!(after(beginning, 9), Some(vec![5, 6]));
        assert_eq!(after(beginning, 1), Some(vec![5]));
        assert_eq!(after(fifth.position(), 9), Some(vec![6]));
        assert_eq!(after(sixth.position(), 9), Some(vec![]));
        let mut forged = fifth.position();
        forged.hash = [0; 32];
        let mut ahead = sixth.position();
        ahead.sequence = 7;
        let mut other = sixth.position();
        other.epoch = Uuid::nil();
        for elsewhere in [
            forged,
            ahead,
            other,
            Position {
                sequence: 3,
                ..beginning
            },
        ] {
            assert_eq!(after(elsewhere, 9), None, "{elsewhere:?}");
        }
    }

    #[test]
    fn the_tail_keeps_a_bounded_number() {
        let tail = Tail::default();
        let beginning = Position::beginning(Uuid::nil());
        tail.begin(beginning);
        let mut position = beginning;
        for _ in 0..KEPT + 10 {
            let entry = next(position);
            position = entry.position();
            tail.extend([entry]);
        }
        assert_eq!(numbers(tail.after(beginning, 1)), None);
        let oldest = tail.with(|kept| (kept.after, kept.events.len()));
        assert_eq!((oldest.0.sequence, oldest.1), (10, KEPT));
        assert_eq!(numbers(tail.after(oldest.0, 2)), Some(vec![11, 12]));
    }
}
