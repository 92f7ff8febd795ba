//! Ids of requests and traces: read from headers, or drawn.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The request and response header with the id of the request.
pub(in crate::http) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The maximum length of an id that is taken from a request.
const LONGEST: usize = 64;

/// Returns the id that a client or proxy has given the request: 1 to 64 letters, digits and hyphens, in one header.
/// Any other id is ignored, since it is written into the log and into responses.
pub(super) fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = only(headers, &REQUEST_ID)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    ((1..=LONGEST).contains(&value.len()) && value.as_bytes().iter().all(is_plain)).then(|| value.clone())
}

/// Returns the trace id of `traceparent` (W3C Trace Context, section 3.2). A version after 00 may have more fields.
pub(super) fn trace(headers: &HeaderMap) -> Option<[u8; 32]> {
    let value = only(headers, &TRACEPARENT)?.as_bytes();
    let mut fields = value.split(|byte| *byte == b'-');
    let [version, trace, parent, flags] = [(); 4].map(|()| fields.next().unwrap_or_default());
    let is_hexadecimal = |field: &[u8], length| {
        field.len() == length && field.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_set = |field: &[u8]| field.iter().any(|byte| *byte != b'0');
    let is_valid = is_hexadecimal(version, 2)
        && version != b"ff"
        && (version != b"00" || fields.next().is_none())
        && is_hexadecimal(trace, 32)
        && is_set(trace)
        && is_hexadecimal(parent, 16)
        && is_set(parent)
        && is_hexadecimal(flags, 2);
    if is_valid { trace.try_into().ok() } else { None }
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Draws the ids of requests that have none: 32 hexadecimal digits, unique across servers and starts.
///
/// Half of an id is random and stays for the life of the process. The other half is a count whose bits are mixed, so
/// that two responses do not show how many requests were between them. The system's random generator would take ten
/// times as long, and an id need not be unguessable.
#[derive(Debug)]
pub(super) struct Ids {
    start: u64,
    key: u64,
    count: AtomicU64,
}

impl Ids {
    /// Creates the source of ids from random bits.
    pub(super) fn new(random: Uuid) -> Self {
        let (start, key) = random.as_u64_pair();
        Self {
            start,
            key,
            count: AtomicU64::new(0),
        }
    }

    /// Returns an id that no other call has returned.
    pub(super) fn draw(&self) -> HeaderValue {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let number = u128::from(self.start) << 64 | u128::from(mixed(count ^ self.key));
        let digits = number
            .to_be_bytes()
            .map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        let text = Bytes::copy_from_slice(digits.as_flattened());
        HeaderValue::from_maybe_shared(text).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// Returns another number for each number: the last steps of SplitMix64, each of which can be reversed.
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + value - 10,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn headers(name: HeaderName, values: &[&[u8]]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_bytes(value).unwrap());
        values
            .map(|value| (name.clone(), value))
            .fold(HeaderMap::new(), |mut all, (name, value)| {
                all.append(name, value);
                all
            })
    }

    #[test]
    fn an_id_is_taken_from_a_request_if_it_is_plain_short_and_the_only_one() {
        let given = |values: &[&[u8]]| given(&headers(REQUEST_ID, values));
        for taken in [&b"3f2a-91"[..], &[b'a'; 64], b"-", b"7F3e"] {
            assert_eq!(given(&[taken]).unwrap().as_bytes(), taken);
        }
        for refused in [
            &b""[..],
            &[b'a'; 65],
            b"two words",
            b"a\tb",
            b"a.b",
            b"a_b",
            b"a\"b",
            b"{a}",
            b"\xc3\xa4",
        ] {
            assert_eq!(given(&[refused]), None, "{refused:?}");
        }
        assert_eq!(given(&[]), None);
        assert_eq!(given(&[b"a", b"b"]), None);
    }

    #[test]
    fn the_trace_is_that_of_a_valid_traceparent() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        let trace = |values: &[&str]| {
            let values: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
            trace(&headers(TRACEPARENT, &values)).map(|trace| String::from_utf8(trace.to_vec()).unwrap())
        };
        let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(trace(&[&valid]).unwrap(), TRACE);
        let later = format!("01-{TRACE}-00f067aa0ba902b7-01-more");
        assert_eq!(trace(&[&later]).unwrap(), TRACE);
        for refused in [
            "",
            "-",
            TRACE,
            &format!("{valid}-more"),
            &valid.to_uppercase(),
            &valid.replacen("00-", "ff-", 1),
            &valid.replacen("00-", "0-", 1),
            &valid.replace(TRACE, &"0".repeat(32)),
            &valid.replace(TRACE, &TRACE[1..]),
            &valid.replace("00f067aa0ba902b7", "0000000000000000"),
            &valid.replace("00f067aa0ba902b7", "00f067aa0ba902b"),
            &valid.replace("-01", "-0g"),
            &valid.replace("-01", ""),
        ] {
            assert_eq!(trace(&[refused]), None, "{refused}");
        }
        assert_eq!(trace(&[&valid, &valid]), None);
    }

    #[test]
    fn drawn_ids_differ_have_one_shape_and_are_taken_by_the_next_server() {
        let mut drawn = HashSet::new();
        for random in [Uuid::from_u128(7 << 64), Uuid::from_u128(8 << 64)] {
            let ids = Ids::new(random);
            for _ in 0..1000 {
                let id = ids.draw();
                assert_eq!(id.len(), 32);
                let headers = HeaderMap::from_iter([(REQUEST_ID, id.clone())]);
                assert_eq!(given(&headers).unwrap(), id);
                assert!(id.as_bytes().iter().all(u8::is_ascii_hexdigit));
                assert!(drawn.insert(id));
            }
        }
    }
}
