//! Request authorization for reverse proxies, in front of services that verify no tokens.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::map_request;
use axum::routing::any;
use utoipa::openapi::Schema;
use utoipa_axum::router::OpenApiRouter;

use crate::authority::{Demand, Error, PresentedToken};
use crate::http::caller::{Caller, ClientOfProxy};
use crate::http::input::{Fault, Fields, Form, Input, Refused, Request, Scalar, Value, string};
use crate::http::oauth::OAuthError;
use crate::http::{App, Failure};
use jeton_core::token::Scope;

const PATH: &str = "/oauth/authorize-request";
const ROOT_APPENDED: &str = "/oauth/authorize-request/";
const PATH_APPENDED: &str = "/oauth/authorize-request/{*path}";

/// The routes that answer every method, with the id of their operation.
pub(in crate::http) const EVERY_METHOD: [(&str, &str); 3] = [
    (PATH, "authorize_request"),
    (ROOT_APPENDED, "authorize_request"),
    (PATH_APPENDED, "authorize_request"),
];

/// Some proxies keep the method of their client, and some append its path and query too, which an OpenAPI document
/// cannot express.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(authorize_request, authorize_request_head))
        .route(PATH, any(authorize_request))
        .route(ROOT_APPENDED, any(authorize_appended))
        .route(PATH_APPENDED, any(authorize_appended))
        .route_layer(map_request(as_get))
}

/// Drops method, body and media type, which are meant for the service behind the proxy and not for jeton.
async fn as_get(mut request: HttpRequest) -> HttpRequest {
    *request.method_mut() = Method::GET;
    for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING] {
        request.headers_mut().remove(name);
    }
    request.map(|_| Body::empty())
}

/// The requirements of the service.
#[derive(Debug, Form)]
// A misspelt or repeated parameter is an error: ignoring it would authorize every request.
#[form(query, repeated = Refused, unknown = Forbidden)]
pub(crate) struct DemandForm {
    /// The scopes that the token must have, separated by one space. Default: none.
    #[form(example = "projects:read content:write")]
    scope: Option<Scopes>,
    /// The audience that the token must have. Default: the configured default audience.
    #[form(length(min = 1))]
    audience: Option<String>,
}

impl Request for Demand {
    type Form = DemandForm;

    fn parse(form: DemandForm, _: &mut Fields<'_>) -> Result<Self, Refused> {
        Ok(Self {
            audience: form.audience,
            scopes: form.scope.map_or_else(Vec::new, |Scopes(scopes)| scopes),
        })
    }
}

/// Scopes in a request: at least one, separated by single spaces.
#[derive(Debug)]
pub(in crate::http) struct Scopes(pub(in crate::http) Vec<Scope>);

impl Scalar for Scopes {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        let text = value.text().ok_or(Fault::StringType)?;
        let scopes: Result<_, _> = text.split(' ').map(str::parse).collect();
        scopes.map(Self).map_err(|error| Fault::Value {
            error: format!("each scope {error}"),
        })
    }

    fn schema() -> Schema {
        string().into()
    }
}

/// The header value for an absent claim. A proxy would pass on the client's own header in place of an
/// empty or absent one.
const NONE: HeaderValue = HeaderValue::from_static("-");

/// The header value for a token restricted to projects that no longer exist: the opposite of [`NONE`].
const NO_PROJECT: &str = "none";

const SUBJECT: HeaderName = HeaderName::from_static("x-jeton-subject");
const ORGANIZATION: HeaderName = HeaderName::from_static("x-jeton-organization");
const TEAM: HeaderName = HeaderName::from_static("x-jeton-team");
const SCOPES: HeaderName = HeaderName::from_static("x-jeton-scopes");
const PROJECTS: HeaderName = HeaderName::from_static("x-jeton-projects");
const TOKEN_ID: HeaderName = HeaderName::from_static("x-jeton-token-id");
const JTI: HeaderName = HeaderName::from_static("x-jeton-jti");

/// The response headers that describe the token.
type About = [(HeaderName, HeaderValue); 7];

