//! Documents that are answered, as JSON:API has them.

use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::dialects::terraform::page::{Links, Meta, PageForm};
use crate::http::input::JSON_API;

/// An answer with a document in it.
#[derive(Debug)]
pub(super) struct JsonApi<T>(pub(super) T);

impl<T: Serialize> IntoResponse for JsonApi<T> {
    fn into_response(self) -> Response {
        let mut response = axum::Json(self.0).into_response();
        let media_type = header::HeaderValue::from_static(JSON_API);
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        response
    }
}

/// A document of one resource.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Document<T> {
    pub(super) data: T,
}

/// A document of a list's page.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListDocument<T> {
    pub(super) data: Vec<T>,
    pub(super) links: Links,
    pub(super) meta: Meta,
}

impl<T> ListDocument<T> {
    /// A page of so many resources, below the public address.
    pub(super) fn of(data: Vec<T>, page: PageForm, total: u64, base: &str, uri: &Uri) -> Self {
        let (links, meta) = page.of(total, base, uri);
        Self { data, links, meta }
    }
}

/// A relationship with one resource, or with none.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ToOne {
    #[schema(required = true)]
    pub(super) data: Option<Identifier>,
}

/// Which resource is meant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Identifier {
    #[schema(example = "team-Hn5Lq9BcX1dF7gJk")]
    pub(super) id: String,
    #[serde(rename = "type")]
    #[schema(example = "teams")]
    pub(super) kind: &'static str,
}
