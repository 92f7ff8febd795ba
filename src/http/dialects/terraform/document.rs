//! JSON:API documents in responses.

use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::dialects::terraform::page::{Links, Meta, PageForm};
use crate::http::input::JSON_API;
use crate::http::openapi;

/// A response with a JSON:API document.
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
    #[schema(schema_with = openapi::reference::<T>)]
    pub(super) data: T,
}

/// A document of one page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListDocument<T> {
    #[schema(schema_with = openapi::list_of::<T>)]
    pub(super) data: Vec<T>,
    pub(super) links: Links,
    pub(super) meta: Meta,
}

impl<T> ListDocument<T> {
    /// Creates a page of a list with `total` resources, with links below the public URL.
    pub(super) fn of(data: Vec<T>, page: PageForm, total: u64, base: &str, uri: &Uri) -> Self {
        let (links, meta) = page.of(total, base, uri);
        Self { data, links, meta }
    }
}

/// A relationship with at most one resource.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ToOne {
    #[schema(required = true)]
    pub(super) data: Option<Identifier>,
}

/// A resource identifier.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Identifier {
    #[schema(example = "team-Hn5Lq9BcX1dF7gJk")]
    pub(super) id: String,
    #[serde(rename = "type")]
    #[schema(example = "teams")]
    pub(super) kind: &'static str,
}

impl Identifier {
    pub(super) fn of(kind: &'static str, id: &impl ToString) -> Self {
        let id = id.to_string();
        Self { id, kind }
    }
}

impl ToOne {
    /// Returns a relationship with a resource.
    pub(super) fn with(kind: &'static str, id: &impl ToString) -> Self {
        Self {
            data: Some(Identifier::of(kind, id)),
        }
    }
}

/// A relationship with several resources.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ToMany {
    pub(super) data: Vec<Identifier>,
}

/// A relationship with one resource, with its link.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Linked {
    data: Identifier,
    links: Related,
}

/// A link to a resource.
#[derive(Debug, Serialize, ToSchema)]
struct Related {
    #[schema(example = "/api/v2/teams/team-Hn5Lq9BcX1dF7gJk")]
    related: String,
}

impl Linked {
    pub(super) fn of(data: Identifier) -> Self {
        let related = format!("/api/v2/{}/{}", data.kind, data.id);
        let links = Related { related };
        Self { data, links }
    }
}

/// A link to the resource itself.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Itself {
    #[serde(rename = "self")]
    #[schema(example = "/api/v2/teams/team-Hn5Lq9BcX1dF7gJk")]
    this: String,
}

impl Itself {
    pub(super) fn at(kind: &str, id: &impl std::fmt::Display) -> Self {
        Self {
            this: format!("/api/v2/{kind}/{id}"),
        }
    }
}

/// Returns whether the parameter `include`, names separated by commas, has this name.
pub(super) fn includes(include: Option<&str>, wanted: &str) -> bool {
    let mut names = include.into_iter().flat_map(|names| names.split(','));
    names.any(|name| name.trim() == wanted)
}

/// A document with the related resources that the request includes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Including<T, I> {
    #[serde(flatten)]
    pub(super) document: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = openapi::list_of::<I>, required = false)]
    pub(super) included: Option<Vec<I>>,
}
