//! Numbered pages of organizations, teams and members, with the total of matches.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::failure::Failure;
use crate::tokens::json;
use crate::values::{Columns, get};
use jeton_store::{Found, Search};

/// A list that can be searched.
pub(super) struct Searched {
    /// The columns of an entry.
    pub(super) columns: String,
    /// `FROM` and `WHERE`. `?1` is the row that the list belongs to, if any.
    pub(super) rows: &'static str,
    /// The row that the list belongs to.
    pub(super) of: Option<i64>,
    /// The canonical name or address that the list is sorted by.
    pub(super) key: &'static str,
    /// Another column that may contain the text, in lower case.
    pub(super) also: Option<&'static str>,
}

/// The two statements of a search, and their parameters; the first one also takes limit and offset.
pub(super) struct Statements {
    pub(super) page: String,
    pub(super) count: String,
    parameters: Vec<Value>,
}

impl Searched {
    pub(super) fn statements(&self, search: &Search) -> Result<Statements, Failure> {
        let Self {
            columns, rows, key, ..
        } = self;
        let mut parameters: Vec<Value> = self.of.into_iter().map(Value::Integer).collect();
        let mut condition = String::new();
        if let Some(text) = &search.text {
            parameters.push(Value::Text(text.clone()));
            let text = parameters.len();
            let also = self
                .also
                .map_or_else(String::new, |also| format!(" OR instr({also}, ?{text})"));
            condition.push_str(&format!(" AND (instr({key}, ?{text}){also})"));
        }
        if let Some(keys) = &search.keys {
            parameters.push(Value::Text(json(keys)?));
            let keys = parameters.len();
            condition.push_str(&format!(" AND {key} IN (SELECT value FROM json_each(?{keys}))"));
        }
        let (limit, offset) = (parameters.len() + 1, parameters.len() + 2);
        Ok(Statements {
            page: format!(
                "SELECT {columns} {rows}{condition} ORDER BY {key} LIMIT ?{limit} OFFSET ?{offset}"
            ),
            count: format!("SELECT count(*) {rows}{condition}"),
            parameters,
        })
    }

    /// Returns the page and the total at one instant.
    pub(super) fn find<T>(
        &self,
        connection: &Connection,
        search: &Search,
        read: fn(&mut Columns<'_>) -> rusqlite::Result<T>,
    ) -> Result<Found<T>, Failure> {
        let Statements {
            page,
            count,
            parameters,
        } = self.statements(search)?;
        let transaction = connection.unchecked_transaction()?;
        let total = transaction
            .prepare_cached(&count)?
            .query_row(params_from_iter(&parameters), |row| get(row, 0))?;
        let offset = i64::try_from(search.offset).unwrap_or(i64::MAX);
        let part = [Value::Integer(search.limit.into()), Value::Integer(offset)];
        let items = transaction
            .prepare_cached(&page)?
            .query_map(params_from_iter(parameters.iter().chain(&part)), |row| {
                read(&mut Columns::of(row))
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Found { items, total })
    }
}

#[cfg(test)]
mod plans;
