//! The teams of an organization: `/organizations/{organization}/teams`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;

use crate::http::caller::{Caller, Once, OrganizationsRead, OrganizationsWrite};
use crate::http::dialects::terraform::document::{Document, Including, JsonApi, ListDocument};
use crate::http::dialects::terraform::page::{PageForm, Paged};
use crate::http::dialects::terraform::path::OrganizationPath;
use crate::http::dialects::terraform::teams::resource::TeamResource;
use crate::http::dialects::terraform::teams::{IncludeForm, NewTeam, Related};
use crate::http::input::{Form, Input};
use crate::http::{App, Failure};
use jeton_core::directory::Name;
use jeton_store::{Found, Search};

/// Filters of the list.
#[derive(Debug, Form)]
#[form(query)]
pub(super) struct FilterForm {
    /// Only teams whose name contains this text, ignoring the case of ASCII letters.
    #[form(length(max = 255))]
    q: Option<String>,
    /// Only teams with one of these names, separated by commas. The parameter can be repeated.
    #[form(name = "filter[names]", length(max = 100))]
    names: Option<Vec<String>>,
}

impl FilterForm {
    fn search(&self, page: PageForm) -> Search {
        let text = self.q.as_deref().map(Name::canonical_form);
        let names = self.names.as_ref().map(|names| {
            let names = names.iter().flat_map(|names| names.split(','));
            names.map(|name| Name::canonical_form(name.trim())).collect()
        });
        page.search(text, names)
    }
}

/// Filters and included resources of the list.
#[derive(Debug, Form)]
#[form(query)]
pub(super) struct ListForm {
    #[form(flatten)]
    filter: FilterForm,
    #[form(flatten)]
    include: IncludeForm,
}

/// List teams
///
/// Lists the teams of the organization, sorted by name.
#[utoipa::path(get, path = "/api/v2/organizations/{organization}/teams", tag = "teams", operation_id = "list_teams",
    params(OrganizationPath, FilterForm, IncludeForm, PageForm),
    responses((status = OK, description = "A page of the list",
                  body = Including<ListDocument<TeamResource>, Related>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    uri: Uri,
    Input { path, query, .. }: Input<OrganizationPath, Paged<ListForm>>,
) -> Result<JsonApi<Including<ListDocument<TeamResource>, Related>>, Failure> {
    let Paged { filter, page } = query;
    let ListForm { filter, include } = filter;
    let Found { items, total } = app
        .authority
        .find_teams(&caller, &path.organization, filter.search(page))
        .await?;
    let (mut teams, mut members) = (Vec::new(), Vec::new());
    for team in items {
        let (team, those) = TeamResource::of(&app, &caller, team).await?;
        teams.push(team);
        members.extend(those);
    }
    let base = app.authority.issuer();
    let document = ListDocument::of(teams, page, total, base, &uri);
    Ok(JsonApi(include.document(document, members)))
}

/// Create a team
///
/// The response has the status 200, as Terraform's clients expect.
#[utoipa::path(post, path = "/api/v2/organizations/{organization}/teams", tag = "teams", operation_id = "create_team",
    params(OrganizationPath),
    request_body(content = NewTeam, content_type = "application/vnd.api+json",
        example = json!({"data": {"type": "teams", "attributes": {"name": "runners"}}})),
    responses((status = OK, description = "The team", body = Document<TeamResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn create(
    caller: Caller<Once<OrganizationsWrite>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<OrganizationPath, (), NewTeam>,
) -> Result<JsonApi<Document<TeamResource>>, Failure> {
    let name = body.data.attributes.name;
    let team = app
        .authority
        .create_team(&caller, &path.organization, &name)
        .await?;
    let (data, _) = TeamResource::of(&app, &caller, team).await?;
    Ok(JsonApi(Document { data }))
}
