//! Texts that people write and others read: one canonical form, and no characters that hide something.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{
    BidiControl, DefaultIgnorableCodePoint, GeneralCategory, JoinControl, VariationSelector,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use zeroize::Zeroizing;

/// A text of one line in its canonical form, such as a name. May be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line(String);

/// A text of any number of lines in its canonical form, such as a description. May be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prose(String);

/// The error for a text that others could not read as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReadable {
    /// A control character, one that changes the direction of the text, or an invisible one.
    #[error("must not contain the invisible character U+{:04X}; remove it", u32::from(*.0))]
    Hidden(char),
    /// Only spaces and invisible characters.
    #[error("must contain a visible character")]
    Blank,
}

impl FromStr for Line {
    type Err = NotReadable;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        canonical(text, |_| false).map(Self)
    }
}

impl FromStr for Prose {
    type Err = NotReadable;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        canonical(text, |character| matches!(character, '\t' | '\n' | '\r')).map(Self)
    }
}

/// A text of the program's own.
impl From<&'static str> for Line {
    fn from(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

impl From<Line> for String {
    fn from(Line(text): Line) -> Self {
        text
    }
}

impl From<Prose> for String {
    fn from(Prose(text): Prose) -> Self {
        text
    }
}

impl AsRef<str> for Line {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Prose {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Prose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns a text in Unicode Normalization Form C: `e` and a combining accent are the letter with the accent.
pub fn composed(text: &str) -> Cow<'_, str> {
    match text.is_ascii() {
        true => Cow::Borrowed(text),
        false => ComposingNormalizerBorrowed::new_nfc().normalize(text),
    }
}

/// Returns the canonical form of a secret text (RFC 8265, OpaqueString): every space is the one of ASCII, and the text
/// is in Unicode Normalization Form C.
pub fn opaque(text: &str) -> Zeroizing<String> {
    // Never grows, so that no copy stays in freed memory: a byte becomes at most three, by the composition exclusions.
    let mut opaque = Zeroizing::new(String::with_capacity(text.len().saturating_mul(3)));
    let spaces = CodePointMapData::<GeneralCategory>::new();
    let is_space = |character| spaces.get(character) == GeneralCategory::SpaceSeparator;
    let characters = text
        .chars()
        .map(|character| if is_space(character) { ' ' } else { character });
    opaque.extend(ComposingNormalizerBorrowed::new_nfc().normalize_iter(characters));
    opaque
}

/// Returns the first character of a text that others could not see, or that changes how they see the rest.
pub fn hidden(text: &str) -> Option<char> {
    text.chars().find(|character| is_hidden(*character))
}

fn canonical(text: &str, is_allowed: impl Fn(char) -> bool) -> Result<String, NotReadable> {
    let mut characters = text.chars();
    if let Some(hidden) = characters.find(|character| is_hidden(*character) && !is_allowed(*character)) {
        return Err(NotReadable::Hidden(hidden));
    }
    if !text.is_empty() && text.chars().all(is_blank) {
        return Err(NotReadable::Blank);
    }
    Ok(composed(text).into_owned())
}

/// Direction marks and overrides let one name pose as another (CVE-2021-42574). Joiners, variation selectors and
/// tags are invisible too, but Persian, Indic scripts and emoji are written with them.
fn is_hidden(character: char) -> bool {
    /// The tags that end the flags of England, Scotland and Wales.
    const TAGS: std::ops::RangeInclusive<char> = '\u{e0020}'..='\u{e007f}';
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}')
        || CodePointSetData::new::<BidiControl>().contains(character)
        || (CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
            && !CodePointSetData::new::<JoinControl>().contains(character)
            && !CodePointSetData::new::<VariationSelector>().contains(character)
            && !TAGS.contains(&character))
}

fn is_blank(character: char) -> bool {
    /// A braille cell without dots, the one symbol that Unicode does not count as a space.
    const BRAILLE_BLANK: char = '\u{2800}';
    if character.is_ascii() {
        return character.is_ascii_whitespace();
    }
    character.is_whitespace()
        || character == BRAILLE_BLANK
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<String, NotReadable> {
        text.parse::<Line>().map(String::from)
    }

    fn prose(text: &str) -> Result<String, NotReadable> {
        text.parse::<Prose>().map(String::from)
    }

    #[test]
    fn a_text_is_composed_and_otherwise_unchanged() {
        for (written, canonical) in [
            ("", ""),
            (" ci ", " ci "),
            ("e\u{301}", "\u{e9}"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
            // Compatibility characters stay: a name is shown as it was written.
            ("\u{fb01}x\u{b2}", "\u{fb01}x\u{b2}"),
            ("\u{1f469}\u{200d}\u{1f467}", "\u{1f469}\u{200d}\u{1f467}"),
            (
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e007f}",
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e007f}",
            ),
        ] {
            assert_eq!(line(written).unwrap(), canonical);
            assert_eq!(prose(written).unwrap(), canonical);
            // The canonical form is its own.
            assert_eq!(line(canonical).unwrap(), canonical);
        }
    }

    #[test]
    fn only_prose_has_lines() {
        for (text, character) in [("a\nb", '\n'), ("a\tb", '\t'), ("a\r\nb", '\r')] {
            assert_eq!(line(text), Err(NotReadable::Hidden(character)));
            assert_eq!(prose(text).unwrap(), text);
        }
    }

    #[test]
    fn a_hidden_character_is_named() {
        for hidden in [
            '\0',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{200e}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{3164}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{e0001}',
        ] {
            let text = format!("a{hidden}b");
            assert_eq!(line(&text), Err(NotReadable::Hidden(hidden)));
            assert_eq!(prose(&text), Err(NotReadable::Hidden(hidden)));
        }
        let message = NotReadable::Hidden('\u{200b}').to_string();
        assert_eq!(
            message,
            "must not contain the invisible character U+200B; remove it"
        );
    }

    #[test]
    fn a_secret_text_is_composed_with_plain_spaces() {
        for (typed, opaque_form) in [
            ("correct horse", "correct horse"),
            ("cafe\u{301}\u{a0}au\u{3000}lait", "caf\u{e9} au lait"),
            // It is not shown, so what is invisible stays, and so does case.
            ("\u{200b}\u{fb01} A", "\u{200b}\u{fb01} A"),
        ] {
            assert_eq!(*opaque(typed), opaque_form);
        }
        // The most that composition can add: one character of two bytes becomes six.
        let longest = "\u{fb2c}\u{1d160}\u{390}\u{344}".repeat(50);
        let form = opaque(&longest);
        assert!(form.len() <= longest.len() * 3);
        assert_eq!(form.capacity(), longest.len() * 3);
    }

    #[test]
    fn a_text_is_empty_or_shows_something() {
        for blank in [
            " ",
            "\u{a0}",
            "\u{3000}",
            "\u{200c}",
            "\u{fe0f}",
            "\u{2800}",
            "\u{e007f}",
        ] {
            assert_eq!(line(blank), Err(NotReadable::Blank));
        }
        assert_eq!(prose(" \n\t"), Err(NotReadable::Blank));
    }
}
