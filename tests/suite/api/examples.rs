//! The document's examples of requests work as they are, and every documented bound is enforced.

use axum::body::Body;
use axum::http::{HeaderName, Request};
use serde_json::{Map, Value, json};

use crate::harness::{Answer, MANAGEMENT, NORTH, TestApp, form, request};

/// An operation with a body, and the body's schema.
pub(super) struct Writer {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) schema: Value,
    takes_form: bool,
}

impl Writer {
    /// Returns why a field was refused.
    fn refusal(&self, answer: &Answer, way: &[String]) -> Option<String> {
        if self.takes_form {
            let said = answer.text_at("/error_description");
            let blame = said.strip_prefix(&format!("{}: ", way.join(".")))?;
            return (answer.status == 400).then(|| blame.to_owned());
        }
        let place = format!(" at body.{}", way.join("."));
        let mut faults = if answer.status == 422 {
            answer.faults().into_iter()
        } else {
            Vec::new().into_iter()
        };
        faults.find(|fault| fault.ends_with(&place))
    }
}

pub(super) struct Document(Value);

impl Document {
    fn new() -> Self {
        Self::of(jeton::http::Document::Native)
    }

    pub(super) fn of(api: jeton::http::Document) -> Self {
        Self(serde_json::to_value(jeton::http::document(api)).unwrap())
    }

    /// Returns a document without the login of the native API, which has tests of its own.
    pub(super) fn of_dialect(api: jeton::http::Document) -> Self {
        let mut document = Self::of(api);
        document.0["paths"]
            .as_object_mut()
            .unwrap()
            .remove("/api/v1/login");
        document
    }

    /// Resolves a reference, and a schema that is combined with null.
    fn resolve(&self, schema: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.resolve(self.0.pointer(reference.trim_start_matches('#')).unwrap());
        }
        for choice in ["oneOf", "anyOf"] {
            let mut choices = schema[choice].as_array().into_iter().flatten();
            if let Some(real) = choices.find(|one| one["type"] != "null") {
                return self.resolve(real);
            }
        }
        schema.clone()
    }

    fn each(&self) -> Vec<(String, String, &Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(|(method, operation)| (method.to_uppercase(), path.clone(), operation))
        });
        operations
            .filter(|(_, _, operation)| operation["responses"].is_object())
            .collect()
    }

    pub(super) fn writers(&self) -> Vec<Writer> {
        let each = self.each().into_iter();
        let with_body = each.filter(|(_, _, operation)| operation["requestBody"].is_object());
        with_body
            .map(|(method, path, operation)| {
                let content = operation["requestBody"]["content"].as_object().unwrap();
                let (media, content) = content.iter().next().unwrap();
                let mut schema = self.resolve(&content["schema"]);
                // The reference shows the example of the operation first.
                if content["example"].is_object() {
                    schema["example"] = content["example"].clone();
                }
                Writer {
                    id: operation["operationId"].as_str().unwrap().to_owned(),
                    method,
                    path: self.fill(&path, operation),
                    schema,
                    takes_form: media == "application/x-www-form-urlencoded",
                }
            })
            .collect()
    }

    /// Returns the example of an object: its own, or that of its required fields.
    pub(super) fn example(&self, schema: &Value) -> Value {
        if schema["example"].is_object() {
            return schema["example"].clone();
        }
        let mut example = Map::new();
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            let property = &schema["properties"][name];
            let resolved = self.resolve(property);
            let known = [&property["example"], &property["default"], &resolved["enum"][0]];
            let known = known.into_iter().find(|value| !value.is_null());
            example.insert(
                name.to_owned(),
                known.unwrap_or_else(|| panic!("no example of {name}")).clone(),
            );
        }
        example.into()
    }

    /// Returns Swagger UI's suggestion: the example of a schema, or of all its fields.
    fn suggested(&self, schema: &Value) -> Value {
        let schema = &self.resolve(schema);
        let told = [&schema["example"], &schema["default"], &schema["enum"][0]];
        if let Some(told) = told.into_iter().find(|value| !value.is_null()) {
            return told.clone();
        }
        let types = &schema["type"];
        let is = |kind: &str| types == kind || types.as_array().is_some_and(|all| all.contains(&kind.into()));
        if schema["properties"].is_object() {
            let fields = schema["properties"].as_object().unwrap().iter();
            let fields = fields.map(|(name, field)| (name.clone(), self.suggested(field)));
            fields.collect::<Map<_, _>>().into()
        } else if is("array") {
            json!([self.suggested(&schema["items"])])
        } else if is("integer") {
            json!(0)
        } else if is("boolean") {
            json!(true)
        } else {
            json!("string")
        }
    }

    /// Fills a path with the examples of its parameters.
    fn fill(&self, path: &str, operation: &Value) -> String {
        let mut filled = path.to_owned();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] == "path" {
                let example = &parameter["example"];
                let example = example
                    .as_str()
                    .map_or_else(|| example.to_string(), str::to_owned);
                filled = filled.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), &example);
            }
        }
        filled
    }
}

