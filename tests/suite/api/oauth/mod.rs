//! What services that receive tokens ask for, as RFCs define it.

mod authorize_request;
mod errors;
mod introspect;
mod jwks;
mod metadata;
mod revoke;
