//! The behaviour that QuantCDN's clients rely on.

mod organizations;
mod tokens;

use jeton::http::Document;
use serde_json::Value;

use crate::api::dialects::bad_input::{Stage, row};
use crate::api::dialects::{Refusals, Surface, faults};
use crate::api::examples;
use crate::harness::{Answer, TestApp};

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
        // A body of another type is read as a text, which is no object; without Bearer it is 415.
        media_type: 422,
        invalid: 422,
    },
    rows: &[
        row(
            "organizations_list",
            "/api/v2/organizations",
            "",
            200,
            [200, 403, 200],
        ),
        row(
            "organizations_read",
            "/api/v2/organizations/{organization}",
            "",
            200,
            [200, 403, 404],
        ),
        row(
            "organizations_read",
            "/api/v2/organizations/{organization_id}",
            "",
            200,
            [200, 403, 404],
        ),
        row("tokens_list", TOKENS, "", 200, [200, 403, 404]),
        row(
            "tokens_create",
            TOKENS,
            r#"{"name": "ci", "preset": "content_management", "projects": [{project}], "expires_in": "90d"}"#,
            201,
            [403, 403, 404],
        ),
        row(
            "tokens_create",
            TOKENS,
            r#"{"name": "ci", "scopes": ["projects:read"], "expires_in": null}"#,
            201,
            [403, 403, 404],
        ),
        row(
            "tokens_delete",
            "/api/v2/organizations/{organization}/tokens/{own}",
            "",
            200,
            [404, 403, 404],
        ),
        row(
            "tokens_delete",
            "/api/v2/organizations/{organization}/tokens/{teams}",
            "",
            200,
            [404, 403, 404],
        ),
        row(
            "tokens_delete",
            "/api/v2/organizations/{organization}/tokens/{members}",
            "",
            200,
            [200, 403, 404],
        ),
    ],
};

const TOKENS: &str = "/api/v2/organizations/{organization}/tokens";

#[tokio::test]
async fn bad_input_is_refused_in_quants_own_form() {
    let findings = Stage::set().await.findings(&SURFACE).await;
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[tokio::test]
async fn a_store_that_fails_is_503_in_quants_own_form() {
    let findings = faults::findings(&Stage::set().await, &SURFACE, |router| router).await;
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// The steps that the document describes work.
#[tokio::test]
async fn the_steps_of_the_document_work() {
    let document = examples::Document::of_dialect(SURFACE.document);
    let writers = document.writers();
    assert_eq!(writers.len(), 1);
    for writer in writers {
        let app = TestApp::new().await;
        let example = document.example(&writer.schema);
        let made = SURFACE.post(&app, &app.site_admin(), &writer.path, example).await;
        assert_eq!(made.is(201).json()["preset"], "content_management");
    }
}

/// Returns whether the error has a message and the mark, which is all that QuantCDN's Go client reads.
fn is_own_form(answer: &Answer) -> bool {
    let body = serde_json::from_str::<Value>(&answer.text).unwrap_or_default();
    answer.header("content-type") == "application/json"
        && body.as_object().is_some_and(|body| body.len() == 2)
        && body["error"] == true
        && body["message"].as_str().is_some_and(|text| !text.is_empty())
}
