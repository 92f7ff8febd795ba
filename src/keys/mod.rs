//! Signing keys: storage of private keys, signing, the published JWKS, and rotation.

pub mod directory;
pub mod folder;
mod jwks;
pub mod material;
mod metrics;
pub mod note;
mod ring;
mod rotation;
pub mod seal;
mod signer;
mod store;

pub use directory::{KeyDirectory, Rewritten};
pub use folder::{DirectoryError, KeyFolder, Stored, UnusableKeyEncryptionKey};
pub use jwks::Jwks;
pub use material::{KeyError, SigningKey};
pub use metrics::KeyMetrics;
pub use ring::{KeyRing, RingError};
pub use rotation::{Due, PlannedStep, Rotation};
pub use seal::{KeyEncryptionKey, NotAKeyEncryptionKey};
pub use signer::{SealedToken, SignedToken, SigningError};
pub use store::{DatabaseKeyError, DatabaseKeys, KeyStore};