async fn send(app: &TestApp, writer: &Writer, body: Value) -> Answer {
    if writer.takes_form {
        let fields = body.as_object().unwrap().iter();
        let fields = fields.map(|(name, value)| (name, value.as_str().unwrap()));
        let fields = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        return app.send(form(&app.site_admin(), &writer.path, &fields)).await;
    }
    let method = writer.method.parse().unwrap();
    let sender = match writer.id.as_str() {
        // Only this token may.
        "report_usage" => app.deployment_token(&["usage:write"]).await.holder,
        "revoke_current_token" | "rotate_current_token" => app.organization_token(&NORTH, &[]).await.holder,
        _ => app.site_admin(),
    };
    app.send(request(&sender, method, &writer.path, Some(body))).await
}

#[tokio::test]
async fn the_examples_work_as_they_stand() {
    let document = Document::new();
    let mut made = Vec::new();
    for writer in document.writers() {
        let app = TestApp::new().await;
        let example = document.suggested(&writer.schema);
        let answer = send(&app, &writer, example.clone()).await;
        // The resources they name may not exist, but the body is always valid.
        assert!(
            [200, 201, 202, 204, 401, 404].contains(&answer.status) || answer.code() == "already_set_up",
            "{}: {example}: {}",
            writer.id,
            answer.text
        );
        if answer.status == 201 {
            made.push(writer.id);
        }
    }
    for id in [
        "create_organization",
        "create_project",
        "create_team",
        "create_token",
        "create_user",
    ] {
        assert!(
            made.iter().any(|known| known == id),
            "the example of {id} makes nothing"
        );
    }
}

/// Returns the paths to the objects of a body, with whether they refuse unknown fields.
fn objects(document: &Document, schema: &Value, way: &[String]) -> Vec<(Vec<String>, bool)> {
    let mut found = vec![(way.to_vec(), schema["additionalProperties"] == false)];
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let property = document.resolve(property);
        if property["properties"].is_object() {
            found.extend(objects(
                document,
                &property,
                &[way, std::slice::from_ref(name)].concat(),
            ));
        }
    }
    found
}

#[tokio::test]
async fn a_misspelt_field_is_refused_where_the_document_says() {
    // RFCs define their bodies.
    let tolerant = ["introspect", "revoke_presented_token"];
    let document = Document::new();
    let mut tried = 0;
    for writer in document.writers() {
        for (way, strict) in objects(&document, &writer.schema, &[]) {
            let what = format!("{}: {}", writer.id, way.join("."));
            assert_ne!(strict, tolerant.contains(&writer.id.as_str()), "{what}");
            let app = TestApp::new().await;
            let way = [way, vec!["msspelt".to_owned()]].concat();
            let body = with(document.example(&writer.schema), &way, json!("x"));
            let answer = send(&app, &writer, body).await;
            assert_eq!(
                writer.refusal(&answer, &way).is_some(),
                strict,
                "{what}: {}",
                answer.text
            );
            if strict {
                assert_eq!(
                    answer.faults(),
                    [format!("extra_forbidden at body.{}", way.join("."))]
                );
            }
            tried += 1;
        }
    }
    assert!(tried >= 20, "only {tried} objects were found");
}

