//! What a server does by itself, beside answering.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::output;
use crate::authority::{Error, RetentionScan};
use crate::http::App;
use jeton_store::SharedStore;

/// How often it is looked whether there is anything to do, such as that another process has written to the
/// database.
const EVERY: Duration = Duration::from_millis(250);

/// Follows what other processes write to the database, tends the keys, writes down which tokens were
/// seen, and deletes what has expired, until the store dies or its history turns out to be another one.
pub(super) async fn follow(app: Arc<App>, store: SharedStore) {
    let authority = &app.authority;
    let mut ticks = interval(EVERY);
    let mut scan = RetentionScan::default();
    let mut troubles = Troubles::default();
    loop {
        tokio::select! {
            () = store.died() => return,
            _ = ticks.tick() => {}
        }
        troubles.note(
            "cannot read changes by other processes",
            authority.catch_up().await,
        );
        if authority.has_forked() {
            return;
        }
        troubles.note("signing key maintenance failed", authority.tend_keys().await);
        write_down(&app, &mut troubles).await;
        match authority.purge(&mut scan).await {
            // Whoever waits goes first.
            Err(Error::Busy) => {}
            kept => troubles.note("retention failed: expired records cannot be deleted", kept),
        }
    }
}

/// Writes down which tokens were seen and which were refused.
pub(super) async fn write_down(app: &App, troubles: &mut Troubles) {
    troubles.note("cannot write token use", app.authority.write_usage().await);
    troubles.note(
        "cannot write refused uses of revoked tokens",
        app.authority.write_refusals().await,
    );
}

/// Keeps the status lists ready. On its own, since setting the bits of a million tokens takes a while.
pub(super) async fn tend(app: Arc<App>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut troubles = Troubles::default();
    loop {
        ticks.tick().await;
        troubles.note(
            "cannot update the status lists",
            app.authority.tend_status_lists().await,
        );
    }
}

/// Carries out the orders to revoke many tokens that nobody carries out: whoever took one down was
/// interrupted, or their client went away first, or it failed.
pub(super) async fn carry_on(app: Arc<App>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        app.authority.carry_on().await;
    }
}

/// How long something goes wrong before that is said again.
const REMINDER: Duration = Duration::from_mins(1);

/// What goes wrong, by its description, and when that was said last. It is tried again at every tick, and
/// a full disk would be filled further by lines that all say the same.
#[derive(Debug, Default)]
pub(super) struct Troubles(BTreeMap<&'static str, Instant>);

impl Troubles {
    fn note<T>(&mut self, what: &'static str, outcome: Result<T, impl std::error::Error>) {
        match outcome {
            Err(error) if self.is_to_be_said(what, Instant::now()) => {
                tracing::error!(error = output::sentence(&error), "{what}");
            }
            Err(_) => {}
            Ok(_) if self.0.remove(what).is_some() => tracing::info!("recovered: {what}"),
            Ok(_) => {}
        }
    }

    fn is_to_be_said(&mut self, what: &'static str, now: Instant) -> bool {
        let is_fresh = |said: &Instant| now.duration_since(*said) < REMINDER;
        if self.0.get(what).is_some_and(is_fresh) {
            return false;
        }
        self.0.insert(what, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_wrong_is_said_once_a_minute() {
        let mut troubles = Troubles::default();
        let begun = Instant::now();
        let said = (0..4 * 150).filter(|tick| troubles.is_to_be_said("one", begun + EVERY * *tick));
        assert_eq!(said.count(), 3, "in two minutes and a half");
        assert!(troubles.is_to_be_said("other", begun));
        troubles.note("other", Ok::<_, std::fmt::Error>(()));
        assert!(troubles.is_to_be_said("other", begun), "it is news again");
    }
}
