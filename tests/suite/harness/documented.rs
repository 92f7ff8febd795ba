//! Compares every response of the suite with the OpenAPI document of its API.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::thread;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, header};
use axum::middleware::Next;
use boon::{Compiler, SchemaIndex, Schemas};
use jeton::http::{Api, Document};
use serde_json::Value;

static DOCUMENTS: LazyLock<Vec<(Document, Value)>> = LazyLock::new(|| {
    let all = Document::ALL.into_iter();
    all.map(|one| (one, serde_json::to_value(jeton::http::document(one)).unwrap()))
        .collect()
});

/// A question to the thread that compiles schemas, each once: boon's compiler stays on one thread.
type Question = (SchemaAt, Value, SyncSender<Option<String>>);

static COMPILED: LazyLock<Sender<Question>> = LazyLock::new(|| {
    let (ask, asked) = channel::<Question>();
    thread::spawn(move || {
        let mut compiler = Compiler::new();
        for (name, document) in &*DOCUMENTS {
            compiler.add_resource(&url(*name), document.clone()).unwrap();
        }
        let (mut schemas, mut by_address) = (Schemas::new(), HashMap::new());
        for (at, value, answer) in asked {
            let compile = || compiler.compile(&at.0, &mut schemas).unwrap();
            let schema: SchemaIndex = *by_address.entry(at.clone()).or_insert_with(compile);
            let mismatch = schemas.validate(&value, schema).err();
            let _ = answer.send(mismatch.map(|error| format!("{error:#}")));
        }
    });
    ask
});

/// The address of a schema: a document and a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SchemaAt(String);

impl SchemaAt {
    pub(crate) fn new(document: Document, pointer: &[&str]) -> Self {
        let escaped = pointer
            .iter()
            .map(|part| part.replace('~', "~0").replace('/', "~1"));
        let pointer: String = escaped.map(|part| format!("/{part}")).collect();
        Self(format!("{}#{pointer}", url(document)))
    }

    /// Returns why a value does not match the schema.
    pub(crate) fn mismatch(&self, value: &Value) -> Option<String> {
        let (answer, answered) = sync_channel(1);
        COMPILED.send((self.clone(), value.clone(), answer)).unwrap();
        answered.recv().unwrap()
    }
}

fn url(document: Document) -> String {
    format!("https://documents.example{}", document.path())
}

/// Passes a request on, and requires that the operation's document has the status and the media type of
/// the response. The response carries its schema to [`super::Answer::read`].
pub(crate) async fn check(request: Request, next: Next) -> Response<Body> {
    let document = match Api::of(&request) {
        Api::Native | Api::OAuth => Document::Native,
        Api::Cave => Document::Cave,
        Api::Terraform => Document::Terraform,
        Api::Quant => Document::Quant,
        // Pages are in no document.
        Api::Console => return next.run(request).await,
    };
    let method = request.method().as_str().to_lowercase();
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let Some((template, operation)) = operation(document, &method, &path) else {
        return response;
    };
    let status = response.status().as_u16().to_string();
    let what = format!("{method} {path}: {status}");
    let documented = &operation["responses"][&status];
    assert!(documented.is_object(), "{what} is not documented");
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let Some(media_type) = media_type.filter(|_| method != "head") else {
        return response;
    };
    let media_type = media_type.to_str().unwrap().split(';').next().unwrap().to_owned();
    assert!(
        documented["content"][&media_type].is_object(),
        "{what}: {media_type} is not documented"
    );
    // JSON texts, one a line, have no schema together.
    if media_type.contains("json") && media_type != "application/x-ndjson" {
        let parts = [
            "paths",
            template,
            &method,
            "responses",
            &status,
            "content",
            &media_type,
            "schema",
        ];
        response.extensions_mut().insert(SchemaAt::new(document, &parts));
    }
    response
}

/// Returns the operation of a request with its path template. Of several, the router takes the one with
/// the first literal segment.
fn operation(document: Document, method: &str, path: &str) -> Option<(&'static str, &'static Value)> {
    let (_, document) = DOCUMENTS.iter().find(|(name, _)| *name == document)?;
    let segments: Vec<&str> = path.split('/').collect();
    let is_parameter = |part: &str| part.starts_with('{');
    let templates = document["paths"].as_object()?.iter().filter(|(template, _)| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == segments.len()
            && parts
                .iter()
                .zip(&segments)
                .all(|(part, segment)| is_parameter(part) && !segment.is_empty() || part == segment)
    });
    let parameters = |template: &str| template.split('/').map(is_parameter).collect::<Vec<_>>();
    let (template, item) = templates.min_by_key(|(template, _)| parameters(template))?;
    Some((template.as_str(), item.get(method)?))
}

mod tests {
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::response::IntoResponse;
    use axum::routing::get;
    use serde_json::json;
    use tower::ServiceExt;

    use crate::harness::Answer;

    async fn readiness_is(response: impl IntoResponse + Clone + Send + Sync + 'static) {
        let router = Router::new().route("/readyz", get(async move || response));
        let router = router.layer(from_fn(super::check));
        let request = axum::extract::Request::get("/readyz");
        let request = request.body(axum::body::Body::empty()).unwrap();
        Answer::read(router.oneshot(request).await.unwrap()).await;
    }

    #[tokio::test]
    #[should_panic(expected = "get /readyz: 418 is not documented")]
    async fn an_undocumented_status_is_found() {
        readiness_is(axum::http::StatusCode::IM_A_TEAPOT).await;
    }

    #[tokio::test]
    #[should_panic(expected = "get /readyz: 200: text/plain is not documented")]
    async fn an_undocumented_media_type_is_found() {
        readiness_is("ready").await;
    }

    #[tokio::test]
    #[should_panic(expected = "missing properties 'status'")]
    async fn a_body_without_a_required_field_is_found() {
        readiness_is(axum::Json(json!({}))).await;
    }
}
