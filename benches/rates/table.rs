//! The one table.

use std::fmt::Write;
use std::time::Duration;

use crate::pace::Measured;

/// A row: what was measured, and how it stands to what it is measured against.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) target: Target,
    pub(crate) against: &'static str,
    pub(crate) pairs: Vec<Pair>,
}

impl Row {
    /// Whether the driver's own threads were busy throughout a round, which flattens any ratio.
    fn is_driver_bound(&self) -> bool {
        self.pairs
            .iter()
            .any(|pair| pair.baseline.busy.max(pair.jeton.busy) > 0.9)
    }
}

/// Two rounds, one right after the other.
pub(crate) struct Pair {
    pub(crate) baseline: Measured,
    pub(crate) jeton: Measured,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// The rate is at least so much of the baseline's.
    RateAtLeast(f64),
    /// The 99th percentile is at most so many times the baseline's.
    SlowestAtMost(f64),
}

impl Target {
    fn ratio(self, pair: &Pair) -> f64 {
        match self {
            Self::RateAtLeast(_) => pair.jeton.rate / pair.baseline.rate,
            Self::SlowestAtMost(_) => pair.jeton.p99.as_secs_f64() / pair.baseline.p99.as_secs_f64(),
        }
    }

    /// The round in the middle: its figures belong together, as medians of each would not.
    fn middle(self, mut rounds: Vec<&Measured>) -> Option<&Measured> {
        rounds.sort_by(|a, b| match self {
            Self::RateAtLeast(_) => a.rate.total_cmp(&b.rate),
            Self::SlowestAtMost(_) => a.p99.cmp(&b.p99),
        });
        rounds.get(rounds.len() / 2).copied()
    }

    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::RateAtLeast(least) => ratio >= least,
            Self::SlowestAtMost(most) => ratio <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Self::RateAtLeast(least) => format!(">= {least:.2}"),
            Self::SlowestAtMost(most) => format!("p99 <= {most:.2}"),
        }
    }
}

pub(crate) fn print(rows: &[Row]) {
    println!(
        "\n{:<44} {:>9} {:>9} {:>9}   {:<34} {:>7} {:>17} {:>11}",
        "what", "rate/s", "p50", "p99", "against", "ratio", "(pairs)", "target"
    );
    for row in rows {
        let ratios: Vec<f64> = row.pairs.iter().map(|pair| row.target.ratio(pair)).collect();
        let ratio = median(ratios.clone());
        let side = |of: fn(&Pair) -> &Measured| row.target.middle(row.pairs.iter().map(of).collect());
        let (jeton, baseline) = (side(|pair| &pair.jeton), side(|pair| &pair.baseline));
        let Some((jeton, baseline)) = jeton.zip(baseline) else {
            continue;
        };
        let baseline = match row.target {
            Target::RateAtLeast(_) => format!("{} {:.0}/s", row.against, baseline.rate),
            Target::SlowestAtMost(_) => format!("{} {}", row.against, milliseconds(baseline.p99)),
        };
        println!(
            "{:<44} {:>9.0} {:>9} {:>9}   {:<34} {:>7.2} {:>17} {:>11} {}",
            row.what,
            jeton.rate,
            milliseconds(jeton.p50),
            milliseconds(jeton.p99),
            baseline,
            ratio,
            ratios.iter().fold(String::new(), |mut text, ratio| {
                let _ = write!(text, "{ratio:.2} ");
                text
            }),
            row.target.text(),
            match (row.target.is_met(ratio), row.is_driver_bound()) {
                (true, false) => "met",
                (true, true) => "met *",
                (false, false) => "MISSED",
                (false, true) => "MISSED *",
            },
        );
    }
    if rows.iter().any(Row::is_driver_bound) {
        println!(
            "\n* The driver had nearly no processor time left in one of these rounds, so that it may have been\n  \
             the bound: read the ratio on a machine with more cores."
        );
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
