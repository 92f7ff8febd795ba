//! Revocation: it is permanent, and the feed reports every revocation in order.

use crate::suite::clerk::Clerk;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::suite::clerk::RevokeOutcome;
use crate::{Change, Continuation, FeedPage, Generation, KeyStep, SharedStore};
use jeton_core::token::{
    CutOff, ListIndex, Owner, Reach, Record, RevocationNote, TokenId, TokenKind, TokenReference,
};
use jeton_verifier::event::{BEFORE_ALL, Entry, Position};
use uuid::Uuid;

use super::world::{World, actor, at, reserve_and_record, revocation, token};

async fn read(world: &World, id: TokenId) -> Record {
    let read = world.store.token(TokenReference::Id(id)).await.unwrap();
    read.unwrap()
}

fn sequence(change: &Change) -> Option<u64> {
    Some(change.entry()?.event.sequence)
}

/// The earliest effective instant wins: a later order may bring it forward but never postpone it.
pub(crate) async fn the_first_revocation_wins(world: World) {
    let record = world.record(token(world.owner(), 0)).await;
    let RevokeOutcome::Revoked(revoked) = world.revoke(record.id, revocation(10, 100)).await else {
        panic!("not revoked");
    };
    let stands = read(&world, record.id).await;
    assert_eq!(stands.revocation.as_ref(), Some(&revoked));
    assert!(!stands.is_revoked(at(109)));
    assert!(stands.is_revoked(at(110)));
    for no_earlier in [revocation(11, 99), revocation(12, 500)] {
        let again = world.revoke(record.id, no_earlier).await;
        assert_eq!(again, RevokeOutcome::AlreadyRevoked(revoked.clone()));
    }
    let RevokeOutcome::Revoked(sooner) = world.revoke(record.id, revocation(20, 0)).await else {
        panic!("not brought forward");
    };
    assert_eq!(sooner.effective_at, at(20));
    let world = world.reopen();
    assert_eq!(read(&world, record.id).await.revocation.as_ref(), Some(&sooner));
    let again = world.revoke(record.id, revocation(30, 0)).await;
    assert_eq!(again, RevokeOutcome::AlreadyRevoked(sooner));
    let unknown = world.revoke(TokenId(999), revocation(30, 0)).await;
    assert_eq!(unknown, RevokeOutcome::Unknown);

    let events = world.events().await;
    let told: Vec<_> = events
        .iter()
        .map(|change| match change {
            Change::Revoked {
                token, effective_at, ..
            } => (*token, *effective_at),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [(record.id, at(110)), (record.id, at(20))]);
    let snapshot = world.store.snapshot().await.unwrap();
    assert_eq!(snapshot.revoked, [(record.list_index, at(20))]);
}

/// A hundred concurrent revocations of one token: one is told that it revoked the token.
pub(crate) async fn one_of_a_hundred_revokes(world: World) {
    let record = world.record(token(world.owner(), 0)).await;
    let world = Arc::new(world);
    let orders: Vec<_> = (0..100)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.revoke(record.id, revocation(1, 0)).await })
        })
        .collect();
    let mut winners = 0;
    for order in orders {
        match order.await.unwrap() {
            RevokeOutcome::Revoked(_) => winners += 1,
            RevokeOutcome::AlreadyRevoked(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(world.events().await.len(), 1);
}

/// Follows the feed from its beginning until it has returned this number of events.
async fn follow(store: SharedStore, mut position: Position, events: usize) -> Vec<Change> {
    let mut seen: Vec<Change> = Vec::new();
    while seen.len() < events {
        let Continuation::Changes(changes) = store.changes_after(position, Generation(0)).await.unwrap()
        else {
            panic!("{position:?} was the feed's last event");
        };
        seen.extend(changes.events);
        position = changes.reached;
        assert_eq!(position.sequence, seen.len() as u64);
        tokio::task::yield_now().await;
    }
    seen
}

/// Reads the feed from its beginning in pages of this size until it has returned this number of events.
async fn read_pages(store: SharedStore, mut position: Position, most: u32, events: usize) -> Vec<Arc<Entry>> {
    let mut seen: Vec<Arc<Entry>> = Vec::new();
    while seen.len() < events {
        let FeedPage::Events(page) = store.events_after(position, most).await.unwrap() else {
            panic!("{position:?} was the feed's last event");
        };
        assert!(page.len() <= most as usize);
        position = page.last().map_or(position, |last| last.position());
        seen.extend(page);
        tokio::task::yield_now().await;
    }
    seen
}

/// While many revoke and others read, every reader and the observer get every event once, in one order, without
/// a gap. A cursor over the time of recording, as a control, misses some.
pub(crate) async fn the_feed_has_no_gap(world: World) {
    const WRITERS: i64 = 16;
    const EACH: i64 = 25;
    let mut tokens = Vec::new();
    for _ in 0..WRITERS * EACH {
        tokens.push(world.record(token(world.owner(), 0)).await.id);
    }
    let world = Arc::new(world);
    let total = tokens.len() + EACH as usize;
    let readers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(follow(Arc::clone(&world.store), world.beginning, total)))
        .collect();
    let pages: Vec<_> = [1, 7, 500]
        .into_iter()
        .map(|most| {
            let store = Arc::clone(&world.store);
            tokio::spawn(read_pages(store, world.beginning, most, total))
        })
        .collect();
    let writers: Vec<_> = tokens
        .chunks(EACH as usize)
        .enumerate()
        .map(|(writer, tokens)| {
            let (world, tokens) = (Arc::clone(&world), tokens.to_vec());
            tokio::spawn(async move {
                for (number, token) in tokens.into_iter().enumerate() {
                    // Clocks are read before the commit, so times come out of order.
                    let second = 1_000 + (number * 7 + writer * 13) as i64 % 40;
                    world.revoke(token, revocation(second, 0)).await;
                    if writer == 0 {
                        let cut_off = CutOff {
                            reach: Reach {
                                kid: Some(format!("other {number}")),
                                ..Reach::default()
                            },
                            issued_through: at(0).seconds(),
                            effective_at: at(second),
                        };
                        let cut = world.store.cut_off(cut_off, actor("operator"), None, at(second));
                        cut.await.unwrap();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let observed: Vec<_> = world
        .seen
        .all()
        .into_iter()
        .filter(|change| sequence(change).is_some())
        .collect();
    let numbers: Vec<_> = observed.iter().filter_map(sequence).collect();
    assert_eq!(numbers, (1..=total as u64).collect::<Vec<_>>());
    for reader in readers {
        assert_eq!(reader.await.unwrap(), observed);
    }
    let entries: Vec<_> = observed.iter().filter_map(Change::entry).cloned().collect();
    for reader in pages {
        assert_eq!(reader.await.unwrap(), entries);
    }
    let mut hash = BEFORE_ALL;
    for entry in &entries {
        assert_eq!(entry.event.hash(&hash), entry.hash, "{entry:?}");
        hash = entry.hash;
    }
    let revoked: BTreeSet<_> = observed
        .iter()
        .filter_map(|change| match change {
            Change::Revoked { token, .. } => Some(*token),
            _ => None,
        })
        .collect();
    assert_eq!(revoked, tokens.into_iter().collect());
    assert!(
        read_by_time(&observed) < total,
        "a cursor over time has missed nothing: the case does not test what it says"
    );
}

/// Of several cut-offs, the first that took effect says who ended a token, and why; a later one of the same reach does
/// not, nor one that has not taken effect.
pub(crate) async fn a_cut_off_is_noted_on_the_tokens_that_it_ended(world: World) {
    let ended = world.record(token(world.owner(), 0)).await;
    let cut_off = |effective_at| CutOff {
        reach: Reach {
            organization: ended.token.owner.organization(),
            ..Reach::default()
        },
        issued_through: at(0).seconds(),
        effective_at: at(effective_at),
    };
    for (effective_at, by, reason, ordered_at) in [
        (90, "scheduler", "ahead", 10),
        (20, "operator", "broken into", 20),
        (30, "other", "again", 30),
    ] {
        let cut = world.store.cut_off(
            cut_off(effective_at),
            actor(by),
            Some(reason.to_owned()),
            at(ordered_at),
        );
        cut.await.unwrap();
    }
    let later = world.record(token(world.owner(), 40)).await;
    let world = world.reopen();
    let notes = async |now| {
        let tokens = vec![ended.id, later.id, TokenId(999)];
        world.store.cut_off_notes(tokens, at(now)).await.unwrap()
    };
    assert_eq!(notes(19).await, []);
    let expected = RevocationNote {
        revoked_at: at(20),
        effective_at: at(20),
        revoked_by: "operator".to_owned(),
        reason: Some("broken into".to_owned()),
    };
    for now in [20, 100] {
        assert_eq!(notes(now).await, [(ended.id, expected.clone())]);
    }
}

/// Returns how many events a reader with a cursor over the latest time would see.
fn read_by_time(events: &[Change]) -> usize {
    let mut latest = None;
    let mut seen = 0;
    for event in events {
        let (Change::Revoked { effective_at, .. }
        | Change::CutOff {
            cut_off: CutOff { effective_at, .. },
            ..
        }) = event
        else {
            continue;
        };
        if latest < Some(*effective_at) {
            latest = Some(*effective_at);
            seen += 1;
        }
    }
    seen
}

/// A position of another history is reported as forked: one with other events under the same numbers, one
/// further ahead, one of another epoch, or one with more edits of the directory. The store accepts each of its
/// own positions.
pub(crate) async fn a_forked_history_is_no_continuation(world: World) {
    let mut positions = vec![world.beginning];
    for round in 0..3 {
        let record = world.record(token(world.owner(), round)).await;
        world.revoke(record.id, revocation(round, 0)).await;
        positions.push(world.changes().await.reached);
    }
    let world = world.reopen();
    let edit = world.generation().await;
    for (number, position) in positions.iter().enumerate() {
        let Continuation::Changes(changes) = world.after(*position).await else {
            panic!("{position:?} is a position of this store");
        };
        assert_eq!(position.sequence, number as u64);
        assert_eq!(changes.events.len(), 3 - number);
        assert_eq!(Some(&changes.reached), positions.last());
        let mut forged = [*position; 4];
        forged[0].hash[31] ^= 1;
        forged[1].epoch = Uuid::from_u128(position.epoch.as_u128() ^ 1);
        forged[2].sequence = u64::MAX;
        forged[3].sequence += 1;
        for position in forged {
            assert_eq!(world.after(position).await, Continuation::Forked, "{position:?}");
            let page = world.store.events_after(position, 10).await.unwrap();
            let is_ahead = position.sequence > 3;
            let expected = if is_ahead {
                FeedPage::Ahead
            } else {
                FeedPage::Forked
            };
            assert_eq!(page, expected, "{position:?}");
            assert_eq!(world.store.event(position).await.unwrap(), None, "{position:?}");
        }
        let FeedPage::Events(entries) = world.store.events_after(*position, 10).await.unwrap() else {
            panic!("{position:?} is a position of this store");
        };
        let told: Vec<_> = changes.events.iter().filter_map(Change::entry).cloned().collect();
        assert_eq!(entries, told);
    }
    let explained = world.store.event(positions[2]).await.unwrap().unwrap();
    let order = revocation(1, 0);
    assert_eq!(explained.entry.position(), positions[2]);
    assert_eq!(
        (explained.revoked_by, explained.reason),
        (order.revoked_by.name, order.reason)
    );
    assert_eq!(world.store.event(world.beginning).await.unwrap(), None);
    let last = positions[3];
    let known = world.store.changes_after(last, edit).await.unwrap();
    assert!(matches!(known, Continuation::Changes(_)));
    let ahead = world
        .store
        .changes_after(last, Generation(edit.0 + 1))
        .await
        .unwrap();
    assert_eq!(ahead, Continuation::Forked);
}

/// A snapshot holds the same state as following the feed from its beginning.
pub(crate) async fn a_snapshot_holds_what_was_revoked(world: World) {
    let live = world.record(token(world.owner(), 0)).await;
    let ahead = world.record(token(world.owner(), 0)).await;
    let mut short = token(world.owner(), 0);
    short.expires_at = Some(at(50));
    let short = world.record(short).await;
    let mut endless = token(world.owner(), 0);
    endless.expires_at = None;
    let endless = world.record(endless).await;
    for (record, grace) in [(&ahead, 500), (&short, 0), (&endless, 0)] {
        world.revoke(record.id, revocation(10, grace)).await;
    }
    let cut_off = CutOff {
        reach: Reach {
            organization: Some(world.organization),
            team: None,
            user: Some(world.admin.clone()),
            project: Some(7),
            kid: Some("first".to_owned()),
            kind: Some(TokenKind::Api),
        },
        issued_through: at(9).seconds(),
        effective_at: at(10),
    };
    let cut = world
        .store
        .cut_off(cut_off.clone(), actor("operator"), Some("why".to_owned()), at(10));
    cut.await.unwrap();
    let generation = world.generation().await;
    let world = world.reopen();
    let snapshot = world.store.snapshot().await.unwrap();
    assert_eq!(snapshot.edit, generation);
    assert_eq!(snapshot.position.sequence, 4);
    assert_eq!(snapshot.position, world.changes().await.reached);
    assert_eq!(snapshot.cut_offs, [(4, cut_off)]);
    assert!(!snapshot.position.epoch.is_nil());
    let lists: BTreeSet<_> = [&live, &short, &endless]
        .map(|record| record.list_index.list)
        .into();
    assert_eq!(snapshot.lists, lists.into_iter().collect::<Vec<_>>());
    let mut revoked = snapshot.revoked;
    revoked.sort_by_key(|(list_index, _)| (list_index.list, list_index.index));
    let mut expected = [
        (ahead.list_index, at(510)),
        (short.list_index, at(10)),
        (endless.list_index, at(10)),
    ];
    expected.sort_by_key(|(list_index, _)| (list_index.list, list_index.index));
    assert_eq!(revoked, expected);
}

/// Returns the status list indexes of the tokens that a cut-off covers, read in portions.
async fn covered(world: &World, cut_off: u64, second: i64) -> Vec<ListIndex> {
    let mut list_indexes = Vec::new();
    let mut after = TokenId(0);
    loop {
        let portion = world.store.covered(cut_off, after, at(second)).await.unwrap();
        list_indexes.extend(portion.list_indexes);
        match portion.last {
            Some(last) => assert!(last > std::mem::replace(&mut after, last), "no progress"),
            None => return list_indexes,
        }
    }
}

/// The tokens found for a cut-off are those that the rule for one token covers, for every reach, without
/// expired ones.
pub(crate) async fn a_cut_off_finds_its_tokens(world: World) {
    let other = world.organization("other").await;
    let team = world.team(world.organization, "Web-Shop").await;
    let ada = world.member("ada").await;
    let owners = [
        world.owner(),
        Owner::Organization(other),
        Owner::Team {
            team: team.clone(),
            organization: world.organization,
        },
        world.owner_user(&ada),
        Owner::User {
            user: ada.clone(),
            organization: None,
        },
        Owner::Deployment,
    ];
    let mut records = Vec::new();
    for round in 0..6 {
        if round == 3 {
            world.publish_key("second", 2).await;
            let signs = world.store.advance_key("second", KeyStep::Sign, at(86_400));
            assert!(signs.await.unwrap());
        }
        for owner in &owners {
            let mut token = token(owner.clone(), round);
            token.kid = if round < 3 { "first" } else { "second" }.into();
            token.projects = [None, Some(vec![]), Some(vec![7, 8]), Some(vec![8])]
                .get(round as usize % 4)
                .cloned()
                .flatten();
            if owner.user().is_some() && owner.organization().is_none() && round % 2 == 1 {
                token.kind = TokenKind::Session;
            }
            token.expires_at = match round {
                4 => Some(at(50)),
                5 => None,
                _ => Some(at(500)),
            };
            records.push(world.record(token).await);
        }
    }
    let all = Reach::default();
    let reaches = [
        all.clone(),
        Reach {
            organization: Some(world.organization),
            ..all.clone()
        },
        Reach {
            team: Some(team),
            ..all.clone()
        },
        Reach {
            user: Some(ada.clone()),
            ..all.clone()
        },
        Reach {
            user: Some(ada.clone()),
            kind: Some(TokenKind::Session),
            ..all.clone()
        },
        Reach {
            user: Some(ada),
            organization: Some(world.organization),
            ..all.clone()
        },
        Reach {
            project: Some(8),
            ..all.clone()
        },
        Reach {
            organization: Some(other),
            project: Some(7),
            ..all.clone()
        },
        Reach {
            kid: Some("second".to_owned()),
            ..all.clone()
        },
        Reach {
            kid: Some("unknown".to_owned()),
            ..all.clone()
        },
        Reach {
            kind: Some(TokenKind::Session),
            ..all
        },
    ];
    let mut sequence = 0;
    let mut found = 0;
    for reach in reaches {
        for issued_through in [1, 4, 9] {
            let cut_off = CutOff {
                reach: reach.clone(),
                issued_through: at(issued_through).seconds(),
                effective_at: at(10),
            };
            let cut = world
                .store
                .cut_off(cut_off.clone(), actor("operator"), None, at(10));
            cut.await.unwrap();
            sequence += 1;
            for second in [10, 60] {
                let expected: Vec<ListIndex> = records
                    .iter()
                    .filter(|record| cut_off.ends(*record, at(10)) && !record.is_expired(at(second)))
                    .map(|record| record.list_index)
                    .collect();
                found += expected.len();
                assert_eq!(covered(&world, sequence, second).await, expected, "{cut_off:?}");
            }
        }
    }
    assert!(found > 100);
    assert_eq!(covered(&world, sequence + 1, 10).await, []);
    world.revoke(records[0].id, revocation(11, 0)).await;
    assert_eq!(covered(&world, sequence + 1, 10).await, [], "that is no cut-off");
    let mut lists: Vec<u32> = records.iter().map(|record| record.list_index.list).collect();
    lists.sort_unstable();
    lists.dedup();
    assert_eq!(world.store.status_lists().await.unwrap(), lists);
}

/// Each of more tokens than one portion holds is found once.
pub(crate) async fn many_tokens_come_in_portions(world: World) {
    let ada = world.member("ada").await;
    let mut expected = Vec::new();
    for number in 0..2_300 {
        let mine = number % 23 != 0;
        let owner = if mine {
            world.owner_user(&ada)
        } else {
            world.owner()
        };
        let record = world.record(token(owner, 0)).await;
        expected.extend(mine.then_some(record.list_index));
    }
    for reach in [
        Reach {
            user: Some(ada),
            ..Reach::default()
        },
        Reach {
            organization: Some(world.organization),
            ..Reach::default()
        },
    ] {
        let is_all = reach.user.is_none();
        let cut_off = CutOff {
            reach,
            issued_through: at(9).seconds(),
            effective_at: at(10),
        };
        let cut = world.store.cut_off(cut_off, actor("operator"), None, at(10));
        cut.await.unwrap();
        let list_indexes = covered(&world, if is_all { 2 } else { 1 }, 10).await;
        assert_eq!(list_indexes.len(), if is_all { 2_300 } else { 2_200 });
        assert_eq!(
            list_indexes
                .iter()
                .collect::<std::collections::HashSet<_>>()
                .len(),
            list_indexes.len()
        );
        assert!(is_all || list_indexes == expected);
    }
}

/// Two processes on one database see each other's writes in the feed, and never use the same id or status list
/// index.
pub(crate) async fn two_processes_share_one_truth(world: World) {
    let beside = world.beside();
    let mut list_indexes = BTreeSet::new();
    for round in 0..10 {
        let mine = world.record(token(world.owner(), round)).await;
        assert!(list_indexes.insert((mine.list_index.list, mine.list_index.index)));
        let order = crate::suite::clerk::RecordOrder {
            token: token(world.owner(), round),
            versions: world.generation().await,
            limits: Vec::new(),
            unique_name: false,
            rotation: None,
        };
        let crate::suite::clerk::RecordOutcome::Recorded(other) =
            reserve_and_record(&beside, order).await.unwrap()
        else {
            panic!("not recorded");
        };
        let other = other.into_record();
        assert!(mine.id < other.id);
        assert!(list_indexes.insert((other.list_index.list, other.list_index.index)));
        let order = crate::suite::clerk::RevokeOrder {
            token: mine.id,
            revocation: revocation(round, 0),
            last_token: crate::LastToken::MayGo,
        };
        beside.revoke(order).await.unwrap();
        world.revoke(other.id, revocation(round, 0)).await;
    }
    let numbers: Vec<_> = world.events().await.iter().filter_map(sequence).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    let generation = world.generation().await;
    let removed = beside
        .remove_organization(world.organization, super::world::removal(20), generation)
        .await;
    removed.unwrap();
    assert_ne!(world.generation().await, generation);
    let late = crate::suite::clerk::RecordOrder {
        token: token(world.owner(), 30),
        versions: generation,
        limits: Vec::new(),
        unique_name: false,
        rotation: None,
    };
    assert!(matches!(
        reserve_and_record(&world.store, late).await.unwrap(),
        crate::suite::clerk::RecordOutcome::Stale
    ));
}

/// Events of two concurrently revoking processes form one chain without a gap, and each observer is told its
/// own in feed order.
pub(crate) async fn two_processes_write_one_feed(world: World) {
    const EACH: usize = 40;
    let mut tokens = Vec::new();
    for _ in 0..2 * EACH {
        tokens.push(world.record(token(world.owner(), 0)).await.id);
    }
    let stores = [Arc::clone(&world.store), world.beside()];
    let revoking: Vec<_> = tokens
        .iter()
        .enumerate()
        .map(|(number, token)| {
            let store = Arc::clone(&stores[number % 2]);
            let order = crate::suite::clerk::RevokeOrder {
                token: *token,
                revocation: revocation(1, 0),
                last_token: crate::LastToken::MayGo,
            };
            tokio::spawn(async move { store.revoke(order).await.unwrap() })
        })
        .collect();
    for revoked in revoking {
        assert!(matches!(revoked.await.unwrap(), RevokeOutcome::Revoked(_)));
    }
    drop(stores);
    let events = world.events().await;
    let numbers: Vec<_> = events.iter().filter_map(sequence).collect();
    assert_eq!(numbers, (1..=2 * EACH as u64).collect::<Vec<_>>());
    let told: Vec<_> = world.seen.all().iter().filter_map(sequence).collect();
    assert_eq!(told.len(), EACH);
    assert!(told.is_sorted());
    // Opening verifies the hash chain.
    drop(world.reopen());
}

/// The issuer of a database is the first one that was pinned.
pub(crate) async fn the_issuer_is_pinned_once(world: World) {
    assert_eq!(world.store.pin_issuer(None).await.unwrap(), None);
    for issuer in ["https://one.example.org", "https://two.example.org"] {
        let pinned = world.store.pin_issuer(Some(issuer)).await.unwrap().unwrap();
        assert_eq!(pinned, "https://one.example.org");
    }
    let origin = world.store.origin().await.unwrap();
    let world = world.reopen();
    assert_eq!(world.store.origin().await.unwrap(), origin);
    let pinned = world
        .store
        .pin_issuer(Some("https://three.example.org"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(pinned, "https://one.example.org");
    world.store.ready().await.unwrap();
}
