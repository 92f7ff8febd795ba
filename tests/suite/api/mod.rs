//! What the native API does, by address and by what it promises.

mod directory;
mod errors;
mod examples;
mod fates;
mod faults;
mod matrix;
mod session;
mod status_lists;
mod tokens;
