//! Settings of a deployment, as a backend for several servers keeps them.

use std::collections::BTreeMap;

/// The settings that are not at their defaults, by name: each is a value in TOML. Their version is that of
/// [`Realm::Keys`](crate::Realm::Keys). A backend neither knows the names nor reads the values.
pub type StoredSettings = BTreeMap<String, String>;
