//! The store against a model that anybody can read.

use std::collections::BTreeMap;

use crate::rules::tokens::Naming;
use crate::suite::clerk::{RecordOrder, RecordOutcome, RevokeOutcome, Rotation};
use jeton_core::token::{
    CountTotal, Cursor, Direction, Filter, NewToken, Owner, Page, Record, Revocation, Sort, StatusAt,
    TokenId, TokenReference, Visibility, WantedStatus,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{Backend, World, actor, at, entropy, reserve_and_record, revocation, token};

/// Something that is done to a store.
#[derive(Debug, Clone)]
enum Step {
    Issue {
        owner: Of,
        name: String,
        life: Option<i64>,
        slot: Option<&'static str>,
    },
    /// The token is the n-th of those issued so far.
    Rotate {
        token: usize,
        grace: i64,
    },
    /// The token is the n-th of those issued so far.
    Revoke {
        token: usize,
        grace: i64,
    },
    List {
        of: Of,
        unrevoked: bool,
        text: String,
        limit: u32,
    },
    Reopen,
}

#[derive(Debug, Clone, Copy)]
enum Of {
    Organization,
    Person,
    Everywhere,
    Deployment,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let of = || {
        prop_oneof![
            Just(Of::Organization),
            Just(Of::Person),
            Just(Of::Everywhere),
            Just(Of::Deployment)
        ]
    };
    let slot = || prop_oneof![3 => Just(None), 1 => Just(Some("a")), 1 => Just(Some("b"))];
    let step = prop_oneof![
        6 => (of(), "[a-cA-C%_\u{e9}]{1,3}", prop::option::of(5_i64..400_000_000), slot())
            .prop_map(|(owner, name, life, slot)| Step::Issue { owner, name, life, slot }),
        3 => (0_usize..20, 0_i64..20).prop_map(|(token, grace)| Step::Rotate { token, grace }),
        4 => (0_usize..40, 0_i64..50).prop_map(|(token, grace)| Step::Revoke { token, grace }),
        3 => (of(), any::<bool>(), "[a-cA-C%_]{0,2}", 1_u32..6)
            .prop_map(|(of, unrevoked, text, limit)| Step::List { of, unrevoked, text, limit }),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..40)
}

/// What the store must hold.
#[derive(Default)]
struct Model {
    tokens: BTreeMap<TokenId, NewToken>,
    /// The effective instants of the orders that counted.
    revoked: BTreeMap<TokenId, Vec<i64>>,
    /// What each successor was rotated from.
    rotated_from: BTreeMap<TokenId, TokenId>,
}

impl Model {
    fn is_revoked(&self, id: TokenId, now: i64) -> bool {
        self.revoked
            .get(&id)
            .is_some_and(|effective| effective.iter().any(|effective| *effective <= now))
    }

    /// Whether it counts: neither revoked, now or later, nor expired.
    fn is_active(&self, id: TokenId, now: i64) -> bool {
        let expired = self.tokens[&id].expires_at.is_some_and(|end| end <= at(now));
        !expired && self.revoked.get(&id).is_none_or(Vec::is_empty)
    }

    /// A token's place is taken: it ends, and the one before it too if that is in its grace.
    fn replace(&mut self, id: TokenId, now: i64, effective: i64) {
        if let Some(before) = self.rotated_from.get(&id).copied()
            && !self.is_revoked(before, now)
        {
            self.revoked.entry(before).or_default().push(now);
        }
        self.revoked.entry(id).or_default().push(effective);
    }
}

/// Random steps.
pub fn the_model_agrees<B: Backend>() {
    super::holds(&steps(), follow::<B>);
}

/// Does the steps to a store and to the model; both must agree at each.
async fn follow<B: Backend>(steps: Vec<Step>) {
    let mut world = World::new(B::create()).await;
    let mut model = Model::default();
    for (now, step) in (1..).zip(steps) {
        match step {
            Step::Issue {
                owner,
                name,
                life,
                slot,
            } => {
                let token = NewToken {
                    name,
                    expires_at: life.map(|life| at(now + life)),
                    slot: slot.map(|slot| slot.parse().unwrap()),
                    ..token(owner_of(&world, owner), now)
                };
                let held = model.tokens.iter().find(|(id, other)| {
                    let same = (&other.owner, &other.slot) == (&token.owner, &token.slot);
                    token.slot.is_some() && same && model.revoked.get(id).is_none_or(Vec::is_empty)
                });
                if let Some(held) = held.map(|(id, _)| *id) {
                    model.replace(held, now, now);
                }
                let record = world.record(token.clone()).await;
                assert_eq!(
                    model.tokens.insert(record.id, token),
                    None,
                    "a number was used twice"
                );
                assert_eq!(model.tokens.last_key_value().map(|(id, _)| *id), Some(record.id));
            }
            Step::Rotate { token, grace } => {
                let Some(id) = model.tokens.keys().nth(token).copied() else {
                    continue;
                };
                let successor = NewToken {
                    jti: entropy().uuid_v7(at(now)),
                    created_at: at(now),
                    ..model.tokens[&id].clone()
                };
                let order = RecordOrder {
                    token: successor.clone(),
                    judged_at: world.generation().await,
                    limits: Vec::new(),
                    naming: Naming::Free,
                    rotation: Some(Rotation {
                        token: id,
                        revocation: revocation(now, grace),
                    }),
                };
                match reserve_and_record(&world.store, order).await.unwrap() {
                    RecordOutcome::Recorded(recorded) => {
                        assert!(model.is_active(id, now), "{id} was not active");
                        let record = recorded.into_record();
                        model.replace(id, now, now + grace);
                        model.rotated_from.insert(record.id, id);
                        model.tokens.insert(record.id, successor);
                    }
                    RecordOutcome::NotActive => assert!(!model.is_active(id, now), "{id} was active"),
                    other => panic!("{other:?}"),
                }
            }
            Step::Revoke { token, grace } => {
                let id = model.tokens.keys().nth(token).copied();
                let order = Revocation {
                    revoked_at: at(now),
                    effective_at: at(now + grace),
                    revoked_by: actor("somebody"),
                    reason: None,
                };
                let outcome = world.revoke(id.unwrap_or(TokenId(9_999)), order).await;
                let Some(id) = id else {
                    assert_eq!(outcome, RevokeOutcome::Unknown);
                    continue;
                };
                let earlier = model.revoked.entry(id).or_default();
                let counts = earlier.iter().all(|earlier| now + grace < *earlier);
                assert_eq!(matches!(outcome, RevokeOutcome::Revoked(_)), counts);
                if counts {
                    earlier.push(now + grace);
                }
            }
            Step::List {
                of,
                unrevoked,
                text,
                limit,
            } => compare(&world, &model, of, unrevoked.then_some(now), &text, limit).await,
            Step::Reopen => world = world.reopen(),
        }
        check(&world, &model, now).await;
    }
}

fn owner_of(world: &World, of: Of) -> Owner {
    match of {
        Of::Organization => world.owner(),
        Of::Person => world.owner_user(&world.admin),
        Of::Everywhere => Owner::User {
            user: world.admin.clone(),
            organization: None,
        },
        Of::Deployment => Owner::Deployment,
    }
}

/// The latest token, and the snapshot, are what the model says.
async fn check(world: &World, model: &Model, now: i64) {
    if let Some((id, token)) = model.tokens.last_key_value() {
        let read = world.store.token(TokenReference::Id(*id)).await.unwrap().unwrap();
        assert_eq!(&read.token, token);
        assert_eq!(read.is_revoked(at(now)), model.is_revoked(*id, now));
    }
    let snapshot = world.store.snapshot(at(0)).await.unwrap();
    let events: usize = model.revoked.values().map(Vec::len).sum();
    assert_eq!(snapshot.sequence, events as u64);
    let mut revoked: Vec<_> = snapshot
        .revoked
        .into_iter()
        .map(|(_, effective)| effective)
        .collect();
    revoked.sort();
    let mut expected: Vec<_> = model
        .revoked
        .values()
        .filter_map(|effective| effective.iter().min())
        .map(|effective| at(*effective))
        .collect();
    expected.sort();
    assert_eq!(revoked, expected);
}

/// The pages of a list, joined, against the model.
async fn compare(world: &World, model: &Model, of: Of, unrevoked_at: Option<i64>, text: &str, limit: u32) {
    let (visibility, organization) = match of {
        Of::Organization => (Visibility::Everything, Some(world.organization)),
        Of::Person | Of::Everywhere => (
            Visibility::Own {
                user: Some(world.admin.clone()),
                teams: Vec::new(),
            },
            matches!(of, Of::Person).then_some(world.organization),
        ),
        Of::Deployment => (Visibility::Everything, None),
    };
    let filter = Filter {
        organization,
        text: (!text.is_empty()).then(|| text.to_owned()),
        status: unrevoked_at.map(|now| StatusAt {
            wanted: WantedStatus::Unrevoked,
            at: at(now),
        }),
        ..Filter::of(visibility.clone())
    };
    let expected: Vec<TokenId> = model
        .tokens
        .iter()
        .rev()
        .filter(|(id, token)| {
            let sees = match visibility {
                Visibility::Everything => true,
                Visibility::Own { .. } => token.owner.user().is_some(),
            };
            let name = token.name.to_ascii_lowercase();
            let described = token.description.clone().unwrap_or_default();
            sees && organization.is_none_or(|wanted| token.owner.organization() == Some(wanted))
                && (name.contains(&text.to_ascii_lowercase()) || described.contains(text))
                && unrevoked_at.is_none_or(|now| !model.is_revoked(**id, now))
        })
        .map(|(id, _)| *id)
        .collect();
    let mut found: Vec<Record> = Vec::new();
    loop {
        let page = Page {
            sort: Sort::default(),
            start: found
                .last()
                .map(|record| Cursor {
                    value: None,
                    token: record.id,
                })
                .into(),
            direction: Direction::Next,
            limit,
            count: CountTotal::Yes,
        };
        let listing = world.store.tokens(filter.clone(), page).await.unwrap();
        assert_eq!(listing.total, Some(expected.len() as u64));
        found.extend(listing.items);
        if !listing.has_next {
            break;
        }
    }
    let found: Vec<_> = found.iter().map(|record| record.id).collect();
    assert_eq!(found, expected);
}