/// Sending Swagger UI's suggestions unchanged locks out no user and renames nothing.
#[tokio::test]
async fn the_examples_of_changes_do_no_harm() {
    let document = Document::new();
    let app = TestApp::new().await;
    let admin = app.site_admin();
    let person = json!({"email": "ada@example.com", "password": "correct horse battery staple"});
    app.post(&admin, "/users", person).await.is(201);
    let writers = document.writers();
    for (id, field) in [("change_user", "first_name"), ("change_organization", "nothing")] {
        let writer = writers.iter().find(|writer| writer.id == id).unwrap();
        let path = writer.path.strip_prefix("/api/v1").unwrap();
        let mut before = app.get(&admin, path).await.is(200).json();
        let body = document.suggested(&writer.schema);
        send(&app, writer, body).await.is(200);
        let mut after = app.get(&admin, path).await.is(200).json();
        for shown in [&mut before, &mut after] {
            let shown = shown.as_object_mut().unwrap();
            shown.remove(field);
            shown.remove("last_name");
        }
        assert_eq!(before, after, "{id}");
    }
    assert_eq!(
        app.log_in("ada@example.com", "correct horse battery staple")
            .await
            .status,
        200
    );
}

/// Returns the path and query that Swagger UI fills in for an operation.
fn filled_in(document: &Document, path: &str, operation: &Value) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let told = [&parameter["example"], &parameter["schema"]["default"]];
        let told = told.into_iter().find(|value| !value.is_null());
        let name = parameter["name"].as_str().unwrap();
        match told {
            Some(value) if parameter["in"] == "query" => {
                query.append_pair(
                    name,
                    &value.as_str().map_or_else(|| value.to_string(), str::to_owned),
                );
            }
            _ => {
                let is_optional = parameter["required"] != true;
                assert!(is_optional || told.is_some(), "{path}: no example of {name}");
            }
        }
    }
    format!("{}?{}", document.fill(path, operation), query.finish())
}

