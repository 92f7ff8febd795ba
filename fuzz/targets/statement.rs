//! Status lists, heads and snapshots of the feed: the texts, and the claims as the authority could have signed them.
#![no_main]

use jeton_verifier::feed::{HeadClaims, SnapshotClaims};
use jeton_verifier::{Known, Statement, StatusListClaims, UnverifiedStatement};
use libfuzzer_sys::fuzz_target;

fn again<S: Statement + PartialEq + std::fmt::Debug>(json: &[u8]) -> Option<S> {
    let claims = S::from_json(json)?;
    let written = serde_json::to_vec(&claims).expect("claims are JSON");
    assert_eq!(S::from_json(&written).as_ref(), Some(&claims));
    Some(claims)
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = UnverifiedStatement::<StatusListClaims>::parse(text);
        let _ = UnverifiedStatement::<SnapshotClaims>::parse(text);
    }
    let _ = again::<HeadClaims>(bytes);
    if let Some(list) = again::<StatusListClaims>(bytes) {
        let _ = list.list.inflate();
        let _ = Known::from_status_lists("https://jeton.example", &[list]);
    }
    if let Some(snapshot) = again::<SnapshotClaims>(bytes) {
        if let Ok(known) = Known::from_snapshot("https://jeton.example", &snapshot) {
            assert_eq!(known.position(), snapshot.position);
        }
    }
});
