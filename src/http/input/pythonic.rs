//! What Python's own reader says of a text that is no JSON, and where it says that it is wrong.
//!
//! FastAPI passes both on in its answer, so that its clients may show them or go by them.

/// What is wrong, and how many characters precede it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) offset: usize,
    pub(super) error: &'static str,
}

/// What is wrong with a text; `None` where Python would take it, or where it nests deeper than `depth`.
pub(super) fn wrong(text: &str, depth: usize) -> Option<Wrong> {
    let mut reader = Reader {
        text: text.chars().collect(),
        at: 0,
    };
    match reader.whole(depth) {
        Err(Stop::Wrong(wrong)) => Some(wrong),
        Ok(()) | Err(Stop::TooDeep) => None,
    }
}

struct Reader {
    text: Vec<char>,
    /// How much has been read.
    at: usize,
}

enum Stop {
    Wrong(Wrong),
    TooDeep,
}

type Step = Result<(), Stop>;

const VALUE: &str = "Expecting value";
const COMMA: &str = "Expecting ',' delimiter";
const WORDS: [&str; 6] = ["null", "true", "false", "NaN", "Infinity", "-Infinity"];

impl Reader {
    fn whole(&mut self, depth: usize) -> Step {
        self.pass_space();
        self.value(depth)?;
        self.pass_space();
        match self.next() {
            None => Ok(()),
            Some(_) => self.stop("Extra data"),
        }
    }

    fn value(&mut self, depth: usize) -> Step {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Stop::TooDeep);
        };
        match self.next() {
            Some('"') => self.string(),
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            _ => self.word_or_number(),
        }
    }

    fn object(&mut self, depth: usize) -> Step {
        self.at += 1;
        self.pass_space();
        if self.takes('}') {
            return Ok(());
        }
        loop {
            if self.next() != Some('"') {
                return self.stop("Expecting property name enclosed in double quotes");
            }
            self.string()?;
            self.pass_space();
            if !self.takes(':') {
                return self.stop("Expecting ':' delimiter");
            }
            self.pass_space();
            self.value(depth)?;
            self.pass_space();
            if self.takes('}') {
                return Ok(());
            }
            if !self.takes(',') {
                return self.stop(COMMA);
            }
            self.pass_space();
        }
    }

    fn array(&mut self, depth: usize) -> Step {
        self.at += 1;
        self.pass_space();
        if self.takes(']') {
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.pass_space();
            if self.takes(']') {
                return Ok(());
            }
            if !self.takes(',') {
                return self.stop(COMMA);
            }
            self.pass_space();
        }
    }

    fn string(&mut self) -> Step {
        let begin = self.at;
        self.at += 1;
        loop {
            match self.next() {
                None => return stop_at(begin, "Unterminated string starting at"),
                Some('"') => break,
                Some('\\') => self.escape(begin)?,
                Some('\0'..='\x1f') => return self.stop("Invalid control character at"),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    /// An escape in the string that began at `begin`.
    fn escape(&mut self, begin: usize) -> Step {
        let backslash = self.at;
        self.at += 1;
        match self.next() {
            None => stop_at(begin, "Unterminated string starting at"),
            Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => {
                self.at += 1;
                Ok(())
            }
            Some('u') => {
                let digits = self.text.get(self.at + 1..self.at + 5);
                let are_digits = digits.is_some_and(|digits| digits.iter().all(char::is_ascii_hexdigit));
                // A string does not end with its last digit, and Python looks one further.
                if !are_digits || self.at + 5 >= self.text.len() {
                    return self.stop("Invalid \\uXXXX escape");
                }
                self.at += 5;
                Ok(())
            }
            Some(_) => stop_at(backslash, "Invalid \\escape"),
        }
    }

    fn word_or_number(&mut self) -> Step {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let begins = |word: &&str| word.chars().eq(rest.iter().copied().take(word.len()));
        let word = WORDS.into_iter().find(begins).map(str::len);
        let Some(length) = word.or_else(|| number(rest)) else {
            return self.stop(VALUE);
        };
        self.at += length;
        Ok(())
    }

    fn next(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn takes(&mut self, expected: char) -> bool {
        let is_there = self.next() == Some(expected);
        self.at += usize::from(is_there);
        is_there
    }

    fn pass_space(&mut self) {
        while let Some(' ' | '\t' | '\n' | '\r') = self.next() {
            self.at += 1;
        }
    }

    fn stop(&self, error: &'static str) -> Step {
        stop_at(self.at, error)
    }
}

fn stop_at(offset: usize, error: &'static str) -> Step {
    Err(Stop::Wrong(Wrong { offset, error }))
}

/// How long the number is that a text begins with, if it begins with one. A fraction or an exponent
/// without a digit is none of it.
fn number(text: &[char]) -> Option<usize> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|letter| letter.is_ascii_digit()).count()
    };
    let sign = usize::from(text.first() == Some(&'-'));
    let whole = match text.get(sign) {
        Some('0') => 1,
        _ => digits(sign),
    };
    if whole == 0 {
        return None;
    }
    let mut end = sign + whole;
    if text.get(end) == Some(&'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if let Some('e' | 'E') = text.get(end) {
        let sign = usize::from(matches!(text.get(end + 1), Some('+' | '-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `json.loads` of CPython 3.11 raised for each.
    #[test]
    fn the_words_and_places_are_pythons() {
        let of = |text: &str| wrong(text, 32).map(|wrong| (wrong.offset, wrong.error));
        let (name, unterminated) = (
            "Expecting property name enclosed in double quotes",
            "Unterminated string starting at",
        );
        let (unicode, colon, extra) = ("Invalid \\uXXXX escape", "Expecting ':' delimiter", "Extra data");
        for (text, offset, error) in [
            ("", 0, VALUE),
            ("  ", 2, VALUE),
            ("x", 0, VALUE),
            ("nul", 0, VALUE),
            ("-", 0, VALUE),
            (".5", 0, VALUE),
            ("\u{a0}{}", 0, VALUE),
            ("01", 1, extra),
            ("1.", 1, extra),
            ("1e", 1, extra),
            ("-2.5E+3 7", 8, extra),
            ("truex", 4, extra),
            ("[", 1, VALUE),
            ("[,]", 1, VALUE),
            ("[1,]", 3, VALUE),
            ("[1", 2, COMMA),
            ("[1 2]", 3, COMMA),
            ("{", 1, name),
            ("{name}", 1, name),
            ("{\u{b}}", 1, name),
            ("{\"a\":1,}", 7, name),
            ("{\"a\"", 4, colon),
            ("{\"a\" 1}", 5, colon),
            ("{\"a\":", 5, VALUE),
            ("{\"\u{e4}\":nul}", 5, VALUE),
            ("{\"a\":1 \"b\"}", 7, COMMA),
            ("\"abc", 0, unterminated),
            ("[\"a\\", 1, unterminated),
            ("\"a\tb\"", 2, "Invalid control character at"),
            ("{\"a\":\"\\q\"}", 6, "Invalid \\escape"),
            ("\"\\u12G4\"", 2, unicode),
            ("\"\\u1234", 2, unicode),
        ] {
            assert_eq!(of(text), Some((offset, error)), "{text:?}");
        }
        for text in ["{}", "[NaN, -Infinity]", "\"\\ud800\"", "1e999", &"[".repeat(33)] {
            assert_eq!(of(text), None, "{text:?}");
        }
    }
}
