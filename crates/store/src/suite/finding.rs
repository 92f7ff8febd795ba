//! Searches for tokens by properties, expiry and use.

use crate::suite::clerk::Clerk;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::rules::usage::UseReport;
use crate::{Summary, SummaryInstants, Tally};
use jeton_core::token::{
    Actor, CountTotal, CutOff, Direction, End, Filter, Listing, NewToken, Owner, Page, Reach, Record,
    ReportedUse, Sort, SortBy, Start, Status, StatusAt, TokenId, TokenKind, TokenReference, Use, Visibility,
    WantedStatus,
};
use uuid::Uuid;

use super::retention::ending;
use super::world::{World, actor, at, revocation, token};

const DAY: i64 = 86_400;

async fn listing(world: &World, filter: Filter, sort: Sort) -> Listing {
    let page = Page {
        sort,
        start: Start::Beginning,
        direction: Direction::Next,
        limit: 1_000,
        count: CountTotal::Yes,
    };
    let listing = world.store.tokens(filter, page).await.unwrap();
    assert_eq!(listing.total, Some(listing.items.len() as u64));
    listing
}

/// Returns the matching tokens, newest first.
async fn found(world: &World, filter: Filter) -> Vec<TokenId> {
    let listing = listing(world, filter, Sort::default()).await;
    listing.items.iter().map(|record| record.id).collect()
}

fn everything() -> Filter {
    Filter::of(Visibility::Everything)
}

async fn read(world: &World, id: TokenId) -> Record {
    world.store.token(TokenReference::Id(id)).await.unwrap().unwrap()
}

