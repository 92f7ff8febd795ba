//! Where a connection stands, and by when it must have moved on.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;

/// How much the server wants its connections back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pressure {
    Calm,
    /// Nearly as many connections as there may be: those that rest make room.
    Crowded,
    Stopping,
}

impl Pressure {
    /// Takes in how many connections there are, and says whether that changed anything. The way
    /// back begins lower than the way in, or each connection at the edge would wake all the others.
    pub(super) fn follow(&mut self, open: usize, most: usize) -> bool {
        let next = match *self {
            Self::Calm if open >= most => Self::Crowded,
            Self::Crowded if open * 4 <= most * 3 => Self::Calm,
            same => same,
        };
        std::mem::replace(self, next) != next
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has come yet.
    New,
    /// A request has begun and its headers are not complete.
    Headers,
    /// The handler has the headers; the body is still coming.
    Body,
    /// The handler has the whole request, or has seen enough of it.
    Answer,
    /// The answer is made, and nothing of the next request has come.
    Idle,
    /// The last answer is out, and the rest of what the client sends is thrown away.
    Lingering,
}

/// How long a connection may rest when it is wanted back. It has to outlast the time that a
/// request spends on its way: closing before is cutting.
const SETTLE: Duration = Duration::from_millis(500);

/// How long a client may go on sending what nobody will read, so that it gets to its answer.
const LINGER: Duration = Duration::from_secs(1);

/// The pace, in bytes a second, at which a client may take an answer for ever. A reader that
/// takes a byte now and then to look alive is slower.
const SLOWEST: u32 = 4096;

/// One connection's state, seen by its socket, its service and its bodies.
#[derive(Debug)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Bytes of an answer wait for the client since then, moved on by every byte that it takes.
    blocked: Option<Instant>,
    /// The client may still be sending a body that the handler did not want.
    unread: bool,
    pressure: Pressure,
    /// During a stop, until when a client is waited for.
    patience_ends: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            phase: Phase::New,
            since: Instant::now(),
            blocked: None,
            unread: false,
            pressure: Pressure::Calm,
            patience_ends: None,
        }))
    }

    /// The instant at which the connection is to be closed if it stands where it stands now.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let state = self.state();
        let resting = |limit: Duration| match state.pressure {
            Pressure::Calm => limit,
            Pressure::Crowded | Pressure::Stopping => limit.min(SETTLE),
        };
        let limit = match state.phase {
            Phase::New => Some(resting(limits.header_time)),
            Phase::Headers => Some(limits.header_time),
            Phase::Body => Some(limits.body_time),
            Phase::Idle if state.blocked.is_none() => Some(resting(limits.idle_time)),
            // How long a handler may take is its own affair: an event stream never ends.
            Phase::Idle | Phase::Answer => None,
            Phase::Lingering => Some(LINGER),
        };
        let overdue = limit.map(|limit| state.since + limit);
        let stalled = state.blocked.map(|since| since + limits.stall_time);
        let given_up = state.patience_ends.filter(|_| state.waits_for_client());
        overdue.into_iter().chain(stalled).chain(given_up).min()
    }

    pub(super) fn press(&self, pressure: Pressure, limits: &Limits) {
        let mut state = self.state();
        state.pressure = pressure;
        if pressure == Pressure::Stopping {
            // A little before the stop cuts what is left, which then is only what the server itself
            // has not finished.
            let patience = limits.drain_time * 7 / 8;
            state
                .patience_ends
                .get_or_insert_with(|| Instant::now() + patience);
        }
    }

    pub(super) fn stopping(&self) -> bool {
        self.state().pressure == Pressure::Stopping
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if matches!(state.phase, Phase::New | Phase::Idle) {
            state.enter(Phase::Headers);
        }
    }

    /// A request's headers are complete.
    pub(super) fn requested(&self) {
        let mut state = self.state();
        state.unread = false;
        state.enter(Phase::Body);
    }

    /// The handler is done with the request's body.
    pub(super) fn body_read(&self, whole: bool) {
        let mut state = self.state();
        state.unread |= !whole;
        if state.phase == Phase::Body {
            state.enter(Phase::Answer);
        }
    }

    /// The whole answer has been made, if not sent.
    pub(super) fn answered(&self) {
        self.state().enter(Phase::Idle);
    }

    /// The client takes nothing at present.
    pub(super) fn blocked(&self) {
        self.state().blocked.get_or_insert_with(Instant::now);
    }

    /// The client took so many bytes.
    pub(super) fn took(&self, bytes: usize) {
        let mut state = self.state();
        if let Some(since) = state.blocked {
            let earned = Duration::from_secs(1) / SLOWEST * u32::try_from(bytes).unwrap_or(u32::MAX);
            state.blocked = Some(Instant::now().min(since + earned));
        }
    }

    /// The client took all there was.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        if state.blocked.take().is_some() && state.phase == Phase::Idle {
            // It rests from now on: until here the client was busy with the answer.
            state.since = Instant::now();
        }
    }

    /// The last answer is out: says whether the client may still be sending what it answers.
    pub(super) fn finished(&self) -> Sending {
        let mut state = self.state();
        if state.unread || state.phase == Phase::Headers {
            state.enter(Phase::Lingering);
            Sending::Perhaps
        } else {
            Sending::No
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No holder of the lock can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the next step is the client's: the rest of a request, or taking an answer.
    fn waits_for_client(&self) -> bool {
        self.phase != Phase::Answer || self.blocked.is_some()
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }
}

/// Whether a client may still be sending a request that has its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    No,
    Perhaps,
}
