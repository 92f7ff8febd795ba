//! Statistics: every token is counted on the day of its issue and on that of its end, in whichever order what happened to
//! it is counted.

use crate::suite::clerk::{Clerk, RecordOutcome, Rotation};
use crate::{Cause, SharedStore, rules};
use jeton_core::clock::Day;
use jeton_core::directory::OrganizationId;
use jeton_core::token::{
    CutOff, NewToken, Owner, Reach, Record, Refusals, TokenId, TokenKind, TokenReference,
};

use super::retention::{ending, round};
use super::world::{World, actor, at, organization, removal, reserve_and_record, revocation, token};

const DAY: i64 = 86_400;

/// Issued, revoked, expired, active and refused.
type Counts = [u64; 5];

/// Counts everything, in the order of commits.
pub(super) async fn count_all(store: &SharedStore) {
    while store.seal().await.unwrap().has_more {}
    assert!(!store.audit_status().await.unwrap().has_uncounted);
}

/// Returns the counts of days after the first one.
async fn counts(
    store: &SharedStore,
    of: Option<OrganizationId>,
    days: std::ops::RangeInclusive<i64>,
) -> Vec<Counts> {
    let day = |number: i64| Day::of(at(0)).plus_days(number);
    let counts = store.statistics(of, day(*days.start()), day(*days.end())).await;
    let counts = counts.unwrap();
    let expected: Vec<_> = days.map(day).collect();
    assert_eq!(counts.iter().map(|one| one.day).collect::<Vec<_>>(), expected);
    let counts = counts.into_iter();
    counts
        .map(|one| [one.issued, one.revoked, one.expired, one.active, one.refused])
        .collect()
}

/// Counts everything, and returns the counts of the first days of the first organization.
async fn counted(world: &World, days: i64) -> Vec<Counts> {
    count_all(&world.store).await;
    counts(&world.store, Some(world.organization), 0..=days - 1).await
}

async fn cut_off(world: &World, reach: Reach, seconds: i64, after: i64) {
    let cut_off = CutOff {
        reach,
        issued_through: at(seconds).seconds(),
        effective_at: at(seconds + after),
    };
    let cut = world.store.cut_off(cut_off, actor("operator"), None, at(seconds));
    cut.await.unwrap();
}

fn of_organization(world: &World) -> Reach {
    Reach {
        organization: Some(world.organization),
        ..Reach::default()
    }
}

/// A token that expires is counted on that day, before and after it. Other organizations and tokens without one count for
/// the deployment; sessions do not count.
pub(crate) async fn a_token_is_counted_on_the_days_of_its_issue_and_its_end(world: World) {
    let other = world.organization("other").await;
    let everywhere = Owner::User {
        user: world.admin.clone(),
        organization: None,
    };
    let session = NewToken {
        kind: TokenKind::Session,
        ..token(everywhere.clone(), 0)
    };
    world.record(ending(&world, 0, Some(2 * DAY))).await;
    world.record(ending(&world, 1, None)).await;
    world.record(ending(&world, DAY, Some(30))).await;
    world.record(token(Owner::Organization(other), 0)).await;
    world.record(token(everywhere, 0)).await;
    world.record(token(Owner::Deployment, DAY)).await;
    let session = world.record(session).await;
    world.revoke(session.id, revocation(DAY, 0)).await;
    count_all(&world.store).await;
    let store = &world.store;
    let expected = [
        [0; 5],
        [2, 0, 0, 2, 0],
        [1, 0, 1, 2, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 1, 0],
    ];
    assert_eq!(counts(store, Some(world.organization), -1..=3).await, expected);
    assert_eq!(
        counts(store, Some(other), 0..=1).await,
        [[1, 0, 0, 1, 0], [0, 0, 0, 1, 0]]
    );
    let expected = [[4, 0, 0, 4, 0], [2, 0, 1, 5, 0], [0, 0, 1, 4, 0]];
    assert_eq!(counts(store, None, 0..=2).await, expected);
    // The active tokens of days before a range count.
    assert_eq!(
        counts(store, None, 364..=366).await,
        [[0, 0, 0, 4, 0], [0, 0, 2, 2, 0], [0, 0, 1, 1, 0]]
    );
    let unknown = organization("unknown").id;
    assert_eq!(counts(store, Some(unknown), 0..=0).await, [[0; 5]]);
    // Each is counted once.
    let world = world.reopen();
    assert_eq!(counted(&world, 1).await, [[2, 0, 0, 2, 0]]);
}

