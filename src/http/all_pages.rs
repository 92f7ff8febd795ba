//! Complete lists for APIs without pagination, read page by page.

use crate::authority::{Authority, Caller, Error, Wanted};
use jeton_core::directory::{Belonging, Member};
use jeton_core::token::{CountTotal, Direction, Order, Page, Record, Sort, SortBy, Start};
use jeton_store::Slice;
pub(super) use jeton_store::slices;

/// The page size, so that one long list does not occupy a database reader for long.
const PAGE_SIZE: u32 = 250;

/// Returns all tokens that the caller may see and that match, oldest first.
pub(super) async fn tokens(
    authority: &Authority,
    caller: &Caller,
    wanted: &Wanted,
) -> Result<Vec<Record>, Error> {
    let mut page = Page {
        sort: Sort {
            by: SortBy::CreatedAt,
            order: Order::Ascending,
        },
        start: Start::Beginning,
        direction: Direction::Next,
        limit: PAGE_SIZE,
        count: CountTotal::No,
    };
    let mut tokens = Vec::new();
    loop {
        let listing = authority.list(caller, wanted, page.clone()).await?;
        tokens.extend(listing.items);
        match listing.edges {
            Some((_, last)) if listing.has_next => page.start = Start::Cursor(last),
            _ => return Ok(tokens),
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
