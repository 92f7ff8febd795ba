//! `GET /.well-known/jwks.json`.

use axum::body::Body;
use axum::http::Request;

use crate::harness::TestApp;

#[tokio::test]
async fn the_key_set_may_be_kept_and_a_kept_copy_is_confirmed() {
    let app = TestApp::new().await;
    let ask = async |tag: Option<&str>| {
        let mut request = Request::get("/.well-known/jwks.json").header("origin", "https://app.example");
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        app.send(request.body(Body::empty()).unwrap()).await
    };
    let fresh = ask(None).await.is(200);
    assert_eq!(fresh.header("content-type"), "application/jwk-set+json");
    assert_eq!(fresh.header("cache-control"), "public, max-age=300");
    assert_eq!(fresh.header("access-control-allow-origin"), "*");
    let tag = fresh.header("etag");
    let (weak, among) = (format!("W/{tag}"), format!("\"other\", {tag}"));
    for kept in [tag, &weak, &among, "*"] {
        let confirmed = ask(Some(kept)).await.is(304);
        assert_eq!((confirmed.header("etag"), &*confirmed.text), (tag, ""), "{kept}");
    }
    assert_eq!(ask(Some("\"other\"")).await.is(200).text, fresh.text);
}
