//! The state of a connection, and the deadline that follows from it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Limits;
use super::crowd::MINIMUM_WAIT;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No byte of a request has been received.
    New,
    /// The TLS handshake has begun.
    Handshake,
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

/// The reason why a connection is closed at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The TLS handshake takes too long.
    Handshake,
    /// The headers of a request take too long.
    Headers,
    /// The body of a request takes too long.
    Body,
    /// There is no further request.
    Idle,
    /// The client still sends a request that was answered.
    Lingering,
    /// The client does not read its response.
    Stalled,
    /// The connection makes room for another one.
    Room,
    /// The server stops, and the connection waits for its client.
    Stop,
}

impl Reason {
    /// All reasons.
    pub(super) const ALL: [Self; 8] = [
        Self::Handshake,
        Self::Headers,
        Self::Body,
        Self::Idle,
        Self::Lingering,
        Self::Stalled,
        Self::Room,
        Self::Stop,
    ];

    /// Returns the name in metrics and in the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Headers => "headers",
            Self::Body => "body",
            Self::Idle => "idle",
            Self::Lingering => "lingering",
            Self::Stalled => "stalled",
            Self::Room => "room",
            Self::Stop => "stop",
        }
    }
}

/// How long further input of a client is discarded, so that the client gets to read its response.
const LINGER: Duration = Duration::from_secs(1);

/// The minimum rate, in bytes a second, at which a client may read a response without a time limit. A
/// client that reads a byte now and then to hold the connection is slower.
const SLOWEST: u32 = 4096;

/// The state of a connection, shared by its socket, service and bodies.
#[derive(Debug)]
pub(super) struct Progress {
    state: Mutex<State>,
    /// Wakes the connection after its deadline was brought forward from outside.
    hurried: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Since when a response waits for the client; every byte that the client reads moves it forward.
    blocked: Option<Instant>,
    /// The handler waits for the rest of the body.
    owes_body: bool,
    /// The client may still be sending a body that the handler did not read.
    unread: bool,
    /// The connection is to be closed for others, unless it takes a step.
    makes_room: bool,
    stopping: bool,
    /// The connection ends with its next response, since its network holds more than its share.
    leaves: bool,
    /// During a shutdown, until when to wait for the client.
    patience_ends: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                phase: Phase::New,
                since: Instant::now(),
                blocked: None,
                owes_body: false,
                unread: false,
                makes_room: false,
                stopping: false,
                leaves: false,
                patience_ends: None,
            }),
            hurried: Notify::new(),
        }
    }

    /// Returns when to close the connection unless its state changes, and the reason.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<(Instant, Reason)> {
        let state = self.state();
        let resting = |limit: Duration, reason| match state.stopping {
            false => (limit, reason),
            true => (limit.min(MINIMUM_WAIT), Reason::Stop),
        };
        let limit = match state.phase {
            Phase::New => Some(resting(limits.header_time, Reason::Headers)),
            Phase::Handshake => Some((limits.header_time, Reason::Handshake)),
            Phase::Headers => Some((limits.header_time, Reason::Headers)),
            Phase::Body => Some((limits.body_time, Reason::Body)),
            Phase::Idle if state.blocked.is_none() => Some(resting(limits.idle_time, Reason::Idle)),
            // A handler has no time limit: an event stream never ends.
            Phase::Idle | Phase::Answer => None,
            Phase::Lingering => Some((LINGER, Reason::Lingering)),
        };
        let overdue = limit.map(|(limit, reason)| (state.since + limit, reason));
        let stalled = state
            .blocked
            .map(|since| (since + limits.stall_time, Reason::Stalled));
        let given_up = state.patience_ends.filter(|_| state.waits_since().is_some());
        let given_up = given_up.map(|at| (at, Reason::Stop));
        let making_room = state.makes_room.then_some((state.since, Reason::Room));
        [overdue, stalled, given_up, making_room]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// Returns since when the next step is the client's: to send the rest of a request or to read a response.
    /// Slow bytes of a request do not count as a step.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.state().waits_since()
    }

    /// Closes the connection if it still waits for its client since then.
    pub(super) fn make_room(&self, since: Instant) {
        let mut state = self.state();
        if state.waits_since() == Some(since) {
            state.makes_room = true;
            self.hurried.notify_one();
        }
    }

    /// Waits until the deadline was brought forward by [`Self::make_room`] or [`Self::stop`].
    pub(super) async fn hurried(&self) {
        self.hurried.notified().await;
    }

    /// Begins the shutdown: idle connections close, and the client has limited time for its next step.
    pub(super) fn stop(&self, limits: &Limits) {
        let mut state = self.state();
        state.stopping = true;
        // Slightly before the drain deadline, so that only requests that the server itself has not finished
        // remain to be cut.
        state.patience_ends = Some(Instant::now() + limits.drain_time * 7 / 8);
        self.hurried.notify_one();
    }

    /// Ends the connection with its next response.
    pub(super) fn leave(&self) {
        self.state().leaves = true;
    }

    pub(super) fn closes_after_answer(&self) -> bool {
        let state = self.state();
        state.stopping || state.leaves
    }

    /// Records that the client has begun the TLS handshake, whose time has run since the connection's start.
    pub(super) fn handshake_begun(&self) {
        self.state().phase = Phase::Handshake;
    }

    /// Records that the TLS handshake is complete, and that the time for the first request begins.
    pub(super) fn handshake_done(&self) {
        let mut state = self.state();
        state.blocked = None;
        state.enter(Phase::New);
    }

    /// Records received bytes of a request.
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
        state.owes_body = false;
        state.enter(Phase::Body);
    }

    /// Records that the handler waits for the rest of the request's body.
    pub(super) fn owes_body(&self) {
        self.state().owes_body = true;
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
            state.makes_room = false;
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waits_since(&self) -> Option<Instant> {
        let phase = match self.phase {
            // A handler that has not asked for the body yet is the server's step.
            Phase::Body if !self.owes_body => None,
            Phase::Answer => None,
            Phase::New | Phase::Handshake | Phase::Headers | Phase::Body | Phase::Idle | Phase::Lingering => {
                Some(self.since)
            }
        };
        self.blocked.or(phase)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
        self.makes_room = false;
    }
}

/// Whether a client may still be sending a request that has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    No,
    Perhaps,
}
