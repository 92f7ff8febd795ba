//! `Idempotency-Key` headers: one a line. A key is the same in quotes and without.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| jeton::http::fuzz_idempotency_key(bytes));
