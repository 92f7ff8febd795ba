//! Checkpoints of the audit, and files of them. What is verified is what was signed, and what is split is in the file.
#![no_main]

use jeton::keys::note::{NoteKey, notes, verify};
use libfuzzer_sys::fuzz_target;

const ORIGIN: &str = "tokens.example.org/audit";

/// The key that signed the checkpoint in the corpus.
const KEY: &str = r#"{"use":"sig","alg":"ES256","kid":"qsaA1aip01wsrYyxciuKXsxK_p2li9zjaIcO4N4im-c","kty":"EC","crv":"P-256","x":"sxyixqD0D3S7DKOj33qZ7u2Gcl6c3RHyNtMA84gHx9w","y":"LH-g1nzDdtHArhp9JPDTcPcpLmSwN_ifuuK7pibm2EM"}"#;

fuzz_target!(|text: &str| {
    let key = NoteKey::from_jwk(KEY).expect("a key");
    if let Ok(verified) = verify(text, ORIGIN, &[key]) {
        let signed: Vec<&str> = text.lines().take(3).collect();
        assert_eq!(signed, [ORIGIN, "5", "kCXhBcipqCYtayn/ZDmh5J1qrnoZGyJtvMtLD4/2QVA="]);
        assert_eq!(verified.head.sequence, 5);
    }
    let read = notes(text, ORIGIN);
    let mut rest = text;
    for note in &read.notes {
        let at = rest.find(note.as_str()).expect("a note that is not in the file");
        rest = &rest[at + note.len()..];
    }
    assert!(read.notes.len() + read.incomplete <= text.lines().count());
});
