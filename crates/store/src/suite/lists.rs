//! Lists of tokens: pages join to the whole, and hold only tokens that the caller may see.

use crate::suite::clerk::Clerk;
use std::collections::BTreeSet;
use std::sync::Arc;

use jeton_core::clock::Timestamp;
use jeton_core::token::{
    CountTotal, Cursor, CutOff, Direction, Filter, Listing, Owner, OwnerKind, Page, Reach, Record, Sort,
    StatusAt, TokenId, TokenKind, Visibility, WantedStatus,
};

use super::world::{World, actor, at, removal, revocation, token};

fn everything() -> Filter {
    Filter::of(Visibility::Everything)
}

async fn page(
    world: &World,
    filter: &Filter,
    cursor: Option<TokenId>,
    direction: Direction,
    limit: u32,
) -> Listing {
    let page = Page {
        sort: Sort::default(),
        start: cursor.map(|token| Cursor { value: None, token }).into(),
        direction,
        limit,
        count: CountTotal::Yes,
    };
    world.store.tokens(filter.clone(), page).await.unwrap()
}

fn ids(listing: &Listing) -> Vec<TokenId> {
    listing.items.iter().map(|record| record.id).collect()
}

/// Returns all matching tokens, newest first.
async fn list(world: &World, filter: &Filter) -> Vec<TokenId> {
    let whole = page(world, filter, None, Direction::Next, 1_000).await;
    assert_eq!(whole.total, Some(whole.items.len() as u64));
    assert!(!whole.has_next && !whole.has_previous);
    ids(&whole)
}

fn unrevoked(at: Timestamp) -> Option<StatusAt> {
    Some(StatusAt {
        wanted: WantedStatus::Unrevoked,
        at,
    })
}

/// Tokens of every kind of owner in two organizations.
struct Town {
    world: World,
    records: Vec<Record>,
    other: jeton_core::directory::OrganizationId,
    web: jeton_core::directory::TeamId,
    ops: jeton_core::directory::TeamId,
    ada: jeton_core::directory::UserId,
}

impl Town {
    async fn new(world: World) -> Self {
        let other = world.organization("other").await;
        let web = world.team(world.organization, "Web-Shop").await;
        let ops = world.team(other, "ops").await;
        let ada = world.member("ada").await;
        let in_team = |team: &jeton_core::directory::TeamId, organization| Owner::Team {
            team: team.clone(),
            organization,
        };
        let owners = [
            world.owner(),
            Owner::Organization(other),
            in_team(&web, world.organization),
            in_team(&ops, other),
            world.owner_user(&ada),
            Owner::User {
                user: ada.clone(),
                organization: Some(other),
            },
            Owner::User {
                user: ada.clone(),
                organization: None,
            },
            world.owner_user(&world.admin),
            Owner::Deployment,
        ];
        let mut records = Vec::new();
        for round in 0..4 {
            for (number, owner) in owners.iter().enumerate() {
                let mut token = token(owner.clone(), round);
                token.name = format!("token {number} 100%");
                token.description = (round % 2 == 0).then(|| "under_score \\ ".to_owned());
                if round == 3 && owner.user().is_some() {
                    token.kind = TokenKind::Session;
                }
                records.push(world.record(token).await);
            }
        }
        Self {
            world,
            records,
            other,
            web,
            ops,
            ada,
        }
    }

    /// Returns the list that a filter must give.
    fn expected(&self, matches: impl Fn(&Record) -> bool) -> Vec<TokenId> {
        let mut ids: Vec<_> = self
            .records
            .iter()
            .filter(|record| record.token.kind == TokenKind::Api && matches(record))
            .map(|record| record.id)
            .collect();
        ids.reverse();
        ids
    }
}

/// Each filter and each visibility returns exactly the tokens it names.
pub(crate) async fn filters_match_what_they_name(world: World) {
    let town = Town::new(world).await;
    let world = &town.world;
    let own = |user: Option<&jeton_core::directory::UserId>, teams: &[&jeton_core::directory::TeamId]| {
        Visibility::Own {
            user: user.cloned(),
            teams: teams.iter().copied().cloned().collect(),
        }
    };
    // She is not a member of the other organization.
    let own_of_ada = |record: &Record| {
        let owner = &record.token.owner;
        owner.user() == Some(&town.ada) && owner.organization() != Some(town.other)
    };
    let views = [
        (Visibility::Everything, town.expected(|_| true)),
        (own(None, &[]), Vec::new()),
        (own(Some(&town.ada), &[]), town.expected(own_of_ada)),
        (
            own(None, &[&town.web, &town.ops]),
            town.expected(|record| record.token.owner.team().is_some()),
        ),
        (
            own(Some(&town.ada), &[&town.web]),
            town.expected(|record| own_of_ada(record) || record.token.owner.team() == Some(&town.web)),
        ),
    ];
    let organizations = [None, Some(world.organization), Some(town.other)];
    let teams = [None, Some(&town.web)];
    let owners = [
        None,
        Some(OwnerKind::User),
        Some(OwnerKind::Team),
        Some(OwnerKind::Organization),
        Some(OwnerKind::Deployment),
    ];
    let kind = |owner: &Owner| match owner {
        Owner::User { .. } => OwnerKind::User,
        Owner::Team { .. } => OwnerKind::Team,
        Owner::Organization(_) => OwnerKind::Organization,
        Owner::Deployment => OwnerKind::Deployment,
    };
    let mut lengths = BTreeSet::new();
    for (visibility, sees) in &views {
        for organization in organizations {
            for team in teams {
                for owner in owners {
                    let filter = Filter {
                        visibility: visibility.clone(),
                        organization,
                        team: team.cloned(),
                        owner,
                        ..everything()
                    };
                    let expected = town.expected(|record| {
                        let of = &record.token.owner;
                        sees.contains(&record.id)
                            && organization.is_none_or(|wanted| of.organization() == Some(wanted))
                            && team.is_none_or(|wanted| of.team() == Some(wanted))
                            && owner.is_none_or(|wanted| kind(of) == wanted)
                    });
                    lengths.insert(expected.len());
                    assert_eq!(list(world, &filter).await, expected, "{filter:?}");
                }
            }
        }
    }
    assert!(lengths.len() > 5, "the filters are told apart: {lengths:?}");
}

