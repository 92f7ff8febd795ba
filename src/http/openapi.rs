//! OpenAPI documents: the preface of an API, and the errors common to its operations.

use std::collections::BTreeSet;

use axum::response::Response;
use url::Url;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Array, Components, ContactBuilder, Content, Header, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi,
    OpenApiBuilder, Ref, RefOr, ResponseBuilder, Schema, Server, Type, tag::TagBuilder,
};

use crate::http::error::{EXPIRES_IN, REVOCATION_CURSOR};
use crate::http::input::null;
use crate::http::routes::{REFUSALS, REVOKES, TAKES_KEY};
use crate::http::{Failure, examples, idempotency_key};

/// The preface of an OpenAPI document.
pub(super) struct About {
    /// The title of the API.
    pub(super) title: &'static str,
    /// The description of the API.
    pub(super) description: &'static str,
    /// The tags with their descriptions.
    pub(super) tags: &'static [(&'static str, &'static str)],
    /// The error schemas, by name.
    pub(super) schemas: fn() -> Vec<(String, RefOr<Schema>)>,
}

/// The end of every description.
const REQUEST_IDS: &str = "Every response has `X-Request-Id`, the id of the request in the log of the server: that of the request, if it has \
                           one of 1 to 64 letters, digits and `-`, or another.";

/// Returns the schema of a type with its name, for [`About::schemas`].
pub(super) fn schema<T: ToSchema>() -> (String, RefOr<Schema>) {
    (T::name().into_owned(), T::schema())
}

/// Returns a reference to a type's schema. utoipa inlines type parameters, for which generated clients
/// would then lack a type.
pub(super) fn reference<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

/// Returns the schema of a list of a type.
pub(super) fn list_of<T: ToSchema>() -> Array {
    Array::new(reference::<T>())
}

/// Returns the document without operations.
pub(super) fn preface(about: &About) -> OpenApi {
    let license = LicenseBuilder::new()
        .name("MIT OR Apache-2.0")
        .identifier(Some("MIT OR Apache-2.0"))
        .build();
    let info = InfoBuilder::new()
        .title(about.title)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(format!("{}\n\n{REQUEST_IDS}", about.description)))
        .contact(Some(
            ContactBuilder::new().name(Some("the jeton authors")).build(),
        ))
        .license(Some(license));
    let tags = about.tags.iter().map(|(name, about)| {
        let tag = TagBuilder::new().name(*name).description(Some(*about));
        tag.build()
    });
    let mut components = Components::new();
    let scheme = |kind, about: &str| {
        let mut http = Http::new(kind);
        http.description = Some(about.to_owned());
        SecurityScheme::Http(http)
    };
    let bearer = scheme(
        HttpAuthScheme::Bearer,
        "A session token from the login operation, or an API token",
    );
    components.add_security_scheme("bearer", bearer);
    let basic = scheme(
        HttpAuthScheme::Basic,
        "For clients that cannot send Bearer: the same token, as the username with an empty password or as the password with any username. Not your e-mail address and password.",
    );
    // Swagger UI offers them by name: a password does not belong there.
    components.add_security_scheme("token_by_basic", basic);
    components.schemas.extend((about.schemas)());
    let no_scopes = Vec::<String>::new;
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([Server::new("/")]))
        .tags(Some(tags.collect::<Vec<_>>()))
        .components(Some(components))
        .security(Some([
            SecurityRequirement::new("bearer", no_scopes()),
            SecurityRequirement::new("token_by_basic", no_scopes()),
        ]))
        .build()
}

