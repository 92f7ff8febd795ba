//! `/tokens`.

mod bounds;
mod create;
mod descendants;
mod everywhere;
mod inspect;
mod list;
mod revoke;
mod revoke_many;
mod rotate;
mod slot;
