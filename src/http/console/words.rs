//! Times and numbers in words.

use std::fmt::Display;

use jeton_core::clock::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// An instant as a page shows it: in words, and exactly.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    /// RFC 3339, for the script that shows it in the reader's zone.
    pub(super) exact: String,
    /// Relative to now.
    pub(super) words: String,
    /// In UTC, to the minute.
    pub(super) utc: String,
}

impl Moment {
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        let exact = at.to_string();
        let utc = exact.get(..16).unwrap_or(&exact).replace('T', " ") + " UTC";
        Self {
            words: relative(at.seconds() - now.seconds()),
            exact,
            utc,
        }
    }
}

/// Returns a time from now in words: `in 3 days`, `2 hours ago`.
fn relative(seconds: i64) -> String {
    let (number, unit) = match seconds.unsigned_abs() as i64 {
        0..=44 => return "now".to_owned(),
        size @ ..HOUR => (((size + 30) / MINUTE).max(1), "minute"),
        size @ ..DAY => ((size + HOUR / 2) / HOUR, "hour"),
        size if size < 60 * DAY => ((size + DAY / 2) / DAY, "day"),
        size if size < 730 * DAY => ((size + 15 * DAY) / (30 * DAY), "month"),
        size => (size / (365 * DAY), "year"),
    };
    let amount = counted(number, unit);
    match seconds < 0 {
        true => format!("{amount} ago"),
        false => format!("in {amount}"),
    }
}

/// Returns the label of a field of the API, which names it in a list of invalid fields.
pub(super) fn field(name: &str) -> String {
    let label = match name {
        "allowed_presets" | "preset" => "Preset",
        "allowed_scopes" | "scope" | "scopes" => "Scopes",
        "created_by" => "Made by",
        "current_password" => "Current password",
        "default_lifetime" => "Lifetime if none is given",
        "default_preset" => "Preset if none is given",
        "email" | "user" => "E-mail address",
        "expires_at" | "expires_in" => "End",
        "first_name" => "First name",
        "grace_period" => "The old token ends",
        "jti" | "token" => "Token",
        "last_name" => "Last name",
        "max_active_tokens_per_owner" => "Most active tokens of one owner",
        "max_lifetime" => "Longest lifetime",
        "owner" => "It acts for",
        "q" => "Text",
        "typed" => "Confirmation",
        other => {
            let words = other.replace('_', " ");
            let mut letters = words.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            return first.into_iter().chain(letters).collect();
        }
    };
    label.to_owned()
}

/// Returns a number with its noun: `1 token`, `4,312 tokens`.
pub(super) fn counted(number: impl Display, noun: &str) -> String {
    let number = grouped(number);
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Returns a number with commas between thousands.
pub(super) fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