/// A revocation counts on the day of its effect, unless the token ends before. Each further one moves the count.
pub(crate) async fn an_end_that_is_brought_forward_moves_the_count(world: World) {
    let record = world.record(ending(&world, 0, Some(3 * DAY))).await;
    let late = world.record(ending(&world, 0, Some(3 * DAY))).await;
    let same = world.record(ending(&world, 0, Some(3 * DAY))).await;
    // After the expiry, and at it.
    world.revoke(late.id, revocation(5, 4 * DAY)).await;
    world.revoke(same.id, revocation(5, 3 * DAY - 5)).await;
    assert_eq!(counted(&world, 4).await[3], [0, 0, 3, 0, 0]);
    for (seconds, grace, day) in [(10, 2 * DAY, 2), (20, DAY, 1), (30, 0, 0)] {
        world.revoke(record.id, revocation(seconds, grace)).await;
        let mut expected = [[0, 0, 0, 3, 0], [0, 0, 0, 3, 0], [0, 0, 0, 3, 0], [0, 0, 2, 0, 0]];
        expected[0][0] = 3;
        expected[day][1] = 1;
        for of_day in &mut expected[day..3] {
            of_day[3] = 2;
        }
        assert_eq!(counted(&world, 4).await, expected, "{seconds}");
    }
    // Together, in any order.
    let record = world.record(ending(&world, DAY, None)).await;
    tokio::join!(
        world.revoke(record.id, revocation(DAY + 10, 2 * DAY)),
        world.revoke(record.id, revocation(DAY + 10, DAY)),
        world.revoke(record.id, revocation(DAY + 10, 0)),
    );
    // One after the other, and counted together.
    let record = world.record(ending(&world, DAY, None)).await;
    for (seconds, grace) in [(10, 2 * DAY), (20, DAY), (30, 0)] {
        world.revoke(record.id, revocation(DAY + seconds, grace)).await;
    }
    assert_eq!(
        counted(&world, 4).await[1..],
        [[2, 2, 0, 2, 0], [0, 0, 0, 2, 0], [0, 0, 2, 0, 0]]
    );
}

/// A rotation issues a token and ends another after its grace period.
pub(crate) async fn a_rotation_counts_at_the_end_of_the_grace(world: World) {
    let record = world.record(ending(&world, 0, None)).await;
    let mut order = world.plain_order(ending(&world, 5, None)).await;
    order.rotation = Some(Rotation {
        token: record.id,
        revocation: revocation(5, DAY),
    });
    let outcome = reserve_and_record(&world.store, order).await.unwrap();
    assert!(matches!(outcome, RecordOutcome::Recorded(_)));
    assert_eq!(counted(&world, 2).await, [[2, 0, 0, 2, 0], [0, 1, 0, 1, 0]]);
}

/// A cut-off counts for the tokens that it covers and that have not ended.
pub(crate) async fn a_cut_off_counts_for_the_tokens_that_it_ends(world: World) {
    let ada = world.member("ada").await;
    let team = world.team(world.organization, "web").await;
    let of_team = Owner::Team {
        team: team.clone(),
        organization: world.organization,
    };
    let mine = || world.owner_user(&ada);
    let on_project = |owner| NewToken {
        projects: Some(vec![1]),
        ..token(owner, 0)
    };
    for new in [
        token(mine(), 0),
        token(mine(), 0),
        token(of_team, 0),
        on_project(world.owner()),
        token(world.owner(), 0),
        ending(&world, 0, Some(DAY)),
    ] {
        world.record(new).await;
    }
    let revoked = world.record(token(mine(), 0)).await;
    world.revoke(revoked.id, revocation(1, 0)).await;
    assert_eq!(
        counted(&world, 3).await,
        [[7, 1, 0, 6, 0], [0, 0, 1, 5, 0], [0, 0, 0, 5, 0]]
    );
    let user = Some(ada);
    let sessions = Reach {
        user: user.clone(),
        kind: Some(TokenKind::Session),
        ..Reach::default()
    };
    let user = Reach {
        user,
        ..Reach::default()
    };
    let team = Reach {
        team: Some(team),
        ..Reach::default()
    };
    let project = Reach {
        project: Some(1),
        ..of_organization(&world)
    };
    let key = Reach {
        kid: Some("first".to_owned()),
        ..Reach::default()
    };
    let seconds = 2 * DAY;
    for (reach, ended) in [
        (sessions, 0),
        (user.clone(), 2),
        (user, 2),
        (team, 3),
        (project, 4),
    ] {
        cut_off(&world, reach, seconds, 0).await;
        assert_eq!(counted(&world, 3).await[2], [0, ended, 0, 5 - ended, 0]);
    }
    cut_off(&world, of_organization(&world), seconds, 0).await;
    let later = world.record(token(world.owner(), seconds + 1)).await;
    assert_eq!(counted(&world, 3).await[2], [1, 5, 0, 1, 0]);
    cut_off(&world, key, seconds + 2, 0).await;
    assert_eq!(counted(&world, 3).await[2], [1, 6, 0, 0, 0]);
    world.revoke(later.id, revocation(seconds + 3, 0)).await;
    assert_eq!(counted(&world, 3).await[2], [1, 6, 0, 0, 0]);
    let store = &world.store;
    let of_all = counts(store, None, 0..=2).await;
    assert_eq!(of_all, counts(store, Some(world.organization), 0..=2).await);
}

