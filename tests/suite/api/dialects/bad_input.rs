//! Invalid requests for every operation of a dialect's document: each is refused with the right status,
//! in the dialect's error format.
//!
//! A dialect declares its valid requests ([`Row`]); the invalid ones are derived from them and the
//! document.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::api::dialects::{SURFACES, Surface};
use crate::api::examples::is_nullable;
use crate::api::matrix;
use crate::harness::{Actor, Answer, NORTH, SOUTH, TestApp};

/// A valid request, and the callers that are refused.
#[derive(Debug)]
pub(super) struct Row {
    operation: &'static str,
    /// The path with placeholders in braces, and an optional query. See [`Stage::set`] for the placeholders.
    target: &'static str,
    /// The body with every possible field, or an empty text.
    body: &'static str,
    good: u16,
    /// The caller of the valid request.
    by: &'static str,
    /// The status for a member without a role, then for an API token of the organization without a
    /// management scope, and for the admin of another organization.
    member: u16,
    unscoped: u16,
    outsider: u16,
    absent: &'static [(&'static str, u16)],
    lax: &'static [&'static str],
}

/// Returns a row for an operation of admins, with the status for outsiders.
pub(super) const fn row(
    operation: &'static str,
    target: &'static str,
    body: &'static str,
    good: u16,
    [member, unscoped, outsider]: [u16; 3],
) -> Row {
    Row {
        operation,
        target,
        body,
        good,
        by: "admin",
        member,
        unscoped,
        outsider,
        absent: &[],
        lax: &[],
    }
}

impl Row {
    /// Sets the status for an unknown name in the path, if it differs from the dialect's usual one. A
    /// name that occurs twice has two.
    pub(super) const fn absent(mut self, absent: &'static [(&'static str, u16)]) -> Self {
        self.absent = absent;
        self
    }

    /// Sets the caller of the valid request, if it is not the organization's admin.
    pub(super) const fn by(mut self, by: &'static str) -> Self {
        self.by = by;
        self
    }

    /// Sets the fields, as JSON pointers, that may have any value.
    pub(super) const fn lax(mut self, lax: &'static [&'static str]) -> Self {
        self.lax = lax;
        self
    }

    /// Returns the request target if every admin of an organization may read it.
    pub(super) fn readable_by_members(&self) -> Option<String> {
        let path = self.target.replace("{organization}", NORTH.name);
        (self.body.is_empty() && self.good == 200 && self.by == "admin" && !path.contains('{'))
            .then_some(path)
    }
}

/// An operation of a document.
struct Operation {
    id: String,
    method: Method,
    path: String,
    documented: Vec<u16>,
    is_public: bool,
    takes_body: bool,
    needs_body: bool,
    /// The schema of the operation's body.
    schema: Value,
}

/// The server, the callers, and the names that rows use.
pub(super) struct Stage {
    stage: matrix::Stage,
    names: BTreeMap<&'static str, Named>,
}

/// The values of a placeholder.
struct Named {
    /// A resource of the organization that the valid request is about.
    own: String,
    /// A resource of the same kind in another organization.
    foreign: String,
    /// A name that no resource has.
    unknown: String,
}

impl Stage {
    pub(super) async fn set() -> Self {
        let stage = matrix::Stage::set().await;
        let names = BTreeMap::new();
        let mut set = Self { stage, names };
        set.name("organization", [NORTH.name, SOUTH.name, "there-is-none"]);
        set.name("organization_id", [NORTH.id(), SOUTH.id(), "0197-4a5e"]);
        set.name("team", [NORTH.team, SOUTH.team, "there-is-none"]);
        let ids = [NORTH.team_id(), SOUTH.team_id(), "team-Hn5Lq9BcX1dF7gJk"];
        set.name("team_id", ids);
        let [own, foreign] = [&NORTH, &SOUTH].map(|place| place.email("member"));
        set.name("email", [&own, &foreign, "nobody@nowhere.example"]);
        let [own, foreign] = [&NORTH, &SOUTH].map(|place| place.project_id().to_string());
        set.name("project", [&own, &foreign, "999999"]);
        let southern = set.app().organization_token(&SOUTH, &["content:write"]).await;
        for (name, id) in set.stage.tokens().map(|(name, id)| (name, id.to_owned())) {
            set.name(name, [&id, &southern.id, "999999"]);
        }
        set
    }

    pub(super) fn app(&self) -> &TestApp {
        &self.stage.app
    }

