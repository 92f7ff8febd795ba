//! Counts of active tokens: never too low in any order of events, and never blocking an owner below the limit.

use jeton_core::directory::OrganizationId;
use jeton_core::token::{CutOff, NewToken, Owner, Reach, Record, TokenKind};
use proptest::collection::vec;
use proptest::prelude::*;

use super::clerk::{Clerk, RecordOrder, RecordOutcome, Rotation};
use super::world::{Backend, World, actor, at, created, entropy, reserve_and_record, revocation, token};
use crate::rules::limits;
use crate::rules::tokens::Limit;
use crate::{Cause, Generation, Guard, KeyStep, Order, Realm, Recount};

#[derive(Debug, Clone)]
enum Step {
    /// Issues a token of an owner, with an expiry, in a slot or not, by an order with this delay.
    Issue(usize, Option<i64>, bool, i64),
    /// Rotates a token with a grace period; the successor has an expiry.
    Rotate(usize, i64, Option<i64>),
    /// Revokes a token with a grace period, by an order with this delay.
    Revoke(usize, i64, i64),
    CutOff(usize, i64),
    /// Replaces the signing key.
    Key,
    Wait(i64),
    /// Sets or removes an organization's limit for its owners.
    Limit(usize, Option<u32>),
    /// Counts an owner's tokens and keeps the count for later.
    Read(usize),
    /// Stores the count.
    Store,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let life = || proptest::option::of(1..9_i64);
    let grace = prop_oneof![2 => 0..9_i64, 1 => Just(100_000)];
    let step = prop_oneof![
        8 => (0..6_usize, life(), any::<bool>(), 0..2_i64)
            .prop_map(|(owner, life, slot, late)| Step::Issue(owner, life, slot, late)),
        4 => (0..12_usize, grace, life()).prop_map(|(token, grace, life)| Step::Rotate(token, grace, life)),
        5 => (0..12_usize, 0..6_i64, 0..4_i64)
            .prop_map(|(token, grace, late)| Step::Revoke(token, grace, late)),
        1 => (0..5_usize, 0..4_i64).prop_map(|(reach, ago)| Step::CutOff(reach, ago)),
        1 => Just(Step::Key),
        4 => (1..4_i64).prop_map(Step::Wait),
        1 => (0..2_usize, proptest::option::weighted(0.7, 1..4_u32))
            .prop_map(|(organization, most)| Step::Limit(organization, most)),
        3 => (0..6_usize).prop_map(Step::Read),
        3 => Just(Step::Store),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..60)
}

/// No count is too low after any step of a random sequence.
pub fn counts_are_never_too_low<B: Backend>() {
    super::holds(&steps(), async |steps| {
        Office::new(B::create()).await.follow(steps).await;
    });
}

/// Two organizations with owners, and a site administrator who is a member of the second one only.
struct Office {
    world: World,
    organizations: [OrganizationId; 2],
    limits: [Option<u32>; 2],
    owners: Vec<Owner>,
    tokens: Vec<Record>,
    now: i64,
    keys: u32,
    read: Option<Counted>,
}

/// A count: the owner, its second, the organization and its generation, and the result.
type Counted = (Owner, i64, Option<(OrganizationId, Generation)>, Recount);

impl Office {
    async fn new(backend: impl Backend) -> Self {
        let world = World::new(backend).await;
        let other = world.organization("other").await;
        let team = world.team(world.organization, "web").await;
        let of_admin = |organization| Owner::User {
            user: world.admin.clone(),
            organization,
        };
        let owners = vec![
            world.owner(),
            of_admin(Some(world.organization)),
            of_admin(None),
            Owner::Team {
                team,
                organization: world.organization,
            },
            of_admin(Some(other)),
            Owner::Organization(other),
        ];
        let mut office = Self {
            organizations: [world.organization, other],
            world,
            limits: [None; 2],
            owners,
            tokens: Vec::new(),
            now: 1,
            keys: 1,
            read: None,
        };
        office.limit(0, Some(2)).await;
        office.limit(1, Some(3)).await;
        office
    }

    async fn limit(&mut self, organization: usize, most: Option<u32>) {
        let generation = self.world.generation().await;
        let id = self.organizations[organization];
        let change = move |organization: &mut jeton_core::directory::Organization| {
            organization.policy.max_active_tokens_per_owner = most;
        };
        let changed = self.world.store.change_organization(id, change, None, generation);
        created(changed.await.unwrap());
        self.limits[organization] = most;
    }

    /// Returns the limits for an owner, as an operation finds them. The administrator is not a member of the
    /// first organization.
    fn limits_for(&self, owner: &Owner) -> Vec<Limit> {
        let organization = match (owner.organization(), owner.user()) {
            (None, Some(_)) => self.organizations[1],
            (organization, _) => organization.unwrap(),
        };
        let at = self.organizations.iter().position(|one| *one == organization);
        let most = self.limits[at.unwrap()];
        most.map(|most| Limit { organization, most })
            .into_iter()
            .collect()
    }

    async fn exact(&self, owner: &Owner, limit: &Limit) -> u64 {
        let mut sum = 0;
        for owner in limits::counted_in(owner, limit.organization) {
            let counted = self.world.store.count_tokens(owner, at(self.now)).await.unwrap();
            sum += u64::from(counted.active);
        }
        sum
    }

