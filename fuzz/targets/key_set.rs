//! Key sets. What a verifier takes from one is public, and each key is found by its own id.
#![no_main]

use jeton_verifier::{KeySet, PublicKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = KeySet::from_json(text);
    if let Ok(key) = PublicKey::from_json(text) {
        let set: KeySet = [key.clone()].into_iter().collect();
        assert!(set.find(key.kid()).is_some());
    }
});
