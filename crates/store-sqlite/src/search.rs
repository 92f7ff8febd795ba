//! Numbered pages of organizations, teams and members, with the total of matches.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::failure::Failure;
use crate::tokens::json;
use crate::values::{Columns, get};
use jeton_store::{Found, Search};

/// A list that can be searched.
pub(super) struct Searched {
    /// The tables that entries come from, one or several with the same columns.
    pub(super) parts: Vec<Part>,
    /// The row that the list belongs to.
    pub(super) of: Option<i64>,
}

/// The entries of a list that come from one table.
pub(super) struct Part {
    /// The columns of an entry. If the list has several parts, the first column is the key.
    pub(super) columns: String,
    /// `FROM` and `WHERE`. `?1` is the row that the list belongs to, if any.
    pub(super) rows: &'static str,
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
        let mut parameters: Vec<Value> = self.of.into_iter().map(Value::Integer).collect();
        let mut parameter = |value| {
            parameters.push(value);
            parameters.len()
        };
        let text = search.text.clone().map(|text| parameter(Value::Text(text)));
        let keys = match &search.keys {
            Some(keys) => Some(parameter(Value::Text(json(keys)?))),
            None => None,
        };
        let selects = |columns: fn(&Part) -> &str| {
            let parts = self.parts.iter();
            parts.map(move |part| {
                format!(
                    "SELECT {} {}{}",
                    columns(part),
                    part.rows,
                    part.condition(text, keys)
                )
            })
        };
        let entries = selects(|part| &part.columns)
            .collect::<Vec<_>>()
            .join(" UNION ALL ");
        let order = match self.parts.as_slice() {
            [only] => only.key,
            _ => "1",
        };
        let counts: Vec<_> = selects(|_| "count(*)")
            .map(|count| format!("({count})"))
            .collect();
        let (limit, offset) = (parameters.len() + 1, parameters.len() + 2);
        Ok(Statements {
            page: format!("{entries} ORDER BY {order} LIMIT ?{limit} OFFSET ?{offset}"),
            count: format!("SELECT {}", counts.join(" + ")),
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

impl Part {
    /// Returns the condition for entries with a text or with one of some keys, by the numbers of the parameters.
    fn condition(&self, text: Option<usize>, keys: Option<usize>) -> String {
        let key = self.key;
        let text = text.map(|text| {
            let also = self
                .also
                .map_or_else(String::new, |also| format!(" OR instr({also}, ?{text})"));
            format!(" AND (instr({key}, ?{text}){also})")
        });
        let keys = keys.map(|keys| format!(" AND {key} IN (SELECT value FROM json_each(?{keys}))"));
        [text, keys].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod plans;
