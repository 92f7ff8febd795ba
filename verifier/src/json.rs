//! Strict JSON for tokens: an object without repeated names and without deep nesting.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The maximum nesting of objects and arrays. Jeton's claims need three levels; the rest is for claims
/// unknown to this version.
const MAX_DEPTH: usize = 16;

/// Parses one object, or returns `None` if the text violates a rule.
pub(crate) fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    let text = std::str::from_utf8(bytes).ok()?;
    // The number of opening brackets bounds the depth and is far faster to compute.
    let brackets = bytes.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if brackets > MAX_DEPTH && depth(text) > MAX_DEPTH {
        return None;
    }
    let Object(value) = serde_json::from_str(text).ok()?;
    Some(value)
}

/// A `T` parsed from an object without repeated names.
///
/// serde alone would also parse a `T` from an array, and accept repeated unknown names. Two readers
/// that disagree about which of two values counts are an attack.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let names = UniqueNames {
            map,
            seen: Vec::with_capacity(16),
        };
        T::deserialize(MapAccessDeserializer::new(names)).map(Object)
    }
}

struct UniqueNames<'de, A> {
    map: A,
    seen: Vec<Cow<'de, str>>,
}

/// A name with its escapes resolved: `\u0061lg` is `alg`.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for UniqueNames<'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(Name(name)) = self.map.next_key()? else {
            return Ok(None);
        };
        if self.seen.contains(&name) {
            return Err(A::Error::custom("a name is repeated"));
        }
        let key = seed.deserialize(StrDeserializer::new(&name))?;
        self.seen.push(name);
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Returns the depth of brackets outside strings. Meaningful only for valid JSON, in which brackets are
/// balanced.
fn depth(text: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug, PartialEq)]
    struct Pair {
        a: u8,
        b: u8,
    }

    #[test]
    fn an_object_with_every_name_once() {
        assert_eq!(
            object(br#" {"b":2,"\u0061":1,"other":[{}]} "#),
            Some(Pair { a: 1, b: 2 })
        );
        for bad in [
            r#"[1,2]"#,
            r#"{"a":1,"b":2,"b":2}"#,
            r#"{"a":1,"b":2,"\u0062":2}"#,
            r#"{"a":1,"b":2,"x":0,"x":0}"#,
            r#"{"a":1,"b":2,"x":0,"\u0078":0}"#,
            r#"{"a":1,"b":2}{}"#,
            r#"{"a":1,"b":2,}"#,
            "\u{feff}{\"a\":1,\"b\":2}",
            r#"{"a":1,"b":2,"\ud800":0}"#,
        ] {
            assert_eq!(object::<Pair>(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(object::<Pair>(b"{\"a\":1,\"b\":2,\"x\":\"\xff\"}"), None);
    }

    #[test]
    fn brackets_in_strings_are_not_depth() {
        assert_eq!(depth(r#"{"a":"[[[\"[[","b":[{}]}"#), 3);
        let nested = |levels: usize| {
            format!(
                r#"{{"a":1,"b":2,"x":{}{}}}"#,
                "[".repeat(levels),
                "]".repeat(levels)
            )
        };
        for (text, deepest) in [
            (r#"{"a":"\"[[[["}"#, 1),
            (r#"["\\",[[]]]"#, 3),
            (r#"["]]]]",[[]]]"#, 3),
            (r#"[[],[],[]]"#, 2),
            (r#"["[[[[","]]"]"#, 1),
        ] {
            assert_eq!(depth(text), deepest, "{text}");
        }
        // As deep as allowed, with more brackets beside.
        let beside = nested(MAX_DEPTH - 1).replacen("\"b\":2", "\"b\":2,\"y\":[[],[]]", 1);
        assert!(object::<Pair>(beside.as_bytes()).is_some());
        assert!(object::<Pair>(nested(MAX_DEPTH - 1).as_bytes()).is_some());
        assert!(object::<Pair>(nested(MAX_DEPTH).as_bytes()).is_none());
    }
}
