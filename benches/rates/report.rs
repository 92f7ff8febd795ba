//! The report: selects rows, and prints each once it is measured.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::Outcome;
use crate::pace::Measured;

/// A comparison of a measurement with a baseline, and the ratio that it must reach.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) baseline: &'static str,
    pub(crate) target: Target,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// The minimum ratio of the rates.
    RateAtLeast(f64),
    /// The maximum ratio of the 99th percentiles of latency.
    P99AtMost(f64),
    /// The maximum ratio of the server's processor time per operation.
    ProcessorAtMost(f64),
}

/// Two rounds in direct succession.
pub(crate) struct Pair {
    pub(crate) baseline: Measured,
    pub(crate) subject: Measured,
}

/// A bound that does not depend on another measurement.
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    pub(crate) at_most: Quantity,
}

#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) enum Quantity {
    Time(Duration),
    Bytes(u64),
}

/// Selects and prints rows.
#[derive(Default)]
pub(crate) struct Report {
    /// Rows whose names contain one of these words are measured; without words, all rows.
    words: Vec<String>,
    /// The names of all rows that could be measured.
    names: RefCell<Vec<&'static str>>,
    has_header: Cell<bool>,
    measured: Cell<u32>,
    missed: Cell<u32>,
    driver_bound: Cell<bool>,
}

impl Report {
    pub(crate) fn of(words: Vec<String>) -> Self {
        Self {
            words,
            ..Self::default()
        }
    }

    /// Returns whether a row is selected.
    pub(crate) fn wants(&self, name: &'static str) -> bool {
        self.know(name);
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word))
    }

    /// Returns whether a slow row is selected, which takes its whole name as a word.
    pub(crate) fn wants_by_name(&self, name: &'static str) -> bool {
        self.know(name);
        self.words.iter().any(|word| word == name)
    }

    fn know(&self, name: &'static str) {
        let mut names = self.names.borrow_mut();
        if !names.contains(&name) {
            names.push(name);
        }
    }

    /// Returns whether any of these rows is selected, so that its servers must start.
    pub(crate) fn wants_any(&self, names: &[&'static str]) -> bool {
        names.iter().filter(|name| self.wants(name)).count() > 0
    }

    /// Prints a row.
    pub(crate) fn row(&self, row: &Row, pairs: &[Pair]) {
        if !self.has_header.replace(true) {
            let header = [
                "row", "rate/s", "p50 ms", "p99 ms", "cpu µs", "against", "rate/s", "p99 ms", "cpu µs",
                "ratio", "(pairs)", "target",
            ];
            let [
                row,
                rate,
                p50,
                p99,
                cpu,
                against,
                its_rate,
                its_p99,
                its_cpu,
                ratio,
                pairs,
                target,
            ] = header;
            println!(
                "\n{row:<50} {rate:>8} {p50:>8} {p99:>8} {cpu:>8}   {against:<21} {its_rate:>8} {its_p99:>8} {its_cpu:>8}   \
                 {ratio:>6} {pairs:<13} {target}",
            );
        }
        let mut ratios: Vec<f64> = pairs.iter().map(|pair| row.target.ratio(pair)).collect();
        ratios.sort_by(f64::total_cmp);
        let baseline = row.target.middle(pairs.iter().map(|pair| &pair.baseline));
        let subject = row.target.middle(pairs.iter().map(|pair| &pair.subject));
        let ratio = median(&ratios);
        let least = ratios.first().copied().unwrap_or(f64::NAN);
        let most = ratios.last().copied().unwrap_or(f64::NAN);
        let is_met = row.target.is_met(ratio);
        let is_driver_bound = pairs
            .iter()
            .any(|pair| pair.baseline.busy.max(pair.subject.busy) > 0.9);
        println!(
            "{:<50} {:>8.0} {:>8.2} {:>8.2} {:>8.1}   {:<21} {:>8.0} {:>8.2} {:>8.1}   {:>6.2} {:<13} {} {}{}",
            row.name,
            subject.rate,
            milliseconds(subject.p50),
            milliseconds(subject.p99),
            microseconds(subject.processor),
            row.baseline,
            baseline.rate,
            milliseconds(baseline.p99),
            microseconds(baseline.processor),
            ratio,
            format!("({least:.2}-{most:.2})"),
            row.target.text(),
            self.count(is_met),
            if is_driver_bound { " *" } else { "" },
        );
        if is_driver_bound {
            self.driver_bound.set(true);
        }
    }

    /// Prints a bound. `detail` describes the measurement.
    pub(crate) fn bound(&self, bound: &Bound, measured: Quantity, detail: &str) {
        let is_met = measured <= bound.at_most;
        println!(
            "{:<50} {:>10}   at most {:>10}   {}   {detail}",
            bound.name,
            measured.text(),
            bound.at_most.text(),
            self.count(is_met),
        );
    }

    /// Prints how many rows reach their targets.
    ///
    /// # Errors
    /// A word that matches no row.
    pub(crate) fn end(&self) -> Outcome<()> {
        if self.driver_bound.get() {
            println!(
                "\n* The driver had nearly no processor time left in one of these rounds, so that it may have been\n  \
                 the bound: read the ratio on a machine with more cores."
            );
        }
        let (measured, missed) = (self.measured.get(), self.missed.get());
        println!("\n{} of {measured} rows reach their targets", measured - missed);
        let names = self.names.borrow();
        match self
            .words
            .iter()
            .find(|word| !names.iter().any(|name| name.contains(*word)))
        {
            None => Ok(()),
            Some(word) => Err(format!(
                "no row's name contains {word:?}; the rows are:\n  {}",
                names.join("\n  ")
            )
            .into()),
        }
    }

    fn count(&self, is_met: bool) -> &'static str {
        self.measured.set(self.measured.get() + 1);
        if is_met {
            "met"
        } else {
            self.missed.set(self.missed.get() + 1);
            "MISSED"
        }
    }
}

impl Target {
    /// Returns the measurement that the target is about.
    fn figure(self, round: &Measured) -> f64 {
        match self {
            Self::RateAtLeast(_) => round.rate,
            Self::P99AtMost(_) => round.p99.as_secs_f64(),
            Self::ProcessorAtMost(_) => round.processor.as_secs_f64(),
        }
    }

    fn ratio(self, pair: &Pair) -> f64 {
        self.figure(&pair.subject) / self.figure(&pair.baseline)
    }

    /// Returns the median round: its measurements belong together, unlike medians of each.
    fn middle<'a>(self, rounds: impl Iterator<Item = &'a Measured>) -> Measured {
        let mut rounds: Vec<&Measured> = rounds.collect();
        rounds.sort_by(|a, b| self.figure(a).total_cmp(&self.figure(b)));
        let middle = rounds.get(rounds.len() / 2);
        middle.copied().cloned().unwrap_or_default()
    }

    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::RateAtLeast(least) => ratio >= least,
            Self::P99AtMost(most) | Self::ProcessorAtMost(most) => ratio <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Self::RateAtLeast(least) => format!("rate >= {least:.2}"),
            Self::P99AtMost(most) => format!("p99 <= {most:.2}"),
            Self::ProcessorAtMost(most) => format!("cpu <= {most:.2}"),
        }
    }
}

impl Quantity {
    fn text(self) -> String {
        match self {
            Self::Time(time) => format!("{:.1} ms", milliseconds(time)),
            Self::Bytes(bytes) if bytes < 1_000_000 => format!("{} kB", bytes / 1_000),
            Self::Bytes(bytes) => format!("{} MB", bytes / 1_000_000),
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Returns the median of sorted values.
fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
