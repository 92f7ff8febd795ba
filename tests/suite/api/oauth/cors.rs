//! Requests of web pages for public documents (CORS).

use axum::body::Body;
use axum::http::{Method, Request};

use crate::harness::{Answer, TestApp};

const DOCUMENTS: [&str; 6] = [
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/status-lists",
    "/status-lists/1",
    "/status-lists/1?time=0",
];

async fn ask(app: &TestApp, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_page_revalidates_a_document_that_it_keeps() {
    let app = TestApp::new().await;
    for path in DOCUMENTS {
        let preflight = [
            ("origin", "https://page.example"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "if-none-match"),
        ];
        let allowed = ask(&app, Method::OPTIONS, path, &preflight).await.is(200);
        assert_eq!(allowed.header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(
            allowed.header("access-control-allow-headers"),
            "if-none-match",
            "{path}"
        );
        assert_eq!(
            allowed.header("access-control-allow-methods"),
            "GET,HEAD",
            "{path}"
        );
        let page = ("origin", "https://page.example");
        let read = ask(&app, Method::GET, path, &[page]).await;
        assert_eq!(read.header("access-control-allow-origin"), "*", "{path}");
        let etag = read.header("etag").to_owned();
        if !etag.is_empty() {
            assert_eq!(
                read.header("access-control-expose-headers"),
                "etag,x-request-id",
                "{path}"
            );
            let again = ask(&app, Method::GET, path, &[page, ("if-none-match", &etag)])
                .await
                .is(304);
            assert_eq!(again.header("access-control-allow-origin"), "*", "{path}");
        }
        ask(&app, Method::POST, path, &[page]).await.is(405);
    }
}

/// No page may send a credential to the rest of the API.
#[tokio::test]
async fn no_other_endpoint_answers_a_preflight() {
    let app = TestApp::new().await;
    for path in [
        "/api/v1/tokens",
        "/oauth/introspect",
        "/oauth/authorize-request",
        "/api/v2/ping",
    ] {
        let preflight = [
            ("origin", "https://page.example"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization"),
        ];
        let refused = ask(&app, Method::OPTIONS, path, &preflight).await;
        assert!((400..500).contains(&refused.status), "{path}: {}", refused.status);
        assert_eq!(refused.header("access-control-allow-origin"), "", "{path}");
    }
}
