//! Filling a form field by field, and judging what was filled.

use std::borrow::Cow;
use std::fmt;

use validator::{Validate, ValidationErrors, ValidationErrorsKind};

use super::field::{Field, MAX_WRONG_ELEMENTS};
use super::value::{Object, Value};
use super::violation::{Fault, Location, Violation, Violations};
use super::{Form, Repeated, Request, Unknown, bounds};

/// The named values of one part of a request, and what has been found wrong with them so far.
///
/// A form asks for its fields in their order. An answer to a field that is missing or wrong is a
/// stand-in, and the form with it is thrown away.
pub struct Fields<'a> {
    part: Part,
    at: Location,
    members: &'a Object<'a>,
    asked: Vec<Asked>,
    refused: Vec<Violation>,
}

/// Without what was sent, which may be a password.
impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields")
            .field("at", &self.at)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

/// The part of a request that fields come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Path,
    Query,
    Header,
    Body,
}

/// Says that a rule was broken; [`Fields::refuse`] has put down which.
#[derive(Debug)]
#[must_use = "a refusal is returned, so that no request is made"]
pub struct Refused(());

#[derive(Debug)]
struct Asked {
    name: &'static str,
    violations: Vec<Violation>,
    bounds: Bounds,
}

/// Whether the bounds of a field say anything about what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bounds {
    Judged,
    /// What stands in the form is a stand-in.
    Skipped,
}

impl<'a> Fields<'a> {
    /// A field that has to be there.
    pub fn required<T: Field>(&mut self, name: &'static str) -> T {
        match self.member(name) {
            Some(value) => self.read(name, value),
            None => {
                let violation = self.violation(Fault::Missing, self.at(name), None);
                self.put_down(name, vec![violation], Bounds::Skipped);
                T::stand_in()
            }
        }
    }

    /// A field that may be absent; `null` says the same.
    pub fn optional<T: Field>(&mut self, name: &'static str) -> Option<T> {
        self.change(name).flatten()
    }

    /// A field that has a value when it is absent. `null` is wrong.
    pub fn or<T: Field>(&mut self, name: &'static str, default: T) -> T {
        self.given(name).unwrap_or(default)
    }

    /// A field of a partial update: `None` leaves the thing as it is. `null` is wrong.
    pub fn given<T: Field>(&mut self, name: &'static str) -> Option<T> {
        match self.member(name) {
            Some(value) => Some(self.read(name, value)),
            None => self.absent(name),
        }
    }

    /// A field of a partial update that can be taken away: absent is `None`, `null` is `Some(None)`.
    pub fn change<T: Field>(&mut self, name: &'static str) -> Option<Option<T>> {
        match self.member(name) {
            Some(Value::Null) => {
                self.put_down(name, Vec::new(), Bounds::Judged);
                Some(None)
            }
            Some(value) => Some(Some(self.read(name, value))),
            None => self.absent(name),
        }
    }

    /// Whether a field is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    /// An object in the object, with a form of its own. Absent and `null` are `None`.
    pub(crate) fn nested<R: Request>(&mut self, name: &'static str) -> Option<R> {
        match self.member(name) {
            None | Some(Value::Null) => self.absent(name),
            Some(value) => self.inner(name, value),
        }
    }

    /// The same, where absent and `null` are the empty object: what that lacks is missing in it. `None`
    /// where it is wrong.
    pub(crate) fn nested_or_empty<R: Request>(&mut self, name: &'static str) -> Option<R> {
        match self.member(name) {
            None | Some(Value::Null) => self.inner(name, &Value::Object(Object::default())),
            Some(value) => self.inner(name, value),
        }
    }

    /// A list of such objects, which has to be there.
    pub(crate) fn nested_list<R: Request>(&mut self, name: &'static str) -> Vec<R> {
        let at = self.at(name);
        let mut read_so_far = Vec::new();
        let violations = match self.member(name) {
            None => vec![self.violation(Fault::Missing, at, None)],
            Some(Value::List(elements)) => {
                let mut violations = Vec::new();
                for (index, element) in elements.iter().enumerate() {
                    let at = at.index(index);
                    let read = match element {
                        Value::Object(members) => read(Fields::new(self.part, at, members)),
                        value => Err(Violation::new(Fault::ObjectType, at, value).into()),
                    };
                    match read {
                        Ok(request) => read_so_far.push(request),
                        Err(_) if violations.len() >= MAX_WRONG_ELEMENTS => break,
                        Err(Violations { detail }) => violations.extend(detail),
                    }
                }
                violations
            }
            Some(value) => vec![Violation::new(Fault::ListType, at, value)],
        };
        let bounds = if violations.is_empty() {
            Bounds::Judged
        } else {
            Bounds::Skipped
        };
        self.put_down(name, violations, bounds);
        read_so_far
    }

    /// Puts down that a field breaks a rule of ours, `text` saying which.
    pub fn refuse(&mut self, name: &'static str, text: impl Into<String>) -> Refused {
        self.refuse_at(self.at(name), self.member(name), text.into())
    }

