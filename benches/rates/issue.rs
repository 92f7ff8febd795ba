//! The request that issues a token, shared by jeton and the bare rows.

use serde::{Deserialize, Serialize};

/// A token of the team `bench`.
pub(crate) const BODY: &str = r#"{"name":"bench","organization":"default","owner":"team","team":"bench"}"#;

/// All fields that the request may have.
#[derive(Debug, Deserialize)]
#[expect(
    dead_code,
    reason = "parsing them is the work; the handler has no use for most"
)]
pub(crate) struct Create {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) organization: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) team: Option<String>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) preset: Option<String>,
    pub(crate) projects: Option<Vec<u32>>,
    pub(crate) audience: Option<Vec<String>>,
    pub(crate) expires_in: Option<String>,
    pub(crate) expires_in_days: Option<u32>,
    pub(crate) expires_at: Option<String>,
}

/// The response, as far as the benchmark reads it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Created {
    pub(crate) token: String,
    pub(crate) token_info: Info,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Info {
    pub(crate) id: String,
}
