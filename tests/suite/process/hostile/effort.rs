//! How much of a test runs, and the seed of its random choices.

use crate::process::crash::Chance;

/// How many of its cases a test runs: `EFFORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// What fits into five minutes for all tests together. The default.
    Few,
    /// `many`: what fits into 20 minutes, for `make hostile`.
    Many,
    /// `all`: every case, for `make hostile FULL=1`.
    All,
}

impl Effort {
    pub(super) fn of_environment() -> Self {
        match std::env::var("EFFORT").as_deref() {
            Ok("many") => Self::Many,
            Ok("all") => Self::All,
            Ok("few") | Err(_) => Self::Few,
            Ok(other) => panic!("EFFORT must be few, many or all; it is {other:?}"),
        }
    }

    /// Returns one of three numbers.
    pub(super) fn of<T>(self, few: T, many: T, all: T) -> T {
        match self {
            Self::Few => few,
            Self::Many => many,
            Self::All => all,
        }
    }

    /// Returns so many of the cases, drawn without repetition and in their order.
    pub(super) fn sample<T>(self, chance: &mut Chance, cases: Vec<T>, few: usize, many: usize) -> Vec<T> {
        let wanted = self.of(few, many, cases.len()).min(cases.len());
        let (mut needed, mut left) = (wanted, cases.len());
        let mut drawn = Vec::with_capacity(wanted);
        for case in cases {
            if chance.index(left) < needed {
                drawn.push(case);
                needed -= 1;
            }
            left -= 1;
        }
        drawn
    }
}

/// Returns a generator with the seed `SEED`, and prints the seed.
pub(super) fn chance(test: &str) -> Chance {
    let seed = match std::env::var("SEED") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("SEED must be a number; it is {text:?}")),
        Err(_) => 20_261_202,
    };
    println!("{test}: SEED={seed}");
    Chance(seed)
}

#[test]
fn a_sample_has_as_many_cases_as_wanted_and_each_once() {
    let mut chance = Chance(1);
    for (effort, length) in [(Effort::Few, 3), (Effort::Many, 7), (Effort::All, 20)] {
        let drawn = effort.sample(&mut chance, (0..20).collect(), 3, 7);
        assert_eq!(drawn.len(), length);
        assert!(drawn.is_sorted_by(|a, b| a < b), "{drawn:?}");
    }
    assert_eq!(Effort::Few.sample(&mut chance, vec![1, 2], 3, 7), [1, 2]);
}
