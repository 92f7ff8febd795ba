//! Lists that a system has without pages, read part by part.

use crate::authority::{Authority, Caller, Error, Wanted};
use crate::directory::{Belonging, Member};
use crate::store::Slice;
use crate::token::{CountTotal, Direction, Order, Page, Record, Sort, SortBy, Start};

/// So many at a time, so that one long list does not keep a reader from everybody else.
const PART: u32 = 250;

/// Every token that the caller may see and wants, the oldest first.
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
        limit: PART,
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

/// Everybody of a list of members, without addresses that nobody has yet.
pub(super) async fn members<Part>(part: impl Fn(Slice) -> Part) -> Result<Vec<Member>, Error>
where
    Part: Future<Output = Result<Vec<Belonging>, Error>>,
{
    let listed = slices(part, |belonging| belonging.email().to_string()).await?;
    Ok(listed.into_iter().filter_map(Belonging::member).collect())
}

/// Everything of a list in the order of its keys, which are names or addresses.
pub(super) async fn slices<T, Part>(
    part: impl Fn(Slice) -> Part,
    key: fn(&T) -> String,
) -> Result<Vec<T>, Error>
where
    Part: Future<Output = Result<Vec<T>, Error>>,
{
    let mut all: Vec<T> = Vec::new();
    loop {
        let after = all.last().map(key);
        let slice = part(Slice { after, limit: PART }).await?;
        let is_last = slice.len() < PART as usize;
        all.extend(slice);
        if is_last {
            return Ok(all);
        }
    }
}
