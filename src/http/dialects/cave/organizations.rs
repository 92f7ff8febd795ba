//! Organizations: `/organizations`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Schema;
use utoipa_axum::router::OpenApiRouter;

use super::input::{Body, CaveInput};
use super::render::Refusal;
use super::tokens::{self, PathOwner, TokenInfo};
use super::{JSON, json, url_below};
use crate::authority::{self, ChangeOrganization, Error, ExistingTokens, ItsTeams, OrganizationRemoved, Run};
use crate::authority::{OrganizationChanges, PolicyChanges};
use crate::http::caller::{Caller, LoggedIn, Once, OrganizationsRead, OrganizationsWrite, TokensRead};
use crate::http::input::{Fault, Form, Input, Scalar, Value};
use crate::http::v1::OrganizationPath;
use crate::http::{App, all_pages, no_content, streamed};
use jeton_core::directory::{Contact, Name, NotificationUrl, Organization};
use jeton_core::token::OwnerKind;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(show, change, delete))
}

/// Returns CAVE's limits on its own organizations: a maximum number of tokens per owner, of which the
/// last one is kept. As the new organization's policy they apply to all APIs and can be changed.
fn policy() -> PolicyChanges {
    PolicyChanges {
        max_active_tokens_per_owner: Some(Some(3)),
        keep_last_token: Some(true),
        ..PolicyChanges::default()
    }
}

/// A field that is empty if unknown, in requests too, so that clients can send back what they received.
#[derive(Debug)]
struct EmptyIfUnknown<T>(Option<T>);

impl<T: Into<String>> EmptyIfUnknown<T> {
    fn text(self) -> Option<String> {
        self.0.map(T::into)
    }
}

impl<T: Scalar> Scalar for EmptyIfUnknown<T> {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        match value.text() {
            Some("") => Ok(Self(None)),
            _ => T::read(value).map(Some).map(Self),
        }
    }

    fn schema() -> Schema {
        T::schema()
    }
}

/// An organization to create.
#[derive(Debug, Form)]
#[form(body, name = "CreateOrganization")]
struct CreateForm {
    /// The name: 1 to 90 letters, digits and `.`, `_`, `*`, `-`, beginning with a letter or digit.
    /// Unique, ignoring case.
    #[form(example = "acme")]
    name: String,
    /// A contact e-mail address.
    #[form(example = "ops@example.com")]
    email: EmptyIfUnknown<Contact>,
    /// A URL for notifications, `http` or `https`.
    #[form(example = "https://example.com/notify")]
    notification_url: EmptyIfUnknown<NotificationUrl>,
}

impl Body for CreateForm {
    const UNREADABLE: &'static str = "Cannot parse JSON as Organization.";
}

const NOTHING_TO_CHANGE: &str = "No fields specified for update.";

/// Changes to an organization. An absent field stays unchanged.
#[derive(Debug, Form)]
#[form(body, name = "ChangeOrganization", example = json!({"email": "ops@example.com"}))]
struct ChangeForm {
    /// A contact e-mail address.
    email: Option<EmptyIfUnknown<Contact>>,
    /// A URL for notifications, `http` or `https`.
    notification_url: Option<EmptyIfUnknown<NotificationUrl>>,
}

impl Body for ChangeForm {
    const UNREADABLE: &'static str = "Cannot parse JSON as Organization.";
}

/// An organization.
#[derive(Serialize, ToSchema)]
#[schema(as = Organization)]
struct OrganizationInfo {
    #[schema(example = "acme")]
    name: String,
    /// The contact e-mail address; empty if unknown.
    #[schema(example = "ops@example.com")]
    email: String,
    /// The URL for notifications; empty if unknown.
    #[schema(example = "https://example.com/notify")]
    notification_url: String,
    /// The organization's own active tokens, without those of its teams. Empty unless the caller
    /// manages them.
    tokens: Vec<TokenInfo>,
}

impl OrganizationInfo {
    fn of(organization: Organization, tokens: Vec<TokenInfo>) -> Self {
        Self {
            name: organization.name.to_string(),
            email: organization.email.unwrap_or_default(),
            notification_url: organization.notification_url.unwrap_or_default(),
            tokens,
        }
    }
}

/// Create an organization
///
/// The caller becomes its admin. Its policy allows an owner at most three active tokens, of which the
/// last one cannot be deleted. It gets a token with the description `default`, which only this response
/// shows. Needs a session.
#[utoipa::path(post, path = "/organizations", tag = "organizations", operation_id = "create_organization",
    request_body = CreateForm,
    responses((status = CREATED, description = "The organization, with its first token, shown only once", body = OrganizationInfo,
                  headers(("Location" = String, description = "The URL of the resource"))),
              (status = BAD_REQUEST, description = "`Cannot parse JSON as Organization.`, `Invalid organization name X.`, or the request cannot be read", body = String, content_type = "text/plain",
                  examples(("invalid" = (value = json!(CreateForm::UNREADABLE))))),
              (status = CONFLICT, description = "`Organization 'X' already exists.`", body = String, content_type = "text/plain", example = json!("Organization 'acme' already exists."))))]
