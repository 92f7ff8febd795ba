//! `/organizations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::authority::OrganizationChanges;
use crate::authority::{ChangeOrganization, ExistingTokens, ItsTeams, Run};
use crate::http::caller::{Caller, LoggedIn, OrganizationsRead, OrganizationsWrite};
use crate::http::input::{Choice, Fields, Form, Input, Refused, Request};
use crate::http::nouns;
use crate::http::v1::page::{Items, SliceForm};
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::TokenInfo;
use crate::http::{App, Failure, no_content};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Contact, Name, NotificationUrl, Organization, OrganizationReference, Policy};
use jeton_core::token::{Grace, Record, Scope};
use jeton_store::Slice;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change, remove))
}

/// Which organization.
#[derive(Debug, Form)]
#[form(path)]
pub(in crate::http) struct OrganizationPath {
    /// Its name or its id.
    #[form(example = "default")]
    pub(in crate::http) organization: OrganizationReference,
}

/// An organization's own limits. `null` is no limit.
#[derive(Debug, Form)]
#[form(body, name = "OrganizationPolicy", unknown = Forbidden)]
pub(crate) struct PolicyForm {
    /// The longest life of a new token, in seconds. Tokens that never expire are then refused.
    #[form(range(min = 60, max = 3_153_600_000_i64), example = 31_536_000)]
    max_lifetime: Option<i64>,
    /// The life of a token that is given none, in seconds; `null` is the deployment's default.
    #[form(range(min = 60, max = 3_153_600_000_i64), example = 7_776_000)]
    default_lifetime: Option<i64>,
    /// The most active tokens that one owner (a person, a team, the organization) may have.
    #[form(range(min = 1, max = 1_000_000), example = 10)]
    max_active_tokens_per_owner: Option<i64>,
    /// Whether an owner's last active token is only revoked by who holds it, or by force.
    #[form(default = false)]
    keep_last_token: bool,
    /// The scopes that a token may have, however it comes by them; `null` is all.
    #[form(length(max = 100))]
    allowed_scopes: Option<Vec<Scope>>,
    /// The presets that a token may be made from; `null` is all.
    #[form(length(max = 100))]
    allowed_presets: Option<Vec<String>>,
    /// The preset of a token that is given neither scopes nor preset; `null` is every scope that is not
    /// for the authority itself. What cannot be granted of it is left out.
    #[form(length(max = 64), example = "content_management")]
    default_preset: Option<String>,
}

impl Request for Policy {
    type Form = PolicyForm;

    fn parse(form: PolicyForm, _: &mut Fields<'_>) -> Result<Self, Refused> {
        let seconds = |seconds: Option<i64>| seconds.and_then(|seconds| seconds.try_into().ok());
        Ok(Self {
            max_lifetime: seconds(form.max_lifetime),
            default_lifetime: seconds(form.default_lifetime),
            max_active_tokens_per_owner: form
                .max_active_tokens_per_owner
                .and_then(|most| most.try_into().ok()),
            keep_last_token: form.keep_last_token,
            allowed_scopes: form.allowed_scopes,
            allowed_presets: form.allowed_presets,
            default_preset: form.default_preset,
        })
    }
}

/// A new organization.
#[derive(Debug, Form)]
#[form(body, name = "CreateOrganization", unknown = Forbidden, example = json!({"name": "acme", "email": "ops@example.com", "policy": {"max_lifetime": 31_536_000}}))]
pub(crate) struct CreateForm {
    /// Up to 90 letters, digits and `.`, `_`, `*`, `-`; unique whatever its case.
    #[form(example = "acme")]
    name: Name,
    /// Whom to write to.
    #[form(example = "ops@example.com")]
    email: Option<Contact>,
    /// Where it wants to be told things: an `http` or `https` address.
    #[form(example = "https://example.com/notify")]
    notification_url: Option<NotificationUrl>,
    #[form(nested)]
    policy: Option<Policy>,
}

/// Changes to an organization. What is absent stays as it is.
#[derive(Debug, Form)]
#[form(body, name = "ChangeOrganization", unknown = Forbidden, example = json!({"policy": {"max_lifetime": 31_536_000, "default_lifetime": 7_776_000}, "dry_run": true}))]
pub(crate) struct ChangeForm {
    /// A new name. Tokens are not touched: they carry the id.
    #[form(given)]
    name: Option<Name>,
    /// Whom to write to; `null` takes it away.
    #[form(example = "ops@example.com")]
    email: Option<Option<Contact>>,
    /// Where it wants to be told things, an `http` or `https` address; `null` takes it away.
    #[form(example = "https://example.com/notify")]
    notification_url: Option<Option<NotificationUrl>>,
    /// The whole new policy. It holds for the next token; needs a session.
    #[form(nested)]
    policy: Option<Policy>,
    /// What becomes of active tokens that break the new policy: they live on, as without this field, are
    /// revoked with effect after `grace_period`, or are revoked now.
    #[form(default = Existing::Keep)]
    existing_tokens: Existing,
    /// How long tokens that are ended early stay good: a number and `s`, `m`, `h`, `d`, `w` or `y`, at
    /// most 30 days.
    #[form(example = "30d")]
    grace_period: Option<Grace>,
    /// Whether nothing is changed, and only shown what would be.
    #[form(default = false)]
    dry_run: bool,
}

