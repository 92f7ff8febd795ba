//! Attacks on a running server: forged tokens, power cuts, damaged files, hostile clients (`make hostile`).
//!
//! Each test says what its negative control is, and how the test could pass although jeton is wrong.
//! `docs/testing.md` has the table of all attacks and their tests.

mod damage;
mod effort;
mod forged_everywhere;
mod forgeries;
mod framing;
mod power;
mod races;
mod soak;
mod tenants;
mod timing;
mod wire;