/// Authorize a request
///
/// Checks the API token of a proxied request: 200 lets the request through, 401 and 403 refuse it. It is made for
/// the subrequest of a reverse proxy (nginx `auth_request`, Caddy `forward_auth`, Traefik ForwardAuth), which
/// forwards the `Authorization` header of its client. The `X-Jeton-…` response headers identify the token and are
/// always present. The proxy must remove headers of these names from its client's request. Sessions are refused.
///
/// Any other method gets the same answer, and so does any path below this one, for proxies that keep the method of
/// their client or append its path (Envoy and Istio `ext_authz`). The body is ignored. Below this path the query is
/// the client's and is ignored too: no scope is required, and the audience is the default audience.
#[utoipa::path(get, path = "/oauth/authorize-request", tag = "verification", operation_id = "authorize_request",
    params(DemandForm),
    responses((status = OK, description = "The token is active and has the required scopes and audience", headers(
        ("X-Jeton-Subject" = String, description = "The id of the owner that the token acts for"),
        ("X-Jeton-Organization" = String, description = "The id of the token's organization; `-`: none"),
        ("X-Jeton-Team" = String, description = "The id of the token's team; `-`: none"),
        ("X-Jeton-Scopes" = String, description = "The token's scopes, separated by spaces; `-`: none"),
        ("X-Jeton-Projects" = String, description = "The numbers of the projects that the token is restricted to, separated by spaces; `-`: not restricted; `none`: access to no project"),
        ("X-Jeton-Token-Id" = String, description = "The number of the token"),
        ("X-Jeton-Jti" = String, description = "The `jti` claim of the token"))),
              (status = FORBIDDEN, description = "The token lacks a scope of `scope`", body = OAuthError, example = json!(["projects:read", "wrong_audience"]))))]
async fn authorize_request(
    caller: Caller<ClientOfProxy>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), Demand>,
) -> Result<About, Failure> {
    app.authority.authorize_request(&caller, &query)?;
    Ok(about(caller.token())?)
}

/// Authorize a request (HEAD)
///
/// Same as `GET /oauth/authorize-request`, for a proxy that forwards the method of its client.
#[utoipa::path(head, path = "/oauth/authorize-request", tag = "verification", operation_id = "authorize_request_head",
    params(DemandForm),
    responses((status = OK, description = "The token is active and has the required scopes and audience", headers(
        ("X-Jeton-Subject" = String, description = "The id of the owner that the token acts for"),
        ("X-Jeton-Organization" = String, description = "The id of the token's organization; `-`: none"),
        ("X-Jeton-Team" = String, description = "The id of the token's team; `-`: none"),
        ("X-Jeton-Scopes" = String, description = "The token's scopes, separated by spaces; `-`: none"),
        ("X-Jeton-Projects" = String, description = "The numbers of the projects that the token is restricted to, separated by spaces; `-`: not restricted; `none`: access to no project"),
        ("X-Jeton-Token-Id" = String, description = "The number of the token"),
        ("X-Jeton-Jti" = String, description = "The `jti` claim of the token")))))]
async fn authorize_request_head(
    caller: Caller<ClientOfProxy>,
    app: State<Arc<App>>,
    input: Input<(), Demand>,
) -> Result<About, Failure> {
    authorize_request(caller, app, input).await
}

/// Authorizes a request whose proxy has appended the path and the query of its client: the client must not choose
/// what is required of its token.
async fn authorize_appended(
    caller: Caller<ClientOfProxy>,
    State(app): State<Arc<App>>,
) -> Result<About, Failure> {
    app.authority.authorize_request(&caller, &Demand::default())?;
    Ok(about(caller.token())?)
}

fn about(token: &PresentedToken) -> Result<About, Error> {
    let owner = token.owner();
    let scopes = (!token.scopes().is_empty()).then(|| token.scopes().join(" "));
    let projects = token.projects().map(|projects| match projects {
        [] => NO_PROJECT.to_owned(),
        some => some.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
    });
    let organization = owner.organization().map(|organization| organization.to_string());
    Ok([
        (SUBJECT, value(Some(token.subject().to_owned()))?),
        (ORGANIZATION, value(organization)?),
        (TEAM, value(owner.team().map(ToString::to_string))?),
        (SCOPES, value(scopes)?),
        (PROJECTS, value(projects)?),
        (TOKEN_ID, value(Some(token.id().to_string()))?),
        (JTI, value(Some(token.jti().to_string()))?),
    ])
}

fn value(text: Option<String>) -> Result<HeaderValue, Error> {
    // Ids and scopes contain only characters valid in headers. If one did not, the request would be
    // refused.
    text.map_or(Ok(NONE), HeaderValue::try_from)
        .map_err(|error| Error::Unavailable(Box::new(error)))
}
