//! `/organizations/{organization}/token-ttl-policies`: how long tokens live at most. An organization has
//! one longest life here, for tokens of all kinds.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::caller::{Caller, OrganizationsRead, OrganizationsWrite};
use crate::http::dialects::terraform::document::JsonApi;
use crate::http::dialects::terraform::path::OrganizationPath;
use crate::http::input::{Choice, Fields, Form, Input, Refused, Request};
use crate::http::nouns::Word;
use crate::http::{App, Failure};
use jeton_core::directory::{Organization, Policy};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, change))
}

/// What such a resource is called.
const RESOURCE: &str = "organization-token-ttl-policies";

/// The kinds of tokens that the API tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Organization,
    Team,
    User,
    AuditTrails,
    Metrics,
}

/// A kind in an answer.
type TokenType = Word<Kind>;

impl Kind {
    /// Those that there are here.
    const HERE: [Self; 4] = [Self::Organization, Self::Team, Self::User, Self::AuditTrails];
}

impl Choice for Kind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("organization", Self::Organization),
        ("team", Self::Team),
        ("user", Self::User),
        ("audit_trails", Self::AuditTrails),
        ("metrics", Self::Metrics),
    ];

    const NAME: Option<&'static str> = Some("TokenType");
    const DESCRIPTION: Option<&'static str> = Some("The kinds of tokens that the API tells apart.");
}

/// The longest lives to be: of all kinds, and the same for each.
#[derive(Debug, Form)]
#[form(body, name = "ChangeTokenTtlPolicies", encoding = JsonApi)]
pub(crate) struct ChangeForm {
    #[form(nested)]
    data: Vec<SentPolicy>,
}

/// The longest life of one kind.
#[derive(Debug, Form)]
#[form(body)]
pub(crate) struct SentPolicy {
    #[form(nested)]
    attributes: SentPolicyAttributes,
}

#[derive(Debug, Form)]
#[form(body)]
pub(crate) struct SentPolicyAttributes {
    #[form(name = "token-type")]
    token_type: Kind,
    /// In milliseconds, of which whole seconds count.
    #[form(
        name = "max-ttl-ms",
        range(min = 60_000, max = 3_153_600_000_000_i64),
        example = 63_072_000_000_i64
    )]
    max_ttl_ms: i64,
}

/// The longest life of all tokens, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LongestLife(u64);

impl LongestLife {
    /// A policy with this longest life, and otherwise as it is.
    fn amend(&self, policy: Policy) -> Policy {
        let Self(seconds) = *self;
        Policy {
            max_lifetime: Some(seconds),
            default_lifetime: policy.default_lifetime.map(|default| default.min(seconds)),
            ..policy
        }
    }
}

impl Request for LongestLife {
    type Form = ChangeForm;

    fn parse(form: ChangeForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        let sent: Vec<_> = form.data.into_iter().map(|sent| sent.attributes).collect();
        let is_sent = |kind: &Kind| sent.iter().any(|sent| sent.token_type == *kind);
        let mut lives = sent.iter().map(|sent| sent.max_ttl_ms / 1000);
        match lives.next() {
            Some(life) if lives.all(|other| other == life) && Kind::HERE.iter().all(is_sent) => {
                Ok(Self(life.unsigned_abs()))
            }
            _ => Err(fields.refuse(
                "data",
                "tokens of all kinds have one longest life here: send organization, team, user and \
                 audit_trails, each with the same max-ttl-ms",
            )),
        }
    }
}

/// The longest lives, a resource for each kind.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenTtlPolicies)]
struct Policies {
    data: Vec<Item>,
}

/// The longest life of tokens of one kind.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenTtlPolicy)]
struct Item {
    #[schema(example = "0197f2a0-5c1f-4f6e-9a55-7a7d3f0f4b1e-team")]
    id: String,
    #[serde(rename = "type")]
    #[schema(example = "organization-token-ttl-policies")]
    kind: &'static str,
    attributes: ItemAttributes,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = TokenTtlPolicyAttributes)]
struct ItemAttributes {
    token_type: TokenType,
    #[schema(example = 63_072_000_000_u64)]
    max_ttl_ms: u64,
}

impl From<&Organization> for Policies {
    /// None of any kind where nothing bounds the lives.
    fn from(organization: &Organization) -> Self {
        let longest = organization.policy.max_lifetime;
        let items = longest.map(|seconds| {
            Kind::HERE.map(|kind| Item {
                id: format!("{}-{}", organization.id, kind.word().unwrap_or_default()),
                kind: RESOURCE,
                attributes: ItemAttributes {
                    token_type: Word(kind),
                    max_ttl_ms: seconds.saturating_mul(1000),
                },
            })
        });
        Self {
            data: items.into_iter().flatten().collect(),
        }
    }
}

/// List the longest lives of tokens
///
/// One for each kind, all the same; none where the organization sets no longest life.
#[utoipa::path(get, path = "/api/v2/organizations/{organization}/token-ttl-policies", tag = "token lifetimes",
    operation_id = "list_token_ttl_policies", params(OrganizationPath),
    responses((status = OK, description = "The longest lives", body = Policies,
                  content_type = "application/vnd.api+json")))]
async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<JsonApi<Policies>, Failure> {
    let organization = app.authority.organization(&caller, &path.organization).await?;
    Ok(JsonApi((&organization).into()))
}

/// Change the longest lives of tokens
///
/// It holds for the next token; those that are there live on. A default life that is longer becomes as
/// short. Needs a session.
#[utoipa::path(patch, path = "/api/v2/organizations/{organization}/token-ttl-policies", tag = "token lifetimes",
    operation_id = "change_token_ttl_policies", params(OrganizationPath),
    request_body(content = ChangeForm, content_type = "application/vnd.api+json",
        example = json!({"data": Kind::HERE.map(|kind| json!({"type": RESOURCE,
            "attributes": {"token-type": kind.word(), "max-ttl-ms": 63_072_000_000_u64}}))})),
    responses((status = OK, description = "The longest lives as they are now", body = Policies,
                  content_type = "application/vnd.api+json")))]
async fn change(
    caller: Caller<OrganizationsWrite>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<OrganizationPath, (), LongestLife>,
) -> Result<JsonApi<Policies>, Failure> {
    let changed = app
        .authority
        .amend_policy(&caller, &path.organization, |policy| body.amend(policy))
        .await?;
    Ok(JsonApi((&changed).into()))
}
