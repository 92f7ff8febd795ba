//! Pagination by page number.

use axum::http::Uri;
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;
use utoipa::openapi::Schema;

use crate::http::input::{Fault, Form, Scalar, Value};
use jeton_store::Search;

/// The default and the maximum page size.
const USUAL_SIZE: i64 = 20;
const LARGEST_SIZE: i64 = 100;

/// The parameter names, which links contain.
const NUMBER: &str = "page[number]";
const SIZE: &str = "page[size]";

/// A page of a list. A value out of range counts as the nearest bound.
#[derive(Debug, Clone, Copy, Form)]
#[form(query)]
pub(super) struct PageForm {
    /// The page number, from 1.
    #[form(name = "page[number]", default = Clamped(1))]
    number: Clamped<{ u32::MAX as i64 }>,
    /// The page size, 1 to 100.
    #[form(name = "page[size]", default = Clamped(USUAL_SIZE))]
    size: Clamped<LARGEST_SIZE>,
}

/// A page of a list that is complete unless a page is requested.
#[derive(Debug, Form)]
#[form(query)]
pub(super) struct PageIfAny {
    /// The page number, from 1.
    #[form(name = "page[number]")]
    number: Option<Clamped<{ u32::MAX as i64 }>>,
    /// The page size, 1 to 100. Default: 20 if only the page number is given.
    #[form(name = "page[size]")]
    size: Option<Clamped<LARGEST_SIZE>>,
}

/// Filters and page of a list.
#[derive(Debug, Form)]
#[form(query)]
pub(super) struct Paged<F: Form> {
    #[form(flatten)]
    pub(super) filter: F,
    #[form(flatten)]
    pub(super) page: PageForm,
}

/// An integer from 1, clamped to its bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clamped<const MAX: i64>(pub(super) i64);

impl<const MAX: i64> Scalar for Clamped<MAX> {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        i64::read(value).map(|number| Self(number.clamp(1, MAX)))
    }

    fn schema() -> Schema {
        <i64 as Scalar>::schema()
    }

    fn to_default(&self) -> Option<serde_json::Value> {
        Some(self.0.into())
    }
}

impl PageIfAny {
    pub(super) fn page(&self) -> Option<PageForm> {
        let is_named = self.number.is_some() || self.size.is_some();
        is_named.then(|| PageForm {
            number: self.number.unwrap_or(Clamped(1)),
            size: self.size.unwrap_or(Clamped(USUAL_SIZE)),
        })
    }
}

impl PageForm {
    /// Returns the only page of a complete list.
    pub(super) fn complete(length: u64) -> Self {
        Self {
            number: Clamped(1),
            size: Clamped(i64::try_from(length).unwrap_or(i64::MAX).max(1)),
        }
    }

    /// Returns the page size.
    pub(super) fn size(self) -> u32 {
        u32::try_from(self.size.0).unwrap_or(1)
    }

    /// Returns the number of items before the page.
    pub(super) fn offset(self) -> u64 {
        (self.number.0 - 1).saturating_mul(self.size.0).unsigned_abs()
    }

    /// Returns the search for a page of a directory list.
    pub(super) fn search(self, text: Option<String>, keys: Option<Vec<String>>) -> Search {
        Search {
            text,
            keys,
            offset: self.offset(),
            limit: self.size(),
        }
    }

    /// Returns the links to the other pages, below the public URL, and the pagination metadata.
    pub(super) fn of(self, total: u64, base: &str, uri: &Uri) -> (Links, Meta) {
        let last = i64::try_from(total.div_ceil(self.size.0.unsigned_abs()))
            .unwrap_or(i64::MAX)
            .max(1);
        let page = |number: i64| (1..=last).contains(&number).then_some(number);
        let (previous, next) = (page(self.number.0 - 1), page(self.number.0 + 1));
        let link = |number| address(base, uri, number, self.size.0);
        let links = Links {
            this: link(self.number.0),
            first: link(1),
            prev: previous.map(link),
            next: next.map(link),
            last: link(last),
        };
        let pagination = Pagination {
            current_page: self.number.0,
            page_size: self.size.0,
            prev_page: previous,
            next_page: next,
            total_pages: last,
            total_count: total,
        };
        (links, Meta { pagination })
    }
}

/// Links to the pages of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Links {
    #[serde(rename = "self")]
    this: String,
    first: String,
    #[schema(required = true)]
    prev: Option<String>,
    #[schema(required = true)]
    next: Option<String>,
    last: String,
}

/// The metadata of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Meta {
    pagination: Pagination,
}

/// The page number and the number of pages.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct Pagination {
    #[schema(example = 1)]
    current_page: i64,
    #[schema(example = 20)]
    page_size: i64,
    #[schema(required = true)]
    prev_page: Option<i64>,
    #[schema(required = true)]
    next_page: Option<i64>,
    /// At least 1: an empty list has one empty page.
    #[schema(example = 1)]
    total_pages: i64,
    total_count: u64,
}

fn address(base: &str, uri: &Uri, number: i64, size: i64) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let asked = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.extend_pairs(asked.filter(|(name, _)| name != NUMBER && name != SIZE));
    query.append_pair(NUMBER, &number.to_string());
    query.append_pair(SIZE, &size.to_string());
    format!("{}{}?{}", base.trim_end_matches('/'), uri.path(), query.finish())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn at(number: i64, total: u64) -> (Links, Meta) {
        let uri: Uri = "/api/v2/things?q=a%26b&page%5Bsize%5D=7&page[number]=9"
            .parse()
            .unwrap();
        let (number, size) = (Clamped(number), Clamped(10));
        PageForm { number, size }.of(total, "https://jeton.example.org/", &uri)
    }

    #[test]
    fn links_keep_the_query_and_encode_brackets() {
        let (links, _) = at(2, 25);
        let link = |page: u32| {
            let query = format!("q=a%26b&page%5Bnumber%5D={page}&page%5Bsize%5D=10");
            format!("https://jeton.example.org/api/v2/things?{query}")
        };
        assert_eq!(links.this, link(2));
        assert_eq!((links.first, links.last), (link(1), link(3)));
        assert_eq!((links.prev, links.next), (Some(link(1)), Some(link(3))));
    }

    #[test]
    fn there_is_nothing_before_the_first_page_and_nothing_after_the_last() {
        for (number, total, previous, next, pages) in [
            (1, 0, None, None, 1),
            (1, 10, None, None, 1),
            (1, 11, None, Some(2), 2),
            (2, 11, Some(1), None, 2),
            (9, 11, None, None, 2),
        ] {
            let (_, Meta { pagination }) = at(number, total);
            let found = (pagination.prev_page, pagination.next_page, pagination.total_pages);
            assert_eq!(found, (previous, next, pages), "{number} of {total}");
        }
    }
}
