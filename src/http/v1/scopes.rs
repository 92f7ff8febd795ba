//! `/scopes`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;
use crate::http::caller::{Authenticated, Caller};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(scopes))
}

/// What tokens can be made for.
#[derive(Debug, Serialize, ToSchema)]
struct Catalogue {
    /// Every scope there is.
    scopes: Vec<ScopeInfo>,
    /// Named bundles of scopes.
    presets: Vec<Preset>,
}

/// A scope.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Scope)]
struct ScopeInfo {
    /// Resource and action.
    #[schema(example = "projects:read")]
    name: String,
    /// Whether it is for the authority itself; such a scope is only ever granted by name.
    management: bool,
}

/// A named bundle of scopes.
#[derive(Debug, Serialize, ToSchema)]
struct Preset {
    #[schema(example = "content_management")]
    name: String,
    #[schema(example = json!(["projects:read", "content:write"]))]
    scopes: Vec<String>,
}

/// The scopes and presets that exist
#[utoipa::path(get, path = "/api/v1/scopes", tag = "tokens", operation_id = "list_scopes",
    responses((status = OK, description = "The catalogue", body = Catalogue)))]
async fn scopes(_: Caller<Authenticated>, State(app): State<Arc<App>>) -> Json<Catalogue> {
    let catalogue = &app.authority.settings().catalogue;
    Json(Catalogue {
        scopes: catalogue
            .scopes()
            .iter()
            .map(|scope| ScopeInfo {
                name: scope.to_string(),
                management: scope.management().is_some(),
            })
            .collect(),
        presets: catalogue
            .presets()
            .iter()
            .map(|preset| Preset {
                name: preset.name().to_string(),
                scopes: preset.scopes().iter().map(ToString::to_string).collect(),
            })
            .collect(),
    })
}
