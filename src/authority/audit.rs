//! The audit: the sequencer, signed checkpoints, the retention of lines, and counts of failed attempts.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::authority::{Active, Authority, Error, LostLine, Result};
use crate::keys::note;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Email, OrganizationId};
use jeton_core::network::Network;
use jeton_core::token::{ManagementScope, TokenKind};
use jeton_store::rules::audit::{Attempted, Failures};
use jeton_store::{AuditHead, AuditSince, Cause, Checkpoint, Effect, Order, SignedHead};

/// How many actions of one minute are about failed logins, and how many about refused requests: those of further clients
/// are summed. Each kind has its own, so that strangers who fail to log in hide no administrator who is refused.
const MOST_FAILURES: usize = 100;

/// How many operations an action about refused requests names: further ones are summed. The JSON stays small.
const MOST_OPERATIONS: usize = 20;

/// The name of further operations.
const OTHER_OPERATIONS: &str = "others";

/// The state of the audit in this process.
#[derive(Debug)]
pub(super) struct AuditState {
    head: watch::Sender<AuditHead>,
    /// When the audit was last sealed as far as it could be.
    read_at: Mutex<Option<Timestamp>>,
    /// The last head that this process has signed.
    signed: Mutex<Option<AuditHead>>,
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
            read_at: Mutex::default(),
            signed: Mutex::default(),
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

/// Failed attempts of this minute.
#[derive(Debug, Default)]
struct FailureCounts(Mutex<Counts>);

type Counts = BTreeMap<Attempted, HashMap<Client, Count>>;

/// A client with the account or the caller, and the organization of the caller's token.
type Client = (Option<Network>, Option<String>, Option<OrganizationId>);

/// How often a client has failed, and in which operations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Count {
    all: u64,
    operations: BTreeMap<String, u64>,
}

impl Count {
    fn add(&mut self, operation: &str, count: u64) {
        let is_full = self.operations.len() >= MOST_OPERATIONS && !self.operations.contains_key(operation);
        let operation = if is_full { OTHER_OPERATIONS } else { operation };
        let known = self.operations.entry(operation.to_owned()).or_insert(0);
        *known = known.saturating_add(count);
    }
}

impl FailureCounts {
    fn note(&self, attempted: Attempted, client: Client, operation: Option<&str>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(attempted).or_default();
        let client = match counts.len() < MOST_FAILURES || counts.contains_key(&client) {
            true => client,
            false => (None, None, None),
        };
        let count = counts.entry(client).or_default();
        count.all = count.all.saturating_add(1);
        if let Some(operation) = operation {
            count.add(operation, 1);
        }
    }

    fn take(&self) -> Counts {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, taken: Counts) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (attempted, taken) in taken {
            let counts = counts.entry(attempted).or_default();
            for (client, count) in taken {
                let known = counts.entry(client).or_default();
                known.all = known.all.saturating_add(count.all);
                for (operation, count) in &count.operations {
                    known.add(operation, *count);
                }
            }
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
        let sealed = match status.unsealed_since.is_some() || status.has_uncounted {
            true => Some(self.store.seal().await?),
            false => None,
        };
        let has_more = sealed.is_some_and(|sealed| sealed.has_more);
        // What one portion could not hold is as old as its oldest record, about.
        let lag = status
            .unsealed_since
            .filter(|_| has_more)
            .map_or(0.0, |since| self.age(since));
        self.audit.metrics.lag.set(lag);
        *self.audit.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.now());
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

    /// Notes for metrics that nothing could be sealed: the age of the oldest record without a line, or the time since the
    /// audit was last read if it cannot be read.
    pub async fn measure_audit_lag(&self) {
        let since = match self.store.audit_status().await {
            Ok(status) => status.unsealed_since,
            Err(_) => *self.audit.read_at.lock().unwrap_or_else(PoisonError::into_inner),
        };
        self.audit
            .metrics
            .lag
            .set(since.map_or(0.0, |since| self.age(since)));
    }

    /// Returns the age of a record in seconds.
    fn age(&self, since: Timestamp) -> f64 {
        let age = self.clock.now().millis().saturating_sub(since.millis());
        Duration::from_millis(u64::try_from(age).unwrap_or(0)).as_secs_f64()
    }

