//! The maximum token lifetime: `/organizations/{organization}/token-ttl-policies`. Jeton has one
//! maximum per organization for all kinds of tokens.

use std::borrow::Cow;
use std::sync::Arc;

use crate::http::routes::routes;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use crate::authority::PolicyChanges;
use crate::http::caller::{Caller, OrganizationsRead, OrganizationsWrite};
use crate::http::dialects::terraform::document::JsonApi;
use crate::http::dialects::terraform::path::OrganizationPath;
use crate::http::domain_types::Word;
use crate::http::input::{
    Choice, Document, Encoding, FieldDescription, Fields, Form, Input, Need, Refused, Request, object,
    schemas,
};
use crate::http::{App, Failure};
use jeton_core::directory::{Organization, Policy};
use jeton_core::token::Span;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, change))
}

/// The resource type.
const RESOURCE: &str = "organization-token-ttl-policies";

/// The kinds of tokens in this API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Organization,
    Team,
    User,
    AuditTrails,
    Metrics,
}

/// A kind of token in a response.
type TokenType = Word<Kind>;

impl Kind {
    /// The kinds that jeton has.
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

/// The new maximum lifetimes: of all kinds, and the same for each. Terraform's documents and go-tfe send one
/// resource with all of them, pytfe a list with a resource for each.
#[derive(Debug)]
pub(crate) struct ChangeForm(Vec<SentPolicy>);

/// The maximum lifetimes of several kinds.
#[derive(Debug, Form)]
#[form(body)]
struct SentPolicies {
    #[form(nested)]
    attributes: SentPoliciesAttributes,
}

#[derive(Debug, Form)]
#[form(body)]
struct SentPoliciesAttributes {
    #[form(name = "token-ttl-policies", nested)]
    policies: Vec<SentPolicy>,
}

/// A resource with the maximum lifetime of one kind.
#[derive(Debug, Form)]
#[form(body)]
struct SentPolicyResource {
    #[form(nested)]
    attributes: SentPolicy,
}

/// The maximum lifetime of one kind.
#[derive(Debug, Form)]
#[form(body)]
struct SentPolicy {
    #[form(name = "token-type")]
    token_type: Kind,
    /// The maximum lifetime in milliseconds, rounded down to whole seconds.
    #[form(
        name = "max-ttl-ms",
        range(min = 60_000, max = 3_153_600_000_000_i64),
        example = 63_072_000_000_i64
    )]
    max_ttl_ms: i64,
}

/// By hand, since the derive has no field that is an object or a list.
impl Form for ChangeForm {
    const ENCODING: Encoding = Encoding::JsonApi;
    const DESCRIPTION: &'static str = "The new maximum lifetimes: of all kinds, and the same for each.";

    fn name() -> Cow<'static, str> {
        "ChangeTokenTtlPolicies".into()
    }

    fn read_fields(fields: &mut Fields<'_>) -> Option<Self> {
        let policies = match fields.is_list(DATA) {
            true => {
                let sent = fields.nested_list::<SentPolicyResource>(DATA, |_| None)?;
                sent.into_iter().map(|resource| resource.attributes).collect()
            }
            false => fields.nested_or_empty::<SentPolicies>(DATA)?.attributes.policies,
        };
        Some(Self(policies))
    }

    fn document(document: &mut Document) {
        document.nested_or_list::<SentPolicies, SentPolicyResource>(FieldDescription {
            name: DATA,
            description: "One resource with the lifetimes of all kinds, or a list with a resource for each kind.",
            need: Need::Required,
            length: (None, None),
            range: (None, None),
            example: None,
        });
    }
}

impl PartialSchema for ChangeForm {
    fn schema() -> RefOr<Schema> {
        object::<Self>()
    }
}

impl ToSchema for ChangeForm {
    fn name() -> Cow<'static, str> {
        <Self as Form>::name()
    }

    fn schemas(named: &mut Vec<(String, RefOr<Schema>)>) {
        schemas::<Self>(named);
    }
}

const DATA: &str = "data";

/// The maximum lifetime of all tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaximumLifetime(Span);

impl MaximumLifetime {
    /// Returns the changes to a policy: a longer default lifetime is reduced to the maximum.
    fn amend(&self, policy: &Policy) -> PolicyChanges {
        let Self(longest) = *self;
        let is_beyond = policy
            .default_lifetime
            .is_some_and(|default| default > longest.seconds());
        PolicyChanges {
            max_lifetime: Some(Some(longest)),
            default_lifetime: is_beyond.then_some(Some(longest)),
            ..PolicyChanges::default()
        }
    }
}

impl Request for MaximumLifetime {
    type Form = ChangeForm;

    fn parse(ChangeForm(sent): ChangeForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        let is_sent = |kind: &Kind| sent.iter().any(|sent| sent.token_type == *kind);
        let seconds = |sent: &SentPolicy| Span::from_seconds((sent.max_ttl_ms / 1000).unsigned_abs());
        let mut lives = sent.iter().map(seconds);
        match lives.next() {
            Some(Some(life)) if lives.all(|other| other == Some(life)) && Kind::HERE.iter().all(is_sent) => {
                Ok(Self(life))
            }
            _ => Err(fields.refuse(
                DATA,
                "all kinds of tokens have the same maximum lifetime: send organization, team, user and \
                 audit_trails, each with the same max-ttl-ms",
            )),
        }
    }
}

/// The maximum lifetimes, one resource per kind.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenTtlPolicies)]
struct Policies {
    data: Vec<Item>,
}

/// The maximum lifetime of tokens of one kind.
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
    /// Returns an empty list if lifetimes are not limited.
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

/// List maximum token lifetimes
///
/// Returns one resource per kind of token, all with the same lifetime. Empty if the organization does
/// not limit lifetimes.
#[utoipa::path(get, path = "/api/v2/organizations/{organization}/token-ttl-policies", tag = "token lifetimes",
    operation_id = "list_token_ttl_policies", params(OrganizationPath),
    responses((status = OK, description = "The maximum lifetimes", body = Policies,
                  content_type = "application/vnd.api+json")))]
async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<JsonApi<Policies>, Failure> {
    let organization = app.authority.organization(&caller, &path.organization).await?;
    Ok(JsonApi((&organization).into()))
}

/// Update maximum token lifetimes
///
/// Applies to new tokens; existing tokens stay valid. A longer default lifetime is reduced to the
/// maximum. Needs a session.
#[utoipa::path(patch, path = "/api/v2/organizations/{organization}/token-ttl-policies", tag = "token lifetimes",
    operation_id = "change_token_ttl_policies", params(OrganizationPath),
    request_body(content = ChangeForm, content_type = "application/vnd.api+json",
        example = json!({"data": {"type": RESOURCE, "attributes": {"token-ttl-policies":
            Kind::HERE.map(|kind| json!({"token-type": kind.word(), "max-ttl-ms": 63_072_000_000_u64}))}}})),
    responses((status = OK, description = "The updated maximum lifetimes", body = Policies,
                  content_type = "application/vnd.api+json")))]
async fn change(
    caller: Caller<OrganizationsWrite>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<OrganizationPath, (), MaximumLifetime>,
) -> Result<JsonApi<Policies>, Failure> {
    let changed = app
        .authority
        .amend_policy(&caller, &path.organization, |policy| body.amend(policy))
        .await?;
    Ok(JsonApi((&changed).into()))
}