    /// Sets the values of a placeholder: own, of another organization, and unknown.
    pub(super) fn name(&mut self, name: &'static str, [own, foreign, unknown]: [&str; 3]) {
        let [own, foreign, unknown] = [own, foreign, unknown].map(str::to_owned);
        let named = Named {
            own,
            foreign,
            unknown,
        };
        self.names.insert(name, named);
    }

    /// Returns the valid request of a row.
    pub(super) fn good_request(&self, surface: &Surface, row: &Row) -> Request<Body> {
        let document = serde_json::to_value(jeton::http::document(surface.document)).unwrap();
        let operations = operations(&document);
        let operation = operations
            .iter()
            .find(|operation| operation.id == row.operation)
            .unwrap();
        let sent = self.good(operation, row);
        surface.request(&sent.actor, sent.method, &sent.path, sent.body)
    }

    fn good(&self, operation: &Operation, row: &Row) -> Sent {
        let by = if operation.is_public { "nobody" } else { row.by };
        Sent {
            actor: self.stage.actor(by).clone(),
            method: operation.method.clone(),
            path: self.fill(row.target),
            body: self.fill(row.body).into_bytes(),
            media_type: None,
        }
    }

    fn fill(&self, text: &str) -> String {
        self.fill_placeholders_except(text, "", "")
    }

    /// Replaces placeholders, one of them with `value`.
    fn fill_placeholders_except(&self, text: &str, name: &str, value: &str) -> String {
        let mut text = text.replace(&format!("{{{name}}}"), value);
        for (name, Named { own, .. }) in &self.names {
            text = text.replace(&format!("{{{name}}}"), own);
        }
        text
    }

    /// Sends all invalid requests and returns the unexpected responses.
    pub(super) async fn findings(&self, surface: &Surface) -> Vec<String> {
        self.findings_of(surface, surface.rows, |router| router).await
    }

    async fn findings_of(
        &self,
        surface: &Surface,
        rows: &[Row],
        change: fn(Router) -> Router,
    ) -> Vec<String> {
        let published =
            |surface: &Surface| serde_json::to_value(jeton::http::document(surface.document)).unwrap();
        let document = published(surface);
        let documents = SURFACES.map(published);
        let operations = operations(&document);
        let mut findings = Vec::new();
        for operation in &operations {
            if !rows.iter().any(|row| row.operation == operation.id) {
                findings.push(format!("{} has no row that says what is good", operation.id));
            }
        }
        let admin = self.stage.actor("admin");
        for method in [Method::GET, Method::POST] {
            let request = surface.request(admin, method, surface.nowhere, "");
            let answer = Answer::read(change(self.app().router()).oneshot(request).await.unwrap()).await;
            if answer.status != 404 || !surface.says(&answer) {
                findings.push(format!("{}: {} {}", surface.nowhere, answer.status, answer.text));
            }
        }
        for row in rows {
            let Some(operation) = operations.iter().find(|operation| operation.id == row.operation) else {
                findings.push(format!("there is no operation {}", row.operation));
                continue;
            };
            let mut trial = Trial {
                stage: self,
                surface,
                document: &document,
                documents: &documents,
                operation,
                row,
                change,
                findings: &mut findings,
            };
            trial.run().await;
        }
        findings
    }
}

/// A valid request with everything that can be invalid in it.
struct Trial<'a> {
    stage: &'a Stage,
    surface: &'a Surface,
    document: &'a Value,
    /// The documents of all dialects.
    documents: &'a [Value],
    operation: &'a Operation,
    row: &'a Row,
    change: fn(Router) -> Router,
    findings: &'a mut Vec<String>,
}

/// A request.
#[derive(Clone)]
struct Sent {
    actor: Actor,
    method: Method,
    path: String,
    body: Vec<u8>,
    /// The `Content-Type`, if it differs from the dialect's.
    media_type: Option<&'static str>,
}

