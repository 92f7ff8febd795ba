//! Signing keys: storage of private keys, signing, the published JWKS, and rotation.

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
