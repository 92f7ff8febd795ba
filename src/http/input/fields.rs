//! Reads a form field by field and checks bounds.

use std::fmt;

use axum::http::HeaderMap;

use super::field::{Field, MAX_WRONG_ELEMENTS};
use super::value::{Object, Value};
use super::violation::{Fault, Location, Violation, Violations};
use super::{Form, Repeated, Request, Unknown};

/// The named values of one part of a request, and the violations recorded so far.
///
/// A form reads all of its fields in order. A missing or invalid field returns `None` and its violation
/// is recorded.
pub struct Fields<'a> {
    part: Part,
    at: Location,
    members: &'a Object<'a>,
    headers: Option<&'a HeaderMap>,
    fields_read: Vec<ReadField>,
    refused: Vec<Violation>,
}

/// Hides the values, which may contain a password.
impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields")
            .field("at", &self.at)
            .field("fields_read", &self.fields_read)
            .finish_non_exhaustive()
    }
}

/// The part of a request that contains fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Path,
    Query,
    Header,
    Body,
}

/// Marks a broken rule, whose violation [`Fields::refuse`] has recorded.
#[derive(Debug)]
#[must_use = "a refusal is returned, so that no request is made"]
pub struct Refused(());

#[derive(Debug)]
struct ReadField {
    name: &'static str,
    violations: Vec<Violation>,
}

impl<'a> Fields<'a> {
    /// Reads a required field. `broken` returns the fault if the value is out of bounds, here and
    /// below.
    pub fn required<T: Field>(
        &mut self,
        name: &'static str,
        broken: impl Fn(&T) -> Option<Fault>,
    ) -> Option<T> {
        match self.member(name) {
            Some(value) => self.read(name, value, broken),
            None => {
                let violation = self.violation(Fault::Missing, self.at(name), None);
                self.record(name, vec![violation]);
                None
            }
        }
    }

    /// Reads an optional field; `null` counts as absent.
    pub fn optional<T: Field>(
        &mut self,
        name: &'static str,
        broken: impl Fn(&T) -> Option<Fault>,
    ) -> Option<Option<T>> {
        self.change(name, broken).map(Option::flatten)
    }

    /// Reads a field with a default value. `null` is an error.
    pub fn or<T: Field>(
        &mut self,
        name: &'static str,
        default: T,
        broken: impl Fn(&T) -> Option<Fault>,
    ) -> Option<T> {
        self.given(name, broken).map(|given| given.unwrap_or(default))
    }

    /// Reads a field of a partial update: `Some(None)` means unchanged. `null` is an error.
    pub fn given<T: Field>(
        &mut self,
        name: &'static str,
        broken: impl Fn(&T) -> Option<Fault>,
    ) -> Option<Option<T>> {
        match self.member(name) {
            Some(value) => self.read(name, value, broken).map(Some),
            None => self.absent(name),
        }
    }

    /// Reads a removable field of a partial update: absent is `Some(None)`, `null` is
    /// `Some(Some(None))`.
    pub fn change<T: Field>(
        &mut self,
        name: &'static str,
        broken: impl Fn(&T) -> Option<Fault>,
    ) -> Option<Option<Option<T>>> {
        match self.member(name) {
            Some(Value::Null) => {
                self.record(name, Vec::new());
                Some(Some(None))
            }
            Some(value) => self.read(name, value, broken).map(|read| Some(Some(read))),
            None => self.absent(name),
        }
    }

    /// Reads an object field with its own form. Absent and `null` are `Some(None)`.
    pub(crate) fn nested<R: Request>(&mut self, name: &'static str) -> Option<Option<R>> {
        match self.member(name) {
            None | Some(Value::Null) => self.absent(name),
            Some(value) => self.inner(name, value).map(Some),
        }
    }

