//! `/tokens`.

mod bounds;
mod create;
mod list;
mod revoke;
mod revoke_many;
mod rotate;
mod slot;
