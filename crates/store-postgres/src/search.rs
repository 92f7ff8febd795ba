//! Lists of the directory in the order of names or addresses: slices, and numbered pages with the total of matches.
//!
//! What belongs to one owner is found by the owner's rows, and each of them by `CROSS JOIN LATERAL (… OFFSET 0)`:
//! `OFFSET 0` keeps the planner from merging that query with the one around it. It would otherwise read the names or
//! addresses of everyone until a page is full if owners have many entries on average, however few this one has.

use crate::connection::Connections;
use crate::failure::Failure;
use crate::values::{Bound, Columns, Parameter, Sought, get};
use jeton_store::reads::{Purpose, Tenant};
use jeton_store::{Found, Search, Slice, StoreError};

/// A list that can be searched.
pub(super) struct Searched {
    /// The tables that entries come from, one or several with the same columns.
    pub(super) parts: Vec<Part>,
    /// The public id of what the list belongs to.
    pub(super) of: Option<Bound>,
}

/// The entries of a list that come from one table.
pub(super) struct Part {
    /// The columns of an entry. If the list has several parts, the first column is the key.
    pub(super) columns: String,
    /// `FROM` and `WHERE`. `$1` is the public id of what the list belongs to, if any.
    pub(super) rows: String,
    /// The canonical name or address that the list is sorted by.
    pub(super) key: &'static str,
    /// Another column that may contain the text, in lower case.
    pub(super) also: Option<&'static str>,
}

/// Reads the columns of an entry.
type Read<T> = fn(&mut Columns<'_>) -> Result<T, Failure>;

impl Searched {
    /// Returns a slice.
    pub(super) async fn slice<T>(
        &self,
        connections: &Connections,
        tenant: Tenant,
        slice: &Slice,
        read: Read<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut parameters = self.parameters();
        let after = add(&mut parameters, after(slice).bound());
        let entries = self.entries(|part| format!(" AND {} > ${after}", part.key));
        let limit = add(&mut parameters, slice.limit.bound());
        let query = format!("{entries} LIMIT ${limit}");
        let rows = connections
            .long_rows(Purpose::Listing(tenant), &query, &parameters)
            .await?;
        rows.iter().map(|row| Ok(read(&mut Columns::of(row))?)).collect()
    }

    /// Returns a numbered page and the total at one instant.
    pub(super) async fn find<T>(
        &self,
        connections: &Connections,
        tenant: Tenant,
        search: &Search,
        read: Read<T>,
    ) -> Result<Found<T>, StoreError> {
        let mut parameters = self.parameters();
        let text = search.text.as_ref();
        let text = text.map(|text| add(&mut parameters, Sought(text).bound()));
        let keys = search.keys.as_ref();
        let keys = keys.map(|keys| {
            // PostgreSQL accepts no text with U+0000, and no stored one holds it.
            let keys = keys.iter().filter(|key| !key.contains('\0'));
            add(&mut parameters, Bound::array(keys))
        });
        let counts: Vec<_> = self
            .selects(|_| "count(*)", |part| part.condition(text, keys))
            .map(|count| format!("({count})"))
            .collect();
        let count = format!("SELECT {}", counts.join(" + "));
        let entries = self.entries(|part| part.condition(text, keys));
        let mut connection = connections.long(Purpose::Listing(tenant)).await?;
        let total = get(&connection.row(&count, &parameters).await?, 0)?;
        let limit = add(&mut parameters, search.limit.bound());
        let skipped = i64::try_from(search.offset).unwrap_or(i64::MAX);
        let offset = add(&mut parameters, skipped.bound());
        let page = format!("{entries} LIMIT ${limit} OFFSET ${offset}");
        let rows = connection.rows(&page, &parameters).await?;
        connection.end().await?;
        let items = rows.iter().map(|row| read(&mut Columns::of(row)));
        Ok(Found {
            items: items.collect::<Result<_, _>>()?,
            total,
        })
    }

    fn parameters(&self) -> Vec<Bound> {
        self.of.iter().cloned().collect()
    }

    /// Returns the query for the entries that meet a condition, in their order.
    fn entries(&self, condition: impl Fn(&Part) -> String) -> String {
        let entries: Vec<_> = self.selects(|part| &part.columns, condition).collect();
        let order = match self.parts.as_slice() {
            [only] => only.key,
            _ => "1",
        };
        format!("{} ORDER BY {order}", entries.join(" UNION ALL "))
    }

    fn selects(
        &self,
        columns: fn(&Part) -> &str,
        condition: impl Fn(&Part) -> String,
    ) -> impl Iterator<Item = String> {
        let parts = self.parts.iter();
        parts.map(move |part| format!("SELECT {} {}{}", columns(part), part.rows, condition(part)))
    }
}

impl Part {
    /// Returns the condition for entries with a text or with one of some keys, by the numbers of the parameters.
    fn condition(&self, text: Option<usize>, keys: Option<usize>) -> String {
        let key = self.key;
        let text = text.map(|text| {
            let also = self
                .also
                .map_or_else(String::new, |also| format!(" OR strpos({also}, ${text}) > 0"));
            format!(" AND (strpos({key}, ${text}) > 0{also})")
        });
        let keys = keys.map(|keys| format!(" AND {key} = ANY(${keys})"));
        [text, keys].into_iter().flatten().collect()
    }
}

/// Adds a parameter, and returns its number.
fn add(parameters: &mut Vec<Bound>, value: Bound) -> usize {
    parameters.push(value);
    parameters.len()
}

/// Returns the name or address after which a slice begins. No stored text holds U+0000, so that the same ones follow a
/// text and its part before that character.
pub(super) fn after(slice: &Slice) -> &str {
    let after = slice.after.as_deref().unwrap_or_default();
    after.split_once('\0').map_or(after, |(before, _)| before)
}
