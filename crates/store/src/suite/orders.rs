//! Lists of tokens in every sort order, compared with a model that sorts a vector.

use jeton_core::directory::TeamId;
use jeton_core::token::{
    CountTotal, Cursor, Direction, Filter, NewToken, Order, Owner, Page, Record, Sort, SortBy, SortValue,
    Start, TokenId, TokenReference, Use, Visibility,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::clerk::Clerk;
use super::world::{Backend, World, actor, at, token};

/// A token to create, and when it is used.
#[derive(Debug, Clone)]
struct Draft {
    name: String,
    creator: String,
    team: Option<bool>,
    life: Option<i64>,
    used: Option<i64>,
}

/// A list, and how its pages are requested.
#[derive(Debug, Clone)]
struct Asked {
    sort: Sort,
    direction: Direction,
    limit: u32,
}

/// Returns drafts with few distinct values, so that many are equal and the token ids decide.
fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let draft = (
        "[abAB]{1,2}|\u{e9}|\u{c9}",
        "[xyXY]@example[.]org",
        prop::option::of(any::<bool>()),
        prop::option::of(1_i64..4),
        prop::option::of(1_i64..4),
    );
    let draft = draft.prop_map(|(name, creator, team, life, used)| Draft {
        name,
        creator,
        team,
        life,
        used,
    });
    vec(draft, 0..12)
}

fn asked() -> impl Strategy<Value = Asked> {
    let by = prop_oneof![
        Just(SortBy::CreatedAt),
        Just(SortBy::ExpiresAt),
        Just(SortBy::LastUsedAt),
        Just(SortBy::Name),
        Just(SortBy::Team),
        Just(SortBy::CreatedBy),
    ];
    let order = prop_oneof![Just(Order::Descending), Just(Order::Ascending)];
    let direction = prop_oneof![Just(Direction::Next), Just(Direction::Previous)];
    (by, order, direction, 1_u32..5).prop_map(|(by, order, direction, limit)| Asked {
        sort: Sort { by, order },
        direction,
        limit,
    })
}

/// Lists random tokens in random orders.
pub fn pages_joined_are_sorted<B: Backend>() {
    super::holds(&(drafts(), drafts(), asked()), async |(first, later, asked)| {
        join::<B>(first, later, asked).await;
    });
}

/// Asserts that the pages join to the sorted list, and still do for existing tokens while others are created.
async fn join<B: Backend>(first: Vec<Draft>, later: Vec<Draft>, asked: Asked) {
    let world = World::new(B::create()).await;
    // Names that are not in the order of creation.
    let teams = [
        world.team(world.organization, "Beta").await,
        world.team(world.organization, "alpha").await,
    ];
    let mut there = Vec::new();
    for (second, draft) in (1..).zip(first) {
        there.push(make(&world, &teams, draft, second).await);
    }
    let expected = sorted(&there, asked.sort);
    assert_eq!(read_all(&world, &asked, async || {}).await, expected);
    assert_eq!(count_off(&world, &asked, expected.len()).await, expected);

    // Once more, while other tokens are created.
    let mut later = later.into_iter();
    let during = read_all(&world, &asked, async || {
        if let Some(draft) = later.next() {
            make(&world, &teams, draft, 100).await;
        }
    });
    let mut during = during.await;
    let unique = during.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(unique, during.len(), "a token was seen twice");
    during.retain(|id| expected.contains(id));
    assert_eq!(during, expected);
}

async fn make(world: &World, teams: &[TeamId; 2], draft: Draft, second: i64) -> (Record, Option<String>) {
    let (owner, team) = match draft.team {
        Some(first) => {
            let place = usize::from(!first);
            let owner = Owner::Team {
                team: teams[place].clone(),
                organization: world.organization,
            };
            (owner, Some(["beta", "alpha"][place].to_owned()))
        }
        None => (world.owner(), None),
    };
    let record = world
        .record(NewToken {
            name: draft.name,
            created_by: actor(&draft.creator),
            expires_at: draft.life.map(|life| at(1_000_000 + life)),
            ..token(owner, second)
        })
        .await;
    if let Some(used) = draft.used {
        let sighting = Use {
            token: record.id,
            at: at(2_000_000 + used),
            from: None,
        };
        world.store.note_use(vec![sighting]).await.unwrap();
    }
    let read = world.store.token(TokenReference::Id(record.id)).await.unwrap();
    (read.unwrap(), team)
}

