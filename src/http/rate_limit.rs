//! Rate limits per caller and per network, if the operator has configured any.
//!
//! Without a limit requests are not counted and no header is sent: clients would slow down for a limit
//! that does not exist.

use std::cmp::Reverse;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::authority;
use crate::config::{Rate, RateLimits as Configured};
use crate::http::address::ClientAddress;
use crate::http::{App, Failure};
use jeton_core::directory::{OrganizationId, UserId};
use jeton_core::network::Network;
use jeton_core::token::Owner;

/// How many requests pass between two sweeps of idle entries, so that addresses of strangers do not
/// fill memory.
const SWEEP_EVERY: u64 = 4096;

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

struct Limit<K: Clone + Eq + std::hash::Hash> {
    name: &'static str,
    rate: Rate,
    limiter: Limiter<K>,
    admitted: std::sync::atomic::AtomicU64,
}

/// The configured limits.
#[derive(Default)]
pub struct RateLimits {
    address: Option<Arc<Limit<Network>>>,
    caller: Option<Arc<Limit<Payer>>>,
}

/// Whose limit the requests of a token count against.
///
/// The organization for its teams too: its admins make teams at will, and each team would have a limit of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Payer {
    User(UserId),
    Organization(OrganizationId),
    Deployment,
}

impl Payer {
    fn of(owner: &Owner) -> Self {
        match owner {
            Owner::User { user, .. } => Self::User(user.clone()),
            Owner::Team { organization, .. } | Owner::Organization(organization) => {
                Self::Organization(*organization)
            }
            Owner::Deployment => Self::Deployment,
        }
    }
}

impl std::fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimits").finish_non_exhaustive()
    }
}

/// The state of a rate limit after a request, for the response headers. The response carries the limit
/// with the fewest remaining requests, for APIs with headers of their own.
#[derive(Debug, Clone, Copy)]
pub(super) struct RateLimitState {
    name: &'static str,
    /// The configured rate.
    pub(super) rate: Rate,
    /// How many more requests are allowed now.
    pub(super) remaining: u32,
    /// How long to wait before the request would have been allowed; `None` if it was.
    wait: Option<Duration>,
}

impl RateLimits {
    /// Creates the limits.
    pub fn new(configured: Configured) -> Self {
        Self::default().adjusted(configured)
    }

    /// Returns other limits. A limit whose rate stays keeps its counts.
    pub fn adjusted(&self, configured: Configured) -> Self {
        Self {
            address: adjusted(self.address.as_ref(), "address", configured.per_address),
            caller: adjusted(self.caller.as_ref(), "caller", configured.per_caller),
        }
    }

    /// Counts a request of a caller, across all tokens of its user or organization.
    pub(super) fn admit_caller(
        &self,
        caller: &authority::Caller,
        extensions: &Extensions,
    ) -> Result<(), Failure> {
        let Some(limit) = &self.caller else { return Ok(()) };
        let state = limit.admit(&Payer::of(caller.owner()));
        if let Some(slot) = extensions.get::<Arc<OnceLock<RateLimitState>>>() {
            // Set at most once, since a request has one caller.
            let _ = slot.set(state);
        }
        state.into_result()
    }
}

fn adjusted<K: Clone + Eq + std::hash::Hash>(
    current: Option<&Arc<Limit<K>>>,
    name: &'static str,
    rate: Option<Rate>,
) -> Option<Arc<Limit<K>>> {
    let rate = rate?;
    let kept = current.filter(|limit| limit.rate == rate).cloned();
    Some(kept.unwrap_or_else(|| Arc::new(Limit::new(name, rate))))
}

impl<K: Clone + Eq + std::hash::Hash> Limit<K> {
    fn new(name: &'static str, rate: Rate) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let limiter = RateLimiter::dashmap(quota).with_middleware();
        Self {
            name,
            rate,
            limiter,
            admitted: 0.into(),
        }
    }

    fn admit(&self, key: &K) -> RateLimitState {
        if self
            .admitted
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            .is_multiple_of(SWEEP_EVERY)
        {
            self.limiter.retain_recent();
        }
        let (remaining, wait) = match self.limiter.check_key(key) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(until) => (0, Some(until.wait_time_from(DefaultClock::default().now()))),
        };
        RateLimitState {
            name: self.name,
            rate: self.rate,
            remaining,
            wait,
        }
    }
}

/// Adds rate limiting to a router.
pub(super) fn limited(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    router.layer(from_fn_with_state(Arc::clone(app), admit))
}

/// Counts a request by the network of its address before any other processing, and adds the rate limit headers
/// (draft-ietf-httpapi-ratelimit-headers).
async fn admit(
    State(app): State<Arc<App>>,
    ClientAddress(address): ClientAddress,
    mut request: Request,
    next: Next,
) -> Response {
    let adjustable = app.adjustable.load_full();
    let limits = &adjustable.rate_limits;
    if limits.address.is_none() && limits.caller.is_none() {
        return next.run(request).await;
    }
    let by_address = limits.address.as_ref();
    let by_address = by_address.map(|limit| limit.admit(&Network::of(address)));
    let by_caller = Arc::new(OnceLock::new());
    request.extensions_mut().insert(Arc::clone(&by_caller));
    let mut response = match by_address.map_or(Ok(()), RateLimitState::into_result) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    let states = [by_address, by_caller.get().copied()];
    for state in states.into_iter().flatten() {
        state.append_to(&mut response);
    }
    let least = states
        .into_iter()
        .flatten()
        .max_by_key(|state| (Reverse(state.remaining), state.until_next()));
    if let Some(least) = least {
        response.extensions_mut().insert(least);
    }
    response
}

impl RateLimitState {
    /// Returns the time until the next request is allowed; zero if any remain.
    pub(super) fn until_next(&self) -> Duration {
        match (self.wait, self.remaining) {
            (Some(wait), _) => wait,
            (None, 0) => Duration::from_secs(1) / self.rate.per_second.get(),
            (None, _) => Duration::ZERO,
        }
    }

    fn into_result(self) -> Result<(), Failure> {
        match self.wait {
            None => Ok(()),
            Some(wait) => Err(Failure::TooManyRequests {
                retry_after: wait.as_secs() + 1,
            }),
        }
    }

    fn append_to(self, response: &mut Response) {
        let Self {
            name,
            rate,
            remaining,
            wait: _,
        } = self;
        let headers = [
            ("ratelimit-policy", format!("\"{name}\";q={};w=1", rate.burst)),
            ("ratelimit", format!("\"{name}\";r={remaining};t=1")),
        ];
        for (header, value) in headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response
                    .headers_mut()
                    .append(HeaderName::from_static(header), value);
            }
        }
    }
}
