//! Reads a TOML file setting by setting and continues after a mistake.
//!
//! serde stops at the first wrong type, so that five mistakes would take five attempts to start the
//! server. This reader records each with its line.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::setting::{Location, MistakeLog, Setting, Source};

const TEXT: &str = "must be a string in quotation marks, without invisible characters";
const TEXTS: &str = "must be a list of strings in square brackets";
const NAME: &str = "must be a string in quotation marks, or a table with `name`, `title` and `description`";
const NAMES: &str = "must be a list in square brackets";
const LIST: &str =
    "must be a list of strings in square brackets, or a table with `scopes`, `title` and `description`";
const TABLE: &str = "must be a table";

/// A configuration file, or the settings in a database in its form. A setting's name is its dotted path, such as
/// `keys.folder`.
pub(super) struct File<'a> {
    /// `None`: the settings are in a database.
    path: Option<&'a Path>,
    text: &'a str,
    mistakes: &'a MistakeLog,
    root: DeTable<'a>,
    /// The names of all settings read so far.
    known_names: RefCell<BTreeSet<String>>,
}

/// A list of texts, each with its line.
pub(super) type Texts<'a> = Vec<Setting<'a>>;

/// A value that is written alone, or as a field of a table beside `title` and `description`.
pub(super) struct Labelled<'a, T = OsString> {
    pub(super) value: Setting<'a, T>,
    pub(super) title: Setting<'a>,
    pub(super) description: Setting<'a>,
}

/// Lists under user-defined keys, in the order of the file.
pub(super) type Lists<'a> = Vec<(String, Labelled<'a, Texts<'a>>)>;

impl<'a> File<'a> {
    /// Parses a file. Invalid TOML is recorded as a mistake and the file counts as empty: a partial parse
    /// would report mistakes that the file does not contain.
    pub(super) fn new(path: &'a Path, text: &'a str, mistakes: &'a MistakeLog) -> Self {
        let (mut file, errors) = Self::parse(Some(path), text, mistakes);
        if !errors.is_empty() {
            file.root.clear();
        }
        for error in errors {
            let line = file.line(error.span().map_or(0, |span| span.start));
            let words = format!("line {line} of `{}`", path.display());
            let location = Location(Source::File(line), words);
            mistakes.record(location, format!("is not TOML: {}", error.message()));
        }
        file
    }

    /// Parses what can be parsed of a file.
    pub(super) fn incomplete(path: &'a Path, text: &'a str, mistakes: &'a MistakeLog) -> Self {
        Self::parse(Some(path), text, mistakes).0
    }

    /// Parses settings in a database, of which each is a value in TOML.
    pub(super) fn stored(text: &'a str, mistakes: &'a MistakeLog) -> Self {
        Self::parse(None, text, mistakes).0
    }

    fn parse(
        path: Option<&'a Path>,
        text: &'a str,
        mistakes: &'a MistakeLog,
    ) -> (Self, Vec<toml::de::Error>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let file = Self {
            path,
            text,
            mistakes,
            root: root.into_inner(),
            known_names: RefCell::default(),
        };
        (file, errors)
    }

