//! Places in status lists: never given twice, and telling nothing about their neighbours.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::entropy::Entropy;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::values::Bytes;
use crate::token::{NewToken, Place};

/// Bits in a list: 2^20.
pub(super) const LIST_SIZE: u32 = 1 << (2 * HALF_BITS);

/// How long the tokens of a list live. Tokens that end about together share a list, and so a list
/// whose last token has ended can retire as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lifetime {
    Day,
    Month,
    Year,
    Longer,
    Endless,
}

impl Lifetime {
    const ALL: [Self; 5] = [Self::Day, Self::Month, Self::Year, Self::Longer, Self::Endless];

    fn of(token: &NewToken) -> Self {
        let Some(end) = token.expires_at else {
            return Self::Endless;
        };
        let seconds = end.seconds() - token.created_at.seconds();
        let fits = |lifetime: &Self| lifetime.longest_life().is_some_and(|longest| seconds <= longest);
        Self::ALL.into_iter().find(fits).unwrap_or(Self::Longer)
    }

    /// For how long a list takes new tokens, in seconds: as long as they live, but at least a week,
    /// since a bit hides among the others of its list.
    fn open_for(self) -> i64 {
        const DAY: i64 = 86_400;
        match self {
            Self::Day => 7 * DAY,
            Self::Month => 31 * DAY,
            Self::Year => 366 * DAY,
            Self::Longer | Self::Endless => i64::MAX,
        }
    }

    /// How long its tokens live at most, in seconds, if that is known.
    fn longest_life(self) -> Option<i64> {
        const DAY: i64 = 86_400;
        match self {
            Self::Day => Some(DAY),
            Self::Month => Some(31 * DAY),
            Self::Year => Some(366 * DAY),
            Self::Longer | Self::Endless => None,
        }
    }

    fn number(self) -> i64 {
        self as i64
    }

    fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|lifetime| lifetime.number() == number)
    }
}

/// For each class of lists that end, its number and the seconds after its opening by which the last
/// token of a list has ended.
pub(super) fn retirement_ages() -> impl Iterator<Item = (i64, i64)> {
    Lifetime::ALL.into_iter().filter_map(|lifetime| {
        let age = lifetime.open_for().saturating_add(lifetime.longest_life()?);
        Some((lifetime.number(), age))
    })
}

/// The lists that take new tokens, the newest of each lifetime.
pub(super) struct Lists {
    epoch: Uuid,
    open: BTreeMap<Lifetime, List>,
}

struct List {
    id: u32,
    permutation: Permutation,
    opened_at: Timestamp,
    used: u32,
    /// What the file knows of `used`.
    written: u32,
}

impl Lists {
    /// Reads the lists of an epoch. Those of an earlier one take no more tokens, so that a database
    /// that was restored gives no place a second time.
    pub(super) fn read(connection: &Connection, epoch: Uuid) -> Result<Self, Failure> {
        let mut query = connection.prepare_cached(
            "SELECT lifetime_class, id, permutation_key, opened_at, used FROM status_lists
             WHERE epoch = ?1 ORDER BY id",
        )?;
        let mut rows = query.query([Bytes(epoch)])?;
        let mut open = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let used = row.get(4)?;
            if let Some(lifetime) = Lifetime::from_number(row.get(0)?) {
                let list = List {
                    id: row.get(1)?,
                    permutation: Permutation::new(&row.get(2)?),
                    opened_at: row.get(3)?,
                    used,
                    written: used,
                };
                open.insert(lifetime, list);
            }
        }
        Ok(Self { epoch, open })
    }

    /// Gives a token its place. A place is not given again even if the token is not recorded.
    pub(super) fn place(
        &mut self,
        connection: &Connection,
        entropy: &dyn Entropy,
        token: &NewToken,
    ) -> Result<Place, Failure> {
        let lifetime = Lifetime::of(token);
        let now = token.created_at;
        let has_room = |list: &&mut List| {
            list.used < LIST_SIZE && now.seconds() - list.opened_at.seconds() < lifetime.open_for()
        };
        let list = match self.open.get_mut(&lifetime).filter(has_room) {
            Some(list) => list,
            None => {
                self.write(connection)?;
                let list = List::open(connection, entropy, self.epoch, lifetime, now)?;
                self.open.entry(lifetime).insert_entry(list).into_mut()
            }
        };
        let index = list.permutation.apply(list.used);
        list.used += 1;
        Ok(Place { list: list.id, index })
    }

    /// Writes back how far the lists are used.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), Failure> {
        for list in self.open.values_mut().filter(|list| list.used != list.written) {
            connection
                .prepare_cached("UPDATE status_lists SET used = ?2 WHERE id = ?1")?
                .execute(params![list.id, list.used])?;
            list.written = list.used;
        }
        Ok(())
    }
}

impl List {
    fn open(
        connection: &Connection,
        entropy: &dyn Entropy,
        epoch: Uuid,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let mut key = [0; 16];
        entropy.fill(&mut key);
        let id = connection
            .prepare_cached(
                "INSERT INTO status_lists (epoch, lifetime_class, permutation_key, used, opened_at)
                 VALUES (?1, ?2, ?3, 0, ?4)",
            )?
            .insert(params![Bytes(epoch), lifetime.number(), key, now])?;
        Ok(Self {
            id: u32::try_from(id).map_err(|_| Failure::Impossible("all status lists are used up"))?,
            permutation: Permutation::new(&key),
            opened_at: now,
            used: 0,
            written: 0,
        })
    }
}

/// A keyed permutation of the places of a list: a Feistel network whose round functions are tables
/// drawn from SHA-256. Without the key the order in which places were given cannot be seen.
struct Permutation {
    rounds: Vec<Vec<u16>>,
}

const HALF_BITS: u32 = 10;
const HALF: u16 = (1 << HALF_BITS) - 1;

/// Four would do for wide halves; narrow ones leak more a round.
const ROUNDS: u8 = 10;

impl Permutation {
    fn new(key: &[u8; 16]) -> Self {
        let rounds = (0..ROUNDS).map(|round| table(key, round)).collect();
        Self { rounds }
    }

    fn apply(&self, counter: u32) -> u32 {
        let half = u32::from(HALF);
        let mut left = (counter >> HALF_BITS) & half;
        let mut right = counter & half;
        for round in &self.rounds {
            // Every half is an index of a table; were one not, the round would still be undoable.
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
            // By chance two places lie within 1,024 of each other about twice in 1,024 times.
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
