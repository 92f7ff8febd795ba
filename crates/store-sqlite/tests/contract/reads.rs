//! Limits of long reads, at the interface of the store.

use std::task::{Context, Poll, Waker};

use jeton_core::token::filter::Remit;
use jeton_core::token::{Filter, Visibility};
use jeton_store::StoreError;
use jeton_store::suite::Backend;
use jeton_store::suite::world::{World, at};

use super::Sqlite;

/// Only dry runs count descendants: they wait in the queue of lists, which is bounded and has a budget, and never in that
/// of revocations.
#[tokio::test]
async fn counting_descendants_is_bounded_like_a_list() {
    let world = World::new(Sqlite::create()).await;
    let filter = Filter::of(Visibility::Everything);
    let mut context = Context::from_waker(Waker::noop());
    let mut waiting = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        let store = &world.store;
        let mut counting = store.count_descendants(filter.clone(), Remit::Everything, at(1));
        match counting.as_mut().poll(&mut context) {
            Poll::Ready(Err(StoreError::Busy)) => refused += 1,
            Poll::Ready(counted) => _ = counted.unwrap(),
            Poll::Pending => waiting.push(counting),
        }
    }
    assert!(refused > 50, "{refused}");
    for counting in waiting {
        counting.await.unwrap();
    }
}
