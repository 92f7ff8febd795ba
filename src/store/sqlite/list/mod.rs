//! Lists of tokens: pages that never skip or repeat one, and never read another organization's rows.

use rusqlite::{Connection, ToSql, params_from_iter};

use crate::directory::TeamId;
use crate::store::sqlite::cut_offs::uncut;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::records::{Kinds, by_id};
use crate::token::filter::CountTotal;
use crate::token::{Direction, Filter, Listing, OwnerKind, Page, TokenId, Visibility};

/// One page.
pub(super) fn page(connection: &Connection, filter: &Filter, page: &Page) -> Result<Listing, Failure> {
    // One instant for page, neighbours and total.
    let transaction = connection.unchecked_transaction()?;
    let query = Query::new(&transaction, filter)?;
    let cursor = page.cursor.map(|cursor| cursor.token);
    let limit = page.limit as usize;
    let mut ids = match page.direction {
        Direction::Next => query.ids(Range::Below(cursor.unwrap_or(AFTER_ALL)), limit + 1)?,
        Direction::Previous => query.ids(Range::Above(cursor.unwrap_or(BEFORE_ALL)), limit + 1)?,
    };
    let goes_on = ids.len() > limit;
    ids.truncate(limit);
    let comes_back = match cursor {
        // The token at the cursor's edge lies behind the page, on the side it was turned from.
        Some(TokenId(edge)) => {
            let behind = match page.direction {
                Direction::Next => Range::Above(TokenId(edge.saturating_sub(1))),
                Direction::Previous => Range::Below(TokenId(edge.saturating_add(1))),
            };
            !query.ids(behind, 1)?.is_empty()
        }
        None => false,
    };
    let (has_next, has_previous) = match page.direction {
        Direction::Next => (goes_on, comes_back),
        Direction::Previous => {
            ids.reverse();
            (comes_back, goes_on)
        }
    };
    let mut items = Vec::with_capacity(ids.len());
    for id in ids {
        items.extend(by_id(&transaction, id, Kinds::Api)?);
    }
    let total = match page.count {
        CountTotal::Yes => Some(query.count()?),
        CountTotal::No => None,
    };
    Ok(Listing {
        items,
        total,
        has_next,
        has_previous,
    })
}

const BEFORE_ALL: TokenId = TokenId(0);
const AFTER_ALL: TokenId = TokenId(i64::MAX);

/// Where a page lies; nearest to the given token first.
enum Range {
    /// Older than this one.
    Below(TokenId),
    /// Newer.
    Above(TokenId),
}

/// A filter as SQL. Parameters: 1 organization, 2 owner's person, 3 filter's team, 4 edge, 5 instant,
/// 6 text, 7 limit, from 8 on the teams that the caller sees.
struct Query<'a> {
    connection: &'a Connection,
    /// The sets of which the list is the union; no token is in two of them.
    sources: Vec<String>,
    condition: String,
    organization: Option<i64>,
    user: Option<i64>,
    team: Option<i64>,
    instant: i64,
    text: Option<String>,
    teams: Vec<i64>,
}

impl<'a> Query<'a> {
    fn new(connection: &'a Connection, filter: &Filter) -> Result<Self, Failure> {
        let organization = filter
            .organization
            .map(|organization| number(connection, "organizations", &organization))
            .transpose()?;
        let team = filter
            .team
            .as_ref()
            .map(|team| number(connection, "teams", team))
            .transpose()?;
        let (user, teams) = match &filter.visibility {
            Visibility::Everything => (None, Vec::new()),
            Visibility::Own { user, teams } => (
                user.as_ref()
                    .map(|user| number(connection, "users", user))
                    .transpose()?,
                visible_teams(connection, filter, teams)?,
            ),
        };
        let sources = match &filter.visibility {
            Visibility::Everything => vec![
                match (organization, team) {
                    (_, Some(_)) => "tokens INDEXED BY tokens_by_team WHERE team = ?3",
                    (Some(_), None) => "tokens INDEXED BY tokens_by_organization WHERE organization = ?1",
                    (None, None) => "tokens WHERE TRUE",
                }
                .to_owned(),
            ],
            Visibility::Own { .. } => {
                let own = user.map(|_| "tokens INDEXED BY tokens_by_user WHERE user = ?2".to_owned());
                own.into_iter().chain(sources_of_teams(teams.len())).collect()
            }
        };
        Ok(Self {
            connection,
            sources,
            condition: condition(filter),
            organization,
            user,
            team,
            instant: filter.unrevoked_at.map_or(0, |instant| instant.millis()),
            // As SQLite's lower() does it: ASCII. LIKE would do no better, and stops at a NUL.
            text: filter.text.as_deref().map(str::to_ascii_lowercase),
            teams,
        })
    }

