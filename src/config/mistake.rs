//! What is wrong with a configuration, and where it says so.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// One mistake, as one sentence that begins with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    place: Place,
    problem: String,
}

/// Every mistake of a configuration, at least one, each on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(Vec<Mistake>);

/// Where a setting was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Flag(&'static str),
    Variable(&'static str),
    File(Arc<Path>),
    Line(Arc<Path>, usize),
    Field {
        file: Arc<Path>,
        line: usize,
        name: String,
    },
}

/// A setting as it was given, not yet judged.
#[derive(Debug)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// A list of texts, each with the line it stands on.
pub(super) type Texts = Given<Vec<Given<String>>>;

impl<T> Given<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Given<U> {
        Given {
            value: change(self.value),
            place: self.place,
        }
    }
}

impl Mistake {
    /// The problem goes on where the place ends: "must be …", "is not …".
    pub(super) fn new(place: Place, problem: impl fmt::Display) -> Self {
        Self {
            place,
            problem: problem.to_string(),
        }
    }
}

impl Mistakes {
    /// The mistakes in the order in which a person would look for them, or `None` where there are none.
    pub(super) fn of(mut mistakes: Vec<Mistake>) -> Option<Self> {
        if mistakes.is_empty() {
            return None;
        }
        mistakes.sort_by_key(|mistake| mistake.place.position());
        Some(Self(mistakes))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl Place {
    /// Flags, variables, then the file from top to bottom.
    fn position(&self) -> (u8, usize) {
        match self {
            Self::Flag(_) => (0, 0),
            Self::Variable(_) => (1, 0),
            Self::File(_) => (2, 0),
            Self::Line(_, line) | Self::Field { line, .. } => (2, *line),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "the flag `{name}`"),
            Self::Variable(name) => write!(f, "the variable `{name}`"),
            Self::File(file) => write!(f, "the file `{}`", file.display()),
            Self::Line(file, line) => write!(f, "line {line} of `{}`", file.display()),
            Self::Field { file, line, name } => write!(f, "`{name}` in `{}` (line {line})", file.display()),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.problem)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, mistake) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}