/// Every filter returns the tokens that it describes, and no others.
pub(crate) async fn every_filter_means_what_it_says(world: World) {
    let ada = world.member("ada").await;
    let shop = world.team(world.organization, "Web-Shop").await;
    let press = world.team(world.organization, "press").await;
    let mut ids = Vec::new();
    for number in 0..24_i64 {
        let owner = match number % 4 {
            0 => world.owner(),
            1 => world.owner_user(&ada),
            2 => Owner::User {
                user: ada.clone(),
                organization: None,
            },
            _ => Owner::Team {
                team: if number % 8 == 3 { &shop } else { &press }.clone(),
                organization: world.organization,
            },
        };
        let by_herself = owner.user().filter(|_| number % 3 != 0).cloned();
        let mut new = NewToken {
            created_by: Actor {
                user: by_herself.or_else(|| (number == 0).then(|| world.admin.clone())),
                ..actor(["Ada@example.org", "bob@example.org"][usize::from(number % 2 == 0)])
            },
            projects: [None, Some(vec![3, 5]), Some(vec![5]), Some(Vec::new())]
                .into_iter()
                .nth(usize::try_from(number % 5).unwrap())
                .flatten(),
            preset: (number % 4 == 0).then(|| "content_management".to_owned()),
            expires_at: (number % 5 != 0).then(|| at(100 + number)),
            slot: (number % 7 == 3).then(|| "deploy".parse().unwrap()),
            ..token(owner, number)
        };
        if number % 2 == 0 {
            new.scopes = vec!["content:write-all".parse().unwrap()];
        }
        let record = world.record(new).await;
        if number % 3 == 0 {
            let sighting = Use {
                token: record.id,
                at: at(200 + number),
                from: None,
            };
            world.store.note_use(vec![sighting]).await.unwrap();
        }
        ids.push(record.id);
    }
    let mut records = Vec::new();
    for id in ids {
        records.insert(0, read(&world, id).await);
    }
    type Rule = Box<dyn Fn(&Record) -> bool>;
    let (user, herself) = (ada.clone(), ada.clone());
    let rules: Vec<(Filter, Rule)> = vec![
        (
            Filter {
                user: Some(ada),
                ..everything()
            },
            Box::new(move |record| record.token.owner.user() == Some(&user)),
        ),
        (
            Filter {
                team_name: Some("b-sHOP".to_owned()),
                ..everything()
            },
            Box::new(move |record| record.token.owner.team() == Some(&shop)),
        ),
        (
            Filter {
                slot: Some("deploy".parse().unwrap()),
                ..everything()
            },
            Box::new(|record| record.token.slot.is_some()),
        ),
        (
            Filter {
                scope: Some("content:write".parse().unwrap()),
                ..everything()
            },
            Box::new(|record| record.token.scopes.contains(&"content:write".parse().unwrap())),
        ),
        (
            Filter {
                preset: Some("content_management".to_owned()),
                ..everything()
            },
            Box::new(|record| record.token.preset.is_some()),
        ),
        (
            Filter {
                ends: vec![End::before(at(110))],
                ..everything()
            },
            Box::new(|record| record.token.expires_at.is_some_and(|end| end < at(110))),
        ),
        (
            Filter {
                ends: vec![End::Between(at(100), Some(at(110)))],
                ..everything()
            },
            Box::new(|record| {
                let end = record.token.expires_at;
                end.is_some_and(|end| (at(100)..at(110)).contains(&end))
            }),
        ),
        (
            Filter {
                ends: vec![End::Never],
                ..everything()
            },
            Box::new(|record| record.token.expires_at.is_none()),
        ),
        (
            Filter {
                ends: vec![End::Never, End::before(at(100)), End::Between(at(110), None)],
                ..everything()
            },
            Box::new(|record| {
                let end = record.token.expires_at;
                end.is_none_or(|end| !(at(100)..at(110)).contains(&end))
            }),
        ),
        (
            Filter {
                created_after: Some(at(7)),
                ..everything()
            },
            Box::new(|record| record.token.created_at >= at(7)),
        ),
        (
            Filter {
                created_before: Some(at(3)),
                ..everything()
            },
            Box::new(|record| record.token.created_at < at(3)),
        ),
        (
            Filter {
                created_after: Some(at(3)),
                created_before: Some(at(7)),
                ..everything()
            },
            Box::new(|record| (at(3)..at(7)).contains(&record.token.created_at)),
        ),
        (
            Filter {
                unused_since: Some(at(212)),
                ..everything()
            },
            Box::new(|record| record.last_used_at.unwrap_or(record.token.created_at) < at(212)),
        ),
        (
            Filter {
                unused_since: Some(at(10)),
                ..everything()
            },
            Box::new(|record| record.last_used_at.is_none() && record.token.created_at < at(10)),
        ),
        (
            Filter {
                never_used: true,
                ..everything()
            },
            Box::new(|record| record.last_used_at.is_none()),
        ),
        (
            Filter {
                created_by: Some("aDA@example.org".to_owned()),
                ..everything()
            },
            Box::new(move |record| {
                let by = &record.token.created_by;
                by.name == "Ada@example.org" || by.user.as_ref() == Some(&herself)
            }),
        ),
        (
            Filter {
                for_others: true,
                ..everything()
            },
            Box::new(|record| {
                let owner = record.token.owner.user();
                owner.is_none() || record.token.created_by.user.as_ref() != owner
            }),
        ),
        (
            Filter {
                project: Some(3),
                ..everything()
            },
            Box::new(|record| {
                record
                    .token
                    .projects
                    .iter()
                    .flatten()
                    .any(|project| *project == 3)
            }),
        ),
        (
            Filter {
                used_since: Some(at(212)),
                ..everything()
            },
            Box::new(|record| record.last_used_at.is_some_and(|seen| at(212) <= seen)),
        ),
    ];
    let mut lengths = BTreeSet::new();
    for (filter, rule) in &rules {
        let expected: Vec<_> = records
            .iter()
            .filter(|record| rule(record))
            .map(|record| record.id)
            .collect();
        assert!(!expected.is_empty() && expected.len() < records.len());
        lengths.insert(expected.len());
        assert_eq!(found(&world, filter.clone()).await, expected, "{filter:?}");
        let sort = Sort {
            by: SortBy::ExpiresAt,
            ..Sort::default()
        };
        let by_expiry = listing(&world, filter.clone(), sort).await.items;
        assert!(by_expiry.is_sorted_by_key(|record| Reverse(record.token.expires_at)));
        let by_expiry: BTreeSet<_> = by_expiry.iter().map(|record| record.id).collect();
        assert_eq!(by_expiry, expected.into_iter().collect(), "{filter:?}");
    }
    assert!(lengths.len() > 4, "{lengths:?}");
    // Two filters combined are narrower than each.
    let both = Filter {
        never_used: true,
        preset: Some("content_management".to_owned()),
        created_by: Some("bob@example.org".to_owned()),
        ..everything()
    };
    let expected: Vec<_> = records
        .iter()
        .filter(|record| {
            let is_bobs = record.token.created_by.name == "bob@example.org";
            is_bobs && record.token.preset.is_some() && record.last_used_at.is_none()
        })
        .map(|record| record.id)
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(found(&world, both).await, expected);
    let signed = Filter {
        kid: Some("first".to_owned()),
        ..everything()
    };
    assert_eq!(found(&world, signed).await.len(), records.len());
    for absent in [
        Filter {
            kid: Some("firs".to_owned()),
            ..everything()
        },
        Filter {
            project: Some(4),
            ..everything()
        },
        Filter {
            created_by: Some("ada@example".to_owned()),
            ..everything()
        },
        Filter {
            slot: Some("Deploy".parse().unwrap()),
            ..everything()
        },
        Filter {
            team_name: Some("%".to_owned()),
            ..everything()
        },
        Filter {
            preset: Some("Content_management".to_owned()),
            ..everything()
        },
        Filter {
            scope: Some("content:writ".parse().unwrap()),
            ..everything()
        },
    ] {
        assert_eq!(found(&world, absent).await, []);
    }
}

