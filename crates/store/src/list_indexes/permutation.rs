//! The order in which the indexes of a list are assigned.

use crate::rules::status_lists::LIST_SIZE;
use aws_lc_rs::digest::{SHA256, digest};

/// A keyed permutation of the indexes of a list: a Feistel network whose round functions are tables drawn from
/// SHA-256. Without the key the order of assignment is hidden.
pub(super) struct Permutation {
    rounds: Vec<Vec<u16>>,
}

const HALF_BITS: u32 = LIST_SIZE.ilog2() / 2;
const HALF: u16 = (1 << HALF_BITS) - 1;

/// Four rounds suffice for wide halves; narrow halves leak more a round.
const ROUNDS: u8 = 10;

impl Permutation {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        let rounds = (0..ROUNDS).map(|round| table(key, round)).collect();
        Self { rounds }
    }

    pub(super) fn apply(&self, counter: u32) -> u32 {
        let half = u32::from(HALF);
        let mut left = (counter >> HALF_BITS) & half;
        let mut right = counter & half;
        for round in &self.rounds {
            // Every half is an index of a table; otherwise the round would still be reversible.
            let mixed = round.get(right as usize).copied().unwrap_or_default();
            (left, right) = (right, left ^ u32::from(mixed));
        }
        (left << HALF_BITS) | right
    }
}

fn table(key: &[u8; 16], round: u8) -> Vec<u16> {
    (0..=HALF)
        .step_by(16)
        .flat_map(|block| {
            let mut input = key.to_vec();
            input.push(round);
            input.extend(block.to_be_bytes());
            let bytes = digest(&SHA256, &input);
            let (pairs, _) = bytes.as_ref().as_chunks::<2>();
            pairs
                .iter()
                .map(|pair| u16::from_be_bytes(*pair) & HALF)
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_given_once_and_neighbours_lie_apart() {
        for key in [[0; 16], [7; 16], *b"0123456789abcdef"] {
            let permutation = Permutation::new(&key);
            let mut given = vec![false; LIST_SIZE as usize];
            let mut near = 0;
            let mut previous = permutation.apply(LIST_SIZE - 1);
            for counter in 0..LIST_SIZE {
                let index = permutation.apply(counter);
                let given = given.get_mut(index as usize);
                assert!(
                    given.is_some_and(|given| !std::mem::replace(given, true)),
                    "{counter}"
                );
                near += u32::from(index.abs_diff(previous) < 1024);
                previous = index;
            }
            // By chance two indexes are within 1,024 of each other about twice in 1,024 times.
            assert!((1_000..3_500).contains(&near), "{near}");
        }
    }

    #[test]
    fn another_key_is_another_order() {
        let [one, other] = [[0; 16], [1; 16]].map(|key| Permutation::new(&key));
        let alike = (0..4096).filter(|counter| one.apply(*counter) == other.apply(*counter));
        assert!(alike.count() < 10);
    }
}
