//! Complete lists for APIs without pagination, read page by page.

use crate::authority::{Authority, Caller, Error, Wanted};
use crate::http::streamed::{Interrupted, Streamed};
use jeton_core::directory::{Belonging, Member};
use jeton_core::token::{CountTotal, Direction, Order, Page, Record, Sort, SortBy, Start};
use jeton_store::Slice;
pub(super) use jeton_store::slices;
use serde::Serialize;

/// The page size, so that one long list does not occupy a database reader for long.
const PAGE_SIZE: u32 = 250;

/// All tokens that the caller may see and that match, oldest first.
pub(super) struct Tokens<'a> {
    authority: &'a Authority,
    caller: &'a Caller,
    wanted: Wanted,
    /// `None` after the last page.
    next: Option<Start>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(authority: &'a Authority, caller: &'a Caller, wanted: Wanted) -> Self {
        Self {
            authority,
            caller,
            wanted,
            next: Some(Start::Beginning),
        }
    }

    /// Returns the next page; empty after the last.
    pub(super) async fn page(&mut self) -> Result<Vec<Record>, Error> {
        let Some(start) = self.next.take() else {
            return Ok(Vec::new());
        };
        if start != Start::Beginning {
            // A client that reads slowly must not go on after the end of its token.
            self.authority.confirm(self.caller.active(), None).await?;
        }
        let page = Page {
            sort: Sort {
                by: SortBy::CreatedAt,
                order: Order::Ascending,
            },
            start,
            direction: Direction::Next,
            limit: PAGE_SIZE,
            count: CountTotal::No,
        };
        let listing = self.authority.list(self.caller, &self.wanted, page).await?;
        if let (Some((_, last)), true) = (listing.edges, listing.has_next) {
            self.next = Some(Start::Cursor(last));
        }
        Ok(listing.items)
    }

    /// Returns whether there is another page.
    pub(super) fn goes_on(&self) -> bool {
        self.next.is_some()
    }

    /// Writes the items of a list, and returns their number.
    pub(super) async fn write<T: Serialize>(
        mut self,
        out: &mut Streamed,
        item: fn(&Record) -> T,
    ) -> Result<u64, Interrupted> {
        let mut count = 0;
        loop {
            for record in self.page().await? {
                out.item(&mut count);
                out.value(&item(&record))?;
            }
            if !self.goes_on() {
                return Ok(count);
            }
            out.send().await?;
        }
    }
}

/// Returns all members of a list, without invited addresses: APIs without a status would show them as members.
pub(super) async fn members<Read>(read: impl Fn(Slice) -> Read) -> Result<Vec<Member>, Error>
where
    Read: Future<Output = Result<Vec<Belonging>, Error>>,
{
    let listed = slices(read, |belonging| belonging.email().to_string()).await?;
    Ok(listed.into_iter().filter_map(Belonging::member).collect())
}