    async fn record(&mut self, token: NewToken, rotation: Option<Rotation>, is_late: bool) {
        let limits = self.limits_for(&token.owner);
        let is_plain = rotation.is_none() && token.slot.is_none();
        let owner = token.owner.clone();
        let order = RecordOrder {
            token,
            versions: self.world.generation().await,
            limits: limits.clone(),
            unique_name: false,
            rotation,
        };
        match reserve_and_record(&self.world.store, order).await.unwrap() {
            RecordOutcome::Recorded(recorded) => {
                for limit in &limits {
                    let exact = self.exact(&owner, limit).await;
                    // A stricter limit ends no tokens, and existing ones can be rotated.
                    assert!(
                        !is_plain || exact <= u64::from(limit.most),
                        "{exact} of {limit:?}"
                    );
                }
                self.tokens.push(recorded.into_record());
            }
            RecordOutcome::LimitReached { most } if is_plain && !is_late => {
                let mut exact = Vec::new();
                for limit in &limits {
                    exact.push(self.exact(&owner, limit).await);
                }
                assert!(
                    exact.iter().any(|exact| *exact >= u64::from(most)),
                    "{exact:?} of {most}"
                );
            }
            RecordOutcome::LimitReached { .. } | RecordOutcome::NotActive | RecordOutcome::CutOff => {}
            outcome => panic!("{outcome:?}"),
        }
    }

    fn kid(&self) -> String {
        match self.keys {
            1 => "first".to_owned(),
            number => format!("key {number}"),
        }
    }

    async fn follow(mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Reopen => self.world = self.world.reopen(),
                step => self.take(step).await,
            }
            self.check().await;
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Issue(owner, life, in_slot, late) => {
                let owner = self.owners[owner].clone();
                let token = NewToken {
                    slot: in_slot.then(|| "ci".parse().unwrap()),
                    expires_at: life.map(|life| at(self.now + life)),
                    kid: self.kid().as_str().into(),
                    ..token(owner, self.now - late)
                };
                self.record(token, None, late > 0).await;
            }
            Step::Rotate(number, grace, life) => {
                let Some(former) = self.tokens.get(number) else {
                    return;
                };
                let token = NewToken {
                    jti: entropy().uuid_v7(at(self.now)),
                    created_at: at(self.now),
                    expires_at: life.map(|life| at(self.now + life)),
                    kid: self.kid().as_str().into(),
                    ..former.token.clone()
                };
                let rotation = Rotation {
                    token: former.id,
                    revocation: revocation(self.now, grace),
                };
                self.record(token, Some(rotation), false).await;
            }
            Step::Revoke(number, grace, late) => {
                if let Some(record) = self.tokens.get(number) {
                    self.world
                        .revoke(record.id, revocation(self.now - late, grace))
                        .await;
                }
            }
            Step::CutOff(reach, ago) => {
                let reach = match reach {
                    0 => Reach {
                        organization: Some(self.organizations[0]),
                        ..Reach::default()
                    },
                    1 => Reach {
                        user: Some(self.world.admin.clone()),
                        ..Reach::default()
                    },
                    2 => Reach {
                        kind: Some(TokenKind::Api),
                        organization: Some(self.organizations[1]),
                        ..Reach::default()
                    },
                    _ => Reach {
                        kid: Some(self.kid()),
                        ..Reach::default()
                    },
                };
                let cut_off = CutOff {
                    reach,
                    issued_through: at(self.now - ago).seconds(),
                    effective_at: at(self.now),
                };
                let cut = self
                    .world
                    .store
                    .cut_off(cut_off, actor("operator"), None, at(self.now));
                cut.await.unwrap();
            }
            Step::Key => {
                self.keys += 1;
                let kid = self.kid();
                let row = self.world.publish_key(&kid, self.now).await;
                // Long enough for cached copies of the JWKS: only tokens without an expiry are left.
                self.now = (row.signs_from.seconds() - at(0).seconds()).max(self.now);
                let signs = self.world.store.advance_key(&kid, KeyStep::Sign, at(self.now));
                assert!(signs.await.unwrap());
            }
            Step::Wait(seconds) => self.now += seconds,
            Step::Limit(organization, most) => self.limit(organization, most).await,
            Step::Read(owner) => {
                let owner = self.owners[owner].clone();
                let is_limited = owner.organization().is_none() || !self.limits_for(&owner).is_empty();
                if !is_limited {
                    return;
                }
                let version = match owner.organization() {
                    Some(id) => {
                        let found = self.world.store.organization(id.into()).await.unwrap().unwrap();
                        Some((id, found.generation))
                    }
                    None => None,
                };
                let facts = self.world.store.owner_count(owner.clone()).await.unwrap();
                if facts.count.is_none() {
                    self.commit(
                        limits::begin(Cause::operator(at(self.now)), owner.clone()),
                        version,
                    )
                    .await;
                }
                let counted = self.world.store.count_tokens(owner.clone(), at(self.now));
                self.read = Some((owner, self.now, version, counted.await.unwrap()));
            }
            Step::Store => {
                if let Some((owner, now, version, recount)) = self.read.take() {
                    let order = limits::recounted(Cause::operator(at(now)), owner, &recount);
                    self.commit(order, version).await;
                }
            }
            Step::Reopen => {}
        }
    }

    async fn commit(&self, order: Order, version: Option<(OrganizationId, Generation)>) {
        let order = match version {
            Some((id, generation)) => order.guard(Guard::Unchanged(Realm::Organization(id), generation)),
            None => order,
        };
        let _ = self.world.store.commit(order).await.unwrap();
    }

    async fn check(&self) {
        for owner in &self.owners {
            let facts = self.world.store.owner_count(owner.clone()).await.unwrap();
            let Some(count) = facts.count else { continue };
            let is_kept_up = owner.organization().is_none() || !self.limits_for(owner).is_empty();
            assert!(is_kept_up, "a count that nobody keeps up: {owner:?}");
            let exact = self
                .world
                .store
                .count_tokens(owner.clone(), at(self.now))
                .await
                .unwrap();
            assert!(
                count.active.is_none_or(|active| active >= exact.active),
                "{count:?}, and {exact:?} at {} of {owner:?}",
                self.now
            );
        }
    }
}