/// Returns a document with some operations, and the tags and schemas that they use.
pub(super) fn excerpt(mut document: OpenApi, operations: &[&str]) -> OpenApi {
    let is_other = |operation: &mut Operation| {
        let id = operation.operation_id.as_deref();
        !id.is_some_and(|id| operations.contains(&id))
    };
    document.paths.paths.retain(|_, item| {
        let mut left = false;
        for operation in [
            &mut item.get,
            &mut item.head,
            &mut item.put,
            &mut item.patch,
            &mut item.post,
            &mut item.delete,
        ] {
            operation.take_if(is_other);
            left |= operation.is_some();
        }
        left
    });
    let mut texts = vec![serde_json::to_string(&document.paths).unwrap_or_default()];
    if let Some(tags) = &mut document.tags {
        tags.retain(|tag| {
            texts
                .iter()
                .any(|text| text.contains(&format!("\"tags\":[\"{}\"]", tag.name)))
        });
    }
    if let Some(components) = &mut document.components {
        let mut used = BTreeSet::new();
        while let Some(text) = texts.pop() {
            for (name, schema) in &components.schemas {
                let reference = format!("\"#/components/schemas/{name}\"");
                if text.contains(&reference) && used.insert(name.clone()) {
                    texts.push(serde_json::to_string(schema).unwrap_or_default());
                }
            }
        }
        components.schemas.retain(|name, _| used.contains(name));
    }
    document
}

/// Returns the server of a document: the path of the issuer, which a proxy may strip. The host is that of the
/// document, since Swagger UI may call no other, and the server may have several names. A path relative
/// to the document (`.`) would need no issuer, but schemathesis and, from a file, openapi-generator resolve it wrongly.
pub(super) fn server(issuer: &str) -> Server {
    Server::new(Url::parse(issuer).map_or_else(|_| "/".to_owned(), |issuer| issuer.path().to_owned()))
}

/// The inputs of an operation, from which its errors follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inputs {
    /// Requires a credential.
    pub(super) caller: bool,
    /// Has path parameters.
    pub(super) path: bool,
    /// Has a body.
    pub(super) body: bool,
    /// Uses a method that changes state.
    pub(super) write: bool,
    /// Takes an idempotency key.
    pub(super) key: bool,
    /// Has a path parameter, query, header or body.
    pub(super) anything: bool,
}

/// An error response of an operation.
pub(super) struct ErrorAnswer {
    /// The status code.
    pub(super) status: &'static str,
    /// The description.
    pub(super) description: &'static str,
    /// The media type and schema of the body, if any.
    pub(super) body: Option<(&'static str, RefOr<Schema>)>,
}

/// Adds to every operation the errors that follow from its inputs, so that handlers need not repeat
/// them, with their examples. Responses that a handler declares itself stay.
pub(super) fn complete(
    mut document: OpenApi,
    errors: fn(Inputs) -> Vec<ErrorAnswer>,
    render: fn(&Failure) -> Response,
) -> OpenApi {
    let whole = serde_json::to_value(&document).unwrap_or_default();
    for (path, item) in &mut document.paths.paths {
        let ends_something =
            ["revoke", "rotate", "authentication-token"].map(|last| path.ends_with(&format!("/{last}")));
        let ending = item.post.as_mut().filter(|_| ends_something.contains(&true));
        ending.into_iter().chain(&mut item.delete).for_each(name_nothing);
        let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in writes.into_iter().flatten() {
            let key = take_extension(operation, TAKES_KEY) == Some(true.into());
            if key {
                let parameters = operation.parameters.get_or_insert_default();
                parameters.push(RefOr::T(idempotency_key::parameter()));
            }
            let inputs = Inputs {
                write: true,
                key,
                ..inputs_of(operation)
            };
            if key {
                mention_retries(operation, errors(inputs));
            }
            complete_operation(operation, errors(inputs));
            if take_extension(operation, REVOKES) == Some(true.into()) {
                add_revocation_cursor(operation);
            }
            add_examples(operation, inputs, render, &whole);
        }
        if let Some(operation) = &mut item.get {
            let inputs = inputs_of(operation);
            complete_operation(operation, errors(inputs));
            add_examples(operation, inputs, render, &whole);
        }
        // HEAD responses have no body.
        if let Some(operation) = &mut item.head {
            let mut errors = errors(inputs_of(operation));
            errors.iter_mut().for_each(|error| error.body = None);
            complete_operation(operation, errors);
            take_refusals(operation);
        }
    }
    document
}

/// Makes the path parameters of an operation that ends something name what does not exist: Swagger UI fills in
/// their examples.
fn name_nothing(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        if parameter.parameter_in != ParameterIn::Path {
            continue;
        }
        let is_number = |schema: &RefOr<Schema>| matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == Type::Integer.into());
        let example = match &*parameter.name {
            _ if parameter.schema.as_ref().is_some_and(is_number) => i32::MAX.into(),
            "email" => "nobody@example.com".into(),
            _ => "does-not-exist".into(),
        };
        let parameter_with = ParameterBuilder::from(std::mem::take(parameter));
        *parameter = parameter_with.example(Some(example)).build();
    }
}

