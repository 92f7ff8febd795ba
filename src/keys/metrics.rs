//! Metrics of the signing keys.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::keys::KeyRing;
use jeton_core::clock::Timestamp;
use jeton_store::metrics::{gauge, gauges};
use jeton_store::{KeyRow, KeyState};

/// The states of the keys, and when they change, read when metrics are collected.
#[derive(Debug)]
pub struct KeyMetrics(Arc<KeyRing>);

/// The facts of a key ring.
pub(super) struct Facts<'a> {
    /// All keys ever published, the oldest first.
    pub(super) rows: &'a [KeyRow],
    /// How many keys sign now or soon but have no private key here.
    pub(super) missing: usize,
    /// When the next step of the rotation is due; `None` if none is.
    pub(super) due: Option<Timestamp>,
}

impl KeyMetrics {
    /// Returns the metrics of a key ring.
    pub fn new(keys: &Arc<KeyRing>) -> Self {
        Self(Arc::clone(keys))
    }
}

impl Collector for KeyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.facts(|facts| encode(&mut encoder, &facts))
    }
}

fn encode(encoder: &mut DescriptorEncoder<'_>, facts: &Facts<'_>) -> fmt::Result {
    let in_state = |state: KeyState| facts.rows.iter().filter(|row| row.state == state).count();
    gauges(
        encoder,
        "jeton_keys",
        "Signing keys, by state",
        KeyState::ALL.map(|state| ([("state", state.as_str())], in_state(state))),
    )?;
    gauge(
        encoder,
        "jeton_key_files_missing",
        "Keys that sign now or soon and whose private key is missing",
        facts.missing,
    )?;
    if let Some(signing) = facts.rows.iter().find(|row| row.state == KeyState::Signing) {
        gauge(
            encoder,
            "jeton_key_signing_since_seconds",
            "Unix time at which the signing key began to sign",
            signing.changed_at.seconds(),
        )?;
    }
    match facts.due {
        Some(due) => gauge(
            encoder,
            "jeton_key_due_seconds",
            "Unix time at which the next step of the key rotation is due",
            due.seconds(),
        ),
        None => Ok(()),
    }
}
