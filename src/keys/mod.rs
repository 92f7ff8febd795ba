//! Signing keys: storage of private keys, signing, the published JWKS, and rotation.

pub mod directory;
mod jwks;
pub mod material;
mod metrics;
pub mod note;
mod ring;
mod rotation;
pub mod seal;
mod signer;

pub use directory::{DirectoryError, KeyDirectory, KeyFolder, Rewritten, Stored, UnusableKeyEncryptionKey};
pub use jwks::Jwks;
pub use material::{KeyError, SigningKey};
pub use metrics::KeyMetrics;
pub use ring::{KeyRing, RingError};
pub use rotation::{Due, Rotation};
pub use seal::{KeyEncryptionKey, NotAKeyEncryptionKey};
pub use signer::{SealedToken, SignedToken, SigningError};
