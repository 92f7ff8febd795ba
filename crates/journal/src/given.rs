//! What servers have given out, by the journal: shows that a database has lost commits that revoked nothing.
//!
//! A line is appended only after its transaction is committed, and its numbers are used only after the line is on
//! disk. A token is revoked only after its record was committed. So a database that lacks them is an older copy or has
//! lost commits.

use std::collections::BTreeMap;

use crate::line::Entry;

/// Starts of servers, reserved status list indexes, and the numbers of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// The number of the last start.
    pub starts: i64,
    /// How many indexes of each status list are reserved.
    lists: BTreeMap<u32, u32>,
    /// No token has a higher number: the exact last one after an orderly stop.
    tokens: i64,
    /// The highest number of a token that was revoked.
    revoked: i64,
    is_stopped: bool,
    /// Where the deployment has moved to.
    pub moved_to: Option<String>,
}

/// What a database has given out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The number of the last start.
    pub starts: i64,
    /// How many indexes of each status list are reserved.
    pub lists: BTreeMap<u32, u32>,
    /// The highest number that a token has had.
    pub tokens: i64,
}

impl Given {
    /// Returns what these entries have given out.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut given = Self::default();
        for entry in entries {
            given.note(entry);
        }
        given
    }

    pub(crate) fn note(&mut self, entry: &Entry) {
        match entry {
            Entry::Started { number } => {
                self.starts = self.starts.max(*number);
                self.is_stopped = false;
            }
            Entry::Indexes { list, used, tokens } => {
                self.is_stopped = false;
                let known = self.lists.entry(*list).or_default();
                *known = (*known).max(*used);
                self.tokens = self.tokens.max(*tokens);
            }
            Entry::Stopped { tokens } => {
                self.tokens = *tokens;
                self.is_stopped = true;
            }
            Entry::Moved { to } => self.moved_to = Some(to.clone()),
            Entry::Token { id, .. } => self.revoked = self.revoked.max(*id),
            Entry::CutOff { .. } | Entry::Withdrawn { .. } | Entry::ClockAccepted { .. } => {}
        }
    }

    /// Returns the entries that say the same, for the beginning of a segment.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        if self.starts > 0 {
            entries.push(Entry::Started { number: self.starts });
        }
        entries.extend(self.lists.iter().map(|(list, used)| Entry::Indexes {
            list: *list,
            used: *used,
            tokens: self.tokens,
        }));
        if self.is_stopped {
            entries.push(Entry::Stopped { tokens: self.tokens });
        }
        entries.extend(self.moved_to.clone().map(|to| Entry::Moved { to }));
        entries
    }

    /// Returns what a database lacks of it, if anything.
    pub fn missing_in(&self, held: &Held) -> Option<String> {
        if held.starts < self.starts {
            return Some(format!("the start {} of a server", self.starts));
        }
        for (list, used) in &self.lists {
            if held.lists.get(list).is_none_or(|known| known < used) {
                return Some(format!("{used} indexes of the status list {list}"));
            }
        }
        let least = match self.is_stopped {
            true => self.tokens.max(self.revoked),
            false => self.revoked,
        };
        (held.tokens < least).then(|| format!("the token {least}"))
    }

    /// Returns the highest number that a token may have, if the last server did not stop in order.
    pub fn tokens_through(&self) -> Option<i64> {
        (!self.is_stopped).then_some(self.tokens)
    }
}
