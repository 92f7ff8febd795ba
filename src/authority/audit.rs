//! The audit: the sequencer, signed checkpoints, the retention of lines, and counts of failed attempts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::authority::{Active, Authority, Error, Result};
use crate::keys::note;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Email, OrganizationId};
use jeton_core::network::Network;
use jeton_core::token::{ManagementScope, TokenKind};
use jeton_store::rules::audit::{Attempted, Failures};
use jeton_store::{AuditHead, AuditSince, Cause, Checkpoint, Effect, Order, SignedHead};

/// How many actions of one minute are about failed attempts: those of further clients are summed.
const MOST_FAILURES: usize = 100;

/// The state of the audit in this process.
#[derive(Debug)]
pub(super) struct AuditState {
    head: watch::Sender<AuditHead>,
    failures: FailureCounts,
    metrics: AuditMetrics,
}

/// The metrics of the audit. Copies share their values.
#[derive(Debug, Clone, Default)]
pub struct AuditMetrics {
    head: Gauge,
    lag: Gauge<f64, AtomicU64>,
    checkpoint: Gauge,
    /// Checkpoints that could not be signed, kept or delivered.
    pub checkpoint_failures: Counter,
}

impl AuditState {
    pub(super) fn new() -> Self {
        Self {
            head: watch::Sender::new(AuditHead::default()),
            failures: FailureCounts::default(),
            metrics: AuditMetrics::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let metrics = &self.metrics;
        registry.register(
            "jeton_audit_lines",
            "The number of the last line of the audit",
            metrics.head.clone(),
        );
        registry.register(
            "jeton_audit_lag_seconds",
            "The age of the oldest record that the audit has not sealed",
            metrics.lag.clone(),
        );
        registry.register(
            "jeton_audit_last_checkpoint_seconds",
            "When the last checkpoint of the audit was signed",
            metrics.checkpoint.clone(),
        );
        registry.register(
            "jeton_audit_checkpoint_failures",
            "Checkpoints of the audit that could not be signed, kept or delivered",
            metrics.checkpoint_failures.clone(),
        );
    }
}

/// Failed attempts of this minute, by client and account or caller.
#[derive(Debug, Default)]
struct FailureCounts(Mutex<HashMap<FailureKey, u64>>);

type FailureKey = (Attempted, Option<Network>, Option<String>, Option<OrganizationId>);

impl FailureCounts {
    fn note(&self, key: FailureKey) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = match counts.len() < MOST_FAILURES || counts.contains_key(&key) {
            true => key,
            false => (key.0, None, None, None),
        };
        let count = counts.entry(key).or_insert(0);
        *count = count.saturating_add(1);
    }

    fn take(&self) -> HashMap<FailureKey, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, taken: HashMap<FailureKey, u64>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, count) in taken {
            let known = counts.entry(key).or_insert(0);
            *known = known.saturating_add(count);
        }
    }
}

