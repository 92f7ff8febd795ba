//! Service discovery.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::http::caller::Anyone;
use crate::http::{App, no_content};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(services))
        .routes(routes!(ping))
}

/// The URLs of the services. Terraform's clients do not start without the first two; modules are not
/// supported.
#[derive(Debug, Serialize, ToSchema)]
struct Services {
    #[serde(rename = "modules.v1")]
    #[schema(example = "/api/registry/v1/modules/")]
    modules: &'static str,
    #[serde(rename = "tfe.v2")]
    #[schema(example = "/api/v2/")]
    api: &'static str,
    #[serde(rename = "tfe.v2.1")]
    #[schema(example = "/api/v2/")]
    api_1: &'static str,
    #[serde(rename = "tfe.v2.2")]
    #[schema(example = "/api/v2/")]
    api_2: &'static str,
}

/// Get the service URLs
#[utoipa::path(get, path = "/.well-known/terraform.json", tag = "start", operation_id = "discover_services",
    security(()), responses((status = OK, description = "The service URLs", body = Services)))]
async fn services(_: Anyone) -> Json<Services> {
    const API: &str = "/api/v2/";
    Json(Services {
        modules: "/api/registry/v1/modules/",
        api: API,
        api_1: API,
        api_2: API,
    })
}

/// Check that the API answers
///
/// The response headers contain the API version and the remaining rate limit.
#[utoipa::path(get, path = "/api/v2/ping", tag = "start", operation_id = "ping", security(()),
    responses((status = NO_CONTENT, description = "The API answers")))]
async fn ping(_: Anyone) -> impl IntoResponse {
    no_content()
}
