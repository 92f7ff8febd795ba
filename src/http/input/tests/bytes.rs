//! Parsing of bodies: media types, encodings, limits.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;

use super::*;

#[tokio::test]
async fn malformed_json_is_reported_with_its_position() {
    for (body, offset) in [
        ("  ", 2),
        ("{", 1),
        ("nul", 3),
        (r#"{"ü":"é",}"#, 9),
        (r#"{"name":"a"} x"#, 13),
    ] {
        let detail = wrong(body).await;
        let violation = &detail[0];
        assert_eq!(violation["type"], "json_invalid", "{body}");
        assert_eq!(violation["msg"], "JSON decode error");
        assert_eq!(violation["input"], json!({}));
        assert!(
            !violation["ctx"]["error"].as_str().unwrap().contains("line"),
            "{violation}"
        );
        let place = violation["loc"][1].as_u64().unwrap();
        assert!(place.abs_diff(offset) <= 1, "{body}: {place}");
    }
    for body in [
        r#"{"name":"\ud800"}"#,
        r#"{"name":1e999}"#,
        r#"{"other":"\ud800"}"#,
    ] {
        assert_eq!(wrong(body).await[0]["type"], "json_invalid", "{body}");
    }
}

#[tokio::test]
async fn depth_is_bounded() {
    let nested = |depth: usize| format!(r#"{{"name":"n","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    accepted("/tokens", &nested(31)).await;
    assert_eq!(wrong(&nested(32)).await[0]["type"], "json_invalid");
    assert_eq!(wrong(&nested(32_000)).await[0]["type"], "json_invalid");
    assert_eq!(wrong(&"[".repeat(60_000)).await[0]["type"], "json_invalid");
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped_and_the_last_of_equal_keys_wins() {
    accepted("/tokens", "\u{feff}{\"name\":\"n\"}").await;
    assert_eq!(
        wrong("\u{feff}\u{feff}{\"name\":\"n\"}").await[0]["type"],
        "json_invalid"
    );
    let text = accepted("/tokens", r#"{"name":5,"name":"last"}"#).await;
    assert!(text.contains(r#"name: "last""#), "{text}");
    assert_eq!(
        wrong(r#"{"name":"last","name":5}"#).await[0]["type"],
        "string_type"
    );
}

#[tokio::test]
async fn bytes_that_are_no_text_are_400() {
    let (status, text) = send("/tokens", &b"{\"name\":\"\xff\"}"[..]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        text,
        r#"{"detail":"The request is not valid UTF-8.","code":"invalid_utf8"}"#
    );
    assert_eq!(
        send("/tokens/%ff", r#"{"name":"n"}"#).await.0,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_body_is_64_kib_at_most() {
    let body = |length: usize| format!(r#"{{"name":"n"{}}}"#, " ".repeat(length - 12));
    accepted("/tokens", &body(MAX_BODY)).await;
    assert_eq!(
        send("/tokens", body(MAX_BODY + 1)).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

/// A body whose client disconnects in the middle.
struct Broken;

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(Err(std::io::Error::other("reset"))))
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400() {
    let read = body::text;
    assert!(matches!(
        read(Body::new(Broken)).await,
        Err(InputError::BodyUnreadable(_))
    ));
    assert_eq!(read(Body::from("text")).await.unwrap(), "text");
    let (status, text) = send("/tokens", Body::new(Broken)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        text.contains("body_unreadable") && !text.contains("reset"),
        "{text}"
    );
}

#[tokio::test]
async fn a_media_type_other_than_json_is_a_text_with_bearer_and_415_without() {
    let good = r#"{"name":"n"}"#;
    for (media_type, authorization, status) in [
        (Some("application/json"), None, 200),
        (Some("application/json;charset=utf-8"), Some("Basic eDo="), 200),
        (Some("Application/vnd.api+JSON"), Some("Basic eDo="), 200),
        (Some("text/json"), Some("Basic eDo="), 415),
        (Some("text/plain"), None, 415),
        (Some("application/x-www-form-urlencoded"), Some("Basic eDo="), 415),
        (Some("multipart/form-data; boundary=application/json"), None, 415),
        (None, Some("Basic eDo="), 415),
        (None, None, 415),
        (None, Some("Bearer x"), 200),
        (None, Some("bearer x"), 200),
        (Some("text/plain"), Some("Bearer x"), 422),
    ] {
        let mut request = HttpRequest::post("/tokens").body(Body::from(good)).unwrap();
        let headers = request.headers_mut();
        if let Some(media_type) = media_type {
            headers.insert("content-type", media_type.parse().unwrap());
        }
        if let Some(authorization) = authorization {
            headers.insert("authorization", authorization.parse().unwrap());
        }
        let (found, text) = answer(request).await;
        assert_eq!(found, status, "{media_type:?} {authorization:?} {text}");
        if status == 422 {
            let answer: Json = serde_json::from_str(&text).unwrap();
            assert_eq!(answer["detail"][0]["type"], "model_attributes_type");
            assert_eq!(answer["detail"][0]["input"], good);
        }
    }
}

#[tokio::test]
async fn a_write_without_a_body_is_held_to_the_same_rule_where_a_page_could_forge_it() {
    for (method, path, status) in [
        ("POST", "/revoke", 415),
        ("POST", "/nothing", 415),
        ("DELETE", "/revoke", 200),
        ("GET", "/nothing", 200),
    ] {
        let request = HttpRequest::builder()
            .method(method)
            .uri(path)
            .body(Body::empty());
        assert_eq!(answer(request.unwrap()).await.0, status, "{method} {path}");
    }
    assert_eq!(
        send("/nothing", "not looked at").await,
        (StatusCode::OK, "nothing".to_owned())
    );
}
