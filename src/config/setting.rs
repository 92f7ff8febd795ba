//! One setting as given by flag, variable or file, and the mistakes recorded so far.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Values of the command line's flags.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub database: Option<PathBuf>,
    /// The database to which the deployment moves.
    pub move_to: Option<OsString>,
    pub keys: Option<PathBuf>,
    pub key_encryption_key: Option<PathBuf>,
    pub listen: Option<String>,
    pub issuer: Option<String>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub email: Option<String>,
}

/// The environment of the process or of a test. An empty variable counts as absent, since container
/// templates set unused options to the empty string.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// All mistakes of a configuration, at least one, each a sentence that begins with the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// The source of a setting, and its description.
#[derive(Debug)]
pub(super) struct Location(pub(super) Source, pub(super) String);

impl Location {
    /// Returns the location of a whole file.
    pub(super) fn whole(path: &Path) -> Self {
        Self(Source::File(0), format!("the file `{}`", path.display()))
    }
}

/// The source of a setting, in the order in which mistakes are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Flag,
    Variable,
    /// The line number, or 0 for the whole file.
    File(usize),
}

/// The mistakes recorded so far.
#[derive(Debug, Default)]
pub(super) struct MistakeLog(RefCell<Vec<(Location, String)>>);

impl MistakeLog {
    /// Records a mistake. `problem` continues the sentence that `location` begins: "must be …", "is not
    /// …".
    pub(super) fn record(&self, location: Location, problem: impl Display) {
        self.0.borrow_mut().push((location, problem.to_string()));
    }

    /// Returns the value, or all mistakes in the order of their sources.
    pub(super) fn or_mistakes<T>(self, value: T) -> Result<T, Mistakes> {
        let mut mistakes = self.0.into_inner();
        if mistakes.is_empty() {
            return Ok(value);
        }
        mistakes.sort_by_key(|(Location(source, _), _)| *source);
        let sentence = |(Location(_, location), problem)| format!("{location} {problem}");
        Err(Mistakes(mistakes.into_iter().map(sentence).collect()))
    }
}

/// A setting, if given. A setting that fails a check is recorded as a mistake and becomes absent, so
/// that the caller continues with the default.
#[derive(Debug)]
pub(super) struct Setting<'n, T = OsString> {
    given: Option<(T, Location)>,
    mistakes: &'n MistakeLog,
}

impl<'n, T> Setting<'n, T> {
    pub(super) fn new(given: Option<(T, Location)>, mistakes: &'n MistakeLog) -> Self {
        Self { given, mistakes }
    }

    /// Returns the other setting if this one was not given.
    pub(super) fn or(self, other: Self) -> Self {
        if self.given.is_some() { self } else { other }
    }

    /// Converts the value with `check`, or records the problem.
    pub(super) fn check_value<U, E: Display>(self, check: impl FnOnce(T) -> Result<U, E>) -> Setting<'n, U> {
        let mistakes = self.mistakes;
        let given = self.given.and_then(|(value, location)| match check(value) {
            Ok(value) => Some((value, location)),
            Err(problem) => {
                mistakes.record(location, problem);
                None
            }
        });
        Setting { given, mistakes }
    }

    pub(super) fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// Returns the value, and the setting that gives it, as an error begins with it.
    pub(super) fn named_value(self) -> Option<(T, String)> {
        self.given.map(|(value, Location(_, location))| (value, location))
    }

    pub(super) fn value(self) -> Option<T> {
        self.given.map(|(value, _)| value)
    }

    pub(super) fn unwrap_or(self, default: T) -> T {
        self.value().unwrap_or(default)
    }

    pub(super) fn unwrap_or_default(self) -> T
    where
        T: Default,
    {
        self.value().unwrap_or_default()
    }
}

impl<'n> Setting<'n> {
    /// Converts the text with `check`, or records the problem together with the text.
    pub(super) fn check<U, E: Display>(self, check: impl FnOnce(&str) -> Result<U, E>) -> Setting<'n, U> {
        self.check_value(|value| {
            let text = value.into_string().map_err(|_| "must be UTF-8".to_owned())?;
            check(&text).map_err(|error| format!("{error} (it is {text:?})"))
        })
    }

    pub(super) fn parse<U: FromStr<Err: Display>>(self) -> Setting<'n, U> {
        self.check(str::parse)
    }
}

/// The environment of the process, and where mistakes are recorded.
#[derive(Clone, Copy)]
pub(super) struct Process<'n> {
    pub(super) environment: Environment<'n>,
    pub(super) mistakes: &'n MistakeLog,
}

impl<'n> Process<'n> {
    /// Returns the flag's value, else the variable's.
    pub(super) fn flag(&self, flag: &str, value: Option<impl Into<OsString>>, variable: &str) -> Setting<'n> {
        let given = self.flag_alone(flag, value.map(Into::into));
        given.or(self.variable(variable))
    }

    /// Returns the value of a flag that has no variable.
    pub(super) fn flag_alone(&self, flag: &str, value: Option<OsString>) -> Setting<'n> {
        let location = || Location(Source::Flag, format!("the flag `{flag}`"));
        Setting::new(value.map(|value| (value, location())), self.mistakes)
    }

    pub(super) fn variable(&self, name: &str) -> Setting<'n> {
        let value = (self.environment)(name).filter(|value| !value.is_empty());
        let location = || Location(Source::Variable, format!("the variable `{name}`"));
        Setting::new(value.map(|value| (value, location())), self.mistakes)
    }
}
