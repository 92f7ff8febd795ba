//! `/tokens`.

mod bounds;
mod create;
mod list;
mod revoke;