/// Whichever of a cut-off and a revocation ends a token first, counted one by one and all at once.
pub(crate) async fn cut_offs_and_revocations_of_one_token_count_once(world: World) {
    for (start, one_by_one) in [(0, true), (20, false)] {
        let ended = async |expected: [u64; 9]| {
            count_all(&world.store).await;
            let of_days = counts(&world.store, Some(world.organization), start..=start + 8).await;
            let ended: Vec<_> = of_days.iter().map(|of_day| of_day[1] + 100 * of_day[2]).collect();
            assert_eq!(ended, expected);
        };
        let meanwhile = async |expected| {
            if one_by_one {
                ended(expected).await;
            }
        };
        let noon = start * DAY;
        let record = world.record(ending(&world, noon, Some(8 * DAY))).await;
        let other = world.record(ending(&world, noon, Some(8 * DAY))).await;
        let scheduled = world.record(ending(&world, noon, Some(8 * DAY))).await;
        world.revoke(scheduled.id, revocation(noon + 1, DAY)).await;
        meanwhile([0, 1, 0, 0, 0, 0, 0, 0, 200]).await;
        cut_off(&world, of_organization(&world), noon + 2, 6 * DAY).await;
        meanwhile([0, 1, 0, 0, 0, 0, 2, 0, 0]).await;
        world.revoke(record.id, revocation(noon + 3, 4 * DAY)).await;
        meanwhile([0, 1, 0, 0, 1, 0, 1, 0, 0]).await;
        cut_off(&world, of_organization(&world), noon + 4, 5 * DAY).await;
        meanwhile([0, 1, 0, 0, 1, 1, 0, 0, 0]).await;
        // Later than all of these.
        cut_off(&world, of_organization(&world), noon + 5, 7 * DAY).await;
        meanwhile([0, 1, 0, 0, 1, 1, 0, 0, 0]).await;
        world.revoke(other.id, revocation(noon + 6, 2 * DAY)).await;
        meanwhile([0, 1, 1, 0, 1, 0, 0, 0, 0]).await;
        world.revoke(record.id, revocation(noon + 7, 0)).await;
        ended([1, 1, 1, 0, 0, 0, 0, 0, 0]).await;
    }
}

/// A large cut-off is counted in portions. What happens meanwhile counts too, also after a restart.
pub(crate) async fn a_large_cut_off_is_counted_in_portions(world: World) {
    const TOKENS: usize = 2_300;
    let mut ids = Vec::new();
    for _ in 0..TOKENS {
        ids.push(world.record(ending(&world, 0, Some(2 * DAY))).await.id);
    }
    assert_eq!(counted(&world, 3).await[2], [0, 0, TOKENS as u64, 0, 0]);
    cut_off(&world, of_organization(&world), 5, DAY).await;
    // After the cut-off, and counted in its portions.
    world.revoke(ids[TOKENS - 1], revocation(6, 0)).await;
    world.store.seal().await.unwrap();
    world.revoke(ids[TOKENS - 2], revocation(7, 0)).await;
    world.revoke(ids[0], revocation(8, 0)).await;
    world.record(ending(&world, 9, Some(2 * DAY))).await;
    let world = world.reopen();
    let others = TOKENS as u64 - 3;
    let expected = [
        [TOKENS as u64 + 1, 3, 0, others + 1, 0],
        [0, others, 0, 1, 0],
        [0, 0, 1, 0, 0],
    ];
    assert_eq!(counted(&world, 3).await, expected);
    let store = &world.store;
    assert_eq!(counts(store, None, 0..=2).await, expected);
    // A cut-off that names no owner is searched among all tokens.
    let key = Reach {
        kid: Some("first".to_owned()),
        ..Reach::default()
    };
    cut_off(&world, key, 10, 0).await;
    assert_eq!(
        counted(&world, 3).await[0],
        [TOKENS as u64 + 1, TOKENS as u64 + 1, 0, 0, 0]
    );
}