/// Adds an example of every failure that an operation can have, as far as that follows from its inputs.
fn add_examples(
    operation: &mut Operation,
    inputs: Inputs,
    render: fn(&Failure) -> Response,
    document: &serde_json::Value,
) {
    let refusals = take_refusals(operation);
    let mut names: Vec<&str> = refusals.iter().map(String::as_str).collect();
    names.extend(["too_many_requests", "not_found"]);
    if inputs.caller {
        names.extend(["busy", "unavailable"]);
    }
    if inputs.path {
        names.push("invalid_utf8");
    }
    if inputs.key {
        names.push("already_done");
    }
    if inputs.body {
        names.extend([
            "body_too_large",
            "body_unreadable",
            "invalid_utf8",
            "content_encoding",
        ]);
    }
    let is_form = matches!(&operation.request_body, Some(RefOr::T(body))
        if body.content.contains_key("application/x-www-form-urlencoded"));
    match is_form {
        true => names.push("form_needed"),
        false if inputs.write => names.push("unsupported_media_type"),
        false => {}
    }
    let invalid = examples::violations(document, &serde_json::to_value(&*operation).unwrap_or_default());
    examples::add_all(operation, render, names, invalid);
}

/// Removes and returns the names that `routes!` has added.
fn take_refusals(operation: &mut Operation) -> Vec<String> {
    take_extension(operation, REVOKES);
    take_extension(operation, TAKES_KEY);
    take_extension(operation, REFUSALS)
        .and_then(|names| serde_json::from_value(names).ok())
        .unwrap_or_default()
}

fn take_extension(operation: &mut Operation, name: &str) -> Option<serde_json::Value> {
    let extensions = operation.extensions.as_mut()?;
    let value = extensions.remove(name);
    if extensions.is_empty() {
        operation.extensions = None;
    }
    value
}

/// Adds the header [`REVOCATION_CURSOR`] to the responses of success.
fn add_revocation_cursor(operation: &mut Operation) {
    let mut header = Header::new(RefOr::T(Schema::Object(
        ObjectBuilder::new().schema_type(Type::String).build(),
    )));
    header.description = Some(
        "A position in the revocation feed: who has followed it so far knows everything that this request has revoked"
            .to_owned(),
    );
    let answers = operation.responses.responses.iter_mut();
    for (_, answer) in answers.filter(|(status, _)| status.starts_with('2')) {
        if let RefOr::T(answer) = answer {
            let name = REVOCATION_CURSOR.to_string();
            answer.headers.insert(name, RefOr::T(header.clone()));
        }
    }
}

fn inputs_of(operation: &Operation) -> Inputs {
    let is_public = operation.security.as_ref().is_some_and(|required| {
        required
            .iter()
            .all(|requirement| *requirement == SecurityRequirement::default())
    });
    let body = operation.request_body.is_some();
    let parameters = operation.parameters.iter().flatten();
    let path = parameters.filter(|parameter| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Path,
        RefOr::Ref(_) => false,
    });
    Inputs {
        caller: !is_public,
        path: path.count() > 0,
        body,
        write: false,
        key: false,
        anything: body || operation.parameters.iter().flatten().any(can_be_invalid),
    }
}

/// Returns whether a parameter can be refused. A header of HTTP itself that cannot be read is ignored.
fn can_be_invalid(parameter: &RefOr<Parameter>) -> bool {
    const OF_HTTP: [&str; 2] = ["If-None-Match", "Accept-Encoding"];
    !matches!(parameter, RefOr::T(parameter) if OF_HTTP.contains(&&*parameter.name))
}