async fn create(
    caller: Caller<Once<LoggedIn>>,
    State(app): State<Arc<App>>,
    uri: Uri,
    CaveInput { body, .. }: CaveInput<(), CreateForm>,
) -> Result<Response, Refusal> {
    let CreateForm {
        name,
        email,
        notification_url,
    } = body;
    let named = name.parse::<Name>();
    let valid = named.map_err(|_| Refusal::bad_request(format!("Invalid organization name {name}.")))?;
    let details = OrganizationChanges {
        name: None,
        email: Some(email.text()),
        notification_url: Some(notification_url.text()),
        policy: Some(policy()),
    };
    let made = app.authority.create_organization(&caller, &valid, &details).await;
    let made = made.map_err(|error| Refusal::of_creation(error, "Organization", &name))?;
    let place = PathOwner {
        organization: made.id.into(),
        team: None,
    };
    let token = tokens::issue(&app, &caller.without_key(), place, "default".into()).await?;
    let location = [(header::LOCATION, url_below(&app, &uri, &made.name))];
    let body = json(OrganizationInfo::of(made, vec![TokenInfo::with_secret(&token)]));
    Ok((StatusCode::CREATED, location, body).into_response())
}

/// Get an organization
///
/// For all members of the organization. Only admins see its tokens.
#[utoipa::path(get, path = "/organizations/{organization}", tag = "organizations", operation_id = "get_organization",
    params(OrganizationPath),
    responses((status = OK, description = "The organization", body = OrganizationInfo,
                  headers(("Location" = String, description = "The URL of the resource")))))]
async fn show(
    caller: Caller<(OrganizationsRead, TokensRead)>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Response, Refusal> {
    let organization = app.authority.organization(&caller, &path.organization).await?;
    let location = url_below(&app, &Uri::from_static("/organizations"), &organization.name);
    let shown = shown(app, &caller, organization).await?;
    Ok(([(header::LOCATION, location)], shown).into_response())
}

/// Update an organization
///
/// Only for admins of the organization.
#[utoipa::path(patch, path = "/organizations/{organization}", tag = "organizations", operation_id = "change_organization",
    params(OrganizationPath), request_body = ChangeForm,
    responses((status = OK, description = "The updated organization", body = OrganizationInfo),
              (status = BAD_REQUEST, description = "`No fields specified for update.`, `Cannot parse JSON as Organization.`, or the request cannot be read", body = String, content_type = "text/plain",
                  examples(("invalid" = (value = json!(ChangeForm::UNREADABLE))), ("nothing_to_change" = (value = json!(NOTHING_TO_CHANGE)))))))]
async fn change(
    caller: Caller<(OrganizationsWrite, TokensRead)>,
    State(app): State<Arc<App>>,
    CaveInput { path, body }: CaveInput<OrganizationPath, ChangeForm>,
) -> Result<Response, Refusal> {
    let changes = OrganizationChanges {
        name: None,
        email: body.email.map(EmptyIfUnknown::text),
        notification_url: body.notification_url.map(EmptyIfUnknown::text),
        policy: None,
    };
    if changes == OrganizationChanges::default() {
        return Err(Refusal::bad_request(NOTHING_TO_CHANGE));
    }
    let order = ChangeOrganization {
        changes,
        existing: ExistingTokens::Keep,
        run: Run::Earnest,
    };
    let changed = app
        .authority
        .change_organization(&caller, &path.organization, &order)
        .await?;
    Ok(shown(app, &caller, changed.organization).await?)
}

async fn shown(
    app: Arc<App>,
    caller: &authority::Caller,
    organization: Organization,
) -> Result<Response, Error> {
    let wanted = tokens::active_tokens(organization.id.into(), OwnerKind::Organization, None);
    let caller = caller.clone();
    streamed::respond(JSON, |mut out| async move {
        out.open(&OrganizationInfo::of(organization, Vec::new()))?;
        let tokens = all_pages::Tokens::new(&app.authority, &caller, wanted);
        tokens.write(&mut out, TokenInfo::of).await?;
        out.raw("]}");
        Ok(out)
    })
    .await
}

/// Delete an organization
///
/// Revokes all of its tokens at once. The organization must have no teams. Only for admins of the
/// organization. Needs a session.
#[utoipa::path(delete, path = "/organizations/{organization}", tag = "organizations", operation_id = "delete_organization",
    params(OrganizationPath),
    responses((status = NO_CONTENT, description = "The organization is deleted"),
              (status = BAD_REQUEST, description = "`Cannot delete account with teams attached. Delete teams first.`", body = String, content_type = "text/plain")))]
async fn delete(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Response, Refusal> {
    let removed = app
        .authority
        .remove_organization(&caller, &path.organization, ItsTeams::MustBeGone)
        .await?;
    match removed {
        OrganizationRemoved::Removed => Ok(no_content().into_response()),
        OrganizationRemoved::HasTeams => Err(Refusal::bad_request(
            "Cannot delete account with teams attached. Delete teams first.",
        )),
    }
}
