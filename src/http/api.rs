//! The APIs of the server, and which of them a request belongs to.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::http::openapi::{self, ErrorAnswer, Inputs};
use crate::http::requests::Operations;
use crate::http::{App, Failure, rate_limit, rendered_by};

/// An API: a set of paths with one format of bodies and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Jeton's native API, also for paths that belong to no other API.
    Native,
    /// The RFC endpoints for services that receive tokens.
    OAuth,
    /// CAVE's.
    Cave,
    /// Terraform's.
    Terraform,
    /// QuantCDN's.
    Quant,
    /// The pages of the console.
    Console,
}

impl Api {
    /// Returns the name of the API in metrics and in the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::OAuth => "oauth",
            Self::Cave => "cave",
            Self::Terraform => "terraform",
            Self::Quant => "quant",
            Self::Console => "console",
        }
    }

    /// Returns the API of a request by its path. QuantCDN and Terraform both have organizations below
    /// `/api/v2`; there the media type decides, but for methods that only Terraform has.
    pub fn of<B>(request: &Request<B>) -> Self {
        let path = request.uri().path();
        if path == "/.well-known/terraform.json" {
            return Self::Terraform;
        }
        let mut segments = path.split('/').skip(1);
        match [(); 5].map(|()| segments.next()) {
            [
                Some("api"),
                Some("v2"),
                Some("organizations"),
                Some(_),
                Some("tokens"),
            ] => Self::Quant,
            [Some("api"), Some("v2"), Some("organizations"), id, None]
                if !speaks_json_api(request.headers())
                    && !is_write_of_terraform(request.method(), id.is_some()) =>
            {
                Self::Quant
            }
            [Some("api"), Some("v2"), ..] => Self::Terraform,
            [Some("oauth"), ..] => Self::OAuth,
            [Some("console"), ..] => Self::Console,
            [Some("users" | "organizations"), ..] => Self::Cave,
            _ => Self::Native,
        }
    }
}

/// Returns whether Terraform has this method for one organization or the list of them. QuantCDN only reads both.
fn is_write_of_terraform(method: &Method, is_one: bool) -> bool {
    match is_one {
        true => [Method::PATCH, Method::DELETE].contains(method),
        false => method == Method::POST,
    }
}

/// Returns whether the client accepts or sends JSON:API documents. Some clients set only one of the two
/// headers.
fn speaks_json_api(headers: &HeaderMap) -> bool {
    [header::ACCEPT, header::CONTENT_TYPE].iter().any(|name| {
        let mut values = headers.get_all(name).iter();
        values.any(|value| {
            value
                .to_str()
                .is_ok_and(|text| text.to_ascii_lowercase().contains("vnd.api+json"))
        })
    })
}

/// The OpenAPI document of an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Document {
    /// Jeton's own API with the RFC endpoints
    Native,
    /// The API for CAVE's clients
    Cave,
    /// The API for Terraform's clients
    Terraform,
    /// The part of jeton's own API that DayZero's clients use
    #[value(name = "dayzero")]
    DayZero,
    /// The API for QuantCDN's clients
    Quant,
}

impl Document {
    /// All documents, in the order in which the API reference offers them.
    pub const ALL: [Self; 5] = [
        Self::Native,
        Self::Cave,
        Self::Terraform,
        Self::DayZero,
        Self::Quant,
    ];

    /// Returns the path that serves the document.
    pub const fn path(self) -> &'static str {
        self.path_from_docs().split_at("..".len()).1
    }

    /// Returns the path relative to the API reference, which a proxy may serve below a path of its own.
    pub const fn path_from_docs(self) -> &'static str {
        match self {
            Self::Native => "../openapi.json",
            Self::Cave => "../openapi/cave.json",
            Self::Terraform => "../openapi/terraform.json",
            Self::DayZero => "../openapi/dayzero.json",
            Self::Quant => "../openapi/quant.json",
        }
    }

    /// Returns the title in the API reference's selection.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Native => "jeton",
            Self::Cave => "CAVE",
            Self::Terraform => "Terraform",
            Self::DayZero => "DayZero",
            Self::Quant => "QuantCDN",
        }
    }
}

/// An API to serve: its routes, its OpenAPI document and its error format.
pub(super) struct Surface {
    api: Api,
    routes: Router<Arc<App>>,
    /// The OpenAPI document, incomplete.
    document: OpenApi,
    errors: fn(Inputs) -> Vec<ErrorAnswer>,
    render: fn(&Failure) -> Response,
    around: fn(Router) -> Router,
    /// The routes that answer every method, each with the id of its operation.
    everywhere: &'static [(&'static str, &'static str)],
}

