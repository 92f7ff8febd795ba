//! Server-sent events.

use std::time::Duration;

/// The maximum size of an event, in bytes.
const MAX_EVENT_BYTES: usize = 64 * 1024;

/// An event with its name, empty if it has none, and its data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
}

/// The event or the line is longer than any that the authority sends, or not UTF-8.
#[derive(Debug, thiserror::Error)]
#[error("the stream has an event that is too long or not UTF-8")]
pub(super) struct NotAnEvent;

/// Parses a stream as it arrives. Lines end with LF or CR LF.
#[derive(Debug, Default)]
pub(super) struct Parser {
    buffer: Vec<u8>,
    event: Event,
    /// The wait before the next connection, as the server asked.
    pub(super) retry: Option<Duration>,
}

impl Parser {
    /// Adds bytes and returns the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, NotAnEvent> {
        self.buffer.extend_from_slice(bytes);
        let mut events = Vec::new();
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.strip_prefix(b"\n").unwrap_or(after);
            let line = str::from_utf8(line).map_err(|_| NotAnEvent)?;
            events.extend(self.line(line.strip_suffix('\r').unwrap_or(line)));
            if self.event.data.len() > MAX_EVENT_BYTES {
                return Err(NotAnEvent);
            }
        }
        if rest.len() > MAX_EVENT_BYTES {
            return Err(NotAnEvent);
        }
        self.buffer = rest.to_vec();
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "retry" => self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry),
            // The position is part of the data; a comment has an empty field.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const STREAM: &str = "retry: 1500\n\n: comment\nevent: head\nid: a\ndata: {\"cursor\":1}\n\nid:b\r\ndata:x\r\ndata: y\r\n\r\nevent: none\n\ndata: cut";

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let event = |name: &str, data: &str| Event {
            name: name.to_owned(),
            data: data.to_owned(),
        };
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let chunks = STREAM.as_bytes().chunks(size);
            let events: Vec<_> = chunks.flat_map(|chunk| parser.push(chunk).unwrap()).collect();
            assert_eq!(
                events,
                [event("head", "{\"cursor\":1}"), event("", "x\ny")],
                "{size}"
            );
            assert_eq!(parser.retry, Some(Duration::from_millis(1500)));
        }
    }

    #[test]
    fn an_endless_line_and_an_endless_event_are_refused() {
        let mut parser = Parser::default();
        assert!((0..100).any(|_| parser.push(&[b'a'; 1024]).is_err()));
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "a".repeat(1024));
        assert!((0..100).any(|_| parser.push(line.as_bytes()).is_err()));
        assert!(Parser::default().push(b"data: \xff\n").is_err());
    }
}
