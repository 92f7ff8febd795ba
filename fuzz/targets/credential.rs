//! `Authorization` headers: one a line.
#![no_main]

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};
use jeton_verifier::credential;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(3) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(AUTHORIZATION, value);
    }
    let number = headers.len();
    match credential(&headers) {
        Ok(Some(credential)) => {
            assert_eq!(number, 1, "one of two was chosen");
            assert_eq!(format!("{credential:?}"), "Credential(..)", "without the token");
        }
        Ok(None) | Err(_) => {}
    }
});