/// Tokens for all organizations of a user can be listed with those of one organization.
pub(crate) async fn what_is_good_everywhere_joins_an_organization(world: World) {
    let town = Town::new(world).await;
    let world = &town.world;
    let own = Visibility::Own {
        user: Some(town.ada.clone()),
        teams: vec![town.web.clone()],
    };
    let everywhere = Owner::User {
        user: town.ada.clone(),
        organization: None,
    };
    let mut lengths = BTreeSet::new();
    for visibility in [Visibility::Everything, own] {
        for user in [None, Some(&town.ada), Some(&world.admin)] {
            for team in [None, Some(&town.web)] {
                let filter = Filter {
                    visibility: visibility.clone(),
                    organization: Some(world.organization),
                    or_everywhere_of: Some(town.ada.clone()),
                    user: user.cloned(),
                    team: team.cloned(),
                    ..everything()
                };
                let expected = town.expected(|record| {
                    let of = &record.token.owner;
                    let sees = match &visibility {
                        Visibility::Everything => true,
                        Visibility::Own { .. } => {
                            of.user() == Some(&town.ada) || of.team() == Some(&town.web)
                        }
                    };
                    sees && (of.organization() == Some(world.organization) || *of == everywhere)
                        && user.is_none_or(|wanted| of.user() == Some(wanted))
                        && team.is_none_or(|wanted| of.team() == Some(wanted))
                });
                lengths.insert(expected.len());
                assert_eq!(list(world, &filter).await, expected, "{filter:?}");
            }
        }
    }
    assert!(lengths.len() > 3, "the filters are told apart: {lengths:?}");
}

/// A text is found anywhere in name, description and team name, ignoring case and without wildcards.
pub(crate) async fn a_text_is_found_as_it_stands(world: World) {
    let town = Town::new(world).await;
    let web = town.web.clone();
    let finds = |text: &str| Filter {
        text: Some(text.to_owned()),
        ..everything()
    };
    let all = town.expected(|_| true);
    let described = town.expected(|record| record.token.description.is_some());
    let of_web = town.expected(|record| record.token.owner.team() == Some(&web));
    let third = town.expected(|record| record.token.name.contains("3 100%"));
    for (text, expected) in [
        ("TOKEN", &all),
        ("100%", &all),
        ("%", &all),
        ("under_SCORE", &described),
        ("\\", &described),
        ("_", &described),
        ("web-s", &of_web),
        ("3 100%", &third),
    ] {
        assert_eq!(&list(&town.world, &finds(text)).await, expected, "{text}");
    }
    for absent in ["t%n", "under.score", "token__100", "'", "\"", "\0"] {
        assert_eq!(list(&town.world, &finds(absent)).await, [], "{absent}");
    }
    assert_eq!(third.len(), 4);
}

