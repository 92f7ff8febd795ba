//! The metrics of the process that Prometheus' client libraries have in common, read at each scrape.
//!
//! Only files below `/proc/self` are read: the systemd unit hides all others (`ProcSubset=pid`). A value that
//! cannot be read is left out.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use jeton_core::clock::Timestamp;

/// The collector of the metrics of the process.
#[derive(Debug)]
pub(super) struct Process {
    /// In seconds since the Unix epoch.
    start_time: Option<f64>,
}

impl Process {
    /// Creates the collector at an instant.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            start_time: age().map(|age| super::seconds(now) - age),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut encode = |name, help, metric: &dyn EncodeMetric| {
            let metric_encoder = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(metric_encoder)
        };
        encode(
            "process_cpu_seconds",
            "The processor time that the process has used, in user and system mode",
            &ConstCounter::new(seconds_of(ClockId::ProcessCPUTime)),
        )?;
        let gauges = [
            (
                "process_start_time_seconds",
                "When the process started, in seconds since the Unix epoch",
                self.start_time,
            ),
            (
                "process_resident_memory_bytes",
                "The memory of the process that is in RAM",
                resident_bytes(),
            ),
            (
                "process_open_fds",
                "The number of open file descriptors",
                open_descriptors(),
            ),
            (
                "process_max_fds",
                "The number of file descriptors that the process may open",
                getrlimit(Resource::Nofile).current.map(|limit| limit as f64),
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                encode(name, help, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}

fn seconds_of(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Returns the number of seconds since the process started.
fn age() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // proc_pid_stat(5): field 22 counts clock ticks since boot. The name, field 2, may contain spaces.
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: u64 = after_name.split_whitespace().nth(22 - 3)?.parse().ok()?;
    Some(seconds_of(ClockId::Boottime) - ticks as f64 / clock_ticks_per_second() as f64)
}

fn resident_bytes() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some((pages * page_size() as u64) as f64)
}

fn open_descriptors() -> Option<f64> {
    // One of them reads the folder.
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(entries.saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_those_of_this_process() {
        assert!(age().is_some_and(|age| (0.0..3600.0).contains(&age)));
        assert!(resident_bytes().is_some_and(|bytes| (1e6..1e10).contains(&bytes)));
        let before = open_descriptors();
        let file = fs::File::open("/proc/self/stat");
        assert!(file.is_ok());
        let cpu = seconds_of(ClockId::ProcessCPUTime);
        assert!(cpu > 0.0 && cpu < 3600.0);
        // Other tests of this process open files too.
        assert!(before.is_some_and(|before| before >= 3.0));
    }
}