/// Two processes that seal by turns count everything once.
pub(crate) async fn two_processes_count_once(world: World) {
    let stores = world.processes();
    for number in 0..40_i64 {
        let record = world.record(ending(&world, number, None)).await;
        if number % 2 == 0 {
            world.revoke(record.id, revocation(number, 0)).await;
        }
        if number % 10 == 9 {
            let [one, other] = &stores;
            tokio::try_join!(one.seal(), other.seal()).unwrap();
        }
    }
    assert_eq!(counted(&world, 1).await, [[40, 20, 0, 20, 0]]);
}

/// Deleting records changes no count, and what is not counted is not deleted.
pub(crate) async fn counts_outlive_their_records(world: World) {
    let mut records = Vec::new();
    for _ in 0..3 {
        records.push(world.record(ending(&world, 0, Some(50))).await);
    }
    world.revoke(records[0].id, revocation(10, 0)).await;
    world.record(ending(&world, 0, None)).await;
    let expected = [[4, 1, 2, 1, 0], [0, 0, 0, 1, 0]];
    assert_eq!(counted(&world, 2).await, expected);
    assert_eq!(round(&world, DAY).await, 3);
    assert_eq!(counted(&world, 2).await, expected);
    let world = world.reopen();
    assert_eq!(counted(&world, 2).await, expected);
    let removed = world
        .store
        .remove_organization(world.organization, removal(DAY), world.generation().await);
    removed.await.unwrap();
    assert_eq!(counted(&world, 2).await, [[4, 1, 2, 1, 0], [0, 1, 0, 0, 0]]);
}

/// A record stays until it is known whether its token has expired or was revoked before.
pub(crate) async fn what_is_not_counted_is_not_deleted(world: World) {
    let record = world.record(ending(&world, 0, Some(50))).await;
    let purge = async |ended_by| {
        let aged = world.store.aged(None).await.unwrap();
        let ended = rules::retention::Ended {
            by: at(ended_by),
            idempotency_keys_by: at(ended_by),
        };
        let before = crate::Deleted::default();
        let (order, purged) = rules::retention::purge(Cause::server(at(DAY)), aged, ended, before);
        if let Some(order) = order {
            world.store.commit(order).await.unwrap().unwrap();
        }
        purged.records
    };
    // Not counted as issued.
    assert_eq!(purge(60).await, 0);
    count_all(&world.store).await;
    cut_off(&world, of_organization(&world), 20, 0).await;
    let is_known = async |record: &Record| {
        let found = world.store.token(TokenReference::Id(record.id)).await;
        found.unwrap().is_some()
    };
    // In memory everything is counted at once.
    let is_counted = !world.store.audit_status().await.unwrap().has_uncounted;
    assert_eq!(purge(60).await, usize::from(is_counted));
    assert_eq!(is_known(&record).await, !is_counted);
    assert_eq!(counted(&world, 1).await, [[1, 1, 0, 0, 0]]);
    assert_eq!(purge(60).await, usize::from(!is_counted));
    assert_eq!(counted(&world, 1).await, [[1, 1, 0, 0, 0]]);
}

/// Refusals count on the day of the last one in a report.
pub(crate) async fn refusals_are_counted_by_day(world: World) {
    let other = world.organization("other").await;
    let mine = world.record(token(world.owner(), 0)).await;
    let theirs = world.record(token(Owner::Organization(other), 0)).await;
    let everywhere = Owner::User {
        user: world.admin.clone(),
        organization: None,
    };
    let session = NewToken {
        kind: TokenKind::Session,
        ..token(everywhere, 0)
    };
    let session = world.record(session).await;
    let refused = |id: TokenId, count, seconds| {
        let last_at = at(seconds);
        (id, Refusals { count, last_at })
    };
    let reports = [
        vec![
            refused(mine.id, 2, 1),
            refused(theirs.id, 3, DAY),
            refused(session.id, 9, 1),
        ],
        vec![
            refused(mine.id, 4, 2),
            refused(mine.id, 1, DAY),
            refused(TokenId(9_999), 7, 1),
        ],
    ];
    for report in reports {
        world.store.note_refusals(report).await.unwrap();
    }
    count_all(&world.store).await;
    let of = async |organization| {
        let counts = counts(&world.store, organization, 0..=1).await;
        counts.iter().map(|of_day| of_day[4]).collect::<Vec<_>>()
    };
    assert_eq!(of(Some(world.organization)).await, [6, 1]);
    assert_eq!(of(Some(other)).await, [0, 3]);
    assert_eq!(of(None).await, [6, 4]);
}