/// What the page fills in finds what a newcomer has just made, and ends none of it.
#[tokio::test]
async fn the_values_that_are_filled_in_work_and_end_nothing() {
    let app = TestApp::new().await;
    let admin = app.site_admin();
    let home = "/organizations/default";
    app.post(&admin, &format!("{home}/teams"), json!({"name": "runners"}))
        .await
        .is(201);
    app.post(&admin, &format!("{home}/projects"), json!({"name": "website"}))
        .await
        .is(201);
    let ada = json!({"email": "ada@example.com", "password": "correct horse battery staple"});
    app.post(&admin, "/users", ada).await.is(201);
    let member = json!({"role": "member"});
    app.put(&admin, &format!("{home}/members/ada@example.com"), member.clone())
        .await
        .is(204);
    app.put(
        &admin,
        &format!("{home}/teams/runners/members/ada@example.com"),
        member,
    )
    .await
    .is(204);
    let native = Document::new();
    let writers = native.writers();
    let create = writers.iter().find(|writer| writer.id == "create_token").unwrap();
    let token = send(&app, create, native.suggested(&create.schema))
        .await
        .is(201)
        .text_at("/token_info/id");
    let state = async || {
        let mut state = Vec::new();
        for path in [
            home.to_owned(),
            format!("{home}/members"),
            format!("{home}/teams"),
            format!("{home}/teams/runners/members"),
            format!("{home}/projects"),
            format!("/tokens/{token}"),
            "/users/ada@example.com".to_owned(),
        ] {
            state.push(app.get(&admin, &path).await.is(200).json());
        }
        state
    };
    let before = state().await;
    for api in jeton::http::Document::ALL {
        let document = Document::of(api);
        for (method, path, operation) in document.each() {
            let id = operation["operationId"].as_str().unwrap();
            let ends = method == "DELETE"
                || ["revoke", "rotate", "authentication-token"]
                    .iter()
                    .any(|last| path.ends_with(last));
            if !ends && method != "GET" {
                continue;
            }
            let mut request = Request::builder()
                .method(&*method)
                .uri(filled_in(&document, &path, operation))
                .header("authorization", admin.authorization().unwrap());
            let mut body = Body::empty();
            if let Some((media, content)) = operation["requestBody"]["content"]
                .as_object()
                .and_then(|all| all.iter().next())
            {
                let example = match &content["example"] {
                    Value::Null => document.suggested(&content["schema"]),
                    example => example.clone(),
                };
                request = request.header("content-type", media);
                body = match media.as_str() {
                    "application/x-www-form-urlencoded" => {
                        format!("token={}", example["token"].as_str().unwrap()).into()
                    }
                    _ => example.to_string().into(),
                };
            } else if path.starts_with("/api/v2") && api == jeton::http::Document::Terraform {
                request = request.header("content-type", "application/vnd.api+json");
            }
            let answer = app.send(request.body(body).unwrap()).await;
            // Only an API token has a current token. A published key ends nothing.
            let is_fine = [200, 202, 204, 404].contains(&answer.status)
                || id == "rotate_key"
                || path.contains("/tokens/current")
                || path == "/oauth/authorize-request";
            assert!(is_fine, "{api:?} {id}: {} {}", answer.status, answer.text);
            if id == "list_tokens" {
                assert!(
                    answer.each("id").contains(&token),
                    "{api:?} {id}: {}",
                    answer.text
                );
            }
            if ends {
                assert_eq!(state().await, before, "{api:?} {id} ends something");
            }
        }
    }
}

/// A field with a bound, a value beyond it, and one at it if any text is valid.
struct Bound {
    way: Vec<String>,
    beyond: Value,
    at: Option<Value>,
}

fn bounds(document: &Document, schema: &Value, way: &[String]) -> Vec<Bound> {
    let mut found = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let property = document.resolve(property);
        let way = [way, std::slice::from_ref(name)].concat();
        let mut add = |beyond: Value, at: Option<Value>| {
            let way = way.clone();
            found.push(Bound { way, beyond, at });
        };
        // A text with a format cannot be an arbitrary text of that length.
        let is_free = property["format"].is_null() && property["pattern"].is_null();
        let text = |length: u64| Value::from("a".repeat(usize::try_from(length).unwrap()));
        if let Some(most) = property["maxLength"].as_u64() {
            add(text(most + 1), is_free.then(|| text(most)));
        }
        if let Some(least) = property["minLength"].as_u64() {
            add(text(least - 1), is_free.then(|| text(least)));
        }
        if let Some(most) = property["maximum"].as_i64() {
            add(json!(most + 1), Some(json!(most)));
        }
        if let Some(least) = property["minimum"].as_i64() {
            add(json!(least - 1), Some(json!(least)));
        }
        if let Some(most) = property["maxItems"].as_u64() {
            let items = document.resolve(&property["items"]);
            let item = match items["type"].as_str() {
                Some("string") => json!("projects:read"),
                Some("object") => document.example(&items),
                _ => json!(1),
            };
            add(vec![item; usize::try_from(most).unwrap() + 1].into(), None);
        }
        found.extend(bounds(document, &property, &way));
    }
    found
}

/// Returns every property of a body with the way to it.
fn properties(document: &Document, schema: &Value, way: &[String]) -> Vec<(Vec<String>, Value)> {
    let mut found = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let way = [way, std::slice::from_ref(name)].concat();
        found.extend(properties(document, &document.resolve(property), &way));
        found.push((way, property.clone()));
    }
    found
}

