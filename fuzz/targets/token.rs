//! The strict parser of tokens. What it accepts has one spelling: it is written again byte for byte.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_verifier::{MAX_TOKEN_BYTES, Unverified, strip_prefix};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(token) = Unverified::parse(text) else { return };
    assert!(text.len() <= MAX_TOKEN_BYTES);
    let bare = strip_prefix(text);
    assert!(text.ends_with(bare) && text.len() - bare.len() <= 17);
    let segments: Vec<&str> = bare.split('.').collect();
    assert_eq!(segments.len(), 3);
    for segment in &segments {
        let bytes = URL_SAFE_NO_PAD.decode(segment).expect("an encoding that is not canonical");
        assert_eq!(URL_SAFE_NO_PAD.encode(bytes), *segment);
    }
    // Nothing but the three members, each once, whatever else a lenient parser finds.
    let header = URL_SAFE_NO_PAD.decode(segments[0]).expect("checked before");
    let lenient: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&header).expect("no object");
    assert_eq!(lenient.keys().map(String::as_str).collect::<Vec<_>>(), ["alg", "kid", "typ"]);
    assert_eq!(lenient["kid"], token.header().kid.as_str());
    assert_eq!(lenient["alg"], token.header().algorithm.name());
    let mut again = token.header().encode();
    again.push_str(".e30.");
    assert_eq!(Unverified::parse(&again).expect("its own header").header(), token.header());
});
