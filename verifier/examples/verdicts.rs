//! Reads tokens, a JSON string on each line, and writes a verdict for each: the claims, or the name of the rejection. For
//! comparisons with other libraries (tests/python/test_differential.py).
//!
//!     verdicts KEY_SET_FILE ISSUER AUDIENCE NOW

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};

use jeton_verifier::{Claims, Expected, KeySet, Rejection, TokenType, Unverified};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, keys, issuer, audience, now] = &arguments[..] else {
        return Err("usage: verdicts KEY_SET_FILE ISSUER AUDIENCE NOW".into());
    };
    let keys = KeySet::from_json(&std::fs::read_to_string(keys)?)?;
    let expected = Expected {
        issuer,
        audience: Some(audience),
        token_type: TokenType::Access,
        now: now.parse()?,
        leeway: 0,
    };
    let mut output = stdout().lock();
    for line in stdin().lock().lines() {
        let token: String = serde_json::from_str(&line?)?;
        let verdict = match verdict(&keys, &expected, &token) {
            Ok(claims) => json!({ "claims": claims }),
            Err(rejection) => json!({ "refused": rejection.name() }),
        };
        writeln!(output, "{verdict}")?;
    }
    Ok(())
}

fn verdict(keys: &KeySet, expected: &Expected<'_>, token: &str) -> Result<Claims, Rejection> {
    keys.verify(Unverified::parse(token)?)?.judge(expected).cloned()
}
