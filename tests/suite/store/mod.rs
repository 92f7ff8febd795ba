//! The store's contract, as cases that every backend must pass.

mod bulk;
pub(crate) mod clerk;
mod directory;
mod finding;
mod house;
mod keys;
mod limits;
mod lists;
mod model;
mod names;
mod orders;
mod policies;
mod replacement;
mod revocation;
mod sqlite;
mod tokens;
mod world;

pub(crate) use world::{Backend, World};

/// Runs every case of the contract for one backend.
macro_rules! contract {
    ($backend:ident: $($module:ident { $($case:ident)* })*) => {$(
        mod $module {
            use super::$backend;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let backend = <$backend as crate::store::Backend>::create();
                    let world = crate::store::World::new(backend).await;
                    crate::store::$module::$case(world).await;
                }
            )*
        }
    )*};
}
pub(crate) use contract;
