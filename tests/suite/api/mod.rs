//! What the native API does, by address and by what it promises.

mod directory;
mod errors;
mod examples;
mod fates;
mod faults;
mod keys;
mod matrix;
mod oauth;
mod session;
mod status_lists;
mod tokens;
