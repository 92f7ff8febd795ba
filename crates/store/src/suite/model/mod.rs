//! Compares a backend with the store in memory by random orders: outcomes, reads, the feed and the
//! notifications of observers must be equal.

mod steps;

use std::fmt::Debug;
use std::sync::Arc;

use jeton_core::clock::Day;
use jeton_core::directory::{Policy, Role, TeamId};
use jeton_core::token::filter::{Breach, Remit};
use jeton_core::token::{
    CountTotal, Cursor, CutOff, Direction, Filter, NewToken, Owner, Page, Reach, Record, Refusals,
    ReportedUse, Sort, Start, StatusAt, TokenId, TokenKind, TokenReference, Use, Visibility,
};
use jeton_verifier::event::{BEFORE_ALL, Ends};
use steps::{Ask, Step, steps};
use uuid::Uuid;

use super::clerk::{
    Clerk, NewTeam, PersonChanges, RecordOrder, RecordOutcome, RevokeOrder, RevokeOutcome, Rotation,
};
use super::world::{
    Backend, Seeded, World, actor, at, email, entropy, new_key, organization, person, removal,
    reserve_and_record, revocation, token,
};
use crate::memory::MemoryDatabase;
use crate::rules::usage::UseReport;
use crate::{
    BulkId, BulkOrder, Change, Description, Generation, KeyStep, LastToken, Observer, OrganizationsOf,
    SharedStore, Slice, SummaryInstants,
};

/// After how many steps statistics are compared.
const COUNTED_EACH: i64 = 5;

/// The days in which all tokens end that do.
const YEARS: i64 = 13 * 366;

const ROLES: [Role; 3] = [Role::Admin, Role::Member, Role::Viewer];
const PEOPLE: [&str; 4] = ["admin", "ada", "bob", "cy"];

impl Backend for MemoryDatabase {
    fn create() -> Self {
        Self::new(&Seeded)
    }

    fn open(&self, observer: Arc<dyn Observer>) -> SharedStore {
        Arc::new(Self::open(self, observer).unwrap())
    }
}

/// Compares the stores after random steps.
pub fn the_model_agrees<B: Backend>() {
    super::holds(&steps(), async |steps| {
        Twins::new(B::create()).await.follow(steps).await
    });
}

/// Two stores that get the same orders.
struct Twins {
    backend: World,
    memory: World,
    teams: Vec<TeamId>,
    kid: String,
    keys: u32,
    /// The issued tokens.
    tokens: Vec<(TokenId, NewToken)>,
    other: crate::suite::clerk::NewOrganization,
}

/// Evaluates an expression for both stores and asserts that the results are equal.
macro_rules! same {
    ($twins:expr, $world:ident => $said:expr) => {{
        let said = {
            let $world = &$twins.backend;
            $said
        };
        let expected = {
            let $world = &$twins.memory;
            $said
        };
        assert_eq!(said, expected);
        said
    }};
}

/// Discards the reason of a failure, which may differ.
fn told<T: Debug>(answer: crate::Result<T>) -> Option<T> {
    answer.ok()
}

/// Clears the status list index of a record, which each backend draws at random.
fn plain(mut record: Record) -> Record {
    record.list_index.index = 0;
    record
}

/// Clears the status list index in changes, and what depends on it and on the epoch.
fn plain_changes(changes: Vec<Change>) -> Vec<Change> {
    let mut changes = changes;
    for change in &mut changes {
        if let Change::Revoked { list_index, .. } = change {
            list_index.index = 0;
        }
        if let Change::Revoked { entry, .. } | Change::CutOff { entry, .. } = change {
            let entry = Arc::make_mut(entry);
            entry.event.epoch = Uuid::nil();
            entry.hash = BEFORE_ALL;
            if let Ends::Token(token) = &mut entry.event.ends {
                token.index = 0;
            }
        }
    }
    changes
}

fn recorded(outcome: crate::Result<RecordOutcome>) -> Result<Record, String> {
    match outcome {
        Ok(RecordOutcome::Recorded(recorded)) => Ok(plain(recorded.into_record())),
        Ok(outcome) => Err(format!("{outcome:?}")),
        Err(_) => Err("failed".to_owned()),
    }
}

