//! What Terraform's clients rely on.

use jeton::http::Document;
use serde_json::Value;

use crate::api::dialects::{Refusals, Surface};
use crate::harness::Answer;

pub(super) const SURFACE: Surface = Surface {
    document: Document::Terraform,
    media_type: "application/vnd.api+json",
    is_own_form,
    nowhere: "/api/v2/unheard-of",
    refusals: Refusals {
        no_credential: 401,
        bad_credential: 401,
        absent: 404,
        no_method: 405,
        malformed: 400,
        no_object: 422,
        media_type: 415,
        invalid: 422,
    },
    rows: &[],
};

/// A document of errors, each with its status as a text.
fn is_own_form(answer: &Answer) -> bool {
    let body = serde_json::from_str::<Value>(&answer.text).unwrap_or_default();
    let is_error = |error: &Value| {
        error["status"] == answer.status.to_string().as_str()
            && error["title"].as_str().is_some_and(|title| !title.is_empty())
    };
    answer.header("content-type") == "application/vnd.api+json"
        && body["errors"]
            .as_array()
            .is_some_and(|errors| !errors.is_empty() && errors.iter().all(is_error))
}
