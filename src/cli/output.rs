//! What a command says: data on standard output, complaints on standard error.

use std::error::Error;
use std::io::{self, Write};

use super::Failure;

/// Writes data and a newline. A reader that has gone away (`jeton openapi | head -1`) has what it
/// wanted, which is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

/// Says why a command failed: one line a mistake, its causes behind it.
pub(super) fn complain(failure: &Failure) {
    let mut stderr = io::stderr().lock();
    for line in lines(failure) {
        // Standard error is the last place to complain at.
        let _ = writeln!(stderr, "error: {line}");
    }
}

fn lines(failure: &Failure) -> Vec<String> {
    if let Failure::Configuration(mistakes) = failure {
        return mistakes.iter().map(ToString::to_string).collect();
    }
    vec![sentence(failure)]
}

/// An error with its causes behind it.
pub(super) fn sentence(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
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
