//! Other systems' APIs, for their existing clients: wire shapes over the same operations. What is
//! allowed is judged where it always is; nothing here decides anything.

pub(super) mod cave;
pub(super) mod quant;
pub(super) mod terraform;