/// What a token has made is found by the token's name: whoever owns it, once, and by those who may see it.
pub(crate) async fn what_a_token_made_is_found_once_by_its_name(world: World) {
    let ada = world.member("ada").await;
    let team = world.team(world.organization, "press").await;
    let maker = world.record(token(world.owner(), 0)).await.id;
    let everywhere = Owner::User {
        user: ada.clone(),
        organization: None,
    };
    let of_team = Owner::Team {
        team: team.clone(),
        organization: world.organization,
    };
    let owners = [
        world.owner(),
        world.owner_user(&ada),
        everywhere,
        of_team,
        Owner::Deployment,
    ];
    let mut made = Vec::new();
    for (owner, number) in owners.into_iter().zip(1..) {
        world.record(token(owner.clone(), number)).await;
        let by_the_token = NewToken {
            created_by: Actor {
                name: maker.actor(),
                user: None,
            },
            created_by_token: Some(maker),
            ..token(owner, number)
        };
        made.push(world.record(by_the_token).await.id);
    }
    let its = Filter {
        created_by: Some(maker.actor().to_uppercase()),
        ..everything()
    };
    let organization = Some(world.organization);
    let cases = [
        (its.clone(), &[4, 3, 2, 1, 0][..]),
        (
            Filter {
                organization,
                ..its.clone()
            },
            &[3, 1, 0],
        ),
        (
            Filter {
                organization,
                or_everywhere_of: Some(ada.clone()),
                ..its.clone()
            },
            &[3, 2, 1, 0],
        ),
        (
            Filter {
                user: Some(ada.clone()),
                ..its.clone()
            },
            &[2, 1],
        ),
        (
            Filter {
                team: Some(team.clone()),
                ..its.clone()
            },
            &[3],
        ),
        (
            Filter {
                visibility: Visibility::Own {
                    user: Some(ada.clone()),
                    teams: vec![team],
                },
                ..its.clone()
            },
            &[3, 2, 1],
        ),
        (
            Filter {
                only: made.get(2).copied(),
                organization,
                or_everywhere_of: Some(ada),
                ..its.clone()
            },
            &[2],
        ),
        (
            Filter {
                created_by: Some(format!("{} ", maker.actor())),
                ..its
            },
            &[],
        ),
    ];
    for (filter, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|place| made[*place]).collect();
        assert_eq!(found(&world, filter.clone()).await, expected, "{filter:?}");
    }
}