impl Authority {
    /// Seals a portion of what has no line yet. Returns whether there may be more.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn seal_audit(&self) -> Result<bool> {
        let status = self.store.audit_status().await?;
        let sealed = match status.unsealed_since {
            Some(_) => Some(self.store.seal().await?),
            None => None,
        };
        let has_more = sealed.is_some_and(|sealed| sealed.has_more);
        let age = |since: Timestamp| {
            let age = self.clock.now().millis().saturating_sub(since.millis());
            Duration::from_millis(u64::try_from(age).unwrap_or(0)).as_secs_f64()
        };
        // What one portion could not hold is as old as its oldest record, about.
        let lag = status.unsealed_since.filter(|_| has_more).map_or(0.0, age);
        self.audit.metrics.lag.set(lag);
        let head = sealed.map_or(status.head, |sealed| sealed.head);
        self.audit
            .metrics
            .head
            .set(i64::try_from(head.sequence).unwrap_or(i64::MAX));
        self.audit
            .head
            .send_if_modified(|known| std::mem::replace(known, head) != head);
        Ok(has_more)
    }

    /// Returns the end of the chain, now and whenever it moves: for those who follow the audit.
    pub fn audit_head(&self) -> watch::Receiver<AuditHead> {
        self.audit.head.subscribe()
    }

    /// Returns the metrics of the audit.
    pub fn audit_metrics(&self) -> &AuditMetrics {
        &self.audit.metrics
    }

    /// Notes for metrics that nothing could be sealed.
    pub async fn measure_audit_lag(&self) {
        if let Ok(status) = self.store.audit_status().await
            && let Some(since) = status.unsealed_since
        {
            let age = self.clock.now().millis().saturating_sub(since.millis());
            let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
            self.audit.metrics.lag.set(age.as_secs_f64());
        }
    }

    /// Signs the end of the chain and keeps the checkpoint, if the chain has moved since the last one.
    ///
    /// # Errors
    ///
    /// Fails if the store does, and if nothing can be signed.
    pub async fn sign_checkpoint(&self) -> Result<Option<Checkpoint>> {
        let head = self.store.audit_status().await?.head;
        let last = self.last_checkpoint().await?;
        if head.sequence == 0 || last.is_some_and(|last| last.head.sequence >= head.sequence) {
            return Ok(None);
        }
        let before = head.sequence.saturating_sub(1);
        let AuditSince::Entries { entries, .. } = self.store.audit_after(None, before, 1).await? else {
            // Another process has signed it since, and deleted it.
            return Ok(None);
        };
        let line = entries.into_iter().find(|entry| entry.line.head() == head);
        let Some(made_at) = line.map(|entry| entry.line.record.at) else {
            return Ok(None);
        };
        let signed = SignedHead {
            head,
            made_at,
            signed_at: self.clock.now(),
        };
        let (kid, note) = self.keys.sign_note(&note::origin(&self.issuer), &signed)?;
        let checkpoint = Checkpoint {
            head,
            signed_at: signed.signed_at,
            kid: kid.to_string(),
            note,
        };
        self.store.keep_checkpoint(checkpoint.clone()).await?;
        self.audit.metrics.checkpoint.set(checkpoint.signed_at.seconds());
        Ok(Some(checkpoint))
    }

    /// Returns the last checkpoint that the store keeps.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn last_checkpoint(&self) -> Result<Option<Checkpoint>> {
        let last = self.store.last_checkpoint().await?;
        if let Some(last) = &last {
            self.audit.metrics.checkpoint.set(last.signed_at.seconds());
        }
        Ok(last)
    }

    /// Deletes a portion of the lines whose retention has ended, by the settled time. Returns whether there are more.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn prune_audit(&self) -> Result<bool> {
        let kept = self.settings().audit_retention.seconds();
        let kept = i64::try_from(kept).unwrap_or(i64::MAX);
        let made_by = self.clock.settled().plus_seconds(-kept);
        Ok(self.store.prune_audit(made_by, self.clock.now()).await?.has_more)
    }

    /// Counts a failed login for the audit. The account is named only if it exists: people type passwords into the field
    /// of the address.
    pub(super) fn count_failed_login(&self, address: IpAddr, account: Option<&Email>) {
        self.audit.failures.note((
            Attempted::Login,
            Some(Network::of(address)),
            account.map(ToString::to_string),
            None,
        ));
    }

    /// Counts a refused request for the audit, if its caller administers anything: a session, or a token with a scope
    /// of the authority.
    pub fn count_refused_request(&self, active: &Active, address: IpAddr) {
        let token = active.token();
        let is_administrator = token.kind() == TokenKind::Session
            || ManagementScope::ALL.iter().any(|scope| token.manages(*scope));
        if !is_administrator {
            return;
        }
        let who = match (token.kind(), active.person()) {
            (TokenKind::Session, Some(person)) => person.email.to_string(),
            _ => format!("token {}", token.id()),
        };
        self.audit.failures.note((
            Attempted::Request,
            Some(Network::of(address)),
            Some(who),
            token.owner().organization(),
        ));
    }

    /// Records the failed attempts that were counted: one action for each client and account or caller.
    ///
    /// # Errors
    ///
    /// Fails if the store does: they are recorded the next time.
    pub async fn write_failures(&self) -> Result<()> {
        let counts = self.audit.failures.take();
        if counts.is_empty() {
            return Ok(());
        }
        let mut order = Order::new(Cause::server(self.clock.now()));
        for ((attempt, network, who, organization), count) in &counts {
            order = order.effect(Effect::NoteFailures(Box::new(Failures {
                attempt: *attempt,
                count: *count,
                network: *network,
                who: who.clone(),
                organization: *organization,
            })));
        }
        match self.store.commit(order).await {
            // The order has no guards, so it cannot be refused.
            Ok(_) => Ok(()),
            Err(error) => {
                self.audit.failures.give_back(counts);
                Err(Error::from(error))
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn failures_beyond_the_bound_are_summed() {
        let counts = FailureCounts::default();
        let client = |number: usize| {
            let address: IpAddr = format!("192.0.2.{}", number % 250).parse().unwrap();
            let who = Some(format!("{number}@example.org"));
            (Attempted::Login, Some(Network::of(address)), who, None)
        };
        for number in 0..1_000 {
            counts.note(client(number));
        }
        counts.note(client(7));
        let taken = counts.take();
        assert_eq!(taken.len(), MOST_FAILURES + 1);
        assert_eq!(taken.get(&client(7)), Some(&2));
        let rest = (Attempted::Login, None, None, None);
        assert_eq!(taken.get(&rest), Some(&(1_000 - MOST_FAILURES as u64)));
        assert!(counts.take().is_empty());
        counts.note(client(7));
        counts.give_back(taken);
        assert_eq!(counts.take().get(&client(7)), Some(&3));
    }
}