    /// Puts down that an element of a list breaks a rule of ours.
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
            asked: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn refuse_at(&mut self, at: Location, value: Option<&Value<'_>>, error: String) -> Refused {
        let violation = self.violation(Fault::Value { error }, at, value);
        self.refused.push(violation);
        Refused(())
    }

    fn read<T: Field>(&mut self, name: &'static str, value: &Value<'_>) -> T {
        match T::take(value, &self.at(name)) {
            Ok(read) => {
                self.put_down(name, Vec::new(), Bounds::Judged);
                read
            }
            Err(violations) => {
                let nearest = T::nearest(value);
                let bounds = if nearest.is_some() {
                    Bounds::Judged
                } else {
                    Bounds::Skipped
                };
                self.put_down(name, violations, bounds);
                nearest.unwrap_or_else(T::stand_in)
            }
        }
    }

    fn inner<R: Request>(&mut self, name: &'static str, value: &Value<'_>) -> Option<R> {
        let read = match value {
            Value::Object(members) => read(Fields::new(self.part, self.at(name), members)),
            value => Err(Violation::new(Fault::ObjectType, self.at(name), value).into()),
        };
        let (request, violations) = match read {
            Ok(request) => (Some(request), Vec::new()),
            Err(Violations { detail }) => (None, detail),
        };
        self.put_down(name, violations, Bounds::Skipped);
        request
    }

    fn absent<T>(&mut self, name: &'static str) -> Option<T> {
        self.put_down(name, Vec::new(), Bounds::Judged);
        None
    }

    fn put_down(&mut self, name: &'static str, violations: Vec<Violation>, bounds: Bounds) {
        self.asked.push(Asked {
            name,
            violations,
            bounds,
        });
    }

    fn member(&self, name: &str) -> Option<&'a Value<'a>> {
        self.members.get(self.wire_name(name).as_ref())
    }

    fn at(&self, name: &'static str) -> Location {
        self.at.field(self.wire_name(name))
    }

    /// A field is named as it is sent, but for headers, where `x_business_id` is `x-business-id`.
    fn wire_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match self.part {
            Part::Header => Cow::Owned(name.replace('_', "-")),
            Part::Path | Part::Query | Part::Body => Cow::Borrowed(name),
        }
    }

    /// An absent member of a body echoes the object that lacks it; elsewhere there is no such object.
    fn violation(&self, fault: Fault, at: Location, value: Option<&Value<'_>>) -> Violation {
        match value {
            Some(value) => Violation::new(fault, at, value),
            None if self.part == Part::Body => Violation::new(fault, at, self.members),
            None => Violation::new(fault, at, &()),
        }
    }

    /// Puts down the bounds that were broken. They say more than that an integer was too large. They
    /// have the names of a form's fields, which no hyphen can be in.
    fn judge(&mut self, errors: ValidationErrors) {
        let mut errors = errors.into_errors();
        for mut asked in std::mem::take(&mut self.asked) {
            if let (Some(ValidationErrorsKind::Field(broken)), Bounds::Judged) =
                (errors.remove(asked.name.replace('-', "_").as_str()), asked.bounds)
            {
                let (at, value) = (self.at(asked.name), self.member(asked.name));
                let broken = broken.into_iter().map(bounds::fault);
                asked.violations = broken
                    .map(|fault| self.violation(fault, at.clone(), value))
                    .collect();
            }
            self.asked.push(asked);
        }
    }

    fn forbid_unknown(&mut self) {
        let known = |name: &str| self.asked.iter().any(|asked| asked.name == name);
        let unknown = self.members.iter().filter(|(name, _)| !known(name));
        let violations = unknown
            .map(|(name, value)| Violation::new(Fault::ExtraForbidden, self.at.field(name.clone()), value));
        self.refused.extend(violations);
    }

    fn forbid_repeated(&mut self) {
        for asked in &mut self.asked {
            let at = self.at.field(asked.name);
            if let Some(value @ Value::Texts(texts)) = self.members.get(asked.name)
                && texts.len() > 1
            {
                let error = "must not be given twice".to_owned();
                asked.violations = vec![Violation::new(Fault::Value { error }, at, value)];
            }
        }
    }

    fn violations(&mut self) -> Option<Violations> {
        let asked = self.asked.iter_mut().flat_map(|asked| asked.violations.drain(..));
        let detail: Vec<Violation> = asked.chain(self.refused.drain(..)).collect();
        (!detail.is_empty()).then_some(Violations { detail })
    }
}

/// Makes a request from fields, or says everything that is wrong with them.
///
/// Rules across fields are asked last and only about fields that are right by themselves.
pub(super) fn read<R: Request>(mut fields: Fields<'_>) -> Result<R, Violations> {
    let form = R::Form::fill(&mut fields);
    if let Err(errors) = form.validate() {
        fields.judge(errors);
    }
    if R::Form::REPEATED == Repeated::Refused {
        fields.forbid_repeated();
    }
    if R::Form::UNKNOWN == Unknown::Forbidden {
        fields.forbid_unknown();
    }
    if let Some(violations) = fields.violations() {
        return Err(violations);
    }
    let parsed = R::parse(form, &mut fields);
    match (parsed, fields.violations()) {
        (Ok(request), None) => Ok(request),
        (_, violations) => Err(violations.unwrap_or_default()),
    }
}
