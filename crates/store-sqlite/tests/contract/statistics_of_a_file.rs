//! Statistics of a file whose clock is accepted.

use jeton_core::clock::Day;
use jeton_core::token::{CutOff, NewToken, Owner, Reach};
use jeton_store::SharedStore;
use jeton_store::suite::Backend;
use jeton_store::suite::clerk::Clerk;
use jeton_store::suite::world::{Seeded, Seen, World, actor, at, revocation, token};
use jeton_store::suite::{ending, round};
use jeton_store_sqlite::accept_clock;
use std::sync::Arc;

use super::Sqlite;

const DAY: i64 = 86_400;

async fn count(store: &SharedStore) {
    while store.seal().await.unwrap().has_more {}
}

/// Accepting the clock ends what was issued later and brings ends forward: counts follow, also of cut-offs, and those of
/// deleted records stay. Counted before or not.
#[tokio::test]
async fn counts_follow_when_the_clock_is_accepted() {
    for counted_before in [true, false] {
        let sqlite = Sqlite::create();
        let world = World::new(sqlite.clone()).await;
        let other = Owner::Organization(world.organization("other").await);
        world.record(ending(&world, 0, Some(50))).await;
        let scheduled = world.record(ending(&world, 0, None)).await;
        world.record(ending(&world, 0, None)).await;
        let never = NewToken {
            expires_at: None,
            ..token(other.clone(), 0)
        };
        world.record(never).await;
        assert_eq!(round(&world, 60).await, 1);
        world.record(ending(&world, 5 * DAY, None)).await;
        world.revoke(scheduled.id, revocation(5 * DAY, 2 * DAY)).await;
        let cut_off = CutOff {
            reach: Reach {
                organization: other.organization(),
                ..Reach::default()
            },
            issued_through: at(6 * DAY).seconds(),
            effective_at: at(8 * DAY),
        };
        let cut = world.store.cut_off(cut_off, actor("operator"), None, at(6 * DAY));
        cut.await.unwrap();
        if counted_before {
            count(&world.store).await;
        }
        drop(world);
        accept_clock(&sqlite.path(), at(DAY), &Seeded).unwrap().unwrap();
        let store = sqlite.open(Arc::new(Seen::default()));
        let counts = async || {
            let first = Day::of(at(0));
            let days = store.statistics(None, first, first.plus_days(9)).await.unwrap();
            let days = days.into_iter();
            days.map(|one| [one.issued, one.revoked, one.expired, one.active])
                .collect::<Vec<_>>()
        };
        let mut expected = vec![[0, 0, 0, 1]; 10];
        expected[0] = [4, 0, 1, 3];
        expected[1] = [0, 0, 0, 3];
        expected[2] = [0, 0, 0, 3];
        // The revocation and the cut-off, each two days after the accepted instant.
        expected[3] = [0, 2, 0, 1];
        // Issued while the clock was ahead, and revoked before.
        expected[5] = [1, 1, 0, 1];
        assert_eq!(counts().await, expected, "{counted_before}");
        count(&store).await;
        assert_eq!(counts().await, expected, "{counted_before}");
    }
}
