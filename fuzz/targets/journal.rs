//! Lines of the journal, as a start and a restore read them after a crash. What is read is what was written: each line
//! has a checksum, so that the target writes it for the fuzzer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| jeton_journal::fuzz_journal(bytes));