impl Twins {
    async fn new(backend: impl Backend) -> Self {
        let (mut admin, first) = (person("admin"), organization("default"));
        admin.person.site_admin = true;
        let backend = World::founded(backend, admin.clone(), first.clone()).await;
        let memory = MemoryDatabase::create();
        let keys = backend.store.keys().await.unwrap();
        memory.notice_keys_within(keys.value.noticed_within);
        let memory = World::founded(memory, admin, first).await;
        let other = crate::suite::clerk::NewOrganization {
            organization: organization("other"),
            creator: Some(memory.admin.clone()),
        };
        let mut twins = Self {
            backend,
            memory,
            teams: Vec::new(),
            kid: "first".to_owned(),
            keys: 0,
            tokens: Vec::new(),
            other,
        };
        let generation = twins.generation().await;
        same!(twins, world => told(world.store.create_organization(twins.other.clone(), generation).await));
        twins.team("web").await;
        twins
    }

    async fn generation(&self) -> Generation {
        same!(self, world => world.generation().await)
    }

    async fn team(&mut self, name: &str) {
        let team = jeton_core::directory::Team {
            id: TeamId::random(entropy()),
            name: name.parse().unwrap(),
            organization: self.memory.organization,
            created_at: at(0),
        };
        let generation = self.generation().await;
        self.teams.push(team.id.clone());
        same!(self, world => told(world.store.create_team(NewTeam { team: team.clone() }, generation).await));
    }

    fn owner(&self, owner: usize) -> Owner {
        let (user, organization) = (self.memory.admin.clone(), self.memory.organization);
        match owner {
            0 => Owner::Organization(organization),
            1 => self.memory.owner_user(&user),
            2 => Owner::User {
                user,
                organization: None,
            },
            3 => Owner::Team {
                team: self.teams[0].clone(),
                organization,
            },
            4 => Owner::Organization(self.other.organization.id),
            _ => Owner::Deployment,
        }
    }

    fn filter(&self, ask: &Ask, now: i64) -> Filter {
        Filter {
            organization: ask.organization.then_some(self.memory.organization),
            or_everywhere_of: ask.organization.then(|| self.memory.admin.clone()),
            text: (!ask.text.is_empty()).then(|| ask.text.clone()),
            status: ask.status.map(|wanted| StatusAt { wanted, at: at(now) }),
            ..Filter::of(match ask.own {
                true => Visibility::Own {
                    user: Some(self.memory.admin.clone()),
                    teams: self.teams.clone(),
                },
                false => Visibility::Everything,
            })
        }
    }

    async fn follow(mut self, steps: Vec<Step>) {
        for (now, step) in (1..).zip(steps) {
            match step {
                Step::Reopen => {
                    self.backend = self.backend.reopen();
                    self.memory = self.memory.reopen();
                }
                step => self.take(step, now).await,
            }
            self.compare().await;
            if now % COUNTED_EACH == 0 {
                self.compare_statistics(2).await;
            }
        }
        self.compare_all(100).await;
        self.compare_statistics(YEARS).await;
    }

    async fn issue(&mut self, token: NewToken, most: Option<u32>, unique: bool, rotation: Option<Rotation>) {
        let order = RecordOrder {
            versions: self.generation().await,
            limits: most
                .map(|most| crate::rules::tokens::Limit {
                    organization: token.owner.organization().unwrap_or(self.memory.organization),
                    most,
                })
                .into_iter()
                .collect(),
            unique_name: unique,
            rotation,
            token,
        };
        let outcome = same!(self, world => recorded(reserve_and_record(&world.store, order.clone()).await));
        if let Ok(record) = outcome {
            self.tokens.push((record.id, record.token));
        }
    }