/// Every token has exactly one status at any instant, which agrees with its record and the cut-offs.
pub(crate) async fn a_status_is_that_of_the_instant(world: World) {
    let mut records = Vec::new();
    for number in 0..12_i64 {
        let new = NewToken {
            expires_at: (number % 3 != 0).then(|| at(40 + number)),
            ..token(world.owner(), number)
        };
        let id = world.record(new).await.id;
        if number % 4 == 0 {
            world.revoke(id, revocation(20, number)).await;
        }
        records.insert(0, read(&world, id).await);
    }
    let cut_off = CutOff {
        reach: Reach {
            organization: Some(world.organization),
            kind: Some(TokenKind::Api),
            ..Reach::default()
        },
        issued_through: at(2).seconds(),
        effective_at: at(30),
    };
    let cut = world
        .store
        .cut_off(cut_off.clone(), actor("operator"), None, at(20));
    cut.await.unwrap();
    let mut seen = BTreeSet::new();
    for second in [0, 19, 20, 24, 30, 43, 44, 45, 47, 60] {
        let now = at(second);
        let of = |record: &Record| {
            if record.is_revoked(now) || cut_off.ends(record, now) {
                Status::Revoked
            } else if record.is_expired(now) {
                Status::Expired
            } else {
                Status::Active
            }
        };
        for wanted in [
            WantedStatus::Only(Status::Active),
            WantedStatus::Only(Status::Expired),
            WantedStatus::Only(Status::Revoked),
            WantedStatus::Unrevoked,
        ] {
            let expected: Vec<_> = records
                .iter()
                .filter(|record| match wanted {
                    WantedStatus::Only(status) => of(record) == status,
                    WantedStatus::Unrevoked => of(record) != Status::Revoked,
                })
                .map(|record| record.id)
                .collect();
            seen.insert((format!("{wanted:?}"), expected.len()));
            let filter = Filter {
                status: Some(StatusAt { wanted, at: now }),
                ..everything()
            };
            assert_eq!(found(&world, filter).await, expected, "{wanted:?} at {second}");
        }
    }
    assert!(seen.len() > 12, "{seen:?}");
}

fn report(jti: Uuid, seconds: i64) -> UseReport {
    UseReport {
        uses: vec![ReportedUse { jti, at: at(seconds) }],
        audiences: Vec::new(),
    }
}

/// Reported uses move the last use forward, but never beyond the token's life or the present.
pub(crate) async fn reports_move_the_last_use(world: World) {
    let record = world.record(token(world.owner(), 100)).await;
    let jti = record.token.jti;
    for (seconds, now, expected) in [
        (50, 200, 100),
        (150, 200, 150),
        (120, 200, 150),
        (900, 200, 200),
        (160, 300, 200),
        (250, 300, 250),
    ] {
        let reported = world
            .store
            .report_use(report(jti, seconds), at(now))
            .await
            .unwrap();
        assert_eq!((reported.known, reported.unknown), (1, 0));
        let read = read(&world, record.id).await;
        assert_eq!(read.last_used_at, Some(at(expected)), "{seconds} at {now}");
    }
    // A use that the authority saw itself records the address; a later report does not change it.
    let from: IpAddr = "2001:db8::7".parse().unwrap();
    let sighting = Use {
        token: record.id,
        at: at(400),
        from: Some(from),
    };
    world.store.note_use(vec![sighting]).await.unwrap();
    let seen = read(&world, record.id).await;
    assert_eq!(
        (seen.last_used_at, seen.last_used_from),
        (Some(at(400)), Some(from))
    );
    world.store.report_use(report(jti, 399), at(500)).await.unwrap();
    assert_eq!(read(&world, record.id).await.last_used_from, Some(from));
    world.store.report_use(report(jti, 401), at(500)).await.unwrap();
    assert_eq!(read(&world, record.id).await.last_used_from, None);

    // Sessions and unknown tokens are ignored, and the other uses are still counted.
    let mut session = token(world.owner_user(&world.admin), 100);
    session.kind = TokenKind::Session;
    let session = world.record(session).await;
    let mixed = UseReport {
        uses: [session.token.jti, jti, Uuid::from_u128(1)]
            .map(|jti| ReportedUse { jti, at: at(450) })
            .to_vec(),
        audiences: Vec::new(),
    };
    let reported = world.store.report_use(mixed, at(500)).await.unwrap();
    assert_eq!((reported.known, reported.unknown), (1, 2));
    let presented = world.store.presented(session.token.jti).await.unwrap().unwrap();
    assert_eq!(presented.record.last_used_at, None);
}

