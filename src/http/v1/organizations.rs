//! Organizations: `/organizations`.

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

use crate::authority::OrganizationChanges;
use crate::authority::{Change, ChangeOrganization, ExistingTokens, ItsTeams, PolicyChanges, Run};
use crate::http::caller::{Caller, LoggedIn, Once, OrganizationsRead, OrganizationsWrite, TokensRead};
use crate::http::domain_types;
use crate::http::input::{Choice, Fields, Form, Input, Refused, Request};
use crate::http::v1::page::{Items, SliceForm};
use crate::http::v1::preview::{self, DryRunForm, PreviewInfo};
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::TokenInfo;
use crate::http::{App, Failure, no_content};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Contact, Name, NotificationUrl, Organization, OrganizationReference, Policy};
use jeton_core::token::{Grace, Record, Scope, Span};
use jeton_store::{Slice, Summary};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change, remove))
        .routes(routes!(summarize))
}

/// The organization.
#[derive(Debug, Form)]
#[form(path)]
pub(in crate::http) struct OrganizationPath {
    /// The organization's name or id.
    #[form(example = "default")]
    pub(in crate::http) organization: OrganizationReference,
}

/// Limits for an organization's tokens. An absent field stays unchanged; `null` removes the limit.
#[derive(Debug, Form)]
#[form(body, name = "OrganizationPolicy", unknown = Forbidden)]
pub(crate) struct PolicyForm {
    /// The maximum lifetime of a new token: a whole number and a unit (`s`, `m`, `h`, `d`, `w` or `y`), at least `1m`
    /// and at most `100y`. If it is set, `never` is refused.
    #[form(example = "365d")]
    max_lifetime: Option<Option<Span>>,
    /// The lifetime of a token created without one, in the same form; `null`: the server's default.
    #[form(example = "90d")]
    default_lifetime: Option<Option<Span>>,
    /// The maximum number of active tokens of one owner (a user, a team or the organization).
    #[form(range(min = 1, max = 1_000_000), example = 10)]
    max_active_tokens_per_owner: Option<Option<i64>>,
    /// Whether an owner's last active token can be revoked only by the token itself or with `force`; `null`: `false`.
    #[form(example = false)]
    keep_last_token: Option<Option<bool>>,
    /// The scopes that a token may have, also by a preset; `null`: all.
    #[form(length(max = 100))]
    allowed_scopes: Option<Option<Vec<Scope>>>,
    /// The presets that a token may be created with; `null`: all.
    #[form(length(max = 100))]
    allowed_presets: Option<Option<Vec<String>>>,
    /// The preset of a token created without `scopes` and `preset`; `null`: all scopes except management scopes.
    /// Scopes that the creator may not grant are left out.
    #[form(length(max = 64), example = "content_management")]
    default_preset: Option<Option<String>>,
}

impl Request for PolicyChanges {
    type Form = PolicyForm;

    fn parse(form: PolicyForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        for (name, lifetime) in [
            ("max_lifetime", form.max_lifetime),
            ("default_lifetime", form.default_lifetime),
        ] {
            if lifetime.flatten().is_some_and(|span| span < Span::MINUTE) {
                return Err(fields.refuse(name, "must be at least 1m"));
            }
        }
        Ok(Self {
            max_lifetime: form.max_lifetime,
            default_lifetime: form.default_lifetime,
            max_active_tokens_per_owner: form
                .max_active_tokens_per_owner
                .map(|most| most.and_then(|most| most.try_into().ok())),
            keep_last_token: form.keep_last_token.map(Option::unwrap_or_default),
            allowed_scopes: form.allowed_scopes,
            allowed_presets: form.allowed_presets,
            default_preset: form.default_preset,
        })
    }
}

/// An organization to create.
#[derive(Debug, Form)]
#[form(body, name = "CreateOrganization", unknown = Forbidden, example = json!({"name": "acme", "email": "ops@example.com", "policy": {"max_lifetime": "365d"}}))]
pub(crate) struct CreateForm {
    /// The name: 1 to 90 letters, digits and `.`, `_`, `*`, `-`, beginning with a letter or digit. Unique, ignoring
    /// case.
    #[form(example = "acme")]
    name: Name,
    /// A contact e-mail address.
    #[form(example = "ops@example.com")]
    email: Option<Contact>,
    /// A URL for notifications, `http` or `https`, of at most 2048 characters.
    #[form(example = "https://example.com/notify")]
    notification_url: Option<NotificationUrl>,
    /// The policy. Default: no limits.
    #[form(nested)]
    policy: Option<PolicyChanges>,
}

