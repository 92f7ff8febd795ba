//! Reads a TOML file table by table, and goes on after a mistake.
//!
//! serde stops at the first wrong type, so that somebody with five mistakes starts the server five
//! times; here each is noted with its line.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Given, Mistake, Place, Texts};

/// A file under reading and the mistakes found so far.
pub(super) struct Document<'a> {
    file: Arc<Path>,
    text: &'a str,
    mistakes: RefCell<Vec<Mistake>>,
}

/// One table. What nobody has asked for when it is dropped is reported as unknown.
pub(super) struct Section<'d, 'a> {
    document: &'d Document<'a>,
    /// With a dot at its end, or empty for the root.
    prefix: String,
    entries: DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a> Document<'a> {
    pub(super) fn new(file: Arc<Path>, text: &'a str) -> Self {
        Self {
            file,
            text,
            mistakes: RefCell::default(),
        }
    }

    /// The root table; empty where the file is not TOML, since what follows from a guess at what was
    /// meant would be no mistake of the writer's.
    pub(super) fn root(&self) -> Section<'_, 'a> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let entries = if errors.is_empty() {
            table.into_inner()
        } else {
            DeTable::new()
        };
        for error in errors {
            let line = self.line(error.span().map_or(0, |span| span.start));
            let problem = format!("is not TOML: {}", error.message());
            self.note(Place::Line(Arc::clone(&self.file), line), problem);
        }
        self.section(String::new(), entries)
    }

    fn section(&self, prefix: String, entries: DeTable<'a>) -> Section<'_, 'a> {
        Section {
            document: self,
            prefix,
            entries,
            asked: Vec::new(),
        }
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }

    fn note(&self, place: Place, problem: String) {
        self.mistakes.borrow_mut().push(Mistake::new(place, problem));
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        before.filter(|byte| **byte == b'\n').count() + 1
    }
}

impl<'d, 'a> Section<'d, 'a> {
    pub(super) fn text(&mut self, key: &'static str) -> Option<Given<String>> {
        let (value, place) = self.take(key)?;
        self.document.text_of(value, place)
    }

    pub(super) fn integer(&mut self, key: &'static str) -> Option<Given<u64>> {
        let (value, place) = self.take(key)?;
        let number = value
            .as_integer()
            .and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok());
        match number {
            Some(value) => Some(Given { value, place }),
            None => self
                .document
                .refuse(place, "must be a whole number that is not negative"),
        }
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<Given<bool>> {
        let (value, place) = self.take(key)?;
        match value {
            DeValue::Boolean(value) => Some(Given { value, place }),
            _ => self.document.refuse(place, "must be true or false"),
        }
    }

    pub(super) fn texts(&mut self, key: &'static str) -> Option<Texts> {
        let (value, place) = self.take(key)?;
        self.document.texts_of(value, place)
    }

    /// The table of that name: an empty one where the file has none.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        match self.optional_section(key) {
            Some((section, _)) => section,
            None => self.document.section(String::new(), DeTable::new()),
        }
    }

    /// The table of that name and where it begins.
    pub(super) fn optional_section(&mut self, key: &'static str) -> Option<(Self, Place)> {
        let (value, place) = self.take(key)?;
        let DeValue::Table(entries) = value else {
            return self.document.refuse(place, "must be a table");
        };
        let prefix = format!("{}{key}.", self.prefix);
        Some((self.document.section(prefix, entries), place))
    }

    /// Every entry of a table whose keys the writer chooses: its name and its texts, in their order.
    pub(super) fn named_texts(&mut self) -> Vec<(String, Texts)> {
        let mut entries: Vec<_> = std::mem::take(&mut self.entries).into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
            .into_iter()
            .filter_map(|(key, value)| {
                let name = key.get_ref().to_string();
                let place = self.place(&name, &key);
                Some((name, self.document.texts_of(value.into_inner(), place)?))
            })
            .collect()
    }

    fn take(&mut self, key: &'static str) -> Option<(DeValue<'a>, Place)> {
        self.asked.push(key);
        let (name, value) = self.entries.remove_entry(key)?;
        let place = self.place(key, &name);
        Some((value.into_inner(), place))
    }

    fn place<T>(&self, name: &str, key: &Spanned<T>) -> Place {
        Place::Field {
            file: Arc::clone(&self.document.file),
            line: self.document.line(key.span().start),
            name: format!("{}{name}", self.prefix),
        }
    }
}

impl Document<'_> {
    fn text_of(&self, value: DeValue<'_>, place: Place) -> Option<Given<String>> {
        match value {
            DeValue::String(text) => Some(Given {
                value: text.into_owned(),
                place,
            }),
            _ => self.refuse(place, "must be a text in quotation marks"),
        }
    }

    fn texts_of(&self, value: DeValue<'_>, place: Place) -> Option<Texts> {
        let DeValue::Array(items) = value else {
            return self.refuse(place, "must be a list of texts in square brackets");
        };
        let value = items
            .into_iter()
            .filter_map(|item| {
                let mut place = place.clone();
                if let Place::Field { line, .. } = &mut place {
                    *line = self.line(item.span().start);
                }
                self.text_of(item.into_inner(), place)
            })
            .collect();
        Some(Given { value, place })
    }

    fn refuse<T>(&self, place: Place, problem: &str) -> Option<T> {
        self.note(place, problem.to_owned());
        None
    }
}

impl Drop for Section<'_, '_> {
    fn drop(&mut self) {
        self.asked.sort_unstable();
        for key in self.entries.keys() {
            let problem = format!("is no setting; there are {}", self.asked.join(", "));
            self.document.note(self.place(key.get_ref(), key), problem);
        }
    }
}