    pub(super) fn text(&self, name: &str) -> Setting<'a> {
        self.setting(name, TEXT, text)
    }

    pub(super) fn boolean(&self, name: &str) -> Setting<'a, bool> {
        self.setting(name, "must be true or false", DeValue::as_bool)
    }

    pub(super) fn integer(&self, name: &str) -> Setting<'a, u64> {
        self.setting(name, "must be a whole number, 0 or greater", |value| {
            let number = value.as_integer()?;
            u64::from_str_radix(number.as_str(), number.radix()).ok()
        })
    }

    pub(super) fn texts(&self, name: &str) -> Setting<'a, Texts<'a>> {
        self.setting(name, TEXTS, |value| self.items(name, value))
    }

    /// Returns a list whose elements are texts, or tables with a `name`.
    pub(super) fn names(&self, name: &str) -> Setting<'a, Vec<Labelled<'a>>> {
        self.setting(name, NAMES, |list| {
            let items = list.as_array()?.iter();
            let items = items.map(|item| {
                // A text that is refused is told as one.
                let alone = if item.get_ref().is_str() { TEXT } else { NAME };
                let at = (name, self.location(name, item));
                self.labelled(at, item, "name", [alone, TEXT], text)
            });
            Some(items.collect())
        })
    }

    /// Returns a table with user-defined keys. Its values are lists, or tables with the list `scopes`.
    pub(super) fn lists(&self, name: &str) -> Setting<'a, Lists<'a>> {
        self.setting(name, TABLE, |table| {
            let mut entries: Vec<_> = table.as_table()?.iter().collect();
            entries.sort_by_key(|(key, _)| key.span().start);
            let lists = entries.into_iter().map(|(key, list)| {
                let name = format!("{name}.{}", key.get_ref());
                let at = (&*name, self.location(&name, key));
                let items = self.labelled(at, list, "scopes", [LIST, TEXTS], |list| self.items(&name, list));
                (key.get_ref().to_string(), items)
            });
            Some(lists.collect())
        })
    }

    /// Reads a value that is `field` of a table if it is in one, and says what each form must be.
    fn labelled<T>(
        &self,
        (name, at): (&str, Location),
        value: &Spanned<DeValue<'a>>,
        field: &str,
        [alone, as_field]: [&str; 2],
        read: impl FnOnce(&DeValue<'a>) -> Option<T>,
    ) -> Labelled<'a, T> {
        let absent = || Setting::new(None, self.mistakes);
        let DeValue::Table(table) = value.get_ref() else {
            return Labelled {
                value: self.read(at, value, alone, read),
                title: absent(),
                description: absent(),
            };
        };
        let fields = [field, "title", "description"];
        for key in table.keys() {
            if !fields.contains(&&**key.get_ref()) {
                let location = self.location(&format!("{name}.{}", key.get_ref()), key);
                let problem = format!("is not a setting; the settings here are {}", fields.join(", "));
                self.mistakes.record(location, problem);
            }
        }
        let at_field = |key: &Spanned<DeString<'a>>| self.location(&format!("{name}.{}", key.get_ref()), key);
        let label = |field: &str| match table.get_key_value(field) {
            Some((key, value)) => self.read(at_field(key), value, TEXT, text),
            None => absent(),
        };
        Labelled {
            title: label("title"),
            description: label("description"),
            value: match table.get_key_value(field) {
                Some((key, value)) => self.read(at_field(key), value, as_field, read),
                None => {
                    self.mistakes.record(at, format!("must have `{field}`"));
                    Setting::new(None, self.mistakes)
                }
            },
        }
    }

    /// Records a problem of a table, if the file has the table.
    pub(super) fn record_table(&self, name: &str, problem: &str) {
        if let Some((key, value)) = self.entry(name)
            && value.get_ref().is_table()
        {
            self.mistakes.record(self.location(name, key), problem);
        }
    }

    /// Records a problem of a setting that must not be in the file, if it is.
    pub(super) fn refuse(&self, name: &str, problem: &str) {
        self.known_names.borrow_mut().insert(name.to_owned());
        if let Some((key, _)) = self.entry(name) {
            self.mistakes.record(self.location(name, key), problem);
        }
    }

    /// Records every unknown name. Call it after all settings have been read.
    pub(super) fn record_unknown(&self) {
        self.record_unknown_below("", &self.root);
    }

    fn record_unknown_below(&self, above: &str, table: &DeTable<'a>) {
        let known_names = self.known_names.borrow();
        let below = known_names.iter().filter_map(|name| name.strip_prefix(above));
        let known: BTreeSet<&str> = below.filter_map(|name| name.split('.').next()).collect();
        for (key, value) in table {
            let name = format!("{above}{}", key.get_ref());
            if !known.contains(&**key.get_ref()) {
                let known: Vec<&str> = known.iter().copied().collect();
                let problem = format!("is not a setting; the settings here are {}", known.join(", "));
                self.mistakes.record(self.location(&name, key), problem);
            } else if !known_names.contains(&*name) {
                match value.get_ref() {
                    DeValue::Table(table) => self.record_unknown_below(&format!("{name}."), table),
                    _ => self.mistakes.record(self.location(&name, key), TABLE),
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn known_names(&self) -> BTreeSet<String> {
        self.known_names.borrow().clone()
    }

    fn setting<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&DeValue<'a>) -> Option<T>,
    ) -> Setting<'a, T> {
        self.known_names.borrow_mut().insert(name.to_owned());
        match self.entry(name) {
            Some((key, value)) => self.read(self.location(name, key), value, expected, read),
            None => Setting::new(None, self.mistakes),
        }
    }

    fn entry(&self, name: &str) -> Option<(&Spanned<DeString<'a>>, &Spanned<DeValue<'a>>)> {
        let mut table = &self.root;
        let mut rest = name;
        while let Some((first, below)) = rest.split_once('.') {
            table = table.get(first)?.get_ref().as_table()?;
            rest = below;
        }
        table.get_key_value(rest)
    }

    fn items(&self, name: &str, list: &DeValue<'a>) -> Option<Texts<'a>> {
        let items = list.as_array()?.iter();
        let items = items.map(|item| self.read(self.location(name, item), item, TEXT, text));
        Some(items.filter(Setting::is_given).collect())
    }

    /// Converts a setting with `read`, or records `expected` as the problem.
    fn read<T>(
        &self,
        location: Location,
        value: &Spanned<DeValue<'a>>,
        expected: &str,
        read: impl FnOnce(&DeValue<'a>) -> Option<T>,
    ) -> Setting<'a, T> {
        let given = Setting::new(Some((value.get_ref(), location)), self.mistakes);
        given.check_value(|value| read(value).ok_or(expected))
    }

    fn location<T>(&self, name: &str, at: &Spanned<T>) -> Location {
        let line = self.line(at.span().start);
        let words = match self.path {
            Some(path) => format!("`{name}` in `{}` (line {line})", path.display()),
            None => format!("the setting `{name}`"),
        };
        Location(Source::File(line), words)
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        before.filter(|byte| **byte == b'\n').count() + 1
    }
}

/// Returns whether a text has nothing but white space.
pub(super) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn text(value: &DeValue<'_>) -> Option<OsString> {
    let readable = value
        .as_str()
        .filter(|text| jeton_core::text::hidden(text).is_none());
    readable.map(OsString::from)
}