impl Trial<'_> {
    async fn run(&mut self) {
        let Row { target, good, .. } = *self.row;
        if !is_at(&self.operation.path, target) {
            let finding = format!("{} is not at {target}", self.row.operation);
            self.findings.push(finding);
        }
        self.check("as it should be", self.good(), &[good]).await;
        if !self.operation.is_public {
            self.credentials().await;
        }
        self.names().await;
        self.methods().await;
        if self.operation.takes_body {
            self.bodies().await;
            self.fields().await;
        }
    }

    /// Returns the valid request.
    fn good(&self) -> Sent {
        self.stage.good(self.operation, self.row)
    }

    fn good_by(&self, caller: &str) -> Sent {
        let actor = self.stage.stage.actor(caller).clone();
        Sent { actor, ..self.good() }
    }

    /// Credentials are checked before anything else.
    async fn credentials(&mut self) {
        let refusals = &self.surface.refusals;
        let [none, bad] = [refusals.no_credential, refusals.bad_credential];
        for (caller, status) in [
            ("nobody", none),
            ("garbage", bad),
            ("expired", bad),
            ("revoked", bad),
        ] {
            let what = format!("by {caller}");
            self.check(&what, self.good_by(caller), &[status]).await;
            let unreadable = Sent {
                body: b"{".to_vec(),
                ..self.good_by(caller)
            };
            self.check(&format!("{what}, unreadable"), unreadable, &[status])
                .await;
        }
        let Row {
            member,
            unscoped,
            outsider,
            ..
        } = *self.row;
        for (caller, status) in [("member", member), ("unscoped", unscoped), ("outsider", outsider)] {
            let what = format!("by {caller}");
            self.check(&what, self.good_by(caller), &[status]).await;
        }
    }

    /// Tries paths with unknown names, names of another organization and invalid names.
    async fn names(&mut self) {
        let target = self.row.target;
        let stage = self.stage;
        for (name, named) in &stage.names {
            if !target.contains(&format!("{{{name}}}")) {
                continue;
            }
            let own = self.row.absent.iter().filter(|(absent, _)| absent == name);
            let own: Vec<u16> = own.map(|(_, status)| *status).collect();
            let absent = match own.is_empty() {
                true => vec![self.surface.refusals.absent],
                false => own,
            };
            let foreign = match name.starts_with("organization") {
                true => vec![self.row.outsider],
                false => absent.clone(),
            };
            let long = "9".repeat(4000);
            for (value, status) in [
                (named.unknown.as_str(), &absent),
                (&named.foreign, &foreign),
                (&long, &absent),
                ("%00", &vec![self.surface.refusals.absent]),
                ("-1", &absent),
                ("..%2F..", &absent),
            ] {
                let path = stage.fill_placeholders_except(target, name, value);
                let what = format!("with {:.20} as {name}", value);
                let sent = Sent { path, ..self.good() };
                self.check(&what, sent, status).await;
            }
            let path = stage.fill_placeholders_except(target, name, "%FF");
            let sent = Sent { path, ..self.good() };
            let unreadable = [absent, vec![self.surface.refusals.malformed]].concat();
            self.check(&format!("with no UTF-8 as {name}"), sent, &unreadable)
                .await;
        }
    }

    async fn methods(&mut self) {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            // A dialect answers the methods that only it has at a path of several.
            let has_method = |document: &Value| {
                let item = &document["paths"][&self.operation.path];
                item.get(method.to_lowercase()).is_some()
            };
            if !self.documents.iter().any(has_method) {
                let method = method.parse().unwrap();
                let sent = Sent {
                    method,
                    ..self.good()
                };
                let what = format!("by the method {}", sent.method);
                self.check(&what, sent, &[self.surface.refusals.no_method]).await;
            }
        }
    }

    async fn bodies(&mut self) {
        let refusals = &self.surface.refusals;
        let (malformed, no_object) = (refusals.malformed, refusals.no_object);
        let nothing = match self.operation.needs_body {
            true => [malformed, refusals.invalid, no_object],
            false => [self.row.good; 3],
        };
        let deep = [b"{\"name\":".to_vec(), b"[".repeat(20_000)].concat();
        let long = format!("{{\"name\":\"{}\"}}", "x".repeat(200_000));
        for (what, body, expected) in [
            ("with half a body", b"{\"name\"".to_vec(), vec![malformed]),
            (
                "with a body of words",
                b"nothing at all".to_vec(),
                vec![malformed],
            ),
            (
                "with a body that is no UTF-8",
                b"{\"\xff\":1}".to_vec(),
                vec![malformed],
            ),
            ("with a bottomless body", deep, vec![malformed, refusals.invalid]),
            ("with a list as body", b"[]".to_vec(), vec![no_object]),
            ("with a text as body", b"\"name\"".to_vec(), vec![no_object]),
            ("with null as body", b"null".to_vec(), nothing.to_vec()),
            ("without a body", Vec::new(), nothing.to_vec()),
            ("with too long a body", long.into_bytes(), vec![413]),
        ] {
            self.check(what, Sent { body, ..self.good() }, &expected).await;
        }
        for media_type in ["text/plain", "application/x-www-form-urlencoded"] {
            let media_type = Some(media_type);
            let sent = Sent {
                media_type,
                ..self.good()
            };
            self.check("of another media type", sent, &[refusals.media_type])
                .await;
        }
    }

    /// Tries every field of the valid body: missing, of another type, too long.
    async fn fields(&mut self) {
        let body: Value = serde_json::from_str(&self.stage.fill(self.row.body)).unwrap();
        let schema = self.operation.schema.clone();
        let (good, invalid) = (self.row.good, self.surface.refusals.invalid);
        let mut extra = body.clone();
        extra["unheard_of"] = json!({"of": ["what"]});
        self.demand_body("with a field too many", &extra, &[good]).await;
        for pointer in pointers(&body) {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let parent_schema = schema_at(self.document, &schema, parent);
            let field_schema = schema_at(self.document, &schema, &pointer);
            let is_required = parent_schema["required"]
                .as_array()
                .is_some_and(|required| required.contains(&json!(name)));
            let is_lax = self.row.lax.contains(&pointer.as_str());

            let mut without = body.clone();
            let parent = without.pointer_mut(parent).unwrap();
            parent.as_object_mut().unwrap().remove(name);
            let expected = match is_required {
                true => vec![invalid],
                false => vec![good, invalid],
            };
            let absent = self
                .demand_body(&format!("without {pointer}"), &without, &expected)
                .await;

            let mut other = body.clone();
            let field = other.pointer_mut(&pointer).unwrap();
            *field = match field {
                Value::Object(_) | Value::Array(_) => json!("a text"),
                _ => json!({"an": "object"}),
            };
            let expected = if is_lax { good } else { invalid };
            self.demand_body(&format!("with another type of {pointer}"), &other, &[expected])
                .await;

            let mut none = body.clone();
            *none.pointer_mut(&pointer).unwrap() = Value::Null;
            if is_nullable(&parent_schema["properties"][name]) {
                let expected = [good, absent];
                self.demand_body(&format!("with null as {pointer}"), &none, &expected)
                    .await;
            }

            if let Some(longest) = field_schema["maxLength"].as_u64() {
                let mut long = body.clone();
                let text = "x".repeat(usize::try_from(longest).unwrap() + 1);
                *long.pointer_mut(&pointer).unwrap() = json!(text);
                self.demand_body(&format!("with too long a {pointer}"), &long, &[invalid])
                    .await;
            }
        }
    }

    async fn demand_body(&mut self, what: &str, body: &Value, expected: &[u16]) -> u16 {
        let body = body.to_string().into_bytes();
        let sent = Sent { body, ..self.good() };
        self.check(what, sent, expected).await
    }

    /// Sends a request, records an unexpected response, and returns its status.
    async fn check(&mut self, what: &str, sent: Sent, expected: &[u16]) -> u16 {
        let changes = sent.method != Method::GET && expected.iter().any(|status| *status < 400);
        let twin = match changes {
            true => Some(self.stage.app().twin().await),
            false => None,
        };
        let app = twin.as_ref().unwrap_or(self.stage.app());
        let mut request = self
            .surface
            .request(&sent.actor, sent.method, &sent.path, sent.body);
        if let Some(media_type) = sent.media_type {
            let value = media_type.parse().unwrap();
            request.headers_mut().insert(header::CONTENT_TYPE, value);
        }
        let router = (self.change)(app.router());
        let answer = Answer::read(router.oneshot(request).await.unwrap()).await;
        let status = answer.status;
        let mut find = |wrong: &str| {
            let Row {
                operation, target, ..
            } = *self.row;
            let text = &answer.text;
            self.findings.push(format!(
                "{operation} {target} {what}: {status} {wrong}: {text:.300}"
            ));
        };
        if !expected.contains(&status) {
            find(&format!("and not {expected:?}"));
        }
        if !self.operation.documented.contains(&status) && status != 405 {
            find("is not documented");
        }
        if status == 405 && answer.header("allow").is_empty() {
            find("does not say what is allowed");
        }
        if status >= 400 && !self.surface.says(&answer) {
            find(&format!("in another form ({})", answer.header("content-type")));
        }
        status
    }
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    let paths = document["paths"].as_object().unwrap().iter();
    // The login of the native API has tests of its own.
    for (path, item) in paths.filter(|(path, _)| *path != "/api/v1/login") {
        for (method, operation) in item.as_object().unwrap() {
            let Some(responses) = operation["responses"].as_object() else {
                continue;
            };
            let body = &operation["requestBody"];
            let content = body["content"].as_object();
            let schema = content.and_then(|content| content.values().next());
            found.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                documented: responses.keys().map(|status| status.parse().unwrap()).collect(),
                is_public: operation["security"] == json!([{}]),
                takes_body: body.is_object(),
                needs_body: body["required"] == true,
                schema: schema.map_or(Value::Null, |content| content["schema"].clone()),
            });
        }
    }
    found
}

