//! Other systems' APIs for their existing clients: request and response formats over the same
//! operations. All permission checks are in the authority.

pub(super) mod cave;
pub(super) mod dayzero;
pub(super) mod quant;
pub(super) mod terraform;
