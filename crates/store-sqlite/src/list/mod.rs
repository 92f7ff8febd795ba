//! Lists of tokens: pages that skip or repeat no token, and never read another organization's rows.

mod scan;
mod selection;

use rusqlite::Connection;

use crate::failure::Failure;
use crate::records::by_id;
use crate::usage::reporting_audiences;
use jeton_core::token::{CountTotal, Direction, Filter, Listing, Page, Start};

use scan::{From, Scan};
pub(super) use selection::{Selection, number};

/// Returns one page.
pub(super) fn page(connection: &Connection, filter: &Filter, page: &Page) -> Result<Listing, Failure> {
    // One instant for page, neighbours and total.
    let transaction = connection.unchecked_transaction()?;
    let selection = Selection::new(&transaction, filter)?;
    let scan = Scan::new(&transaction, &selection, page.sort);
    let limit = page.limit as usize;
    let mut found = scan.positions(&page.start, page.direction, limit + 1)?;
    let goes_on = found.len() > limit;
    found.truncate(limit);
    let comes_back = match &page.start {
        // The token at the cursor is behind the page, opposite to its direction.
        Start::Cursor(cursor) => scan.any_behind(From::At(cursor), page.direction)?,
        Start::Offset(1..) => scan.any_behind(From::Whole, page.direction)?,
        Start::Beginning | Start::Offset(0) => false,
    };
    let (has_next, has_previous) = match page.direction {
        Direction::Next => (goes_on, comes_back),
        Direction::Previous => {
            found.reverse();
            (comes_back, goes_on)
        }
    };
    let mut items = Vec::with_capacity(found.len());
    for position in &found {
        items.extend(by_id(&transaction, position.token)?);
    }
    let total = match page.count {
        CountTotal::Yes => Some(selection.count(&transaction)?),
        CountTotal::No => None,
    };
    let audiences = items.iter().flat_map(|record| &record.token.audience);
    Ok(Listing {
        reporting_audiences: reporting_audiences(&transaction, audiences)?,
        items,
        edges: found.first().cloned().zip(found.last().cloned()),
        total,
        has_next,
        has_previous,
    })
}

#[cfg(test)]
mod plans;
