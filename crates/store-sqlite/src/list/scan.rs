//! Paging through a list in its order, from any position, in either direction.

use crate::values::get;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::failure::Failure;
use crate::list::Selection;
use jeton_core::clock::Timestamp;
use jeton_core::token::{Cursor, Direction, Order, Sort, SortBy, SortValue, Start, TokenId};

/// A sorted selection.
///
/// The list has two stretches: first the rows with a value, in the order of the values, then the rows without
/// one, in the order of their numbers. Sorting by `created_at` needs no values, since numbers have the same
/// order. Each stretch is a query of its own: `NULLS LAST` would sort rows that an index has in order.
pub(super) struct Scan<'a> {
    connection: &'a Connection,
    selection: &'a Selection,
    sort: Sort,
}

/// One of the two stretches of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stretch {
    Valued,
    Valueless,
}

/// The requested part of a stretch.
#[derive(Debug, Clone, Copy)]
pub(super) enum From<'a> {
    /// The whole stretch.
    Whole,
    /// The rows beyond a position.
    Beyond(&'a Cursor),
    /// The rows beyond a position, and the row at it.
    At(&'a Cursor),
}

/// How many rows of a stretch are skipped, and how many are wanted.
struct Part {
    offset: u64,
    limit: usize,
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
    pub(super) fn positions(
        &self,
        start: &Start,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Cursor>, Failure> {
        let (from, mut offset) = match start {
            Start::Beginning => (From::Whole, 0),
            Start::Cursor(cursor) => (From::Beyond(cursor), 0),
            Start::Offset(offset) => (From::Whole, *offset),
        };
        let mut found = Vec::new();
        for (stretch, from) in self.ahead(from, direction) {
            if found.len() < limit {
                let part = Part {
                    offset,
                    limit: limit - found.len(),
                };
                found.extend(self.stretch(stretch, from, direction, &part)?);
                // The offset that exceeds a whole stretch continues in the next one.
                if offset > 0 {
                    offset = match found.is_empty() {
                        true => offset.saturating_sub(self.count(stretch, direction)?),
                        false => 0,
                    };
                }
            }
        }
        Ok(found)
    }

    fn count(&self, stretch: Stretch, direction: Direction) -> Result<u64, Failure> {
        let Some((matching, parameters)) = self.matching("1", stretch, From::Whole, direction) else {
            return Ok(0);
        };
        let statement = format!("SELECT count(*) FROM ({matching})");
        let mut query = self.connection.prepare_cached(&statement)?;
        Ok(query.query_row(self.selection.parameters(parameters), |row| get(row, 0))?)
    }

    /// Returns whether a token is at a position or behind it, opposite to the direction; without a position,
    /// whether there is any.
    pub(super) fn any_behind(&self, from: From<'_>, direction: Direction) -> Result<bool, Failure> {
        let back = match direction {
            Direction::Next => Direction::Previous,
            Direction::Previous => Direction::Next,
        };
        for (stretch, from) in self.ahead(from, back) {
            let Some((matching, parameters)) = self.matching("1", stretch, from, back) else {
                return Ok(false);
            };
            // Any row suffices, so the query does not sort.
            let statement = format!("SELECT EXISTS ({matching})");
            let mut query = self.connection.prepare_cached(&statement)?;
            if query.query_row(self.selection.parameters(parameters), |row| get(row, 0))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the stretches ahead of a position, in the order of the direction.
    fn ahead<'c>(&self, from: From<'c>, direction: Direction) -> Vec<(Stretch, From<'c>)> {
        let mut stretches = match (self.sort.by, direction) {
            (SortBy::CreatedAt, _) => vec![Stretch::Valueless],
            (SortBy::Name | SortBy::CreatedBy, _) => vec![Stretch::Valued],
            (SortBy::ExpiresAt, _) if self.selection.expires => vec![Stretch::Valued],
            (_, Direction::Next) => vec![Stretch::Valued, Stretch::Valueless],
            (_, Direction::Previous) => vec![Stretch::Valueless, Stretch::Valued],
        };
        let (From::Beyond(cursor) | From::At(cursor)) = from else {
            return stretches.into_iter().map(|stretch| (stretch, from)).collect();
        };
        let own = match cursor.value {
            Some(_) => Stretch::Valued,
            None => Stretch::Valueless,
        };
        // The stretches before the cursor's own are behind it.
        if let Some(position) = stretches.iter().position(|stretch| *stretch == own) {
            stretches.drain(..position);
        }
        let whole = |stretch| if stretch == own { from } else { From::Whole };
        stretches
            .into_iter()
            .map(|stretch| (stretch, whole(stretch)))
            .collect()
    }

    fn stretch(
        &self,
        stretch: Stretch,
        from: From<'_>,
        direction: Direction,
        part: &Part,
    ) -> Result<Vec<Cursor>, Failure> {
        let Some((statement, mut parameters)) = self.statement(stretch, from, direction) else {
            return Ok(Vec::new());
        };
        parameters.push(Value::Integer(i64::try_from(part.limit).unwrap_or(i64::MAX)));
        parameters.push(Value::Integer(i64::try_from(part.offset).unwrap_or(i64::MAX)));
        let mut query = self.connection.prepare_cached(&statement)?;
        let rows = query.query_map(self.selection.parameters(parameters), |row| {
            Ok(Cursor {
                token: TokenId(get(row, 0)?),
                value: match self.sort.by {
                    SortBy::ExpiresAt | SortBy::LastUsedAt => {
                        get::<Option<Timestamp>>(row, 1)?.map(SortValue::Instant)
                    }
                    SortBy::CreatedAt | SortBy::Name | SortBy::Team | SortBy::CreatedBy => {
                        get::<Option<String>>(row, 1)?.map(SortValue::Text)
                    }
                },
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns a sorted query for a stretch, to which limit and offset are still to be added.
    pub(super) fn statement(
        &self,
        stretch: Stretch,
        from: From<'_>,
        direction: Direction,
    ) -> Option<(String, Vec<Value>)> {
        let (columns, order) = match stretch {
            Stretch::Valued => (
                format!("tokens.id AS id, {} AS value", self.value()),
                ["value", "id"].as_slice(),
            ),
            Stretch::Valueless => ("tokens.id AS id, NULL AS value".to_owned(), ["id"].as_slice()),
        };
        let (matching, parameters) = self.matching(&columns, stretch, from, direction)?;
        let (_, toward) = self.toward(direction);
        let order: Vec<_> = order.iter().map(|column| format!("{column} {toward}")).collect();
        let limit = self.selection.next_parameter() + parameters.len();
        let statement = format!(
            "{matching} ORDER BY {} LIMIT ?{limit} OFFSET ?{}",
            order.join(", "),
            limit + 1
        );
        Some((statement, parameters))
    }

    /// Returns an unsorted query for the rows of a stretch in a direction.
    fn matching(
        &self,
        columns: &str,
        stretch: Stretch,
        from: From<'_>,
        direction: Direction,
    ) -> Option<(String, Vec<Value>)> {
        let (comparison, _) = self.toward(direction);
        let value = self.value();
        let first = self.selection.next_parameter();
        let (cursor, equal) = match from {
            From::Whole => (None, ""),
            From::Beyond(cursor) => (Some(cursor), ""),
            From::At(cursor) => (Some(cursor), "="),
        };
        let (range, parameters) = match (stretch, cursor) {
            (Stretch::Valueless, None) => (format!("{value} IS NULL"), Vec::new()),
            (Stretch::Valueless, Some(cursor)) => (
                format!("{value} IS NULL AND tokens.id {comparison}{equal} ?{first}"),
                vec![Value::Integer(cursor.token.0)],
            ),
            (Stretch::Valued, None) => (format!("{value} IS NOT NULL"), Vec::new()),
            (Stretch::Valued, Some(cursor)) => (
                format!(
                    "({value}, tokens.id) {comparison}{equal} (?{first}, ?{})",
                    first + 1
                ),
                vec![
                    cursor.value.as_ref().map_or(Value::Null, to_value),
                    Value::Integer(cursor.token.0),
                ],
            ),
        };
        Some((self.selection.select(columns, &range)?, parameters))
    }

    /// Returns the comparison and the sort order of a direction.
    fn toward(&self, direction: Direction) -> (&'static str, &'static str) {
        match (self.sort.order, direction) {
            (Order::Descending, Direction::Next) | (Order::Ascending, Direction::Previous) => ("<", "DESC"),
            (Order::Descending, Direction::Previous) | (Order::Ascending, Direction::Next) => (">", "ASC"),
        }
    }

    /// Returns the SQL of the value that the list is sorted by.
    fn value(&self) -> &'static str {
        match self.sort.by {
            SortBy::CreatedAt => "NULL",
            SortBy::ExpiresAt => "tokens.expires_at",
            SortBy::LastUsedAt => "tokens.last_used_at",
            SortBy::Name => "lower(tokens.name)",
            SortBy::Team => "(SELECT canonical_name FROM teams WHERE teams.id = tokens.team)",
            SortBy::CreatedBy => "lower(tokens.created_by)",
        }
    }
}

fn to_value(value: &SortValue) -> Value {
    match value {
        SortValue::Instant(instant) => Value::Integer(instant.millis()),
        SortValue::Text(text) => Value::Text(text.clone()),
    }
}
