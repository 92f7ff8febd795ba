//! What CAVE's clients rely on.

use jeton::http::Document;

use crate::api::dialects::{Refusals, Surface};
use crate::harness::Answer;

pub(super) const SURFACE: Surface = Surface {
    document: Document::Cave,
    media_type: "application/json",
    is_own_form,
    nowhere: "/organizations/northwind/unheard-of",
    refusals: Refusals {
        no_credential: 401,
        bad_credential: 403,
        absent: 404,
        no_method: 405,
        malformed: 400,
        no_object: 400,
        media_type: 400,
        invalid: 400,
    },
    rows: &[],
};

/// Nothing, or a text for people.
fn is_own_form(answer: &Answer) -> bool {
    match answer.text.as_str() {
        "" => answer.header("content-type").is_empty(),
        _ => answer.header("content-type") == "text/plain; charset=utf-8",
    }
}
