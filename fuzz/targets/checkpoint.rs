//! Checkpoints of the audit, and files of them. What is verified is what was signed, and what is split is in the file.
#![no_main]

use jeton::keys::note::{NoteKey, notes, verify};
use libfuzzer_sys::fuzz_target;

const ORIGIN: &str = "tokens.example.org/audit";

/// The key that signed the checkpoint in the corpus.
const KEY: &str = r#"{"use":"sig","alg":"ES256","kid":"QeaCuIyBbTLqx3w64N1ybkVZKMoRNcC8a_qwgfmnTb4","kty":"EC","crv":"P-256","x":"c_5eSb0YphM2lVIecnvoinYhFyfqaDdV9LRlmdIMxhc","y":"oGJZvAKakp69HofwZVg-wtDuYIC0riYof1mq_utwnkI"}"#;

fuzz_target!(|text: &str| {
    let key = NoteKey::from_jwk(KEY).expect("a key");
    if let Ok(verified) = verify(text, ORIGIN, &[key]) {
        let signed: Vec<&str> = text.lines().take(5).collect();
        let hash = "kCXhBcipqCYtayn/ZDmh5J1qrnoZGyJtvMtLD4/2QVA=";
        let instants = ["line 2025-12-01T14:40:00.123Z", "signed 2025-12-01T14:41:00.000Z"];
        assert_eq!(signed, [ORIGIN, "5", hash, instants[0], instants[1]]);
        assert_eq!(verified.signed.head.sequence, 5);
    }
    let read = notes(text, ORIGIN);
    let mut rest = text;
    for note in &read.notes {
        let at = rest.find(note.as_str()).expect("a note that is not in the file");
        rest = &rest[at + note.len()..];
    }
    assert!(read.notes.len() + read.incomplete <= text.lines().count());
});