/// A token counts as unused for bulk operations only if all of its audiences report use.
pub(crate) async fn disuse_is_known_where_all_audiences_report(world: World) {
    let audience = |names: &[&str], second| NewToken {
        audience: names.iter().map(|name| (*name).to_owned()).collect(),
        ..token(world.owner(), second)
    };
    let early = world.record(audience(&["a"], 0)).await.id;
    let both = world.record(audience(&["a", "b"], 10)).await.id;
    let other = world.record(audience(&["b"], 10)).await.id;
    let late = world.record(audience(&["a"], 20)).await.id;
    for (audiences, second) in [(vec!["a"], 5), (vec!["a", "c\"d"], 2 * DAY), (vec!["a"], DAY)] {
        let report = UseReport {
            uses: Vec::new(),
            audiences: audiences.into_iter().map(str::to_owned).collect(),
        };
        world.store.report_use(report, at(second)).await.unwrap();
    }
    let reporting = async |filter| {
        let reporting = listing(&world, filter, Sort::default()).await.reporting_audiences;
        let told = reporting
            .into_iter()
            .map(|one| (one.audience, one.first_reported_at, one.last_reported_at));
        told.collect::<Vec<_>>()
    };
    // Only audiences of tokens on the page count: `c"d` belongs to another token.
    let a = ("a".to_owned(), at(5), at(2 * DAY));
    assert_eq!(reporting(everything()).await, [a]);
    let of_other = Filter {
        text: Some("no such name".to_owned()),
        ..everything()
    };
    assert_eq!(reporting(of_other).await, []);
    // By their names alone, of whatever tokens.
    let asked = ["c\"d", "b", "a", "a"].map(str::to_owned).to_vec();
    let told = world.store.reporting_audiences(asked).await.unwrap();
    assert_eq!(
        told.iter().map(|one| one.audience.as_str()).collect::<Vec<_>>(),
        ["a", "c\"d"]
    );
    assert_eq!(world.store.reporting_audiences(Vec::new()).await.unwrap(), []);
    let never = |reporting_at| Filter {
        never_used: true,
        reporting_at,
        ..everything()
    };
    assert_eq!(found(&world, never(None)).await, [late, other, both, early]);
    // The first token may have been used before the first report.
    assert_eq!(found(&world, never(Some(at(2 * DAY)))).await, [late]);
    assert_eq!(found(&world, never(Some(at(3 * DAY)))).await, [late]);
    // The last report is more than a day old.
    assert_eq!(found(&world, never(Some(at(3 * DAY + 1)))).await, []);
    let since = |second| Filter {
        unused_since: Some(at(second)),
        reporting_at: Some(at(2 * DAY)),
        ..everything()
    };
    assert_eq!(found(&world, since(DAY)).await, [late, early]);
    assert_eq!(found(&world, since(4)).await, []);
    // When another audience reports too, use is known from then on.
    let report = UseReport {
        uses: Vec::new(),
        audiences: vec!["b".to_owned()],
    };
    world.store.report_use(report, at(2 * DAY)).await.unwrap();
    assert_eq!(found(&world, since(DAY)).await, [late, early]);
    assert_eq!(found(&world, since(2 * DAY)).await, [late, other, both, early]);
}

/// Tokens are counted by status, and those that end soon without a successor, in portions that join to the whole.
pub(crate) async fn every_token_is_tallied_once(world: World) {
    let ada = world.member("ada").await;
    for life in [
        Some(50),
        Some(DAY),
        Some(DAY + 100),
        Some(20 * DAY),
        Some(100 * DAY),
        None,
    ] {
        world.record(ending(&world, 0, life)).await;
    }
    // In its grace period: it has a successor.
    let rotated = world.record(ending(&world, 0, Some(DAY))).await;
    world.revoke(rotated.id, revocation(1, 1_000)).await;
    for life in [Some(50), None] {
        let revoked = world.record(ending(&world, 0, life)).await;
        world.revoke(revoked.id, revocation(1, 10)).await;
    }
    world.record(token(world.owner_user(&ada), 0)).await;
    let cut_off = CutOff {
        reach: Reach {
            user: Some(ada.clone()),
            ..Reach::default()
        },
        issued_through: at(5).seconds(),
        effective_at: at(5),
    };
    let by = actor("operator");
    world.store.cut_off(cut_off, by, None, at(5)).await.unwrap();
    for life in [50, DAY] {
        let mut session = token(
            Owner::User {
                user: world.admin.clone(),
                organization: None,
            },
            6,
        );
        session.kind = TokenKind::Session;
        session.expires_at = Some(at(6 + life));
        world.record(session).await;
    }
    let tally = world.store.tally(None, at(100)).await.unwrap();
    let expected = Tally {
        active: 6,
        expired: 1,
        revoked: 3,
        sessions: 1,
        ending_in_a_day: 2,
        ending_in_a_week: 2,
        ending_in_a_month: 3,
        next: None,
    };
    assert_eq!(tally, expected);
    let earlier = world.store.tally(None, at(10)).await.unwrap();
    assert_eq!((earlier.active, earlier.revoked, earlier.sessions), (9, 1, 2));

    for _ in 0..1_200 {
        world.record(ending(&world, 0, None)).await;
    }
    let mut sum = world.store.tally(None, at(100)).await.unwrap();
    assert!(sum.next.is_some(), "one portion has everything");
    while sum.next.is_some() {
        sum = sum.then(world.store.tally(sum.next, at(100)).await.unwrap());
    }
    let expected = Tally {
        active: 1_206,
        ..expected
    };
    assert_eq!(sum, expected);
}

