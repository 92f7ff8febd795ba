//! `/tokens`.

mod bounds;
mod create;
mod everywhere;
mod list;
mod revoke;
mod revoke_many;
mod rotate;
mod slot;
