//! Signing keys: where their private halves lie, how they sign, and what is published of them.

pub mod directory;
pub mod material;
mod ring;

pub use directory::{DirectoryError, KeyDirectory};
pub use material::{KeyError, SigningKey};
pub use ring::{JWKS_MAX_AGE, Jwks, KeyRing, RingError, SignedToken, SigningError, add_key};
