//! The client against an authority that can do wrong.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod authority;
mod feed_trust;
mod following;
mod modes;
mod settings;
mod verdicts;

use std::time::Duration;

use jeton_verifier::{Builder, Rejection, Verifier};
use tokio::time::{Instant, sleep, timeout};

use authority::Authority;

/// The audience of the tests' service.
const AUDIENCE: &str = "https://api.example.org";

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A bound that no test waits for.
const LONG: Duration = Duration::from_secs(3600);

/// Returns a builder for a verifier of this authority, with its token.
fn builder(authority: &Authority) -> Builder {
    Verifier::builder(authority.issuer(), AUDIENCE)
        .token(authority.own_token())
        .max_staleness(LONG)
}

/// Returns a verifier that is ready.
async fn ready(builder: Builder) -> Verifier {
    let verifier = builder.build().unwrap();
    timeout(PATIENCE, verifier.ready()).await.unwrap();
    verifier
}

/// Waits until the condition holds.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the verdict is this one.
async fn verdict_becomes(verifier: &Verifier, token: &str, expected: Result<(), Rejection>) {
    let what = format!("never {expected:?}");
    eventually(&what, || verifier.verify(token).map(drop) == expected).await;
}