/// Excluding revoked tokens covers single revocations and cut-offs, from the instant they take effect.
pub(crate) async fn revoked_tokens_are_left_out(world: World) {
    let mut town = Town::new(world).await;
    let admin = town.world.admin.clone();
    let first = town.records.first().unwrap().id;
    town.world.revoke(first, revocation(10, 50)).await;
    let reaches = [
        Reach {
            user: Some(town.ada.clone()),
            organization: Some(town.other),
            ..Reach::default()
        },
        Reach {
            team: Some(town.web.clone()),
            ..Reach::default()
        },
        Reach {
            organization: Some(town.other),
            kind: Some(TokenKind::Api),
            ..Reach::default()
        },
        Reach {
            kid: Some("another key".to_owned()),
            ..Reach::default()
        },
        Reach {
            project: Some(5),
            ..Reach::default()
        },
        Reach {
            user: Some(admin),
            kind: Some(TokenKind::Session),
            ..Reach::default()
        },
    ];
    let mut restricted = token(town.world.owner(), 0);
    restricted.projects = Some(vec![4, 5]);
    town.records.push(town.world.record(restricted).await);
    let mut cut_offs = Vec::new();
    for (number, reach) in (0..).zip(reaches) {
        let cut_off = CutOff {
            reach,
            issued_through: at(number % 3).seconds(),
            effective_at: at(20 + 10 * number),
        };
        let cut = town
            .world
            .store
            .cut_off(cut_off.clone(), actor("operator"), None, at(20));
        cut.await.unwrap();
        cut_offs.push(cut_off);
    }
    let mut lengths = BTreeSet::new();
    for second in [0, 19, 20, 29, 30, 40, 50, 59, 60, 70, 100] {
        let now = at(second);
        let filter = Filter {
            status: unrevoked(now),
            ..everything()
        };
        let expected = town.expected(|record| {
            let revoked = record.id == first && second >= 60;
            !revoked && !cut_offs.iter().any(|cut_off| cut_off.ends(record, now))
        });
        lengths.insert(expected.len());
        assert_eq!(list(&town.world, &filter).await, expected, "{second}");
        let of_other = Filter {
            organization: Some(town.other),
            ..filter
        };
        let expected = town.expected(|record| {
            record.token.owner.organization() == Some(town.other)
                && !cut_offs.iter().any(|cut_off| cut_off.ends(record, now))
        });
        assert_eq!(list(&town.world, &of_other).await, expected, "{second}");
    }
    assert!(lengths.len() >= 5, "{lengths:?}");
}

/// Pages join to the whole list, in both directions and for every size, and report correctly whether there are
/// items before and after them.
pub(crate) async fn pages_joined_are_the_whole(world: World) {
    let town = Town::new(world).await;
    let own = Filter {
        visibility: Visibility::Own {
            user: Some(town.ada.clone()),
            teams: vec![town.web.clone(), town.ops.clone()],
        },
        ..everything()
    };
    let of_organization = Filter {
        organization: Some(town.other),
        ..everything()
    };
    for filter in [own, of_organization, everything()] {
        let whole = list(&town.world, &filter).await;
        assert!(whole.len() > 8);
        for limit in [1, 2, 3, 7, whole.len() as u32, 1_000] {
            let mut forth = Vec::new();
            let mut cursor = None;
            loop {
                let page = page(&town.world, &filter, cursor, Direction::Next, limit).await;
                assert_eq!(page.has_previous, !forth.is_empty());
                assert_eq!(page.total, Some(whole.len() as u64));
                forth.extend(ids(&page));
                assert_eq!(page.has_next, forth.len() < whole.len());
                cursor = ids(&page).last().copied();
                if !page.has_next {
                    break;
                }
            }
            assert_eq!(forth, whole);
            let mut back: Vec<TokenId> = Vec::new();
            let mut cursor = None;
            loop {
                let page = page(&town.world, &filter, cursor, Direction::Previous, limit).await;
                assert_eq!(page.has_next, !back.is_empty());
                back.splice(0..0, ids(&page));
                assert_eq!(page.has_previous, back.len() < whole.len());
                cursor = ids(&page).first().copied();
                if !page.has_previous {
                    break;
                }
            }
            assert_eq!(back, whole);
        }
        let beyond = page(&town.world, &filter, whole.last().copied(), Direction::Next, 5).await;
        assert_eq!(
            (ids(&beyond), beyond.has_next, beyond.has_previous),
            (vec![], false, true)
        );
        let before = page(
            &town.world,
            &filter,
            whole.first().copied(),
            Direction::Previous,
            5,
        )
        .await;
        assert_eq!(
            (ids(&before), before.has_next, before.has_previous),
            (vec![], true, false)
        );
    }
}

/// While tokens are issued, turning the pages returns every token of the beginning exactly once.
pub(crate) async fn no_page_skips_or_repeats_while_others_issue(world: World) {
    let mut there = Vec::new();
    for second in 0..60 {
        there.push(world.record(token(world.owner(), second)).await.id);
    }
    there.reverse();
    let world = Arc::new(world);
    let issuer = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for second in 60..160 {
                world.record(token(world.owner(), second)).await;
            }
        })
    };
    let filter = Filter {
        organization: Some(world.organization),
        ..everything()
    };
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = page(&world, &filter, cursor, Direction::Next, 7).await;
        seen.extend(ids(&page));
        cursor = ids(&page).last().copied();
        if !page.has_next {
            break;
        }
    }
    issuer.await.unwrap();
    assert!(seen.is_sorted_by(|newer, older| newer > older));
    seen.retain(|id| there.contains(id));
    assert_eq!(seen, there);
}

/// Tokens of deleted owners stay in the list of a caller who may see everything.
pub(crate) async fn what_was_removed_is_still_listed(world: World) {
    let town = Town::new(world).await;
    let generation = town.world.generation().await;
    let removed = town
        .world
        .store
        .remove_team(town.web.clone(), removal(9), generation);
    removed.await.unwrap();
    assert_eq!(list(&town.world, &everything()).await, town.expected(|_| true));
}
