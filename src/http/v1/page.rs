//! Pagination of lists sorted by name or address.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::input::{Fields, Form, Request};
use crate::http::openapi;
use jeton_store::Slice;

/// The page of a list.
#[derive(Debug, Form)]
#[form(query)]
pub(crate) struct SliceForm {
    /// The page size.
    #[form(default = 100, range(min = 1, max = 1000))]
    limit: i64,
    /// `next_cursor` of the previous page. Default: the first page.
    #[form(length(max = 254))]
    cursor: Option<String>,
}

impl Request for Slice {
    type Form = SliceForm;

    fn parse(form: SliceForm, _: &mut Fields<'_>) -> Result<Self, crate::http::input::Refused> {
        Ok(Self {
            // One more than the page size, to tell whether a next page exists.
            limit: u32::try_from(form.limit).unwrap_or(1) + 1,
            after: form.cursor.map(|cursor| cursor.to_lowercase()),
        })
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Items<T> {
    /// The items of this page.
    #[schema(schema_with = openapi::list_of::<T>)]
    items: Vec<T>,
    /// The `cursor` of the next page; `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// Whether there is a next page.
    has_next: bool,
}

impl<T> Items<T> {
    /// Creates a page from a slice, whose last item beyond the page size tells whether a next page
    /// exists.
    pub(super) fn of<R>(slice: &Slice, mut rows: Vec<R>, key: fn(&R) -> String, view: fn(R) -> T) -> Self {
        let shown = usize::try_from(slice.limit).unwrap_or(usize::MAX) - 1;
        let has_next = rows.len() > shown;
        rows.truncate(shown);
        let next_cursor = if has_next { rows.last().map(key) } else { None };
        Self {
            items: rows.into_iter().map(view).collect(),
            next_cursor,
            has_next,
        }
    }
}