    /// Signs the end of the chain and keeps the checkpoint, if the chain has moved since the last one.
    ///
    /// # Errors
    ///
    /// Fails if the store does, if nothing can be signed, and with [`Error::LostLine`] if the chain lacks the last line
    /// that this process has signed: the database was altered meanwhile.
    pub async fn sign_checkpoint(&self) -> Result<Option<Checkpoint>> {
        let head = self.store.audit_status().await?.head;
        let signed_before = *self.audit.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signed) = signed_before
            && self.store.audit_after(None, signed.into(), 1).await? == AuditSince::Ahead
        {
            return Err(Error::LostLine(LostLine::Ahead));
        }
        let last = self.last_checkpoint().await?;
        if head.sequence == 0 || last.is_some_and(|last| last.head.sequence >= head.sequence) {
            return Ok(None);
        }
        let before = head.sequence.saturating_sub(1);
        let AuditSince::Entries { entries, .. } = self.store.audit_after(None, before.into(), 1).await?
        else {
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
        *self.audit.signed.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
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
        if self.clock.differs() {
            return Err(Error::ClockDiffers);
        }
        let made_by = self.clock.settled().plus_seconds(-kept);
        Ok(self.store.prune_audit(made_by, self.clock.now()).await?.has_more)
    }

    /// Counts a failed login for the audit. The account is named only if it exists: people type passwords into the field
    /// of the address.
    pub(super) fn count_failed_login(&self, address: IpAddr, account: Option<&Email>) {
        let client = (Some(Network::of(address)), account.map(ToString::to_string), None);
        self.audit.failures.note(Attempted::Login, client, None);
    }

    /// Counts a refused request for the audit, if its caller administers anything: a session, or a token with a scope
    /// of the authority. The operation is one of the server's, not what a client sends.
    pub fn count_refused_request(&self, active: &Active, address: IpAddr, operation: &str) {
        let token = active.token();
        let is_administrator = token.kind() == TokenKind::Session
            || ManagementScope::ALL.iter().any(|scope| token.manages(*scope));
        if !is_administrator {
            return;
        }
        let who = match (token.kind(), active.person()) {
            (TokenKind::Session, Some(person)) => person.email.to_string(),
            _ => token.id().actor(),
        };
        let client = (
            Some(Network::of(address)),
            Some(who),
            token.owner().organization(),
        );
        self.audit
            .failures
            .note(Attempted::Request, client, Some(operation));
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
        for (attempt, counts) in &counts {
            for ((network, who, organization), count) in counts {
                order = order.effect(Effect::NoteFailures(Box::new(Failures {
                    attempt: *attempt,
                    count: count.all,
                    network: *network,
                    who: who.clone(),
                    organization: *organization,
                    operations: count.operations.clone(),
                })));
            }
        }
        match self.write(order).await {
            // The order has no guards, so it cannot be refused.
            Ok(_) => Ok(()),
            // The failure of a store does not tell whether it has committed. Better twice on record than not at all.
            Err(error) => {
                self.audit.failures.give_back(counts);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn client(number: usize) -> Client {
        let address: IpAddr = format!("192.0.2.{}", number % 250).parse().unwrap();
        let who = Some(format!("{number}@example.org"));
        (Some(Network::of(address)), who, None)
    }

    #[test]
    fn failures_beyond_the_bound_are_summed() {
        let counts = FailureCounts::default();
        let login = |number| counts.note(Attempted::Login, client(number), None);
        for number in 0..1_000 {
            login(number);
        }
        login(7);
        let all = |taken: &Counts, client| taken.get(&Attempted::Login)?.get(&client).map(|count| count.all);
        let taken = counts.take();
        assert_eq!(taken.get(&Attempted::Login).unwrap().len(), MOST_FAILURES + 1);
        assert_eq!(all(&taken, client(7)), Some(2));
        let rest = (None, None, None);
        assert_eq!(all(&taken, rest), Some(1_000 - MOST_FAILURES as u64));
        assert!(counts.take().is_empty());
        login(7);
        counts.give_back(taken);
        assert_eq!(all(&counts.take(), client(7)), Some(3));
    }

    #[test]
    fn failed_logins_of_strangers_hide_no_refused_administrator() {
        let counts = FailureCounts::default();
        for number in 0..1_000 {
            counts.note(Attempted::Login, client(number), None);
        }
        for operation in ["GET /api/v1/audit", "GET /api/v1/audit", "POST /api/v1/users"] {
            counts.note(Attempted::Request, client(1), Some(operation));
        }
        let taken = counts.take();
        let refused = taken.get(&Attempted::Request).unwrap();
        let count = refused.get(&client(1)).unwrap();
        assert_eq!(count.all, 3);
        let operations: Vec<_> = count.operations.iter().collect();
        assert_eq!(
            operations,
            [
                (&"GET /api/v1/audit".to_owned(), &2),
                (&"POST /api/v1/users".to_owned(), &1)
            ]
        );
    }

    #[test]
    fn operations_beyond_the_bound_are_summed() {
        let mut count = Count::default();
        for number in 0..50 {
            count.add(&format!("GET /{number}"), 1);
        }
        count.add("GET /7", 2);
        assert_eq!(count.operations.len(), MOST_OPERATIONS + 1);
        assert_eq!(count.operations.get("GET /7"), Some(&3));
        assert_eq!(
            count.operations.get(OTHER_OPERATIONS),
            Some(&(50 - MOST_OPERATIONS as u64))
        );
    }
}