/// Returns whether a target matches a path with parameters.
fn is_at(path: &str, target: &str) -> bool {
    let (target, _) = target.split_once('?').unwrap_or((target, ""));
    let (path, target): (Vec<_>, Vec<_>) = (path.split('/').collect(), target.split('/').collect());
    path.len() == target.len()
        && path
            .iter()
            .zip(target)
            .all(|(one, other)| one.starts_with('{') || *one == other)
}

/// Returns every member of an object and of nested objects, also in the first element of lists.
fn pointers(value: &Value) -> Vec<String> {
    let below = |name: String, value: &Value| {
        let deeper = pointers(value)
            .into_iter()
            .map(move |rest| format!("/{name}{rest}"));
        deeper.collect::<Vec<_>>()
    };
    match value {
        Value::Object(members) => {
            let each = members.iter();
            each.flat_map(|(name, value)| [vec![format!("/{name}")], below(name.clone(), value)].concat())
                .collect()
        }
        Value::Array(elements) => elements
            .first()
            .map_or_else(Vec::new, |first| below("0".to_owned(), first)),
        _ => Vec::new(),
    }
}

/// Returns the schema at a pointer; null if the document has none.
fn schema_at(document: &Value, schema: &Value, pointer: &str) -> Value {
    let parts = pointer.split('/').skip(1);
    parts.fold(resolved(document, schema), |schema, part| {
        let next = match part.parse::<usize>() {
            Ok(_) => &schema["items"],
            Err(_) => &schema["properties"][part],
        };
        resolved(document, next)
    })
}

