//! What QuantCDN's clients rely on.

use jeton::http::Document;
use serde_json::Value;

use crate::api::dialects::{Refusals, Surface};
use crate::harness::Answer;

pub(super) const SURFACE: Surface = Surface {
    document: Document::Quant,
    media_type: "application/json",
    is_own_form,
    nowhere: "/api/v2/organizations/northwind/tokens/1/unheard-of",
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

/// A text and the mark that it is an error. Their Go client reads nothing else.
fn is_own_form(answer: &Answer) -> bool {
    let body = serde_json::from_str::<Value>(&answer.text).unwrap_or_default();
    answer.header("content-type") == "application/json"
        && body.as_object().is_some_and(|body| body.len() == 2)
        && body["error"] == true
        && body["message"].as_str().is_some_and(|text| !text.is_empty())
}
