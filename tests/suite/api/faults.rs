//! Fails the n-th call of the store, for every n, in every operation that otherwise succeeds: the
//! response reports the failure, and never says that a resource is missing, a token is invalid, or the
//! request succeeded.

use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use serde_json::json;
use tower::ServiceExt;

use crate::api::matrix::{CALLERS, Operation, Row, Stage, operations, rows};
use crate::harness::{Answer, Fault, Kind, NORTH, Plan, SECRET_CAUSE, TestApp, request};

/// The callers that try an operation: the first who may.
pub(super) const TRIED_BY: [&str; 7] = [
    "admin",
    "site",
    "scoped",
    "deployment",
    "member",
    "unscoped",
    "elsewhere",
];

/// More calls than any operation makes.
const MOST_CALLS: usize = 50;

/// Fails the n-th call of an operation, for every n, and returns the unexpected responses.
async fn findings(
    stage: &Stage,
    (row, operation): (&Row, &Operation),
    (fault, only): (Fault, Option<Kind>),
    change: fn(Router) -> Router,
) -> Vec<String> {
    let mut findings = Vec::new();
    let able = |name: &&&str| row.expected_of(name) < 300;
    let Some(caller) = TRIED_BY.iter().find(able) else {
        findings.push(format!("nobody tries {}", row.operation));
        return findings;
    };
    let place = CALLERS.iter().position(|name| name == caller).unwrap();
    for n in 0..MOST_CALLS {
        let plan = Arc::new(Plan::default());
        let app = stage.app.twin_over(plan.follow()).await;
        let ask = async || {
            let request = stage.request(row, operation, place, NORTH.name);
            Answer::read(change(app.router()).oneshot(request).await.unwrap()).await
        };
        plan.arm(fault, only, n);
        let answer = ask().await;
        let nothing_failed = plan.disarm();
        let what = format!("{} {}, call {n} {fault:?}", row.operation, row.target);
        let mut demand = |holds: bool, sentence: &str, answer: &Answer| {
            if !holds {
                findings.push(format!("{what}: {sentence}: {} {}", answer.status, answer.text));
            }
        };
        if nothing_failed {
            demand(
                answer.status == row.expected_of(caller),
                "no success without a fault",
                &answer,
            );
            return findings;
        }
        let code = match fault {
            _ if operation.is_head() => "",
            _ if operation.is_oauth() => "temporarily_unavailable",
            Fault::Busy => "busy",
            _ => "unavailable",
        };
        let says_so = answer.code() == code || row.operation == "readiness";
        demand(answer.status == 503 && says_so, "is no 503 that says so", &answer);
        let waits = answer.header("retry-after") == "1";
        demand(
            waits || fault != Fault::Busy,
            "does not say when to come back",
            &answer,
        );
        let tells = answer.text.contains(SECRET_CAUSE) || answer.text.contains("eyJ");
        demand(!tells, "tells what nobody should read", &answer);

        // Once the store works again, the request can be repeated.
        let again = ask().await;
        let repeated = match fault {
            Fault::FailsAfterwards => [row.expected_of(caller), 401, 404, 409].contains(&again.status),
            _ => again.status == row.expected_of(caller),
        };
        demand(repeated, "cannot be repeated", &again);
        for path in ["/readyz", "/tokens?limit=1"] {
            let works = app.get(&app.site_admin(), path).await;
            demand(works.status == 200, "leaves something broken behind", &works);
        }
    }
    findings.push(format!("{} never ends", row.operation));
    findings
}

async fn all_findings(fault: Fault, only: Option<Kind>) -> Vec<String> {
    let stage = Stage::set().await;
    let operations = operations();
    let mut all = Vec::new();
    // Nobody can set up a deployment that has an administrator: `setup.rs` tries it.
    for row in rows().iter().filter(|row| row.operation != "set_up") {
        let operation = operations
            .iter()
            .find(|operation| operation.id == row.operation)
            .unwrap();
        all.extend(findings(&stage, (row, operation), (fault, only), |router| router).await);
    }
    all
}

#[tokio::test]
async fn a_call_that_fails_is_503_and_nothing_else() {
    let findings = all_findings(Fault::Fails, None).await;
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[tokio::test]
async fn a_busy_store_is_503_with_retry_after() {
    let findings = all_findings(Fault::Busy, Some(Kind::Write)).await;
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[tokio::test]
async fn a_write_that_happened_and_failed_is_503_and_can_be_repeated() {
    let findings = all_findings(Fault::FailsAfterwards, Some(Kind::Write)).await;
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[tokio::test]
async fn the_checker_finds_a_failure_reported_as_absence() {
    let stage = Stage::set().await;
    let operations = operations();
    let rows = rows();
    let row = rows
        .iter()
        .find(|row| row.operation == "get_organization")
        .unwrap();
    let operation = operations
        .iter()
        .find(|operation| operation.id == row.operation)
        .unwrap();
    let hide = |router: Router| {
        router.layer(map_response(async |mut response: Response| {
            if response.status() == 503 {
                *response.status_mut() = axum::http::StatusCode::NOT_FOUND;
            }
            response
        }))
    };
    let found = findings(&stage, (row, operation), (Fault::Fails, None), hide).await;
    assert!(
        found.iter().all(|finding| finding.contains("is no 503")),
        "{found:#?}"
    );
    assert!(!found.is_empty());
}

/// Revokes a token with a client that disconnects before the response.
async fn revoke_and_hang_up(fault: Fault) -> u16 {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    app.get(&token.holder, "/tokens/current").await.is(200);
    plan.arm(fault, Some(Kind::Write), 0);
    let path = format!("/tokens/{}/revoke", token.id);
    let revoke = request(
        &app.admin_of(&NORTH),
        axum::http::Method::POST,
        &path,
        Some(json!({})),
    );
    {
        let mut answer = pin!(app.router().oneshot(revoke));
        tokio::select! {
            _ = &mut answer => panic!("it was answered"),
            () = plan.under_way.notified() => {}
        }
    }
    // The store executes orders in sequence: once this one is answered, that one is done.
    let project = json!({"name": "afterwards"});
    let path = format!("/organizations/{}/projects", NORTH.name);
    app.post(&app.admin_of(&NORTH), &path, project).await.is(201);
    app.get(&token.holder, "/tokens/current").await.status
}

#[tokio::test]
async fn a_client_that_hangs_up_takes_no_revocation_with_it() {
    assert_eq!(revoke_and_hang_up(Fault::Unheard).await, 401);
    // If the order had not reached the store, the token would still be active.
    assert_eq!(revoke_and_hang_up(Fault::Lost).await, 200);
}
