//! Projects: `/organizations/{organization}/projects`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::authority::{Change, Error};
use crate::http::caller::{Caller, Once, OrganizationsRead, OrganizationsWrite};
use crate::http::domain_types;
use crate::http::input::{Form, Input};
use crate::http::v1::organizations::OrganizationPath;
use crate::http::v1::page::{Items, SliceForm};
use crate::http::v1::preview::{self, DryRunForm, PreviewInfo};
use crate::http::v1::render::Problem;
use crate::http::{App, Failure, no_content};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Name, OrganizationReference, Project};
use jeton_store::Slice;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(remove))
}

/// The project.
#[derive(Debug, Form)]
#[form(path)]
struct ProjectPath {
    /// The organization's name or id.
    #[form(example = "default")]
    organization: OrganizationReference,
    /// The project's number.
    #[form(range(min = 1, max = 2_147_483_647), example = 1)]
    id: i64,
}

/// A project to create.
#[derive(Debug, Form)]
#[form(body, name = "CreateProject", unknown = Forbidden)]
pub(crate) struct CreateForm {
    /// The name: 1 to 90 letters, digits and `.`, `_`, `*`, `-`, beginning with a letter or digit. Unique in the
    /// organization, ignoring case.
    #[form(example = "website")]
    name: Name,
}

/// A project.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
struct ProjectInfo {
    /// The project's number. It is never reused.
    #[schema(minimum = 1, maximum = 2_147_483_647, example = 1)]
    id: u32,
    /// The name.
    #[schema(example = "website")]
    name: String,
    /// The id of the project's organization.
    organization: Uuid,
    /// When the project was created.
    #[schema(value_type = domain_types::Instant)]
    created_at: Timestamp,
}

impl From<Project> for ProjectInfo {
    fn from(project: Project) -> Self {
        let Project {
            id,
            name,
            organization,
            created_at,
        } = project;
        Self {
            id,
            name: name.to_string(),
            organization: organization.0,
            created_at,
        }
    }
}

/// Create a project
///
/// Creates a project in the organization, to which tokens can be restricted.
#[utoipa::path(post, path = "/api/v1/organizations/{organization}/projects", tag = "projects", operation_id = "create_project",
    params(OrganizationPath), request_body = CreateForm,
    responses((status = CREATED, description = "The project", body = ProjectInfo,
                  headers(("Location" = String, description = "The URL of the resource"))),
              (status = CONFLICT, description = "Another project of the organization has this name", body = Problem, example = json!(["name_taken", "quota_reached:projects"])),
              (status = FORBIDDEN, description = "Only admins of the organization may do this", body = Problem, example = json!("forbidden"))))]
async fn create(
    caller: Caller<Once<OrganizationsWrite>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<OrganizationPath, (), CreateForm>,
) -> Result<impl IntoResponse, Failure> {
    let made = app
        .authority
        .create_project(&caller, &path.organization, &body.name)
        .await?;
    let location = format!("/api/v1/organizations/{}/projects/{}", made.organization, made.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(ProjectInfo::from(made)),
    ))
}

/// List projects
///
/// Lists the projects of the organization, sorted by name.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/projects", tag = "projects", operation_id = "list_projects",
    params(OrganizationPath, SliceForm),
    responses((status = OK, description = "A page of projects, sorted by name", body = Items<ProjectInfo>)))]
async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<OrganizationPath, Slice>,
) -> Result<Json<Items<ProjectInfo>>, Failure> {
    let found = app
        .authority
        .projects(&caller, &path.organization, query.clone())
        .await?;
    Ok(Json(Items::of(
        &query,
        found,
        |project| project.name.canonical(),
        ProjectInfo::from,
    )))
}

/// Delete a project
///
/// Tokens restricted to the project stay restricted and no longer grant access to any project.
///
/// With `dry_run`, nothing is changed, and `left` in the response has the tokens that are restricted to the project.
#[utoipa::path(delete, path = "/api/v1/organizations/{organization}/projects/{id}", tag = "projects", operation_id = "delete_project",
    params(ProjectPath, DryRunForm),
    responses((status = OK, description = "What would be revoked, with `dry_run`", body = PreviewInfo),
              (status = NO_CONTENT, description = "The project is deleted"),
              (status = FORBIDDEN, description = "Only admins of the organization may do this", body = Problem, example = json!("forbidden"))))]
async fn remove(
    caller: Caller<OrganizationsWrite>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<ProjectPath, DryRunForm>,
) -> Result<Response, Failure> {
    let id = u32::try_from(path.id).map_err(|_| Error::Absent)?;
    if query.dry_run {
        return preview::answer(&app, &caller, Change::RemoveProject(&path.organization, id)).await;
    }
    app.authority
        .remove_project(&caller, &path.organization, id)
        .await?;
    Ok(no_content().into_response())
}
