//! Output of a command: data on standard output, errors and progress on standard error.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use crate::causes::error_chain;

/// Writes data and a newline. A closed pipe (`jeton openapi | head -1`) is not a failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match write(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

/// Writes data and a newline, for what must not be lost.
pub(super) fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Prints why a command failed, in one line per mistake.
pub(super) fn print_failure(failure: &Failure) {
    let mut stderr = io::stderr().lock();
    for line in lines(failure) {
        // A failure to write to standard error cannot be reported anywhere.
        let _ = writeln!(stderr, "error: {line}");
    }
}

/// A progress bar on standard error if that is a terminal, else nothing. Dropping it removes the bar.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3}%, {eta} left");
        // The template is a constant, so the fallback is never used.
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(ProgressBar::new(0).with_style(style).with_message(what))
    }

    pub(super) fn set(&self, done: u64, of: u64) {
        self.0.set_length(of);
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Returns why a command failed: one text per mistake, each with its causes.
pub(super) fn lines(failure: &Failure) -> Vec<String> {
    if let Failure::Configuration(mistakes) = failure {
        return mistakes.iter().map(ToString::to_string).collect();
    }
    vec![error_chain(failure)]
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::config::{Config, Flags};

    #[test]
    fn a_failure_names_its_causes_once() {
        let failure = Failure::Output(io::Error::other("no space left"));
        assert_eq!(
            lines(&failure),
            ["cannot write to standard output: no space left"]
        );
    }

    #[test]
    fn each_mistake_has_a_line() {
        let flags = Flags {
            listen: Some("x".to_owned()),
            issuer: Some("y".to_owned()),
            ..Flags::default()
        };
        let failure = Config::load(flags, &|_| None).err().unwrap().into();
        assert_eq!(lines(&failure).len(), 2);
    }
}
