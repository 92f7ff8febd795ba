//! How many tokens were issued, revoked, expired and refused on each day: `/statistics`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::authority::DayRange;
use crate::http::caller::{Caller, TokensRead};
use crate::http::domain_types;
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::routes::routes;
use crate::http::v1::render::Problem;
use crate::http::{App, Failure};
use jeton_core::clock::{Day, Timestamp};
use jeton_core::directory::OrganizationReference;
use jeton_store::DayCounts;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The organization and the days.
#[derive(Debug, Form)]
#[form(query)]
pub(crate) struct StatisticsForm {
    /// The organization, by name or id. Default: your only organization; for site administrators and tokens of the
    /// deployment the whole deployment, with tokens that belong to no organization.
    organization: Option<OrganizationReference>,
    /// The first day, in UTC. Default: 29 days before `to`.
    from: Option<Day>,
    /// The last day, in UTC, at most 399 days after `from`; it may be in the future. Default: today, or the day next to
    /// today that `from` allows.
    to: Option<Day>,
}

/// The organization and the days for which statistics are requested.
#[derive(Debug)]
pub(crate) struct Wanted {
    organization: Option<OrganizationReference>,
    days: DayRange,
}

impl Request for Wanted {
    type Form = StatisticsForm;

    fn parse(form: StatisticsForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        if let (Some(from), Some(to)) = (form.from, form.to) {
            if to < from {
                return Err(fields.refuse("to", "must not be before `from`"));
            }
            if to.number() - from.number() >= DayRange::MOST {
                return Err(fields.refuse("to", "must be at most 399 days after `from`"));
            }
        }
        Ok(Self {
            organization: form.organization,
            days: DayRange {
                from: form.from,
                to: form.to,
            },
        })
    }
}

/// The counts of a day. Sessions are not counted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatisticsOfDay)]
struct DayInfo {
    /// The day, from midnight to midnight in UTC.
    #[schema(value_type = domain_types::Date)]
    day: Day,
    /// The tokens that were issued on this day.
    #[schema(example = 12)]
    issued: u64,
    /// The tokens that were revoked with effect on this day, one by one or by a cut-off, and had not expired before.
    #[schema(example = 3)]
    revoked: u64,
    /// The tokens that expired on this day, and were not revoked before.
    #[schema(example = 2)]
    expired: u64,
    /// The tokens that are active at the end of this day.
    #[schema(example = 87)]
    active: u64,
    /// How often revoked tokens were refused on this day: by this server, or reported by verifiers.
    #[schema(example = 0)]
    refused: u64,
}

impl From<DayCounts> for DayInfo {
    fn from(counts: DayCounts) -> Self {
        let DayCounts {
            day,
            issued,
            revoked,
            expired,
            active,
            refused,
        } = counts;
        Self {
            day,
            issued,
            revoked,
            expired,
            active,
            refused,
        }
    }
}

/// Tokens by day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statistics)]
struct StatisticsInfo {
    /// The id of the organization; `null` for the whole deployment.
    #[schema(required = true)]
    organization: Option<Uuid>,
    /// The first day.
    #[schema(value_type = domain_types::Date)]
    from: Day,
    /// The last day.
    #[schema(value_type = domain_types::Date)]
    to: Day,
    /// Each day from the first to the last.
    days: Vec<DayInfo>,
    /// When the counts were read. What happened up to a second before may be missing.
    #[schema(value_type = domain_types::Instant)]
    as_of: Timestamp,
}

/// Count tokens by day
///
/// Returns for each day how many tokens were issued, revoked and expired, how many were active at its end, and how often
/// revoked tokens were refused. Admins see their organization, site administrators also the whole deployment.
///
/// The end of a token is counted on its day as soon as it is known: today and days in the future contain the tokens that
/// will expire or whose revocation is scheduled, and `active` is what remains if nothing else happens. The counts are at
/// most a second old, or some seconds after a cut-off of many tokens; refusals up to a minute. Deleting old records changes
/// no count. Tokens whose records were deleted before the deployment counted tokens are missing.
#[utoipa::path(get, path = "/api/v1/statistics", tag = "tokens", operation_id = "get_statistics",
    params(StatisticsForm),
    responses((status = OK, description = "The counts of each day", body = StatisticsInfo),
              (status = BAD_REQUEST, description = "The request is malformed, or must name the organization", body = Problem, example = json!("organization_needed")),
              (status = FORBIDDEN, description = "The caller may not do this", body = Problem, example = json!("forbidden")),
              (status = NOT_FOUND, description = "No such organization, or you may not see it", body = Problem)))]
async fn list(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), Wanted>,
) -> Result<Json<StatisticsInfo>, Failure> {
    let found = app
        .authority
        .statistics(&caller, query.organization.as_ref(), query.days)
        .await?;
    Ok(Json(StatisticsInfo {
        organization: found.organization.map(|organization| organization.0),
        from: found.from,
        to: found.to,
        days: found.days.into_iter().map(DayInfo::from).collect(),
        as_of: found.as_of,
    }))
}
