//! The RFC endpoints for services that receive tokens.

mod authorize_request;
mod cors;
mod errors;
mod introspect;
mod jwks;
mod metadata;
mod revoke;