/// Changes to an organization. An absent field stays unchanged.
#[derive(Debug, Form)]
#[form(body, name = "ChangeOrganization", unknown = Forbidden, example = json!({"policy": {"max_lifetime": "365d", "default_lifetime": "90d"}, "dry_run": true}))]
pub(crate) struct ChangeForm {
    /// The new name. Tokens stay valid, since they contain the organization's id.
    #[form(given)]
    name: Option<Name>,
    /// The contact e-mail address; `null` removes it.
    #[form(example = "ops@example.com")]
    email: Option<Option<Contact>>,
    /// The URL for notifications, `http` or `https`; `null` removes it.
    #[form(example = "https://example.com/notify")]
    notification_url: Option<Option<NotificationUrl>>,
    /// Changes to the policy, which apply to new tokens: an absent limit stays, `null` removes it; `null` in place of the policy changes nothing. Needs a session.
    #[form(nested)]
    policy: Option<PolicyChanges>,
    /// What to do with active tokens that violate the new policy: `keep` them, revoke them with effect after
    /// `grace_period` (`end_early`), or `revoke` them at once.
    #[form(default = Existing::Keep)]
    existing_tokens: Existing,
    /// How long tokens stay valid with `existing_tokens: end_early`: a whole number and a unit (`s`, `m`, `h`, `d`,
    /// `w` or `y`), at most 30 days. Required with `end_early`, not allowed otherwise.
    #[form(example = "30d")]
    grace_period: Option<Grace>,
    /// Whether to change nothing and only return what would change.
    #[form(default = false)]
    dry_run: bool,
}

/// What to do with active tokens that violate a new policy.
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
                return Err(fields.refuse(
                    "existing_tokens",
                    "`existing_tokens: end_early` needs the field `grace_period`",
                ));
            }
            (Existing::Keep | Existing::Revoke, Some(_)) => {
                return Err(fields.refuse(
                    "grace_period",
                    "`grace_period` is allowed only with `existing_tokens: end_early`",
                ));
            }
        };
        if form.policy.is_none() && existing != ExistingTokens::Keep {
            return Err(fields.refuse(
                "existing_tokens",
                "`existing_tokens` other than `keep` needs the field `policy`",
            ));
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

/// An organization's policy: limits for its tokens. `null` means no limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Policy)]
struct PolicyInfo {
    /// The maximum lifetime of a new token: a whole number and a unit (`s`, `m`, `h` or `d`). If it is set, `never` is
    /// refused.
    #[schema(required = true, example = "365d")]
    max_lifetime: Option<String>,
    /// The lifetime of a token created without one; `null`: the server's default.
    #[schema(required = true, example = "90d")]
    default_lifetime: Option<String>,
    /// The maximum number of active tokens of one owner (a user, a team or the organization).
    #[schema(required = true, example = 10)]
    max_active_tokens_per_owner: Option<u32>,
    /// Whether an owner's last active token can be revoked only by the token itself or with `force`.
    #[schema(example = false)]
    keep_last_token: bool,
    /// The scopes that a token may have, also by a preset; `null`: all.
    #[schema(required = true, value_type = Option<Vec<String>>, example = json!(["projects:read", "content:write"]))]
    allowed_scopes: Option<Vec<Scope>>,
    /// The presets that a token may be created with; `null`: all.
    #[schema(required = true, example = json!(["content_management"]))]
    allowed_presets: Option<Vec<String>>,
    /// The preset of a token created without `scopes` and `preset`; `null`: all scopes except management scopes.
    /// Scopes that the creator may not grant are left out.
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
            max_lifetime: max_lifetime.map(Span::words),
            default_lifetime: default_lifetime.map(Span::words),
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
    /// The id. It never changes.
    id: Uuid,
    /// The name.
    #[schema(example = "default")]
    name: String,
    /// The contact e-mail address.
    #[schema(required = true)]
    email: Option<String>,
    /// The URL for notifications.
    #[schema(required = true)]
    notification_url: Option<String>,
    /// The policy.
    policy: PolicyInfo,
    /// When the organization was created.
    #[schema(value_type = domain_types::Instant)]
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

/// The updated organization; with `dry_run`, the organization as it would be.
#[derive(Debug, Serialize, ToSchema)]
struct ChangedOrganization {
    #[serde(flatten)]
    organization: OrganizationInfo,
    /// The active tokens that violate the new policy; `null`: the request had no `policy`.
    #[schema(required = true)]
    breaking_tokens: Option<BreakingTokens>,
}

/// Active tokens that violate a policy.
#[derive(Debug, Serialize, ToSchema)]
struct BreakingTokens {
    /// The number of such tokens.
    total: u64,
    /// The newest 100 of them.
    items: Vec<TokenInfo>,
    /// The number of the bulk revocation that revokes them, if any; see `GET /api/v1/tokens/revoke/{id}`.
    #[schema(required = true, example = "1")]
    revocation: Option<String>,
}

/// The number of an organization's tokens in each status.
#[derive(Debug, Serialize, ToSchema)]
struct OrganizationSummary {
    /// The number of active tokens: `status=active`.
    #[schema(example = 12)]
    active: u64,
    /// The number of active tokens that expire within seven days: `status=active`, and `expires_before` from this response.
    #[schema(example = 2)]
    expiring: u64,
    /// The number of active tokens that were neither used nor created within 90 days, as far as use is known here:
    /// `status=active`, and `unused_since` from this response.
    #[schema(example = 5)]
    unused: u64,
    /// The number of expired tokens: `status=expired`.
    #[schema(example = 3)]
    expired: u64,
    /// The number of revoked tokens: `status=revoked`.
    #[schema(example = 1)]
    revoked: u64,
    /// The instant before which tokens count as `expiring`.
    #[schema(value_type = domain_types::Instant)]
    expires_before: Timestamp,
    /// The instant since which tokens of `unused` were not used.
    #[schema(value_type = domain_types::Instant)]
    unused_since: Timestamp,
    /// The instant for which all of these were counted.
    #[schema(value_type = domain_types::Instant)]
    as_of: Timestamp,
}

/// Create an organization
///
/// The caller becomes its admin. A name that another organization gave up, by deletion or by renaming, is reserved
/// for 30 days.
#[utoipa::path(post, path = "/api/v1/organizations", tag = "organizations", operation_id = "create_organization",
    request_body = CreateForm,
    responses((status = CREATED, description = "The organization", body = OrganizationInfo,
                  headers(("Location" = String, description = "The URL of the resource"))),
              (status = CONFLICT, description = "Another organization has this name, or gave it up less than 30 days ago", body = Problem, example = json!(["name_taken", "quota_reached:organizations"]))))]