/// Returns whether a schema allows `null`.
pub(super) fn is_nullable(schema: &Value) -> bool {
    let types = schema["type"].as_array().into_iter().flatten();
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    types
        .chain(choices.map(|one| &one["type"]))
        .any(|one| one == "null")
}

/// Returns whether a schema, or that of a list's elements, has a bound that the empty text violates.
fn excludes_empty(document: &Document, schema: &Value) -> bool {
    let schema = document.resolve(schema);
    let bounds = ["minLength", "pattern", "format", "enum"];
    [&schema, &schema["items"]]
        .iter()
        .any(|schema| bounds.iter().any(|bound| !schema[*bound].is_null()))
}

#[tokio::test]
async fn null_and_the_empty_text_are_refused_where_the_document_says() {
    let document = Document::new();
    let app = TestApp::new().await;
    let (mut tried, mut findings) = (0, Vec::new());
    for writer in document.writers() {
        for (way, property) in properties(&document, &writer.schema, &[]) {
            tried += 1;
            let what = format!("{}: {}", writer.id, way.join("."));
            let refuses = async |value: Value| {
                let body = with(document.example(&writer.schema), &way, value);
                let answer = send(&app.twin().await, &writer, body).await;
                let element = [way.as_slice(), &["0".to_owned()]].concat();
                let refusals = [&way, &element].map(|way| writer.refusal(&answer, way));
                refusals.into_iter().flatten().next()
            };
            if !writer.takes_form {
                let null = refuses(json!(null)).await;
                // Rules across fields are `value_error`.
                let is_refused = null
                    .as_ref()
                    .is_some_and(|fault| !fault.starts_with("value_error"));
                if is_refused == is_nullable(&property) {
                    findings.push(format!("{what}: null: {null:?}"));
                }
            }
            let empty = refuses(json!("")).await;
            if empty.is_some() && !excludes_empty(&document, &property) && refuses(json!("x")).await.is_none()
            {
                findings.push(format!("{what}: the empty text: {empty:?}"));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert!(tried >= 100, "only {tried} fields were tried");
}

fn with(mut body: Value, way: &[String], value: Value) -> Value {
    let mut place = &mut body;
    for part in way {
        place = &mut place[part.as_str()];
    }
    *place = value;
    body
}

#[tokio::test]
async fn every_bound_of_a_body_is_where_the_document_says() {
    let document = Document::new();
    let app = TestApp::new().await;
    let mut tried = 0;
    for writer in document.writers() {
        for Bound { way, beyond, at } in bounds(&document, &writer.schema, &[]) {
            tried += 1;
            let what = format!("{}: {}", writer.id, way.join("."));
            let example = document.example(&writer.schema);
            let answer = send(&app, &writer, with(example.clone(), &way, beyond)).await;
            assert!(writer.refusal(&answer, &way).is_some(), "{what}: {}", answer.text);
            let Some(at) = at else { continue };
            let answer = send(&app.twin().await, &writer, with(example, &way, at)).await;
            // Another rule may refuse the value, but not the bound.
            let of_another_rule = |fault: &str| fault.starts_with("value_error");
            let refusal = writer.refusal(&answer, &way);
            assert!(
                refusal.as_deref().is_none_or(of_another_rule),
                "{what}: {}",
                answer.text
            );
        }
    }
    assert!(tried >= 40, "only {tried} bounds were found");
}

#[tokio::test]
async fn every_bound_of_a_parameter_is_where_the_document_says() {
    let document = Document::new();
    let app = TestApp::new().await;
    let (site, token) = (
        app.site_admin(),
        app.organization_token(&NORTH, &MANAGEMENT).await,
    );
    let mut tried = 0;
    for (method, path, operation) in document.each() {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let (name, within) = (
                parameter["name"].as_str().unwrap(),
                parameter["in"].as_str().unwrap(),
            );
            let schema = document.resolve(&parameter["schema"]);
            let address = |value: &str| match within {
                "query" => format!("{}?{name}={value}", document.fill(&path, operation)),
                "header" => document.fill(&path, operation),
                _ => document.fill(&path.replace(&format!("{{{name}}}"), value), operation),
            };
            let mut cases = Vec::new();
            for (bound, step) in [("maximum", 1), ("minimum", -1)] {
                if let Some(bound) = schema[bound].as_i64() {
                    cases.push(((bound + step).to_string(), Some(bound.to_string())));
                }
            }
            if let Some(most) = schema["maxLength"].as_u64() {
                let text = |length: u64| "a".repeat(usize::try_from(length).unwrap());
                // A text with a format cannot be an arbitrary text of that length.
                let is_free = schema["format"].is_null() && schema["pattern"].is_null();
                cases.push((text(most + 1), is_free.then(|| text(most))));
            }
            for (beyond, at) in cases {
                tried += 1;
                let ask = async |value: &str| {
                    let method = method.parse().unwrap();
                    // Of the caller's own API token.
                    let is_own = path.contains("/tokens/current");
                    let actor = if is_own { &token.holder } else { &site };
                    let mut request = request(actor, method, &address(value), None);
                    if within == "header" {
                        let name: HeaderName = name.parse().unwrap();
                        request.headers_mut().insert(name, value.parse().unwrap());
                    }
                    app.send(request).await
                };
                let answer = ask(&beyond).await;
                assert_eq!(answer.status, 422, "{method} {path} {name}: {}", answer.text);
                assert!(
                    answer
                        .faults()
                        .iter()
                        .any(|fault| fault.ends_with(&format!(" at {within}.{name}")))
                );
                let Some(at) = at else { continue };
                let answer = ask(&at).await;
                assert_ne!(answer.status, 422, "{method} {path} {name}: {}", answer.text);
            }
        }
    }
    assert!(tried >= 15, "only {tried} bounds were found");
}

/// Returns the examples of a response with a media type, a status and an operation.
fn of_response<'a>(operation: &'a Value, status: u16, media: &str) -> Vec<&'a Value> {
    let content = &operation["responses"][status.to_string()]["content"][media];
    let named = content["examples"].as_object().into_iter().flatten();
    let named = named.map(|(_, example)| &example["value"]);
    let single = content.get("example");
    single.into_iter().chain(named).collect()
}