    async fn take(&mut self, step: Step, now: i64) {
        let generation = self.generation().await;
        let at_number = |number: usize| self.tokens.get(number).cloned();
        match step {
            Step::Issue {
                owner,
                name,
                life,
                slot,
                session,
                most,
                unique,
            } => {
                let token = NewToken {
                    name,
                    kind: if session {
                        TokenKind::Session
                    } else {
                        TokenKind::Api
                    },
                    expires_at: life.map(|life| at(now + life)),
                    slot: slot.map(|slot| slot.parse().unwrap()),
                    kid: self.kid.as_str().into(),
                    ..token(self.owner(owner), now)
                };
                self.issue(token, most, unique, None).await;
            }
            Step::Rotate { token, grace, most } => {
                let Some((id, former)) = at_number(token) else {
                    return;
                };
                let successor = NewToken {
                    jti: entropy().uuid_v7(at(now)),
                    created_at: at(now),
                    kid: self.kid.as_str().into(),
                    ..former
                };
                let rotation = Rotation {
                    token: id,
                    revocation: revocation(now, grace),
                };
                self.issue(successor, most, false, Some(rotation)).await;
            }
            Step::Revoke { token, grace, may_go } => {
                let id = at_number(token).map_or(TokenId(9_999), |(id, _)| id);
                let last_token = if may_go {
                    LastToken::MayGo
                } else {
                    LastToken::Stays
                };
                let order = RevokeOrder {
                    token: id,
                    revocation: revocation(now, grace),
                    last_token,
                };
                let outcome = same!(self, world => told(world.store.revoke(order.clone()).await));
                assert!(id != TokenId(9_999) || outcome == Some(RevokeOutcome::Unknown));
            }
            Step::Describe(token, name) => {
                let id = at_number(token).map_or(TokenId(9_999), |(id, _)| id);
                let description = Description {
                    description: (name.len() > 1).then(|| Some(name.clone())),
                    name: Some(name),
                };
                same!(self, world => {
                    let described = world.store.describe(id, description.clone(), generation).await.unwrap();
                    match described {
                        super::clerk::Attempt::Done(record) => Some(record.map(plain)),
                        super::clerk::Attempt::Stale => None,
                    }
                });
            }
            Step::CutOff { reach, ago, ahead } => {
                let (organization, user) = (self.memory.organization, self.memory.admin.clone());
                let reach = match reach {
                    0 => Reach {
                        organization: Some(organization),
                        ..Reach::default()
                    },
                    1 => Reach {
                        user: Some(user),
                        organization: Some(organization),
                        ..Reach::default()
                    },
                    2 => Reach {
                        user: Some(user),
                        kind: Some(TokenKind::Session),
                        ..Reach::default()
                    },
                    3 => Reach {
                        team: self.teams.first().cloned(),
                        ..Reach::default()
                    },
                    4 => Reach {
                        kid: Some("first".to_owned()),
                        ..Reach::default()
                    },
                    5 => Reach {
                        organization: Some(organization),
                        project: Some(1),
                        ..Reach::default()
                    },
                    _ => Reach {
                        organization: Some(self.other.organization.id),
                        ..Reach::default()
                    },
                };
                let cut_off = CutOff {
                    reach,
                    issued_through: at(now - ago).seconds(),
                    effective_at: at(now + ahead),
                };
                same!(self, world => {
                    told(world.store.cut_off(cut_off.clone(), actor("operator"), None, at(now)).await)
                });
            }
            Step::Person(who, what) => {
                let name = PEOPLE[who];
                let known = self.memory.store.person(email(name).into()).await.unwrap();
                let Some(known) = known else {
                    let new = person(name);
                    same!(self, world => told(world.store.create_person(new.clone(), generation).await));
                    return;
                };
                let id = known.value.id;
                if what == 0 {
                    let order = removal(now);
                    same!(self, world => {
                        told(world.store.remove_person(id.clone(), order.clone(), generation).await)
                    });
                    return;
                }
                let changes = PersonChanges {
                    first_name: (what == 1).then(|| Some("Augusta".to_owned())),
                    last_name: None,
                    username: None,
                    site_admin: (what == 2).then_some(!known.value.site_admin),
                    disabled: (what == 3).then_some(known.value.disabled_at.is_none()),
                    password_hash: (what == 4).then(|| format!("hash {now}")),
                    change: removal(now),
                };
                same!(self, world => {
                    told(world.store.change_person(id.clone(), changes.clone(), generation).await)
                });
            }
            Step::Member(who, role) => {
                let who = email(PEOPLE[who]);
                same!(self, world => match role {
                    Some(role) => {
                        let (id, role) = (world.organization, ROLES[role]);
                        told(world.store.put_member(id, who.clone(), role, generation).await)
                    }
                    None => {
                        let (id, order) = (world.organization, removal(now));
                        told(world.store.remove_member(id, who.clone(), order, generation).await)
                    }
                });
            }
            Step::TeamMember(who, role) => {
                let (who, team) = (email(PEOPLE[who]), self.teams.last().unwrap());
                same!(self, world => match role {
                    Some(role) => {
                        let put = world.store.put_team_member(team.clone(), who.clone(), ROLES[role], generation);
                        told(put.await)
                    }
                    None => {
                        told(world.store.remove_team_member(team.clone(), who.clone(), generation).await)
                    }
                });
            }
            Step::Offer { who, role, team } => {
                let (who, team) = (email(PEOPLE[who]), self.teams.last().filter(|_| team));
                same!(self, world => {
                    let to = (world.organization, team.cloned());
                    told(world.store.offer(to, who.clone(), ROLES[role], generation).await)
                });
            }
            Step::Answer(who, accepts) => {
                let who = email(PEOPLE[who]);
                let known = self.memory.store.person(who.clone().into()).await.unwrap();
                same!(self, world => match &known {
                    Some(known) if accepts => {
                        let user = known.value.id.clone();
                        told(world.store.accept(world.organization, user, generation).await)
                    }
                    _ => told(world.store.decline(world.organization, who.clone(), generation).await),
                });
            }
            Step::Team(0) => self.team("ops").await,
            Step::Team(1) => {
                let (team, order) = (self.teams.last().unwrap().clone(), removal(now));
                same!(self, world => {
                    told(world.store.remove_team(team.clone(), order.clone(), generation).await)
                });
            }
            Step::Team(_) => {
                let team = self.teams.first().unwrap();
                same!(self, world => {
                    let name = if now % 2 == 0 { "Web" } else { "OPS" }.parse().unwrap();
                    told(world.store.rename_team(team.clone(), name, generation).await)
                });
            }
            Step::Project(Some(number)) => {
                same!(self, world => {
                    told(world.store.remove_project(world.organization, number, generation).await)
                });
            }
            Step::Project(None) => {
                same!(self, world => {
                    let name = format!("p{}", now % 3).parse().unwrap();
                    told(world.store.create_project(world.organization, name, at(now), generation).await)
                });
            }
            Step::Policy { keeps, most } => {
                let policy = Policy {
                    keep_last_token: keeps,
                    max_active_tokens_per_owner: most,
                    ..Policy::default()
                };
                same!(self, world => {
                    let policy = policy.clone();
                    let change = move |organization: &mut jeton_core::directory::Organization| {
                        organization.policy = policy;
                    };
                    told(world.store.change_organization(world.organization, change, None, generation).await)
                });
            }
            Step::RemoveOther => {
                let (id, order) = (self.other.organization.id, removal(now));
                same!(self, world => {
                    told(world.store.remove_organization(id, order.clone(), generation).await)
                });
            }
            Step::RevokeMany {
                filter,
                ahead,
                may_go,
                breaking,
            } => {
                let mut filter = self.filter(&filter, now);
                if breaking {
                    filter.organization = Some(self.memory.organization);
                    filter.breaks = Some(Box::new(Breach {
                        policy: Policy {
                            max_lifetime: Some(30),
                            max_active_tokens_per_owner: Some(2),
                            ..Policy::default()
                        },
                        at: at(now),
                    }));
                }
                let order = BulkOrder {
                    filter,
                    matched: 0,
                    ordered_at: at(now),
                    ordered_by: actor("operator"),
                    reason: None,
                    effective_at: ahead.map(|ahead| at(now + ahead)),
                    last_token: if may_go {
                        LastToken::MayGo
                    } else {
                        LastToken::Stays
                    },
                    // Here these are the successors by rotation.
                    descendants: (may_go && !breaking).then_some(Remit::Everything),
                };
                same!(self, world => told(world.store.revoke_many(order.clone(), generation).await));
            }
            Step::CarryOn(id) => {
                same!(self, world => told(world.store.continue_bulk_revocation(BulkId(id), at(now)).await));
            }
            Step::Key(0) => {
                self.keys += 1;
                let key = new_key(&format!("key {}", self.keys));
                same!(self, world => told(world.store.publish_key(key.clone(), at(now)).await));
            }
            Step::Key(1) => {
                let kid = format!("key {}", self.keys);
                let signs = same!(self, world => {
                    told(world.store.advance_key(&kid, KeyStep::Sign, at(now)).await)
                });
                if signs == Some(true) {
                    self.kid = kid;
                }
            }
            Step::Key(2) => {
                same!(self, world => told(world.store.promise_jwks(now as u32 % 3, at(now)).await)).unwrap()
            }
            Step::Key(_) => {
                self.keys += 1;
                let kid = self.kid.clone();
                let successor = (now % 2 == 0).then(|| new_key(&format!("key {}", self.keys)));
                let outcome = same!(self, world => {
                    told(world.store.withdraw_key(&kid, successor.clone(), at(now)).await)
                });
                if outcome == Some(Ok(())) {
                    self.kid = format!("key {}", self.keys);
                }
            }
            Step::Use(token, how) => {
                let Some((id, token)) = at_number(token) else {
                    return;
                };
                same!(self, world => match how {
                    0 => {
                        let used = Use { token: id, at: at(now - 3), from: None };
                        told(world.store.note_use(vec![used]).await).map(|()| None)
                    }
                    1 => {
                        let refused = Refusals { count: 2, last_at: at(now) };
                        told(world.store.note_refusals(vec![(id, refused)]).await).map(|()| None)
                    }
                    _ => {
                        let uses = [token.jti, Uuid::from_u128(7)];
                        let uses = uses.map(|jti| ReportedUse { jti, at: at(now - 5) }).to_vec();
                        let audiences = token.audience.clone();
                        let report = UseReport { uses, audiences };
                        told(world.store.report_use(report, at(now)).await).map(Some)
                    }
                });
            }
            Step::Purge(ago) => {
                let ended_by = at(now - ago);
                let purged = same!(self, world => told(world.store.purge(None, ended_by, at(now)).await));
                assert!(purged.is_some());
            }
            Step::List(ask, sort, direction, limit, offset) => {
                let filter = self.filter(&ask, now);
                match offset {
                    Some(offset) => {
                        self.page(&filter, sort, Start::Offset(offset), direction, limit)
                            .await;
                    }
                    None => self.read_all(&filter, sort, direction, limit).await,
                }
            }
            Step::Reopen => {}
        }
    }

