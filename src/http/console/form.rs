//! Forms as a browser sends them.

use axum::extract::{FromRequest, Request};
use axum::http::header;
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::page::Trouble;
use crate::http::input::MAX_BODY;

/// The fields of a form or of a query, in their order. The API checks their values.
#[derive(Clone, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Returns the fields of a text.
    pub(super) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// Returns the value of a field; empty if it is absent.
    pub(super) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// Returns all values of a field.
    pub(super) fn all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        let fields = self.0.iter().filter(move |(given, _)| given == name);
        fields
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Returns whether a box is ticked.
    pub(super) fn has(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// Returns whether a field has this value, as a box or a choice of several.
    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        self.all(name).any(|given| given == value)
    }

    /// Sets a field that is absent.
    pub(super) fn or(mut self, name: &str, value: impl Into<String>) -> Self {
        if !self.0.iter().any(|(given, _)| given == name) {
            self.0.push((name.to_owned(), value.into()));
        }
        self
    }

    /// Returns these fields alone.
    pub(super) fn only(mut self, names: &[&str]) -> Self {
        self.0.retain(|(name, _)| names.contains(&name.as_str()));
        self
    }

    /// Returns the fields but one, such as a password.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(given, _)| given != name);
        self
    }

    /// Sets a field.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.retain(|(given, _)| given != name);
        self.push(name, value);
        self
    }

    /// Adds a value.
    pub(super) fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Returns an object for the API of those of these fields that are not empty.
    pub(super) fn texts(&self, names: &[&str]) -> Map<String, Value> {
        let given = names.iter().map(|name| (*name, self.get(name).trim()));
        let given = given.filter(|(_, value)| !value.is_empty());
        given
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect()
    }

    /// Returns the query with other values of some fields; those with an empty value are left out.
    pub(super) fn query(&self, changes: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
        for (name, value) in &self.0 {
            if !is_changed(name) && !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        for (name, value) in changes.iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        query.finish()
    }

    /// Returns the fields, for hidden inputs.
    pub(super) fn fields(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter()
    }
}

impl<S: Sync> FromRequest<S> for Form {
    type Rejection = Trouble;

    async fn from_request(request: Request, _: &S) -> Result<Self, Trouble> {
        let media_type = request.headers().get(header::CONTENT_TYPE);
        let media_type = media_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if !media_type.starts_with("application/x-www-form-urlencoded") {
            return Err(Trouble::BadForm);
        }
        let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
        let body = body.map_err(|_| Trouble::BadForm)?.to_bytes();
        Ok(Self::parse(
            std::str::from_utf8(&body).map_err(|_| Trouble::BadForm)?,
        ))
    }
}
