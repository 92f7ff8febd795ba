//! Signing keys: where their private halves lie, how they sign, what is published of them, and when
//! one takes over from another.

pub mod directory;
mod jwks;
pub mod material;
mod ring;
mod rotation;
mod signer;

pub use directory::{DirectoryError, KeyDirectory};
pub use jwks::Jwks;
pub use material::{KeyError, SigningKey};
pub use ring::{KeyRing, RingError};
pub use rotation::{Due, Rotation};
pub use signer::{SealedToken, SignedToken, SigningError};
