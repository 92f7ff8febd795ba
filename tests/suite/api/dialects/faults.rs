//! Fails the n-th call of the store, for every n, in the valid request of every row: the response is
//! 503 in the dialect's format, and never says that a resource is missing, a token is invalid, or the
//! request succeeded.

use std::sync::Arc;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use tower::ServiceExt;

use crate::api::dialects::bad_input::Stage;
use crate::api::dialects::{Surface, cave};
use crate::harness::{Answer, Fault, Plan, SECRET_CAUSE};

/// More calls than any operation makes.
const MOST_CALLS: usize = 50;

/// Returns the unexpected responses of a dialect when the store fails.
pub(super) async fn findings(stage: &Stage, surface: &Surface, change: fn(Router) -> Router) -> Vec<String> {
    let mut findings = Vec::new();
    for row in surface.rows {
        let mut failed = 0;
        loop {
            let plan = Arc::new(Plan::default());
            let app = stage.app().twin_over(plan.follow()).await;
            let router = change(app.router());
            plan.arm(Fault::Fails, None, failed);
            let request = stage.good_request(surface, row);
            let answer = Answer::read(router.oneshot(request).await.unwrap()).await;
            if plan.disarm() || failed == MOST_CALLS {
                break;
            }
            let tells = answer.text.contains(SECRET_CAUSE) || answer.text.contains("eyJ");
            if answer.status != 503 || !surface.says(&answer) || tells {
                let Answer { status, text, .. } = answer;
                findings.push(format!("{row:?}, call {failed}: {status} {text}"));
            }
            failed += 1;
        }
        if failed == MOST_CALLS {
            findings.push(format!("{row:?} never ends"));
        }
    }
    findings
}

#[tokio::test]
async fn the_checker_finds_a_failure_reported_as_absence() {
    let hide = |router: Router| {
        router.layer(map_response(async |mut response: Response| {
            if response.status() == 503 {
                *response.status_mut() = axum::http::StatusCode::NOT_FOUND;
            }
            response
        }))
    };
    let stage = cave::stage().await;
    let found = findings(&stage, &cave::SURFACE, hide).await;
    let hidden = |finding: &&String| finding.contains(": 404 ");
    assert!(found.iter().filter(hidden).count() > cave::SURFACE.rows.len());
}