    async fn page(
        &self,
        filter: &Filter,
        sort: Sort,
        start: Start,
        direction: Direction,
        limit: u32,
    ) -> jeton_core::token::Listing {
        same!(self, world => {
            let page = Page { sort, start: start.clone(), direction, limit, count: CountTotal::Yes };
            let mut listing = world.store.tokens(filter.clone(), page).await.unwrap();
            listing.items = listing.items.into_iter().map(plain).collect();
            listing
        })
    }

    async fn read_all(&self, filter: &Filter, sort: Sort, direction: Direction, limit: u32) {
        let mut cursor: Option<Cursor> = None;
        loop {
            let listing = self.page(filter, sort, cursor.into(), direction, limit).await;
            let (goes_on, edges) = match direction {
                Direction::Next => (listing.has_next, listing.edges.map(|(_, last)| last)),
                Direction::Previous => (listing.has_previous, listing.edges.map(|(first, _)| first)),
            };
            if !goes_on {
                return;
            }
            cursor = edges;
        }
    }

    /// Compares the feed, the snapshot and the notifications of observers.
    async fn compare(&self) {
        same!(self, world => {
            let mut changes = world.changes().await;
            changes.realms.sort_by_key(|(realm, generation)| (*generation, format!("{realm:?}")));
            (changes.edit, changes.realms, plain_changes(changes.events), changes.reached.sequence)
        });
        same!(self, world => {
            let snapshot = world.store.snapshot().await.unwrap();
            let revoked = snapshot.revoked.into_iter().map(|(list_index, effective_at)| (list_index.list, effective_at));
            let mut revoked: Vec<_> = revoked.collect();
            revoked.sort_unstable();
            (snapshot.edit, snapshot.keys, snapshot.position.sequence, snapshot.lists, revoked, snapshot.cut_offs)
        });
        same!(self, world => plain_changes(world.seen.all()));
    }