/// Returns the expected list.
fn sorted(there: &[(Record, Option<String>)], sort: Sort) -> Vec<TokenId> {
    let value = |(record, team): &(Record, Option<String>)| match sort.by {
        SortBy::CreatedAt => Some(SortValue::Text(String::new())),
        SortBy::ExpiresAt => record.token.expires_at.map(SortValue::Instant),
        SortBy::LastUsedAt => record.last_used_at.map(SortValue::Instant),
        SortBy::Name => Some(SortValue::Text(record.token.name.to_ascii_lowercase())),
        SortBy::Team => team.clone().map(SortValue::Text),
        SortBy::CreatedBy => Some(SortValue::Text(record.token.created_by.name.to_ascii_lowercase())),
    };
    let key = |value: &SortValue| match value {
        SortValue::Instant(instant) => (instant.millis(), String::new()),
        SortValue::Text(text) => (0, text.clone()),
    };
    let mut valued = Vec::new();
    let mut valueless = Vec::new();
    for one in there {
        match value(one) {
            Some(value) => valued.push((key(&value), one.0.id)),
            None => valueless.push(one.0.id),
        }
    }
    valued.sort();
    valueless.sort();
    if sort.order == Order::Descending {
        valued.reverse();
        valueless.reverse();
    }
    valued.into_iter().map(|(_, id)| id).chain(valueless).collect()
}

/// Returns all numbered pages, and some beyond the end, joined in the order of the list.
async fn count_off(world: &World, asked: &Asked, whole: usize) -> Vec<TokenId> {
    let filter = Filter {
        organization: Some(world.organization),
        ..Filter::of(Visibility::Everything)
    };
    let mut found: Vec<TokenId> = Vec::new();
    for number in 0..whole as u64 + 2 {
        let offset = number * u64::from(asked.limit);
        let page = Page {
            sort: asked.sort,
            start: Start::Offset(offset),
            direction: asked.direction,
            limit: asked.limit,
            count: CountTotal::Yes,
        };
        let listing = world.store.tokens(filter.clone(), page).await.unwrap();
        let ids: Vec<_> = listing.items.iter().map(|record| record.id).collect();
        assert_eq!(listing.total, Some(whole as u64));
        let left = (whole as u64).saturating_sub(offset);
        assert_eq!(ids.len() as u64, left.min(asked.limit.into()));
        let goes_on = left > asked.limit.into();
        let comes_back = offset > 0 && whole > 0;
        let has = (listing.has_next, listing.has_previous);
        match asked.direction {
            Direction::Next => {
                assert_eq!(has, (goes_on, comes_back));
                found.extend(&ids);
            }
            Direction::Previous => {
                assert_eq!(has, (comes_back, goes_on));
                found.splice(0..0, ids);
            }
        }
    }
    found
}

/// Returns all pages, joined in the order of the list.
async fn read_all(world: &World, asked: &Asked, mut between: impl AsyncFnMut()) -> Vec<TokenId> {
    let filter = Filter {
        organization: Some(world.organization),
        ..Filter::of(Visibility::Everything)
    };
    let mut found: Vec<TokenId> = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = Page {
            sort: asked.sort,
            start: cursor.clone().into(),
            direction: asked.direction,
            limit: asked.limit,
            count: CountTotal::Yes,
        };
        let listing = world.store.tokens(filter.clone(), page).await.unwrap();
        let ids: Vec<_> = listing.items.iter().map(|record| record.id).collect();
        assert!(ids.len() <= asked.limit as usize);
        assert!(listing.total.unwrap() >= ids.len() as u64);
        let edges = listing
            .edges
            .map(|(first, last)| (first.token, last.token, first, last));
        let goes_on = match asked.direction {
            Direction::Next => {
                assert_eq!(listing.has_previous, cursor.is_some());
                found.extend(&ids);
                listing.has_next
            }
            Direction::Previous => {
                assert_eq!(listing.has_next, cursor.is_some());
                found.splice(0..0, ids.iter().copied());
                listing.has_previous
            }
        };
        let Some((first_id, last_id, first, last)) = edges else {
            assert!(ids.is_empty() && !goes_on);
            return found;
        };
        assert_eq!((Some(&first_id), Some(&last_id)), (ids.first(), ids.last()));
        if !goes_on {
            return found;
        }
        cursor = Some(match asked.direction {
            Direction::Next => last,
            Direction::Previous => first,
        });
        between().await;
    }
}
