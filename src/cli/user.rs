//! `jeton user`: creates users and sets passwords, for operators with access to the database file.

use std::io::{self, BufRead};

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::deployment::Deployment;
use super::{Failure, output};
use crate::authority::password::{NewPassword, Password, PasswordPolicyError};
use crate::authority::{Error, NewAccount};
use crate::config::Config;
use jeton_core::directory::Email;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a user and print the user's id
    Create(Create),
    /// Set a user's password, which revokes the user's sessions
    SetPassword(Person),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    pub(super) person: Person,
    /// Make the user a site administrator
    #[arg(long)]
    site_admin: bool,
}

/// The user's address and the source of the password. The password is no argument, since every user of
/// the machine can read the arguments of every process.
#[derive(Debug, Args)]
pub(super) struct Person {
    /// The user's e-mail address
    pub(super) email: String,
    /// Read the password from the first line of standard input instead of JETON_PASSWORD
    #[arg(long)]
    password_stdin: bool,
}

pub(super) fn run(command: Command, config: &Config) -> Result<(), Failure> {
    let (Command::Create(Create { person, .. }) | Command::SetPassword(person)) = &command;
    let email: Email = person.email.parse()?;
    let whom = email.clone();
    let password = person.password()?;
    super::runtime()?.block_on(async {
        let deployment = Deployment::existing(config).await?;
        // These commands sign no token, so the authority needs no issuer.
        let authority = deployment.authority(config, String::new())?;
        let person = match command {
            Command::Create(Create { site_admin, .. }) => {
                let account = NewAccount {
                    email,
                    password,
                    first_name: None,
                    last_name: None,
                    username: None,
                    site_admin,
                };
                authority.operator_creates_person(account).await
            }
            Command::SetPassword(_) => authority.operator_sets_password(&email, password).await,
        };
        let person = person.map_err(|error| match error {
            Error::Absent => Failure::UnknownUser(whom),
            Error::AddressTaken => Failure::AddressTaken(whom),
            other => other.into(),
        })?;
        output::print(person.id.as_str())
    })
}

impl Person {
    fn password(&self) -> Result<NewPassword, Failure> {
        let password = if self.password_stdin {
            first_line(io::stdin().lock())?
        } else {
            let given = std::env::var("JETON_PASSWORD").map_err(|_| Failure::NoPassword)?;
            Password::new(given)
        };
        Ok(password.try_into()?)
    }
}

/// Reads the first line without its line ending (LF or CRLF).
pub(super) fn first_line(input: impl BufRead) -> Result<Password, Failure> {
    // One byte more than the longest password and its line ending. The buffer never grows, so no copy
    // of the password stays in freed memory.
    const ROOM: usize = Password::MAXIMUM_LINE + 1;
    let mut line = Zeroizing::new(Vec::with_capacity(ROOM));
    input
        .take(ROOM as u64)
        .read_until(b'\n', &mut line)
        .map_err(Failure::Input)?;
    if line.len() == ROOM {
        return Err(PasswordPolicyError::TooLong.into());
    }
    Password::of_line(&line)
        .map_err(|error| Failure::Input(io::Error::new(io::ErrorKind::InvalidData, error)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Result<NewPassword, String> {
        let password = first_line(input).map_err(|failure| failure.to_string())?;
        password
            .try_into()
            .map_err(|error: PasswordPolicyError| error.to_string())
    }

    #[test]
    fn the_line_ending_is_not_part_of_the_password() {
        assert!(read(b"q7345678").is_ok());
        for end in ["", "\n", "\r\n", "\nmore lines\n"] {
            let refused = read(format!("Password1{end}").as_bytes()).unwrap_err();
            assert_eq!(refused, "a password must not be one of the 3000 most common ones");
            let refused = read(format!("1234567{end}").as_bytes()).unwrap_err();
            assert_eq!(refused, "a password must have at least 8 characters", "{end:?}");
        }
        assert!(read(b"1234567 \n").is_ok(), "a space is a character");
    }

    #[test]
    fn the_longest_password_fits_and_an_endless_line_ends() {
        let longest = "😀".repeat(Password::MAXIMUM);
        assert!(read(longest.as_bytes()).is_ok());
        assert!(read(format!("{longest}\r\n").as_bytes()).is_ok());
        for too_long in [format!("{longest}😀"), "x".repeat(1_000_000), "é".repeat(129)] {
            let refused = read(too_long.as_bytes()).unwrap_err();
            assert_eq!(refused, "a password must have at most 128 characters");
        }
        let refused = read(b"\xff12345678\n").unwrap_err();
        assert_eq!(refused, "cannot read a password from standard input");
    }
}