/// The document shows what is answered to an empty object and to a request without a credential.
#[tokio::test]
async fn the_errors_of_an_empty_object_are_documented_examples() {
    use jeton::http::Document as Api;
    let app = TestApp::new().await;
    let (mut compared, mut findings) = (0, Vec::new());
    for api in [Api::Native, Api::Cave, Api::Terraform, Api::Quant] {
        let document = Document::of(api);
        for (method, path, operation) in document.each() {
            let content = operation["requestBody"]["content"].as_object();
            let mut media = content.into_iter().flat_map(|content| content.keys());
            let Some(media) = media.find(|media| media.contains("json")) else {
                continue;
            };
            for sender in [Some(app.site_admin()), None] {
                let mut request = Request::builder()
                    .method(&*method)
                    .uri(document.fill(&path, operation))
                    .header("content-type", media);
                if let Some(sender) = &sender {
                    request = request.header("authorization", sender.authorization().unwrap());
                }
                let answer = app.twin().await.send(request.body("{}".into()).unwrap()).await;
                let media = answer.header("content-type").split(';').next().unwrap();
                let examples = of_response(operation, answer.status, media);
                if answer.status < 400 || answer.text.is_empty() {
                    continue;
                }
                let body = serde_json::from_str(&answer.text).unwrap_or_else(|_| json!(answer.text));
                compared += 1;
                if !examples.contains(&&body) {
                    let (who, status) = (sender.is_some(), answer.status);
                    findings.push(format!("{method} {path} (credential: {who}): {status} {body}"));
                }
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert!(compared >= 60, "only {compared} answers were compared");
}
