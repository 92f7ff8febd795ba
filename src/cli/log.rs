//! The log, on standard error, so that standard output contains only data.
//!
//! A line that is written while a request is handled ends with the ids of the request.

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal};

use serde::ser::{SerializeMap, Serializer};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Log, LogFormat};
use crate::http::RequestContext;

/// The names of the fields with the ids of a request.
const REQUEST_ID: &str = "request_id";
const TRACE_ID: &str = "trace_id";

/// Starts the log.
pub(super) fn start(log: &Log) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&log.filter))
        .with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Text => builder
            .with_ansi(io::stderr().is_terminal())
            .fmt_fields(WithIds)
            .try_init(),
        LogFormat::Json => builder.event_format(Json).try_init(),
    };
    // Fails only if a log was started before, which stays in use.
    drop(started);
}

/// Formats fields as usual and appends the ids of the request.
struct WithIds;

impl<'writer> FormatFields<'writer> for WithIds {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        DefaultFields::new().format_fields(writer.by_ref(), fields)?;
        let appended = RequestContext::with_current(|request| {
            write!(writer, " {REQUEST_ID}={}", request.id())?;
            match request.trace_id() {
                Some(trace) => write!(writer, " {TRACE_ID}={trace}"),
                None => Ok(()),
            }
        });
        appended.unwrap_or(Ok(()))
    }
}

/// Formats an event as one JSON object a line.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Vec::with_capacity(512);
        let mut serializer = serde_json::Serializer::new(&mut line);
        write_json(event, &mut serializer).map_err(|_| fmt::Error)?;
        writer.write_str(std::str::from_utf8(&line).map_err(|_| fmt::Error)?)?;
        writer.write_char('\n')
    }
}

fn write_json<S: Serializer>(event: &Event<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut time = String::new();
    // Fails only if the string could not be written.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let metadata = event.metadata();
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("timestamp", &time)?;
    map.serialize_entry("level", metadata.level().as_str())?;
    map.serialize_entry("target", metadata.target())?;
    let mut fields = Fields { map, outcome: Ok(()) };
    event.record(&mut fields);
    let Fields { mut map, outcome } = fields;
    outcome?;
    let ids = RequestContext::with_current(|request| {
        map.serialize_entry(REQUEST_ID, request.id())?;
        match request.trace_id() {
            Some(trace) => map.serialize_entry(TRACE_ID, trace),
            None => Ok(()),
        }
    });
    ids.unwrap_or(Ok(()))?;
    map.end()
}

/// Writes fields into a map.
struct Fields<M: SerializeMap> {
    map: M,
    outcome: Result<(), M::Error>,
}

impl<M: SerializeMap> Fields<M> {
    fn write(&mut self, field: &Field, value: &(impl serde::Serialize + ?Sized)) {
        if self.outcome.is_ok() {
            self.outcome = self.map.serialize_entry(field.name(), value);
        }
    }
}

impl<M: SerializeMap> Visit for Fields<M> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.write(field, &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, &format!("{value:?}"));
    }
}