    /// Reads an object field that counts as empty when absent or `null`, so that its missing fields are
    /// reported.
    pub(crate) fn nested_or_empty<R: Request>(&mut self, name: &'static str) -> Option<R> {
        match self.member(name) {
            None | Some(Value::Null) => self.inner(name, &Value::Object(Object::default())),
            Some(value) => self.inner(name, value),
        }
    }

    /// Reads a required field that is a list of objects.
    pub(crate) fn nested_list<R: Request>(
        &mut self,
        name: &'static str,
        broken: impl Fn(&Vec<R>) -> Option<Fault>,
    ) -> Option<Vec<R>> {
        let at = self.at(name);
        let value = self.member(name);
        let Some(Value::List(elements)) = value else {
            let violation = match value {
                None => self.violation(Fault::Missing, at, None),
                Some(value) => Violation::new(Fault::ListType, at, value),
            };
            self.record(name, vec![violation]);
            return None;
        };
        let (mut list, mut violations) = (Vec::new(), Vec::new());
        for (index, element) in elements.iter().enumerate() {
            match self.object(at.index(index), element) {
                Ok(request) => list.push(request),
                Err(_) if violations.len() >= MAX_WRONG_ELEMENTS => break,
                Err(Violations { detail }) => violations.extend(detail),
            }
        }
        if violations.is_empty() {
            let fault = broken(&list);
            violations.extend(fault.map(|fault| self.violation(fault, at, value)));
        }
        self.checked(name, list, violations)
    }

    /// Returns whether a field is a list, for a form that takes an object or a list there.
    pub(crate) fn is_list(&self, name: &str) -> bool {
        matches!(self.member(name), Some(Value::List(_)))
    }

    /// Records that a field violates the rule that `text` states.
    pub fn refuse(&mut self, name: &'static str, text: impl Into<String>) -> Refused {
        self.refuse_at(self.at(name), self.member(name), text.into())
    }

    /// Records that a list element violates the rule that `text` states.
    pub fn refuse_element(&mut self, name: &'static str, index: usize, text: impl Into<String>) -> Refused {
        let element = match self.member(name) {
            Some(Value::List(elements)) => elements.get(index),
            value => value,
        };
        self.refuse_at(self.at(name).index(index), element, text.into())
    }

