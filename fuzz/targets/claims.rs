//! The strict parser of claims, from the JSON that is signed. What it accepts, it writes and reads again unchanged, and a
//! lenient parser of JSON finds the same values.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_verifier::{Claims, NEVER};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn read(json: &[u8]) -> Option<Claims> {
    Claims::unverified(&format!("eyJ.{}.", URL_SAFE_NO_PAD.encode(json))).ok()
}

fuzz_target!(|json: &[u8]| {
    let Some(claims) = read(json) else { return };
    assert!((0..=NEVER).contains(&claims.issued_at) && claims.issued_at <= claims.expires_at && claims.expires_at <= NEVER);
    assert!(!claims.audience.is_empty());
    let written = serde_json::to_vec(&claims).expect("claims are JSON");
    assert_eq!(read(&written).as_ref(), Some(&claims));
    let lenient: Value = match serde_json::from_slice(json) {
        // In a claim that is ignored, a number may be larger than this parser can hold.
        Err(error) if error.to_string().starts_with("number out of range") => return,
        lenient => lenient.expect("no JSON"),
    };
    assert_eq!(lenient["iss"], claims.issuer.as_str());
    assert_eq!(lenient["sub"], claims.subject.as_str());
    assert_eq!(lenient["exp"], claims.expires_at);
    assert_eq!(lenient["iat"], claims.issued_at);
    assert_eq!(lenient.get("scope").and_then(Value::as_str), claims.scope.map(|scopes| scopes.join(" ")).as_deref());
    assert_eq!(lenient.get("projects").is_some(), claims.projects.is_some());
});