    /// Compares what is counted for each organization, from the day before the first to one after it.
    async fn compare_statistics(&self, days: i64) {
        for store in [&self.backend.store, &self.memory.store] {
            super::statistics::count_all(store).await;
        }
        let from = Day::of(at(0)).plus_days(-1);
        let through = from.plus_days(days);
        let other = self.other.organization.id;
        for organization in [None, Some(self.memory.organization), Some(other)] {
            same!(self, world => world.store.statistics(organization, from, through).await.unwrap());
        }
    }

    /// Compares everything else that can be read.
    async fn compare_all(&self, now: i64) {
        const ALL: Slice = Slice {
            after: None,
            limit: 100,
        };
        let everything = Filter::of(Visibility::Everything);
        self.read_all(&everything, Sort::default(), Direction::Next, 100)
            .await;
        let of_organization = Filter {
            organization: Some(self.memory.organization),
            ..everything.clone()
        };
        for filter in [everything, of_organization] {
            let at = SummaryInstants {
                now: at(now),
                expires_before: at(now + 100_000_000),
                unused_since: at(now - 70),
            };
            same!(self, world => world.store.summary(filter.clone(), at).await.unwrap());
        }
        for (id, token) in &self.tokens {
            same!(self, world => {
                let presented = world.store.presented(token.jti).await.unwrap();
                presented.map(|presented| crate::Presented { record: plain(presented.record.clone()), ..presented })
            });
            same!(self, world => world.store.is_standing(*id, at(now)).await.unwrap());
            same!(self, world => world.store.token(TokenReference::Id(*id)).await.unwrap().map(plain));
            if let Some(slot) = &token.slot {
                same!(self, world => {
                    let held = world.store.token_in_slot(token.owner.clone(), slot.clone());
                    held.await.unwrap().map(plain)
                });
            }
        }
        same!(self, world => world.store.organizations(OrganizationsOf::Everybody, ALL).await.unwrap());
        same!(self, world => world.store.people(ALL).await.unwrap());
        same!(self, world => {
            let of = OrganizationsOf::Only(world.organization);
            world.store.find_people("A".to_owned(), of, ALL).await.unwrap()
        });
        same!(self, world => world.store.members(world.organization, ALL).await.unwrap());
        same!(self, world => {
            let everything = crate::Search { limit: 100, ..crate::Search::default() };
            world.store.find_members(world.organization, None, everything).await.unwrap()
        });
        for name in PEOPLE {
            same!(self, world => world.store.invited(email(name), world.organization).await.unwrap());
            same!(self, world => world.store.invitations(email(name), ALL).await.unwrap());
        }
        same!(self, world => world.store.teams(world.organization, ALL).await.unwrap());
        same!(self, world => world.store.projects(world.organization, ALL).await.unwrap());
        same!(self, world => world.store.newest_project().await.unwrap());
        for team in &self.teams {
            same!(self, world => world.store.team_members(world.organization, team.clone(), ALL).await.unwrap());
        }
        for person in self.memory.store.people(ALL).await.unwrap() {
            same!(self, world => world.store.memberships(person.id.clone()).await.unwrap());
            same!(self, world => world.store.standing(person.id.clone(), world.organization).await.unwrap());
            same!(self, world => world.store.credentials(person.email.clone()).await.unwrap());
            same!(self, world => world.store.sessions(person.id.clone(), at(now)).await.unwrap());
        }
        same!(self, world => world.store.live_tokens(at(now)).await.unwrap());
        same!(self, world => world.store.unfinished_bulk_revocations().await.unwrap());
        let (keys, expected) = (self.backend.store.keys(), self.memory.store.keys());
        let (keys, expected) = (keys.await.unwrap(), expected.await.unwrap());
        assert_eq!(keys.generation, expected.generation);
        assert_eq!(keys.value.promise, expected.value.promise);
        for (said, expected) in keys.value.rows.into_iter().zip(expected.value.rows) {
            // The instant may be up to a minute too late.
            let most = expected.needed_until.plus_seconds(60);
            assert!((expected.needed_until..=most).contains(&said.needed_until));
            assert_eq!(
                crate::KeyRow {
                    needed_until: expected.needed_until,
                    ..said
                },
                expected
            );
        }
        for (cut_off, _) in self.memory.store.snapshot().await.unwrap().cut_offs {
            same!(self, world => {
                let covered = world.store.covered(cut_off, TokenId(0), at(now)).await.unwrap();
                covered.list_indexes.iter().map(|list_index| list_index.list).collect::<Vec<_>>()
            });
        }
    }
}