impl Surface {
    /// Creates an API.
    pub(super) fn new(
        api: Api,
        routes: OpenApiRouter<Arc<App>>,
        errors: fn(Inputs) -> Vec<ErrorAnswer>,
        render: fn(&Failure) -> Response,
    ) -> Self {
        let (routes, document) = routes.split_for_parts();
        Self {
            api,
            routes,
            document,
            errors,
            render,
            around: |router| router,
            everywhere: &[],
        }
    }

    /// Returns the OpenAPI document, with the errors that follow from each operation's inputs, and their examples.
    pub(super) fn into_document(self) -> OpenApi {
        openapi::complete(self.document, self.errors, self.render)
    }

    /// Adds a layer around all responses, including errors.
    pub(super) fn with_layer(mut self, around: fn(Router) -> Router) -> Self {
        self.around = around;
        self
    }

    /// Names the routes that answer every method, each with the id of its operation.
    pub(super) fn with_every_method(mut self, routes: &'static [(&'static str, &'static str)]) -> Self {
        self.everywhere = routes;
        self
    }

    /// Adds routes that the OpenAPI document does not list.
    pub(super) fn with_routes(mut self, routes: Router<Arc<App>>) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// Returns the complete router, and its operations. Unknown paths and methods are answered in this API's error
    /// format too.
    pub(super) fn into_router(self, app: &Arc<App>) -> (Router, Operations) {
        let operations = Operations::new(self.api, &self.document, self.everywhere, &app.requests);
        let routes = self
            .routes
            .fallback(async || Failure::NoRoute)
            .method_not_allowed_fallback(async || Failure::NoMethod);
        let router = rendered_by(
            rate_limit::limited(routes, app).with_state(Arc::clone(app)),
            self.render,
        );
        ((self.around)(router), operations)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn of(path: &str, headers: &[(&str, &str)]) -> Api {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| {
            request.header(*name, *value)
        });
        Api::of(&request.body(()).unwrap())
    }

    #[test]
    fn the_path_says_which_api_a_request_is_for() {
        for (path, api) in [
            ("/", Api::Native),
            ("/api/v1/tokens", Api::Native),
            ("/api/v1/organizations/acme/tokens", Api::Native),
            ("/docs/", Api::Native),
            ("/openapi/cave.json", Api::Native),
            ("/.well-known/jwks.json", Api::Native),
            ("/console", Api::Console),
            ("/console/o/acme/tokens?q=ci", Api::Console),
            ("/consoles", Api::Native),
            ("/usersandmore", Api::Native),
            ("/api", Api::Native),
            ("/oauth/introspect", Api::OAuth),
            ("/oauth/unheard-of", Api::OAuth),
            ("/users/login", Api::Cave),
            ("/organizations/acme/tokens", Api::Cave),
            ("/organizations", Api::Cave),
            ("/.well-known/terraform.json", Api::Terraform),
            ("/api/v2/ping", Api::Terraform),
            (
                "/api/v2/teams/team-Hn5Lq9BcX1dF7gJk/authentication-token",
                Api::Terraform,
            ),
            ("/api/v2/organizations/acme/team-tokens", Api::Terraform),
            ("/api/v2/organizations/acme/tokens", Api::Quant),
            ("/api/v2/organizations/acme/tokens/7?x=1", Api::Quant),
        ] {
            assert_eq!(of(path, &[]), api, "{path}");
        }
    }

    #[test]
    fn where_two_systems_have_the_same_path_the_media_type_says_it() {
        let json_api = "application/vnd.api+json";
        for path in ["/api/v2/organizations", "/api/v2/organizations/acme?include=x"] {
            for (headers, api) in [
                (&[][..], Api::Quant),
                (&[("accept", "application/json")], Api::Quant),
                (&[("accept", json_api)], Api::Terraform),
                (
                    &[("accept", "application/json, application/VND.API+JSON")],
                    Api::Terraform,
                ),
                (&[("accept", "*/*"), ("content-type", json_api)], Api::Terraform),
            ] {
                assert_eq!(of(path, headers), api, "{path} {headers:?}");
            }
        }
    }

    #[test]
    fn a_method_that_one_of_two_systems_has_says_it_without_a_media_type() {
        let (list, one) = ("/api/v2/organizations", "/api/v2/organizations/acme?include=x");
        for (method, path, api) in [
            (Method::POST, list, Api::Terraform),
            (Method::PATCH, one, Api::Terraform),
            (Method::DELETE, one, Api::Terraform),
            (Method::HEAD, list, Api::Quant),
            (Method::PUT, list, Api::Quant),
            (Method::DELETE, list, Api::Quant),
            (Method::POST, one, Api::Quant),
            (Method::DELETE, "/api/v2/organizations/acme/tokens", Api::Quant),
        ] {
            let request = Request::builder().method(&method).uri(path);
            assert_eq!(Api::of(&request.body(()).unwrap()), api, "{method} {path}");
        }
    }
}
