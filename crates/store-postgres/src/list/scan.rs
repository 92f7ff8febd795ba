//! Paging through a list in its order, from any position, in either direction.

use crate::connection::Connection;
use crate::failure::Failure;
use crate::list::{Parameters, Selection};
use crate::values::{Sought, get};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Cursor, Direction, Order, Sort, SortBy, SortValue, Start, TokenId};

/// A sorted selection: first the rows with a value, in the order of the values, then the rows without one, in the order
/// of their numbers. Sorting by `created_at` needs no values, since numbers have the same order.
pub(super) struct Scan<'a> {
    connection: &'a Connection,
    selection: &'a Selection,
    sort: Sort,
}

/// The requested part of a list.
#[derive(Debug, Clone, Copy)]
pub(super) enum From<'a> {
    /// The whole list.
    Whole,
    /// The rows beyond a position.
    Beyond(&'a Cursor),
    /// The rows beyond a position, and the row at it.
    At(&'a Cursor),
}

impl<'a> Scan<'a> {
    pub(super) fn new(connection: &'a Connection, selection: &'a Selection, sort: Sort) -> Self {
        Self {
            connection,
            selection,
            sort,
        }
    }

    /// Returns the positions from a start on, the nearest first.
    pub(super) async fn positions(
        &self,
        start: &Start,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Cursor>, Failure> {
        let (from, offset) = match start {
            Start::Beginning => (From::Whole, 0),
            Start::Cursor(cursor) => (From::Beyond(cursor), 0),
            Start::Offset(offset) => (From::Whole, *offset),
        };
        let mut parameters = self.selection.parameters();
        let range = self.range(from, direction, &mut parameters);
        let columns = format!(
            "tokens.id AS id, {} AS value",
            self.value().unwrap_or("NULL::text")
        );
        let (_, toward) = self.toward(direction);
        let order = match (self.value(), direction) {
            (None, _) => format!("ORDER BY id {toward}"),
            (Some(_), Direction::Next) => format!("ORDER BY value {toward} NULLS LAST, id {toward}"),
            (Some(_), Direction::Previous) => format!("ORDER BY value {toward} NULLS FIRST, id {toward}"),
        };
        let within = parameters.bind_number(offset.saturating_add(limit as u64));
        let bounded = format!("{order} LIMIT {within}");
        let Some(matching) = self.selection.select(&columns, &range, &bounded) else {
            return Ok(Vec::new());
        };
        let (limit, offset) = (parameters.bind(limit), parameters.bind_number(offset));
        let statement =
            format!("SELECT id, value FROM ({matching}) AS matching {order} LIMIT {limit} OFFSET {offset}");
        let rows = self.connection.rows_once(&statement, parameters.values()).await?;
        rows.iter()
            .map(|row| {
                let value = match self.sort.by {
                    SortBy::ExpiresAt | SortBy::LastUsedAt => {
                        get::<Option<Timestamp>>(row, 1)?.map(SortValue::Instant)
                    }
                    SortBy::CreatedAt | SortBy::Name | SortBy::Team | SortBy::CreatedBy => {
                        get::<Option<String>>(row, 1)?.map(SortValue::Text)
                    }
                };
                Ok(Cursor {
                    token: TokenId(get(row, 0)?),
                    value,
                })
            })
            .collect()
    }

    /// Returns whether a token is at a position or behind it, opposite to the direction; without a position,
    /// whether there is any.
    pub(super) async fn any_behind(&self, from: From<'_>, direction: Direction) -> Result<bool, Failure> {
        let back = match direction {
            Direction::Next => Direction::Previous,
            Direction::Previous => Direction::Next,
        };
        let mut parameters = self.selection.parameters();
        let range = self.range(from, back, &mut parameters);
        let Some(matching) = self.selection.select("1", &range, "LIMIT 1") else {
            return Ok(false);
        };
        // Any row suffices, so the query does not sort.
        let statement = format!("SELECT EXISTS (SELECT FROM ({matching}) AS behind)");
        get(
            &self.connection.row_once(&statement, parameters.values()).await?,
            0,
        )
    }

    /// Returns a condition on `tokens`: the requested part in a direction.
    fn range(&self, from: From<'_>, direction: Direction, parameters: &mut Parameters) -> String {
        let (cursor, equal) = match from {
            From::Whole => return "TRUE".to_owned(),
            From::Beyond(cursor) => (cursor, ""),
            From::At(cursor) => (cursor, "="),
        };
        let (comparison, _) = self.toward(direction);
        let token = parameters.bind(cursor.token.0);
        let beyond = format!("tokens.id {comparison}{equal} {token}");
        let Some(value) = self.value() else {
            return beyond;
        };
        let is_instant = matches!(self.sort.by, SortBy::ExpiresAt | SortBy::LastUsedAt);
        let at = match &cursor.value {
            Some(SortValue::Instant(instant)) if is_instant => Some(parameters.bind(instant)),
            Some(SortValue::Text(text)) if !is_instant => Some(parameters.bind(Sought(text))),
            // A client can forge a value of the other type, which PostgreSQL does not compare.
            None | Some(_) => None,
        };
        match (at, direction) {
            (Some(at), Direction::Next) => {
                format!("(({value}, tokens.id) {comparison}{equal} ({at}, {token}) OR {value} IS NULL)")
            }
            (Some(at), Direction::Previous) => {
                format!("({value}, tokens.id) {comparison}{equal} ({at}, {token})")
            }
            (None, Direction::Next) => format!("({value} IS NULL AND {beyond})"),
            (None, Direction::Previous) => format!("({value} IS NOT NULL OR {beyond})"),
        }
    }

    /// Returns the comparison and the sort order of a direction.
    fn toward(&self, direction: Direction) -> (&'static str, &'static str) {
        match (self.sort.order, direction) {
            (Order::Descending, Direction::Next) | (Order::Ascending, Direction::Previous) => ("<", "DESC"),
            (Order::Descending, Direction::Previous) | (Order::Ascending, Direction::Next) => (">", "ASC"),
        }
    }

    /// Returns the SQL of the value that the list is sorted by, if it has one.
    fn value(&self) -> Option<&'static str> {
        Some(match self.sort.by {
            SortBy::CreatedAt => return None,
            SortBy::ExpiresAt => "tokens.expires_at",
            SortBy::LastUsedAt => "token_use.last_used_at",
            SortBy::Name => "lower(tokens.name)",
            SortBy::Team => "(SELECT canonical_name FROM teams WHERE teams.id = tokens.team)",
            SortBy::CreatedBy => "lower(tokens.created_by)",
        })
    }
}
