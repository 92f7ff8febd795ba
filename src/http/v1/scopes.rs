//! Scopes and presets: `/scopes`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::http::App;
use crate::http::caller::{Authenticated, Caller};
use jeton_core::token::Label;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(scopes))
}

/// The scopes and presets of this deployment.
#[derive(Debug, Serialize, ToSchema)]
struct Catalogue {
    /// All scopes.
    scopes: Vec<ScopeInfo>,
    /// All presets.
    presets: Vec<Preset>,
}

/// A scope.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Scope)]
struct ScopeInfo {
    /// The scope, as `resource:action`.
    #[schema(example = "projects:read")]
    name: String,
    /// Whether this is a management scope, which gives access to this API. Management scopes are granted only by
    /// name, never by a preset or a default.
    management: bool,
    /// What it allows, in a few words; `null`: the configuration has no title.
    #[schema(required = true, example = "Read projects")]
    title: Option<String>,
    /// What it allows, in a sentence or two; `null`: the configuration has no description.
    #[schema(required = true)]
    description: Option<String>,
}

/// A preset: a named set of scopes.
#[derive(Debug, Serialize, ToSchema)]
struct Preset {
    /// The name.
    #[schema(example = "content_management")]
    name: String,
    /// The scopes.
    #[schema(example = json!(["projects:read", "content:write"]))]
    scopes: Vec<String>,
    /// What it is for, in a few words; `null`: the configuration has no title.
    #[schema(required = true, example = "Manage content")]
    title: Option<String>,
    /// What it is for, in a sentence or two; `null`: the configuration has no description.
    #[schema(required = true)]
    description: Option<String>,
}

/// List scopes and presets
///
/// Lists the scopes and presets that exist in this deployment, with what people are told of them.
#[utoipa::path(get, path = "/api/v1/scopes", tag = "tokens", operation_id = "list_scopes",
    responses((status = OK, description = "The scopes and presets", body = Catalogue)))]
async fn scopes(_: Caller<Authenticated>, State(app): State<Arc<App>>) -> Json<Catalogue> {
    let catalogue = &app.authority.settings().catalogue;
    Json(Catalogue {
        scopes: catalogue
            .scopes()
            .iter()
            .map(|scope| {
                let Label { title, description } = catalogue.label(scope);
                ScopeInfo {
                    name: scope.to_string(),
                    management: scope.management().is_some(),
                    title: title.map(Into::into),
                    description: description.map(Into::into),
                }
            })
            .collect(),
        presets: catalogue
            .presets()
            .iter()
            .map(|preset| {
                let Label { title, description } = preset.label().clone();
                Preset {
                    name: preset.name().to_string(),
                    scopes: preset.scopes().iter().map(ToString::to_string).collect(),
                    title: title.map(Into::into),
                    description: description.map(Into::into),
                }
            })
            .collect(),
    })
}
