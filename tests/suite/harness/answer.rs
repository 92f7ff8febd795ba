//! Responses of the server.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::harness::SchemaAt;

/// A complete response.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Reads a response, and requires that its body matches its OpenAPI document.
    pub(crate) async fn read(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let is_stream = |value: &HeaderValue| value == "text/event-stream";
        let bytes = match head.headers.get(header::CONTENT_TYPE).is_some_and(is_stream) {
            // It has no end.
            true => Bytes::new(),
            false => body.collect().await.unwrap().to_bytes(),
        };
        let answer = Self {
            status: head.status.as_u16(),
            headers: head.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        };
        if let Some(schema) = head.extensions.get::<SchemaAt>() {
            let mismatch = schema.mismatch(&answer.json());
            assert_eq!(mismatch, None, "{}", answer.text);
        }
        answer
    }

    /// Requires a status and returns the response.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Requires an error with this status and code.
    #[track_caller]
    pub(crate) fn fails(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        self
    }

    /// Requires a 422 with exactly these violations, each written as `type at body.field.0`.
    #[track_caller]
    pub(crate) fn blames(self, faults: &[&str]) -> Self {
        let answer = self.is(422);
        assert_eq!(answer.faults(), faults, "{}", answer.text);
        answer
    }

    /// Returns the violations of a 422.
    pub(crate) fn faults(&self) -> Vec<String> {
        let json = self.json();
        let list = json["detail"].as_array().unwrap();
        let fault = |fault: &Value| {
            let way: Vec<String> = fault["loc"]
                .as_array()
                .unwrap()
                .iter()
                .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                .collect();
            format!("{} at {}", fault["type"].as_str().unwrap(), way.join("."))
        };
        list.iter().map(fault).collect()
    }

    /// Returns the body; `null` if it is empty.
    pub(crate) fn json(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Returns a field of the body as text; empty if it is missing.
    pub(crate) fn text_at(&self, pointer: &str) -> String {
        let json = self.json();
        json.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    /// Returns the code of an error in any format; empty if it has none.
    pub(crate) fn code(&self) -> &str {
        let mut fields = ["\"code\":\"", "\"error\":\""].into_iter();
        let Some((_, rest)) = fields.find_map(|field| self.text.split_once(field)) else {
            return "";
        };
        rest.split('"').next().unwrap()
    }

    /// Returns a header; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the challenge of a 401 or 403 without its description.
    #[track_caller]
    pub(crate) fn challenge(&self) -> String {
        let challenge = self.header("www-authenticate");
        match challenge.split_once(", error_description=\"") {
            Some((before, rest)) => {
                let (description, after) = rest.split_once('"').unwrap();
                assert!(!description.is_empty(), "{challenge}");
                format!("{before}{after}")
            }
            None => challenge.to_owned(),
        }
    }

    /// Returns one field of every item of a list.
    pub(crate) fn each(&self, field: &str) -> Vec<String> {
        let json = self.json();
        let items = json["items"].as_array().unwrap();
        let text = |item: &Value| item[field].as_str().unwrap().to_owned();
        items.iter().map(text).collect()
    }
}
