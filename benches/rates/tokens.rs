//! Files of tokens that a round presents in turn.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Outcome;

/// The first `count` lines of a file, each a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) file: PathBuf,
    pub(crate) count: usize,
}

/// The lines of a text, in turn.
#[derive(Default)]
pub(crate) struct Lines {
    text: String,
    /// The end of each line, without the line break.
    ends: Vec<usize>,
}

impl Lines {
    pub(crate) fn read(tokens: &Tokens) -> Outcome<Self> {
        let text = std::fs::read_to_string(&tokens.file)?;
        let breaks = text.match_indices('\n').map(|(at, _)| at);
        let ends: Vec<usize> = breaks.take(tokens.count).collect();
        if ends.len() < tokens.count {
            return Err(format!("{} tokens, not {}", ends.len(), tokens.count).into());
        }
        Ok(Self { text, ends })
    }

    pub(crate) fn nth(&self, number: usize) -> &str {
        let number = number % self.ends.len().max(1);
        let end = self.ends.get(number).copied().unwrap_or_default();
        let before = number.checked_sub(1).and_then(|number| self.ends.get(number));
        let begin = before.map_or(0, |end| end + 1);
        self.text.get(begin..end).unwrap_or_default()
    }
}