async fn create(
    caller: Caller<Once<LoggedIn>>,
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
/// Lists the organizations you belong to, sorted by name. Site administrators see all organizations.
#[utoipa::path(get, path = "/api/v1/organizations", tag = "organizations", operation_id = "list_organizations",
    params(SliceForm),
    responses((status = OK, description = "A page of organizations, sorted by name", body = Items<OrganizationInfo>)))]
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

/// Get an organization
///
/// Visible to callers that belong to the organization, and to site administrators.
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

/// Update an organization
///
/// A new `policy` applies to new tokens. Existing tokens stay unchanged unless `existing_tokens` says otherwise.
/// The response lists the active tokens that violate the new policy; with `dry_run`, nothing is changed. A token
/// violates the policy if its lifetime exceeds `max_lifetime`, if it has a scope or a preset that is not allowed,
/// or if its owner has `max_active_tokens_per_owner` or more active tokens that are newer.
#[utoipa::path(patch, path = "/api/v1/organizations/{organization}", tag = "organizations", operation_id = "change_organization",
    params(OrganizationPath), request_body = ChangeForm,
    responses((status = OK, description = "The updated organization", body = ChangedOrganization),
              (status = CONFLICT, description = "Another organization has this name, or gave it up less than 30 days ago", body = Problem, example = json!("name_taken")),
              (status = FORBIDDEN, description = "Only admins of the organization may do this; a change of the policy needs a session", body = Problem, example = json!(["forbidden", "session_needed"]))))]
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

/// Delete an organization
///
/// Deletes its teams and projects too, and revokes all of its tokens at once. Its name is reserved for 30 days.
///
/// With `dry_run`, nothing is changed, and the response says which tokens would be revoked.
#[utoipa::path(delete, path = "/api/v1/organizations/{organization}", tag = "organizations", operation_id = "delete_organization",
    params(OrganizationPath, DryRunForm),
    responses((status = OK, description = "What would be revoked, with `dry_run`", body = PreviewInfo),
              (status = NO_CONTENT, description = "The organization is deleted"),
              (status = FORBIDDEN, description = "Only admins of the organization may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn remove(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<OrganizationPath, DryRunForm>,
) -> Result<Response, Failure> {
    if query.dry_run {
        return preview::answer(&app, &caller, Change::RemoveOrganization(&path.organization)).await;
    }
    app.authority
        .remove_organization(&caller, &path.organization, ItsTeams::GoToo)
        .await?;
    Ok(no_content().into_response())
}

/// Count the tokens of an organization
///
/// Counts the active, expired and revoked tokens of the organization that you may manage: your own and those of
/// teams you administer. Admins of the organization and site administrators count all of its tokens. With
/// `organization` and the filters that each number names, `GET /api/v1/tokens` lists the same tokens. For the numbers of
/// earlier days, see `GET /api/v1/statistics`.
///
/// Counting reads every token. The counts of an organization with more than 10,000 tokens are kept for some seconds (two
/// for 100,000): `as_of` tells their age.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/summary", tag = "organizations", operation_id = "get_organization_summary",
    params(OrganizationPath),
    responses((status = OK, description = "The number of tokens in each status", body = OrganizationSummary)))]
async fn summarize(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Json<OrganizationSummary>, Failure> {
    let (counts, instants) = app.authority.summary(&caller, &path.organization).await?;
    let Summary {
        active,
        expired,
        revoked,
        expiring,
        unused,
    } = counts;
    Ok(Json(OrganizationSummary {
        active,
        expiring,
        unused,
        expired,
        revoked,
        expires_before: instants.expires_before,
        unused_since: instants.unused_since,
        as_of: instants.now,
    }))
}
