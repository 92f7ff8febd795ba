//! The nouns of jeton and their rules, without I/O: tokens, the directory, time and chance as values.

pub mod clock;
pub mod directory;
pub mod entropy;
pub mod token;
