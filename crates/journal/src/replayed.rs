//! What a replay of the journal repeats, and the numbers that it leaps over.

use std::collections::BTreeMap;

use crate::history::End;
use jeton_core::directory::Email;
use jeton_core::token::CutOff;

/// The revocations that a replay has repeated. Those already in the database are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The number of tokens, those without a record included.
    pub tokens: usize,
    /// The cut-offs. A person named here may have been removed or disabled since the backup, which the journal
    /// does not record, and exist again.
    pub cut_offs: Vec<CutOff>,
    /// The addresses of the people in those cut-offs, if the restored database knows them.
    pub addresses: BTreeMap<String, Email>,
    /// The number of keys that were withdrawn.
    pub keys: usize,
    /// The end of the journal.
    pub journal: End,
}

impl Replayed {
    /// Returns how much was repeated, as JSON: what the audit has of a restore.
    pub fn text(&self) -> String {
        serde_json::json!({
            "tokens": self.tokens,
            "cut_offs": self.cut_offs.len(),
            "keys": self.keys,
        })
        .to_string()
    }
}

/// The reason of a change that the journal has and the database had not.
pub const REPLAYED: &str = "repeated from the journal";

/// The name of organizations and teams that a cut-off names and the database lacks.
pub const LOST: &str = "lost";

/// The tables whose numbers tokens carry, and more numbers than are assigned between two restores: the next
/// number is beyond the next multiple that no earlier restore has used. Enough for a million tokens a day for
/// two months; after thirty restores the numbers are still below 2^31, the most that some clients read.
pub const GIVEN_OUT: [(&str, i64); 3] = [
    ("tokens", 1 << 26),
    ("status_lists", 1 << 12),
    ("projects", 1 << 16),
];

/// Returns the number after which a new epoch begins, by the last number, the distance between two epochs, and how
/// often an older copy was restored since.
pub fn beyond(last: i64, step: i64, restores: i64) -> i64 {
    (last / step + 1 + restores) * step
}
