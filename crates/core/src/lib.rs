//! The types of jeton and their rules, without I/O: tokens, the directory, time and random values as arguments.

pub mod clock;
pub mod deployment_clock;
pub mod directory;
pub mod entropy;
pub mod file_mode;
pub mod network;
pub mod text;
pub mod token;
