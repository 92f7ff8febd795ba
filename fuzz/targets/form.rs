//! Bodies of requests, in JSON and URL-encoded, as the one that creates a token reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| jeton::http::input::fuzz_form(text));