fn complete_operation(operation: &mut Operation, errors: Vec<ErrorAnswer>) {
    let has_caller = inputs_of(operation).caller;
    let body = operation.request_body.as_mut().and_then(inline);
    let contents = body.into_iter().flat_map(|body| body.content.values_mut());
    for content in contents.filter_map(inline) {
        // utoipa writes "X or null" for a body that may be absent, and openapi-python-client's clients then cannot
        // send the request without a body.
        if let Some(RefOr::T(Schema::OneOf(either))) = &mut content.schema {
            either.items.retain(|item| *item != RefOr::T(null()));
            content.schema = either.items.pop();
        }
    }
    let answers = &mut operation.responses.responses;
    if has_caller {
        for answer in answers.values_mut() {
            if let RefOr::T(answer) = answer {
                let header = RefOr::T(expires_in());
                answer.headers.insert(EXPIRES_IN.to_string(), header);
            }
        }
    }
    for ErrorAnswer {
        status,
        description,
        body,
    } in errors
    {
        let answer = ResponseBuilder::new().description(description);
        let answer = match body {
            Some((media_type, schema)) => answer.content(media_type, Content::new(Some(schema))),
            None => answer,
        };
        answers
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(answer.build()));
    }
}

/// Adds to a conflict that a handler declares that a retry is one too.
fn mention_retries(operation: &mut Operation, errors: Vec<ErrorAnswer>) {
    let Some(RefOr::T(conflict)) = operation.responses.responses.get_mut("409") else {
        return;
    };
    conflict.description.push_str(". Or: ");
    conflict.description.push_str(ALREADY_DONE);
    let retry = errors.into_iter().find(|error| error.status == "409");
    if conflict.content.is_empty()
        && let Some((media_type, schema)) = retry.and_then(|retry| retry.body)
    {
        let content = Content::new(Some(schema));
        conflict.content.insert(media_type.to_owned(), content.into());
    }
}

/// The description of the response to a retry.
pub(super) const ALREADY_DONE: &str =
    "A request with this `Idempotency-Key` was carried out already; nothing was done";

/// Returns what is not a reference.
fn inline<T>(part: &mut RefOr<T>) -> Option<&mut T> {
    match part {
        RefOr::T(part) => Some(part),
        RefOr::Ref(_) => None,
    }
}

fn expires_in() -> Header {
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let mut header = Header::new(RefOr::T(Schema::Object(seconds.build())));
    header.description =
        Some("The number of seconds until the request's token expires; absent: it never expires".to_owned());
    header
}

/// Returns the errors that follow from an operation's inputs, all with the same body.
pub(super) fn common_errors(
    inputs: Inputs,
    body: impl Fn() -> Option<(&'static str, RefOr<Schema>)>,
) -> Vec<ErrorAnswer> {
    let mut errors = vec![(
        "429",
        "Too many requests; `Retry-After` is the number of seconds to wait",
    )];
    if inputs.caller {
        errors.push(("401", "No credential, or the credential is not active"));
        errors.push(("403", "The caller may not do this"));
        errors.push(("503", "The server is overloaded or failed"));
    }
    if inputs.caller || inputs.body {
        errors.push(("400", "The request is malformed"));
    }
    if inputs.path {
        errors.push(("404", "No such resource, or you may not see it"));
    }
    if inputs.key {
        errors.push(("409", ALREADY_DONE));
    }
    if inputs.body {
        errors.push(("413", "The body is longer than 64 KiB"));
    }
    if inputs.body || inputs.write {
        let description =
            "The media type is not supported, or missing in a write without `Authorization: Bearer`";
        errors.push(("415", description));
    }
    let errors = errors.into_iter().map(|(status, description)| ErrorAnswer {
        status,
        description,
        body: body(),
    });
    errors.collect()
}

/// Returns a JSON body by the name of its schema.
pub(super) fn body_named(
    media_type: &'static str,
    schema: &'static str,
) -> Option<(&'static str, RefOr<Schema>)> {
    Some((media_type, RefOr::Ref(Ref::from_schema_name(schema))))
}
