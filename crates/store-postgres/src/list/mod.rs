//! Lists of tokens: pages that skip or repeat no token, and never read another organization's rows.

mod parameters;
mod scan;
mod selection;

use std::collections::HashMap;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::records::{COLUMNS, FROM, record};
use crate::usage::reporting_audiences;
use crate::values::{Bound, params};
use jeton_core::token::{CountTotal, Cursor, Direction, Filter, Listing, Page, Record, Start, TokenId};

pub(super) use parameters::Parameters;
use scan::{From, Scan};
pub(super) use selection::Selection;

/// Returns one page, on a connection whose queries read one instant.
pub(super) async fn page(connection: &Connection, filter: &Filter, page: &Page) -> Result<Listing, Failure> {
    let selection = Selection::new(filter);
    let scan = Scan::new(connection, &selection, page.sort);
    let limit = page.limit as usize;
    let mut found = scan.positions(&page.start, page.direction, limit + 1).await?;
    let goes_on = found.len() > limit;
    found.truncate(limit);
    let comes_back = match &page.start {
        // The token at the cursor is behind the page, opposite to its direction.
        Start::Cursor(cursor) => scan.any_behind(From::At(cursor), page.direction).await?,
        Start::Offset(1..) => scan.any_behind(From::Whole, page.direction).await?,
        Start::Beginning | Start::Offset(0) => false,
    };
    let (has_next, has_previous) = match page.direction {
        Direction::Next => (goes_on, comes_back),
        Direction::Previous => {
            found.reverse();
            (comes_back, goes_on)
        }
    };
    let items = items(connection, &found).await?;
    let total = match page.count {
        CountTotal::Yes => Some(selection.count(connection).await?),
        CountTotal::No => None,
    };
    let audiences = items.iter().flat_map(|record| &record.token.audience);
    Ok(Listing {
        reporting_audiences: reporting_audiences(connection, audiences).await?,
        items,
        edges: found.first().cloned().zip(found.last().cloned()),
        total,
        has_next,
        has_previous,
    })
}

/// Returns the records at positions, in their order.
async fn items(connection: &Connection, positions: &[Cursor]) -> Result<Vec<Record>, Failure> {
    let query = format!("SELECT {COLUMNS} FROM {FROM} WHERE tokens.id = ANY ($1)");
    let tokens = Bound::array(positions.iter().map(|position| &position.token));
    let rows = connection.rows(&query, params![tokens]).await?;
    let records = rows.iter().map(record);
    let mut records: HashMap<TokenId, Record> = records
        .map(|record| record.map(|record| (record.id, record)))
        .collect::<Result<_, _>>()?;
    Ok(positions
        .iter()
        .filter_map(|position| records.remove(&position.token))
        .collect())
}
