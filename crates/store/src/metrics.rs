//! What all metrics share, of this crate's backends and of the program: families with one label, and gauges that
//! are read when metrics are collected.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;

/// The label of a metric: its name and its value. Values come from a fixed set, never from a request.
pub type Label = [(&'static str, &'static str); 1];

/// A metric with one label. Look the handles up once: each look-up takes a lock.
pub type Labelled<Metric> = Family<Label, Metric>;

/// Encodes a gauge that is read when metrics are collected.
///
/// # Errors
///
/// Returns an error if the text cannot be written.
pub fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    metric.encode_gauge(&value)
}

/// Encodes a gauge with a label that is read when metrics are collected.
///
/// # Errors
///
/// Returns an error if the text cannot be written.
pub fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Label, impl EncodeGaugeValue)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (label, value) in values {
        metric.encode_family(&label)?.encode_gauge(&value)?;
    }
    Ok(())
}
