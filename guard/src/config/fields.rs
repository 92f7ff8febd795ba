//! Reads a table field by field and continues after a mistake: serde stops at the first.

use std::fs;
use std::path::Path;

use toml::{Table, Value};
use zeroize::Zeroizing;

/// The fields of a table that are not read yet, and the mistakes so far.
pub(super) struct Fields<'m> {
    path: String,
    table: Table,
    known: Vec<String>,
    mistakes: &'m mut Vec<String>,
}

impl<'m> Fields<'m> {
    pub(super) fn new(path: &str, table: Table, mistakes: &'m mut Vec<String>) -> Self {
        Self {
            path: path.to_owned(),
            table,
            known: Vec::new(),
            mistakes,
        }
    }

    /// Returns the fields of a table below this one.
    pub(super) fn below(&mut self, path: &str, table: Table) -> Fields<'_> {
        Fields::new(path, table, self.mistakes)
    }

    pub(super) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Option<T> {
        if !self.table.contains_key(name) {
            self.refuse(name, "is missing");
        }
        self.optional(name, read)
    }

    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(name.to_owned());
        let read = read(self.table.remove(name)?);
        read.map_err(|problem| self.refuse(name, &problem)).ok()
    }

    /// Reads each value of a list; a text is a list of one if `one_is_enough`. All wrong values are mistakes.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        one_is_enough: bool,
        read: impl Fn(Value) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let items = self.optional(name, |value| match value {
            Value::Array(items) => Ok(items),
            Value::String(_) if one_is_enough => Ok(vec![value]),
            _ => Err("must be a list in square brackets".to_owned()),
        })?;
        if items.is_empty() {
            // Of a requirement, it would require nothing.
            self.refuse(
                name,
                "must not be an empty list: name a value, or leave the setting out",
            );
        }
        let mut all = Vec::with_capacity(items.len());
        for (number, item) in items.into_iter().enumerate() {
            match read(item) {
                Ok(item) => all.push(item),
                Err(problem) => self.refuse(&format!("{name}[{number}]"), &problem),
            }
        }
        Some(all)
    }

    /// Returns the content of the file that a field names.
    pub(super) fn read_file(&mut self, name: &str, path: &Path) -> Option<Zeroizing<String>> {
        let content = fs::read_to_string(path).map(Zeroizing::new);
        let refused = |error| {
            self.refuse(
                name,
                &format!("names `{}`, which cannot be read: {error}", path.display()),
            )
        };
        content.map_err(refused).ok()
    }

    /// Records a mistake. `problem` continues the sentence that the name of the field begins.
    pub(super) fn refuse(&mut self, name: &str, problem: &str) {
        let subject = self.subject(name);
        self.mistakes.push(format!("{subject} {problem}"));
    }

    /// Returns whether a mistake of the field, or of one below it, was recorded.
    pub(super) fn refused(&self, name: &str) -> bool {
        let subject = self.subject(name);
        let subject = subject.trim_end_matches('`');
        self.mistakes.iter().any(|mistake| mistake.starts_with(subject))
    }

    /// Records every field that was not read: a misspelt requirement would require nothing.
    pub(super) fn refuse_unknown(mut self) {
        let known = self.known.join(", ");
        for name in std::mem::take(&mut self.table).keys() {
            self.refuse(name, &format!("is not a setting; the settings here are {known}"));
        }
    }

    fn subject(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => format!("`{name}`"),
            path => format!("`{path}.{name}`"),
        }
    }
}