/// What becomes of active tokens that break a new policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Existing {
    #[default]
    Keep,
    EndEarly,
    Revoke,
}

impl Choice for Existing {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("keep", Self::Keep),
        ("end_early", Self::EndEarly),
        ("revoke", Self::Revoke),
    ];
}

impl Request for ChangeOrganization {
    type Form = ChangeForm;

    fn parse(form: ChangeForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        let existing = match (form.existing_tokens, form.grace_period) {
            (Existing::Keep, None) => ExistingTokens::Keep,
            (Existing::Revoke, None) => ExistingTokens::EndAfter(Grace::NONE),
            (Existing::EndEarly, Some(grace)) => ExistingTokens::EndAfter(grace),
            (Existing::EndEarly, None) => {
                return Err(fields.refuse("existing_tokens", "say in grace_period how long they stay good"));
            }
            (Existing::Keep | Existing::Revoke, Some(_)) => {
                return Err(fields.refuse(
                    "grace_period",
                    "a grace goes with existing_tokens: end_early only",
                ));
            }
        };
        if form.policy.is_none() && existing != ExistingTokens::Keep {
            return Err(fields.refuse("existing_tokens", "this goes with a policy only"));
        }
        Ok(Self {
            changes: OrganizationChanges {
                name: form.name,
                email: form.email.map(|email| email.map(String::from)),
                notification_url: form.notification_url.map(|url| url.map(String::from)),
                policy: form.policy,
            },
            existing,
            run: if form.dry_run { Run::Dry } else { Run::Earnest },
        })
    }
}

/// An organization's own limits. `null` is no limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Policy)]
struct PolicyInfo {
    /// The longest life of a new token, in seconds. Tokens that never expire are then refused.
    #[schema(required = true, example = 31_536_000)]
    max_lifetime: Option<u64>,
    /// The life of a token that is given none, in seconds; `null` is the deployment's default.
    #[schema(required = true, example = 7_776_000)]
    default_lifetime: Option<u64>,
    /// The most active tokens that one owner (a person, a team, the organization) may have.
    #[schema(required = true, example = 10)]
    max_active_tokens_per_owner: Option<u32>,
    /// Whether an owner's last active token is only revoked by who holds it, or by force.
    #[schema(example = false)]
    keep_last_token: bool,
    /// The scopes that a token may have, however it comes by them; `null` is all.
    #[schema(required = true, value_type = Option<Vec<String>>, example = json!(["projects:read", "content:write"]))]
    allowed_scopes: Option<Vec<Scope>>,
    /// The presets that a token may be made from; `null` is all.
    #[schema(required = true, example = json!(["content_management"]))]
    allowed_presets: Option<Vec<String>>,
    /// The preset of a token that is given neither scopes nor preset; `null` is every scope that is not
    /// for the authority itself. What cannot be granted of it is left out.
    #[schema(required = true, example = "content_management")]
    default_preset: Option<String>,
}

impl From<Policy> for PolicyInfo {
    fn from(policy: Policy) -> Self {
        let Policy {
            max_lifetime,
            default_lifetime,
            max_active_tokens_per_owner,
            keep_last_token,
            allowed_scopes,
            allowed_presets,
            default_preset,
        } = policy;
        Self {
            max_lifetime,
            default_lifetime,
            max_active_tokens_per_owner,
            keep_last_token,
            allowed_scopes,
            allowed_presets,
            default_preset,
        }
    }
}

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
pub(super) struct OrganizationInfo {
    /// Never changes.
    id: Uuid,
    #[schema(example = "default")]
    name: String,
    #[schema(required = true)]
    email: Option<String>,
    #[schema(required = true)]
    notification_url: Option<String>,
    policy: PolicyInfo,
    #[schema(value_type = nouns::Instant)]
    created_at: Timestamp,
}

impl From<Organization> for OrganizationInfo {
    fn from(organization: Organization) -> Self {
        let Organization {
            id,
            name,
            email,
            notification_url,
            policy,
            created_at,
        } = organization;
        Self {
            id: id.0,
            name: name.to_string(),
            email,
            notification_url,
            policy: policy.into(),
            created_at,
        }
    }
}