/// A summary has the numbers of the lists, whatever has ended the tokens.
pub(crate) async fn a_summary_agrees_with_lists(world: World) {
    let ada = world.member("ada").await;
    let team = world.team(world.organization, "web").await;
    let other = world.organization("other").await;
    let of_team = || Owner::Team {
        team: team.clone(),
        organization: world.organization,
    };
    let everywhere = || Owner::User {
        user: ada.clone(),
        organization: None,
    };
    for number in 0..40_i64 {
        let owner = match number % 5 {
            0 => world.owner_user(&ada),
            1 => of_team(),
            2 => Owner::Organization(other),
            3 => everywhere(),
            _ => world.owner(),
        };
        let new = NewToken {
            expires_at: (number % 3 != 0).then(|| at(200 + 20 * number)),
            projects: (number % 4 == 0).then(|| vec![1]),
            ..token(owner, number)
        };
        let record = world.record(new).await;
        if number % 7 == 0 {
            world.revoke(record.id, revocation(50, 10 * number)).await;
        }
        if number % 6 == 0 {
            let sighting = Use {
                token: record.id,
                at: at(100 + number),
                from: None,
            };
            world.store.note_use(vec![sighting]).await.unwrap();
        }
    }
    let organization = Some(world.organization);
    let reaches = [
        Reach {
            user: Some(ada.clone()),
            ..Reach::default()
        },
        Reach {
            team: Some(team.clone()),
            organization,
            ..Reach::default()
        },
        Reach {
            organization,
            project: Some(1),
            ..Reach::default()
        },
        Reach {
            kid: Some("first".to_owned()),
            ..Reach::default()
        },
    ];
    let own = Visibility::Own {
        user: Some(ada.clone()),
        teams: vec![team.clone()],
    };
    let instants = SummaryInstants {
        now: at(400),
        expires_before: at(700),
        unused_since: at(103),
    };
    let agree = async || {
        let mut all = BTreeSet::new();
        for visibility in [Visibility::Everything, own.clone()] {
            for (organization, or_everywhere_of) in [
                (None, None),
                (organization, None),
                (organization, Some(ada.clone())),
                (Some(other), None),
            ] {
                let filter = Filter {
                    organization,
                    or_everywhere_of,
                    ..Filter::of(visibility.clone())
                };
                let summary = world.store.summary(filter.clone(), instants).await.unwrap();
                let count = async |status, ends: &[End], unused_since| {
                    let filter = Filter {
                        status: Some(StatusAt {
                            wanted: WantedStatus::Only(status),
                            at: instants.now,
                        }),
                        ends: ends.to_vec(),
                        unused_since,
                        ..filter.clone()
                    };
                    listing(&world, filter, Sort::default()).await.items.len() as u64
                };
                let soon = End::before(instants.expires_before);
                let expected = Summary {
                    active: count(Status::Active, &[], None).await,
                    expired: count(Status::Expired, &[], None).await,
                    revoked: count(Status::Revoked, &[], None).await,
                    expiring: count(Status::Active, &[soon], None).await,
                    unused: count(Status::Active, &[], Some(instants.unused_since)).await,
                };
                assert_eq!(summary, expected, "{filter:?}");
                all.insert(format!("{summary:?}"));
            }
        }
        all
    };
    let mut before = agree().await;
    assert!(before.len() > 4, "{before:?}");
    for (seconds, reach) in (0..).zip(reaches) {
        // The second one takes effect after the instant of the summary.
        let effective_at = if seconds == 1 { at(500) } else { at(60 + seconds) };
        let cut_off = CutOff {
            reach,
            issued_through: at(30 + seconds).seconds(),
            effective_at,
        };
        let cut = world
            .store
            .cut_off(cut_off, actor("operator"), None, at(60 + seconds));
        cut.await.unwrap();
        let after = agree().await;
        assert_eq!(after == before, seconds == 1);
        before = after;
    }
}