    pub(super) fn new(part: Part, at: Location, members: &'a Object<'a>) -> Self {
        Self {
            part,
            at,
            members,
            headers: None,
            fields_read: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Sets the headers of the request, which can identify the kind of client.
    pub(super) fn with_headers(&mut self, headers: &'a HeaderMap) {
        self.headers = Some(headers);
    }

    fn refuse_at(&mut self, at: Location, value: Option<&Value<'_>>, error: String) -> Refused {
        let violation = self.violation(Fault::Value { error }, at, value);
        self.refused.push(violation);
        Refused(())
    }

    fn read<T: Field>(
        &mut self,
        name: &'static str,
        value: &Value<'_>,
        broken: impl Fn(&T) -> Option<Fault>,
    ) -> Option<T> {
        let at = self.at(name);
        match T::take(value, &at) {
            // No text contains U+0000: some databases cannot store it, and C libraries end a text there.
            Ok(_) if value.contains_nul() => {
                let error = "must not contain the character U+0000".to_owned();
                self.record(name, vec![Violation::new(Fault::Value { error }, at, value)]);
                None
            }
            Ok(read) => {
                let fault = broken(&read).map(|fault| Violation::new(fault, at, value));
                self.checked(name, read, Vec::from_iter(fault))
            }
            Err(violations) => {
                // An out-of-bounds error says more than that an integer is too large.
                let fault = T::nearest(value).and_then(|nearest| broken(&nearest));
                let fault = fault.map(|fault| vec![Violation::new(fault, at, value)]);
                self.record(name, fault.unwrap_or(violations));
                None
            }
        }
    }

    fn inner<R: Request>(&mut self, name: &'static str, value: &Value<'_>) -> Option<R> {
        let read = self.object(self.at(name), value);
        let violations = match read {
            Ok(request) => return self.checked(name, request, Vec::new()),
            Err(Violations { detail }) => detail,
        };
        self.record(name, violations);
        None
    }

    fn object<R: Request>(&self, at: Location, value: &Value<'_>) -> Result<R, Violations> {
        match value {
            Value::Object(members) => read(Fields::new(self.part, at, members)),
            value => Err(Violation::new(Fault::ObjectType, at, value).into()),
        }
    }

    fn absent<T>(&mut self, name: &'static str) -> Option<Option<T>> {
        self.record(name, Vec::new());
        Some(None)
    }

    fn checked<T>(&mut self, name: &'static str, value: T, violations: Vec<Violation>) -> Option<T> {
        let is_right = violations.is_empty();
        self.record(name, violations);
        is_right.then_some(value)
    }

    fn record(&mut self, name: &'static str, violations: Vec<Violation>) {
        self.fields_read.push(ReadField { name, violations });
    }

    fn has(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    fn member(&self, name: &str) -> Option<&'a Value<'a>> {
        self.members.get(name)
    }

    fn at(&self, name: &'static str) -> Location {
        self.at.field(name)
    }

    /// Creates a violation. A missing member of a body echoes the object that lacks it.
    fn violation(&self, fault: Fault, at: Location, value: Option<&Value<'_>>) -> Violation {
        match value {
            Some(value) => Violation::new(fault, at, value),
            None if self.part == Part::Body => Violation::new(fault, at, self.members),
            None => Violation::new(fault, at, &()),
        }
    }

    fn forbids(&self, unknown: Unknown) -> bool {
        match unknown {
            Unknown::Ignored => false,
            Unknown::Forbidden => true,
            Unknown::ForbiddenUnless(header, theirs) => {
                let is_theirs = self.headers.is_some_and(|headers| headers.contains_key(header));
                let mut named = self.fields_read.iter().filter(|field| self.has(field.name));
                !is_theirs || named.any(|field| !theirs.contains(&field.name))
            }
        }
    }

    fn forbid_unknown(&mut self) {
        let known = |name: &str| self.fields_read.iter().any(|field| field.name == name);
        let unknown = self.members.iter().filter(|(name, _)| !known(name));
        let violations = unknown
            .map(|(name, value)| Violation::new(Fault::ExtraForbidden, self.at.field(name.clone()), value));
        self.refused.extend(violations);
    }

    fn forbid_repeated(&mut self) {
        for field in &mut self.fields_read {
            let at = self.at.field(field.name);
            if let Some(value @ Value::Texts(texts)) = self.members.get(field.name)
                && texts.len() > 1
            {
                let error = "must not be given twice".to_owned();
                field.violations = vec![Violation::new(Fault::Value { error }, at, value)];
            }
        }
    }

    fn violations(&mut self) -> Option<Violations> {
        let violations = self
            .fields_read
            .iter_mut()
            .flat_map(|field| field.violations.drain(..));
        let detail: Vec<Violation> = violations.chain(self.refused.drain(..)).collect();
        (!detail.is_empty()).then_some(Violations { detail })
    }
}

/// Reads a request from fields, or returns all violations.
///
/// Rules across fields are checked last and only between valid fields.
pub(super) fn read<R: Request>(mut fields: Fields<'_>) -> Result<R, Violations> {
    let form = R::Form::read_fields(&mut fields);
    if R::Form::REPEATED == Repeated::Refused {
        fields.forbid_repeated();
    }
    if fields.forbids(R::Form::UNKNOWN) {
        fields.forbid_unknown();
    }
    let form = match (form, fields.violations()) {
        (Some(form), None) => form,
        (_, violations) => return Err(violations.unwrap_or_default()),
    };
    let parsed = R::parse(form, &mut fields);
    match (parsed, fields.violations()) {
        (Ok(request), None) => Ok(request),
        (_, violations) => Err(violations.unwrap_or_default()),
    }
}