    /// The tokens nearest to an edge.
    fn ids(&self, range: Range, limit: usize) -> Result<Vec<TokenId>, Failure> {
        let Some(statement) = self.ids_statement(&range) else {
            return Ok(Vec::new());
        };
        let (Range::Below(TokenId(edge)) | Range::Above(TokenId(edge))) = range;
        let mut query = self.connection.prepare_cached(&statement)?;
        let rows = query.query_map(self.parameters(edge, limit), |row| row.get(0).map(TokenId))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn ids_statement(&self, range: &Range) -> Option<String> {
        let (beyond, order) = match range {
            Range::Below(_) => ("tokens.id < ?4", "DESC"),
            Range::Above(_) => ("tokens.id > ?4", "ASC"),
        };
        let union = self.union("tokens.id AS id", beyond)?;
        // The sources are merged in the order of their indexes; none is sorted.
        Some(format!("{union} ORDER BY id {order} LIMIT ?7"))
    }

    fn count(&self) -> Result<u64, Failure> {
        let Some(union) = self.union("1", "tokens.id > ?4 AND ?7 = 0") else {
            return Ok(0);
        };
        let statement = format!("SELECT count(*) FROM ({union})");
        let mut query = self.connection.prepare_cached(&statement)?;
        Ok(query.query_row(self.parameters(0, 0), |row| row.get(0))?)
    }

    fn union(&self, columns: &str, range: &str) -> Option<String> {
        // Every parameter is named in every term, so that the number of parameters never differs.
        let condition = &self.condition;
        let terms: Vec<_> = self
            .sources
            .iter()
            .map(|source| format!("SELECT {columns} FROM {source} AND {range} {condition}"))
            .collect();
        (!terms.is_empty()).then(|| terms.join(" UNION ALL "))
    }

    fn parameters(&self, edge: i64, limit: usize) -> impl rusqlite::Params {
        let mut values: Vec<Box<dyn ToSql>> = vec![
            Box::new(self.organization),
            Box::new(self.user),
            Box::new(self.team),
            Box::new(edge),
            Box::new(self.instant),
            Box::new(self.text.clone()),
            Box::new(i64::try_from(limit).unwrap_or(i64::MAX)),
        ];
        values.extend(self.teams.iter().map(|team| Box::new(*team) as Box<dyn ToSql>));
        params_from_iter(values)
    }
}

/// The sources of so many teams.
fn sources_of_teams(teams: usize) -> Vec<String> {
    let parameters = (8..).take(teams).map(|parameter| format!("?{parameter}"));
    if teams <= MERGED {
        parameters
            .map(|team| format!("tokens INDEXED BY tokens_by_team WHERE team = {team}"))
            .collect()
    } else {
        let teams = parameters.collect::<Vec<_>>().join(", ");
        vec![format!(
            "tokens INDEXED BY tokens_by_team WHERE team IN ({teams})"
        )]
    }
}

/// How many teams are merged one by one. SQLite refuses more than 500 parts; the tokens of whoever
/// has so many teams are sorted instead.
const MERGED: usize = 100;

/// What the filter asks beyond the source. A leading `+` keeps an index from being taken for it.
fn condition(filter: &Filter) -> String {
    let mut condition = "AND tokens.session = 0".to_owned();
    if filter.organization.is_some() {
        condition.push_str(" AND +tokens.organization = ?1");
    }
    if filter.team.is_some() {
        condition.push_str(" AND +tokens.team = ?3");
    }
    condition.push_str(match filter.owner {
        None => "",
        Some(OwnerKind::User) => " AND +tokens.user IS NOT NULL",
        Some(OwnerKind::Team) => " AND +tokens.team IS NOT NULL",
        Some(OwnerKind::Organization) => {
            " AND +tokens.organization IS NOT NULL AND +tokens.team IS NULL AND +tokens.user IS NULL"
        }
        Some(OwnerKind::Deployment) => {
            " AND +tokens.organization IS NULL AND +tokens.team IS NULL AND +tokens.user IS NULL"
        }
    });
    if filter.text.is_some() {
        condition.push_str(
            " AND (instr(lower(tokens.name), ?6) OR instr(lower(tokens.description), ?6)
             OR instr(lower((SELECT name FROM teams WHERE teams.id = tokens.team)), ?6))",
        );
    }
    if filter.unrevoked_at.is_some() {
        condition.push_str(" AND (tokens.effective_at IS NULL OR tokens.effective_at > ?5) AND ");
        condition.push_str(&uncut());
    }
    condition
}

/// The teams of which the caller sees tokens and the filter wants any.
fn visible_teams(connection: &Connection, filter: &Filter, teams: &[TeamId]) -> Result<Vec<i64>, Failure> {
    teams
        .iter()
        .filter(|team| filter.team.as_ref().is_none_or(|wanted| wanted == *team))
        .map(|team| number(connection, "teams", team))
        .collect()
}

/// The number of a row, or one that no row has.
fn number(connection: &Connection, table: &'static str, id: &dyn ToSql) -> Result<i64, Failure> {
    let query = format!("SELECT coalesce((SELECT id FROM {table} WHERE public_id = ?1), -1)");
    Ok(connection
        .prepare_cached(&query)?
        .query_row([id], |row| row.get(0))?)
}

#[cfg(test)]
mod plans;