/// An organization that was changed, or with `dry_run` would be.
#[derive(Debug, Serialize, ToSchema)]
struct ChangedOrganization {
    #[serde(flatten)]
    organization: OrganizationInfo,
    /// The active tokens that break the new policy, where one was given.
    #[schema(required = true)]
    breaking_tokens: Option<BreakingTokens>,
}

/// Active tokens that break a policy.
#[derive(Debug, Serialize, ToSchema)]
struct BreakingTokens {
    /// How many they are.
    total: u64,
    /// The newest hundred of them.
    items: Vec<TokenInfo>,
    /// The revocation that ends them, if any does: to be followed at `/api/v1/tokens/revoke/{id}`.
    #[schema(required = true, example = "1")]
    revocation: Option<String>,
}

/// Make an organization
///
/// Whoever makes it becomes its admin.
#[utoipa::path(post, path = "/api/v1/organizations", tag = "organizations", operation_id = "create_organization",
    request_body = CreateForm,
    responses((status = CREATED, description = "The organization", body = OrganizationInfo,
                  headers(("Location" = String, description = "Its address"))),
              (status = CONFLICT, description = "The name belongs to another", body = Problem)))]
async fn create(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), CreateForm>,
) -> Result<impl IntoResponse, Failure> {
    let CreateForm {
        name,
        email,
        notification_url,
        policy,
    } = body;
    let details = OrganizationChanges {
        name: None,
        email: Some(email.map(String::from)),
        notification_url: Some(notification_url.map(String::from)),
        policy,
    };
    let made = app
        .authority
        .create_organization(&caller, &name, &details)
        .await?;
    let location = [(header::LOCATION, format!("/api/v1/organizations/{}", made.id))];
    Ok((StatusCode::CREATED, location, Json(OrganizationInfo::from(made))))
}

/// List organizations
///
/// Those you belong to, in the order of their names; all of them for a site administrator.
#[utoipa::path(get, path = "/api/v1/organizations", tag = "organizations", operation_id = "list_organizations",
    params(SliceForm),
    responses((status = OK, description = "A part of the list", body = Items<OrganizationInfo>)))]
async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), Slice>,
) -> Result<Json<Items<OrganizationInfo>>, Failure> {
    let found = app.authority.organizations(&caller, query.clone()).await?;
    Ok(Json(Items::of(
        &query,
        found,
        |one| one.name.canonical(),
        OrganizationInfo::from,
    )))
}

/// Show an organization
#[utoipa::path(get, path = "/api/v1/organizations/{organization}", tag = "organizations", operation_id = "get_organization",
    params(OrganizationPath),
    responses((status = OK, description = "The organization", body = OrganizationInfo)))]
async fn show(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Json<OrganizationInfo>, Failure> {
    Ok(Json(
        app.authority
            .organization(&caller, &path.organization)
            .await?
            .into(),
    ))
}

/// Change an organization
///
/// A new policy holds for the next token. Those that are there are not touched, unless
/// `existing_tokens` says so; the answer shows which of them break it, and with `dry_run` only shows
/// that. A token breaks it that lives longer, from its making on, than `max_lifetime`; that has a scope or
/// comes from a preset that is not allowed; or that is older than as many of its owner's active tokens as
/// the owner may have.
#[utoipa::path(patch, path = "/api/v1/organizations/{organization}", tag = "organizations", operation_id = "change_organization",
    params(OrganizationPath), request_body = ChangeForm,
    responses((status = OK, description = "The organization as it is now", body = ChangedOrganization),
              (status = CONFLICT, description = "The name belongs to another", body = Problem)))]
async fn change(
    caller: Caller<OrganizationsWrite>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<OrganizationPath, (), ChangeOrganization>,
) -> Result<Json<ChangedOrganization>, Failure> {
    let changed = app
        .authority
        .change_organization(&caller, &path.organization, &body)
        .await?;
    let show = |record: &Record| TokenInfo::of(record, app.authority.status(record));
    let breaking_tokens = changed.breaking.map(|tokens| BreakingTokens {
        total: tokens.total.unwrap_or_default(),
        items: tokens.items.iter().map(show).collect(),
        revocation: changed.revocation.map(|bulk| bulk.id.0.to_string()),
    });
    Ok(Json(ChangedOrganization {
        organization: changed.organization.into(),
        breaking_tokens,
    }))
}

/// Remove an organization
///
/// With its teams and projects. From the answer on all of its tokens are refused.
#[utoipa::path(delete, path = "/api/v1/organizations/{organization}", tag = "organizations", operation_id = "delete_organization",
    params(OrganizationPath),
    responses((status = NO_CONTENT, description = "It is gone")))]
async fn remove(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<impl IntoResponse, Failure> {
    app.authority
        .remove_organization(&caller, &path.organization, ItsTeams::GoToo)
        .await?;
    Ok(no_content())
}