/// Resolves a reference, and a schema that is combined with null.
fn resolved(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let place = document.pointer(reference.trim_start_matches('#'));
        return resolved(document, place.unwrap_or(&Value::Null));
    }
    let alternatives = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    let real = alternatives
        .into_iter()
        .flatten()
        .find(|one| one["type"] != "null");
    real.map_or_else(|| schema.clone(), |real| resolved(document, real))
}

#[tokio::test]
async fn the_checker_finds_wrong_statuses_and_formats() {
    use axum::Json;
    use axum::http::StatusCode;
    use axum::routing::{get, post};

    use crate::api::dialects::quant;

    let open = |router: Router| {
        let native = (StatusCode::CONFLICT, Json(json!({"detail": "no", "code": "no"})));
        let broken = (StatusCode::INTERNAL_SERVER_ERROR, "it broke");
        Router::new()
            .route("/api/v2/organizations", get(async || Json(json!([]))))
            .route("/api/v2/organizations/{organization}", get(async move || native))
            .route(
                "/api/v2/organizations/{organization}/tokens",
                post(async move || broken),
            )
            .fallback_service(router)
    };
    let reads = |operation| row(operation, "/api/v2/organizations", "", 200, [200, 403, 200]);
    let rows = [
        reads("organizations_list"),
        reads("organizations_read"),
        reads("unheard_of"),
        row(
            "organizations_read",
            "/api/v2/organizations/{organization}",
            "",
            200,
            [200, 403, 404],
        )
        .absent(&[("organization", 409)]),
        row(
            "tokens_create",
            "/api/v2/organizations/{organization}/tokens",
            r#"{"name": "ci", "scopes": []}"#,
            201,
            [403, 403, 404],
        )
        .lax(&["/scopes"]),
    ];
    let found = Stage::set().await.findings_of(&quant::SURFACE, &rows, open).await;
    for expected in [
        "tokens_list has no row",
        "there is no operation unheard_of",
        "organizations_read is not at /api/v2/organizations",
        "organizations_list /api/v2/organizations by nobody: 200 and not [401]",
        "organizations_list /api/v2/organizations by the method PUT: 405 in another form",
        "organizations_read /api/v2/organizations/{organization} as it should be: 409 and not [200]",
        "organizations_read /api/v2/organizations/{organization} as it should be: 409 is not documented",
        "organizations_read /api/v2/organizations/{organization} with there-is-none as organization: 409 in another",
        "tokens_create /api/v2/organizations/{organization}/tokens without /name: 500 and not [422]",
        "tokens_create /api/v2/organizations/{organization}/tokens without /scopes: 500 and not [201, 422]",
        "tokens_create /api/v2/organizations/{organization}/tokens with another type of /scopes: 500 and not [201]",
        "tokens_create /api/v2/organizations/{organization}/tokens with half a body: 500 and not [400]",
        "tokens_create /api/v2/organizations/{organization}/tokens by outsider: 500 and not [404]",
    ] {
        assert!(
            found.iter().any(|finding| finding.starts_with(expected)),
            "{expected}: {found:#?}"
        );
    }
}
