//! What the document of the API says beside its operations, and what holds for all of them.

use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContactBuilder, Content, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Response, ResponseBuilder, tag::TagBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::http::input::{Violation, Violations};
use crate::http::oauth::{self, OAuthError};
use crate::http::v1::Problem;

const DESCRIPTION: &str = "\
Signs API tokens as JWTs, keeps their metadata, takes them back, and publishes what services need to \
verify them without asking.

**Try it here:** call `POST /api/v1/login` with your e-mail and password, copy `token` from the answer \
into *Authorize* (`bearer`), then call `POST /api/v1/tokens` as it stands.

Times are UTC, as `2026-01-02T03:04:05.678Z`. Wrong fields are answered with 422, all of them at once; \
every other error is `{\"detail\", \"code\"}`, where `code` never changes. Below `/oauth/`, which RFCs \
define, an error is `{\"error\", \"error_description\"}`.";

const TAGS: [(&str, &str); 8] = [
    ("session", "Logging in and out, and who you are"),
    ("tokens", "Issuing, finding, describing and revoking tokens"),
    ("organizations", "The tenants and their members"),
    ("teams", "Groups in an organization"),
    ("projects", "What a token can be restricted to"),
    ("people", "Those who log in; for site administrators"),
    ("verification", "What a service needs that receives tokens"),
    ("operations", "For whoever runs the server"),
];

/// The document before any operation is in it.
pub(super) fn preface() -> OpenApi {
    let info = InfoBuilder::new()
        .title("jeton")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .contact(Some(
            ContactBuilder::new().name(Some("the jeton authors")).build(),
        ))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build()));
    let tags = TAGS.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build());
    let mut components = Components::new();
    let scheme = |kind, about: &str| {
        let mut http = Http::new(kind);
        http.description = Some(about.to_owned());
        SecurityScheme::Http(http)
    };
    let bearer = scheme(
        HttpAuthScheme::Bearer,
        "A session from `POST /api/v1/login`, or an API token",
    );
    components.add_security_scheme("bearer", bearer);
    let basic = scheme(
        HttpAuthScheme::Basic,
        "The same token as username with an empty password, or as password with any username",
    );
    components.add_security_scheme("basic", basic);
    for (name, schema) in [
        (Violation::name(), Violation::schema()),
        (Violations::name(), Violations::schema()),
        (Problem::name(), Problem::schema()),
        (OAuthError::name(), OAuthError::schema()),
    ] {
        components.schemas.insert(name.into_owned(), schema);
    }
    let no_scopes = Vec::<String>::new;
    OpenApiBuilder::new()
        .info(info.build())
        .tags(Some(tags))
        .components(Some(components))
        .security(Some([
            SecurityRequirement::new("bearer", no_scopes()),
            SecurityRequirement::new("basic", no_scopes()),
        ]))
        .build()
}

/// Adds to every operation the errors that follow from what it takes: one place for what would
/// otherwise be repeated, and forgotten, at each handler.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let form = if path.starts_with(oauth::ROOT) {
            ErrorForm::OAuth
        } else {
            ErrorForm::Native
        };
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            complete_operation(operation, Some(form));
        }
        if let Some(operation) = &mut item.head {
            complete_operation(operation, None);
        }
    }
    document
}

/// How a surface says what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorForm {
    Native,
    OAuth,
}

/// `form` is `None` for an answer without a body.
fn complete_operation(operation: &mut Operation, form: Option<ErrorForm>) {
    let is_public = operation.security.as_ref().is_some_and(|required| {
        required
            .iter()
            .all(|requirement| *requirement == SecurityRequirement::default())
    });
    let takes_body = operation.request_body.is_some();
    let mut takes_path = false;
    let mut takes_anything = takes_body;
    for parameter in operation.parameters.iter().flatten() {
        if let RefOr::T(parameter) = parameter {
            takes_path |= parameter.parameter_in == ParameterIn::Path;
        }
        takes_anything = true;
    }
    let mut errors = vec![("429", "Too many requests; `Retry-After` says when to come back")];
    if !is_public {
        errors.push(("401", "No credential, or one that is not active"));
        errors.push(("403", "The caller may see this, and may not do it"));
        errors.push(("503", "Something that must work does not, or is too busy"));
    }
    if !is_public || takes_body {
        errors.push(("400", "The request cannot be read"));
    }
    if takes_path {
        errors.push((
            "404",
            "It does not exist, or the caller may not know that it does",
        ));
    }
    if takes_body {
        errors.push(("413", "The body is longer than 64 KiB"));
        errors.push(("415", "The body is of another media type"));
    }
    let schema = form.map(|form| match form {
        ErrorForm::Native => "Problem",
        ErrorForm::OAuth => "OAuthError",
    });
    let mut errors: Vec<_> = errors
        .into_iter()
        .map(|(status, description)| (status, description, schema))
        .collect();
    // Where OAuth says 400 for a wrong field as for a request that cannot be read.
    if form == Some(ErrorForm::Native) && (takes_anything && !is_public || takes_body) {
        errors.push((
            "422",
            "Some fields are wrong: all of them, in their order",
            Some("HTTPValidationError"),
        ));
    }
    for (status, description, schema) in errors {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(error(description, schema)));
    }
}

fn error(description: &str, schema: Option<&str>) -> Response {
    let response = ResponseBuilder::new().description(description);
    match schema {
        Some(schema) => response.content(
            "application/json",
            Content::new(Some(RefOr::Ref(Ref::from_schema_name(schema)))),
        ),
        None => response,
    }
    .build()
}
