//! The state of a connection, and the deadline that follows from it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;

/// How much the server needs connections to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pressure {
    Calm,
    /// The connection limit is nearly reached: idle connections are closed to make room.
    Crowded,
    Stopping,
}

impl Pressure {
    /// Updates the pressure from the number of open connections and returns whether it changed. The
    /// lower threshold of the way back (hysteresis) avoids waking all connections at every change near
    /// the limit.
    pub(super) fn update(&mut self, open: usize, most: usize) -> bool {
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
    /// No byte has been received.
    New,
    /// A request has begun and its headers are incomplete.
    Headers,
    /// The handler has the headers, and the body is incomplete.
    Body,
    /// The handler has the whole request, or has stopped reading it.
    Answer,
    /// The response is produced, and no byte of the next request has been received.
    Idle,
    /// The last response is sent, and further input is discarded.
    Lingering,
}

/// The minimum idle time before a connection is closed under pressure. It must exceed the network
/// latency of a request, or the close would cut a request.
const MINIMUM_IDLE: Duration = Duration::from_millis(500);

/// How long further input of a client is discarded, so that the client gets to read its response.
const LINGER: Duration = Duration::from_secs(1);

/// The minimum rate, in bytes a second, at which a client may read a response without a time limit. A
/// client that reads a byte now and then to hold the connection is slower.
const SLOWEST: u32 = 4096;

/// The state of a connection, shared by its socket, service and bodies.
#[derive(Debug)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Since when a response waits for the client; every byte that the client reads moves it forward.
    blocked: Option<Instant>,
    /// The client may still be sending a body that the handler did not read.
    unread: bool,
    pressure: Pressure,
    /// During a shutdown, until when to wait for the client.
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

    /// Returns when to close the connection unless its state changes.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let state = self.state();
        let resting = |limit: Duration| match state.pressure {
            Pressure::Calm => limit,
            Pressure::Crowded | Pressure::Stopping => limit.min(MINIMUM_IDLE),
        };
        let limit = match state.phase {
            Phase::New => Some(resting(limits.header_time)),
            Phase::Headers => Some(limits.header_time),
            Phase::Body => Some(limits.body_time),
            Phase::Idle if state.blocked.is_none() => Some(resting(limits.idle_time)),
            // A handler has no time limit: an event stream never ends.
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
            // Slightly before the drain deadline, so that only requests that the server itself has not
            // finished remain to be cut.
            let patience = limits.drain_time * 7 / 8;
            state
                .patience_ends
                .get_or_insert_with(|| Instant::now() + patience);
        }
    }

    pub(super) fn stopping(&self) -> bool {
        self.state().pressure == Pressure::Stopping
    }

    /// Records received bytes.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if matches!(state.phase, Phase::New | Phase::Idle) {
            state.enter(Phase::Headers);
        }
    }

    /// Records that a request's headers are complete.
    pub(super) fn requested(&self) {
        let mut state = self.state();
        state.unread = false;
        state.enter(Phase::Body);
    }

    /// Records that the handler has finished with the request's body.
    pub(super) fn body_read(&self, whole: bool) {
        let mut state = self.state();
        state.unread |= !whole;
        if state.phase == Phase::Body {
            state.enter(Phase::Answer);
        }
    }

    /// Records that the whole response has been produced, if not sent.
    pub(super) fn answered(&self) {
        self.state().enter(Phase::Idle);
    }

    /// Records that the client is not reading.
    pub(super) fn blocked(&self) {
        self.state().blocked.get_or_insert_with(Instant::now);
    }

    /// Records that the client read `bytes` bytes.
    pub(super) fn client_read(&self, bytes: usize) {
        let mut state = self.state();
        if let Some(since) = state.blocked {
            let earned = Duration::from_secs(1) / SLOWEST * u32::try_from(bytes).unwrap_or(u32::MAX);
            state.blocked = Some(Instant::now().min(since + earned));
        }
    }

    /// Records that the client read everything sent so far.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        if state.blocked.take().is_some() && state.phase == Phase::Idle {
            // The idle time starts now: until here the client was reading the response.
            state.since = Instant::now();
        }
    }

    /// Records that the last response is sent, and returns whether the client may still be sending its
    /// request.
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
        // No holder of the lock panics while it changes the state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns whether the next step is the client's: to send the rest of a request or to read a
    /// response.
    fn waits_for_client(&self) -> bool {
        self.phase != Phase::Answer || self.blocked.is_some()
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }
}

/// Whether a client may still be sending a request that has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    No,
    Perhaps,
}
