//! The audit: each change has exactly one line, and lines stay in order, whatever happens to their records.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use crate::rules::audit::{ACTIONS, Attempted, CLOCK_ACCEPTED, Failures, RESTORED};
use crate::{
    AuditEntry, AuditFilter, AuditHead, AuditListing, AuditOrder, AuditPage, AuditPosition, AuditSince,
    AuditSource, BEFORE_FIRST_LINE, BulkAdvance, BulkId, BulkOrder, BulkProgress, BulkRevocation, Cause,
    Checkpoint, Deleted, Described, Description, Edit, Effect, Existing, JwksPromise, KeyRow, KeyState,
    LastToken, NewRecord, Order, Origin, OwnerCount, PrunedLines, Purge, SharedStore, Surface,
};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Consent, OrganizationId, Project, Role, Team, TeamId};
use jeton_core::network::Network;
use jeton_core::token::{Actor, CutOff, Filter, Owner, Reach, Refusals, TokenId, TokenKind, Use, Visibility};

use super::retention::{ending, round};
use super::world::{World, actor, at, email, entropy, new_key, organization, person, revocation, token};

/// Seals everything.
async fn seal(store: &SharedStore) -> AuditHead {
    loop {
        let sealed = store.seal().await.unwrap();
        if !sealed.has_more {
            return sealed.head;
        }
    }
}

fn page(limit: u32) -> AuditPage {
    AuditPage {
        order: AuditOrder::OldestFirst,
        after: None,
        skip: 0,
        limit,
    }
}

async fn entries(store: &SharedStore, filter: AuditFilter) -> Vec<AuditEntry> {
    let listing = store.audit_entries(filter, page(10_000)).await.unwrap();
    assert!(!listing.has_more);
    listing.entries
}

/// Returns all lines, and checks that they are one chain.
async fn chain(store: &SharedStore) -> Vec<AuditEntry> {
    let all = entries(store, AuditFilter::default()).await;
    let status = store.audit_status().await.unwrap();
    let mut head = status.pruned;
    for entry in &all {
        let line = &entry.line;
        assert_eq!(line.sequence, head.sequence + 1);
        assert_eq!(line.hash, line.record.hash(&head.hash, line.sequence));
        head = line.head();
    }
    assert_eq!(head, status.head);
    all
}

/// Returns a cause of which every part is given.
fn cause(world: &World, seconds: i64) -> Cause {
    Cause {
        at: at(seconds),
        by: Actor {
            name: "admin@example.org".to_owned(),
            user: Some(world.admin.clone()),
        },
        token: Some(TokenId(7)),
        origin: Origin {
            surface: Surface::Terraform,
            address: Some(IpAddr::from([192, 0, 2, 9])),
            request_id: Some("request-1".to_owned()),
            on_behalf_of: Some("ada@example.org".to_owned()),
        },
        reason: Some("since it is needed".to_owned()),
        idempotency: None,
    }
}

/// Returns the name of an effect, and how many lines it leaves. Without a wildcard: an effect that is not in the table
/// of the case below fails it.
fn expected(effect: &Effect) -> (&'static str, usize) {
    match effect {
        Effect::Record(_) => ("Record", 1),
        Effect::Describe(_) => ("Describe", 1),
        Effect::Revoke(..) => ("Revoke", 1),
        Effect::CutOff(_) => ("CutOff", 1),
        Effect::RevokeMany(_) => ("RevokeMany", 1),
        Effect::SetCount(..) => ("SetCount", 0),
        Effect::DeleteCounts(_) => ("DeleteCounts", 0),
        Effect::AdvanceBulk(_) => ("AdvanceBulk", 0),
        Effect::CreateOrganization(_) => ("CreateOrganization", 1),
        Effect::ChangeOrganization(_) => ("ChangeOrganization", 1),
        Effect::RemoveOrganization(_) => ("RemoveOrganization", 1),
        Effect::SetRole(..) => ("SetRole", 1),
        Effect::RemoveMember(..) => ("RemoveMember", 1),
        Effect::Invite(..) => ("Invite", 1),
        Effect::Uninvite(..) => ("Uninvite", 1),
        Effect::AcceptInvitations(..) => ("AcceptInvitations", 1),
        Effect::CreateTeam(_) => ("CreateTeam", 1),
        Effect::ChangeTeam(_) => ("ChangeTeam", 1),
        Effect::RemoveTeam(..) => ("RemoveTeam", 1),
        Effect::SetTeamRole(..) => ("SetTeamRole", 1),
        Effect::RemoveTeamMember(..) => ("RemoveTeamMember", 1),
        Effect::CreateProject(..) => ("CreateProject", 1),
        Effect::RemoveProject(..) => ("RemoveProject", 1),
        Effect::CreatePerson(_) => ("CreatePerson", 1),
        Effect::ChangePerson(..) => ("ChangePerson", 1),
        Effect::RemovePerson(_) => ("RemovePerson", 1),
        Effect::NoteUse(_) => ("NoteUse", 0),
        Effect::NoteReports(_) => ("NoteReports", 0),
        Effect::NoteRefusals(_) => ("NoteRefusals", 0),
        Effect::Purge(purge) => ("Purge", usize::from(purge.deleted.records > 0)),
        Effect::PublishKey(_) => ("PublishKey", 1),
        Effect::SetKeyState(..) => ("SetKeyState", 1),
        Effect::NeedKey(..) => ("NeedKey", 0),
        Effect::PromiseJwks(_) => ("PromiseJwks", 1),
        Effect::SettleTime(_) => ("SettleTime", 0),
        Effect::SetSetting(..) => ("SetSetting", 1),
        Effect::NoteFailures(_) => ("NoteFailures", 1),
    }
}

/// The number of kinds of effects.
const KINDS: usize = 37;

/// Promise P8, for every effect.
pub(crate) async fn every_effect_leaves_exactly_one_line(world: World) {
    let record = world.record(token(world.owner(), 0)).await;
    let id = world.organization;
    let other = organization("other");
    let ada = person("ada");
    let team = Team {
        id: TeamId::random(entropy()),
        name: "ops".parse().unwrap(),
        organization: id,
        created_at: at(0),
    };
    let new = token(world.owner(), 1);
    let list_index = world.store.reserve(&new).await.unwrap();
    let bulk = BulkOrder {
        filter: everything(),
        matched: 1,
        ordered_at: at(1),
        ordered_by: actor("admin@example.org"),
        reason: Some("leaked".to_owned()),
        effective_at: None,
        last_token: LastToken::MayGo,
        descendants: None,
    };
    let renamed = |name: &str| {
        let mut renamed = other.clone();
        renamed.name = name.parse().unwrap();
        renamed.notification_url = Some("https://hooks.example.org/SECRET-of-the-hook".to_owned());
        renamed
    };
    let mut promoted = ada.person.clone();
    promoted.first_name = Some("Ada".to_owned());
    let purge = |records| Purge {
        ended_by: at(0),
        records: Vec::new(),
        events_through: None,
        cut_offs: Vec::new(),
        lists: Vec::new(),
        idempotency_keys_through: None,
        ends_scan: true,
        deleted: Deleted { records, events: 0 },
    };
    let owner = world.owner();
    let count = OwnerCount {
        version: 1,
        active: Some(1),
        as_of: at(1),
        counted_at: at(1),
        sequence: 0,
        first_end: at(99),
    };
    let promise = |max_age| JwksPromise {
        max_age,
        ..JwksPromise::default()
    };
    let key = KeyRow {
        key: new_key("second"),
        state: KeyState::Published,
        created_at: at(1),
        changed_at: at(1),
        signs_from: at(1),
        needed_until: Timestamp::EPOCH,
    };
    let user = ada.person.id.clone();
    let effects = vec![
        Effect::Record(Box::new(NewRecord {
            token: new,
            list_index,
            rotated_from: None,
            is_counted: false,
        })),
        Effect::Describe(Box::new(Described {
            token: record.id,
            organization: Some(id),
            before: Description {
                name: Some("deploy".to_owned()),
                description: Some(None),
            },
            after: Description {
                name: Some("deployment".to_owned()),
                description: None,
            },
        })),
        Effect::Revoke(record.id, at(5), Some("leaked".to_owned())),
        Effect::CutOff(CutOff {
            reach: Reach {
                organization: Some(id),
                kind: Some(TokenKind::Session),
                ..Reach::default()
            },
            issued_through: at(0).seconds(),
            effective_at: at(1),
        }),
        Effect::RevokeMany(Box::new(bulk.clone())),
        Effect::SetCount(owner, count),
        Effect::DeleteCounts(id),
        Effect::AdvanceBulk(Box::new(BulkAdvance {
            bulk: BulkRevocation {
                id: BulkId(1),
                order: bulk,
                revoked: 0,
                left: 0,
                progress: BulkProgress::default(),
                finished_at: Some(at(2)),
            },
            parents: Vec::new(),
            expanded: Vec::new(),
            forgotten: Vec::new(),
        })),
        Effect::CreatePerson(ada.clone()),
        Effect::ChangePerson(
            Box::new(Edit {
                before: ada.person.clone(),
                after: promoted,
            }),
            Some("SECRET-hash".to_owned()),
        ),
        Effect::CreateOrganization(other.clone()),
        Effect::ChangeOrganization(Box::new(Edit {
            before: other.clone(),
            after: renamed("another"),
        })),
        Effect::SetRole(id, user.clone(), Role::Member, Existing::Replaced, None),
        Effect::CreateTeam(team.clone()),
        Effect::ChangeTeam(Box::new(Edit {
            before: team.clone(),
            after: Team {
                name: "operations".parse().unwrap(),
                ..team.clone()
            },
        })),
        Effect::SetTeamRole(id, team.id.clone(), user.clone(), Role::Viewer, Existing::Stays),
        Effect::RemoveTeamMember(id, team.id.clone(), user.clone(), Role::Viewer),
        Effect::Invite(
            id,
            None,
            email("grace"),
            Role::Viewer,
            Consent::Required,
            Existing::Replaced,
        ),
        Effect::Uninvite(id, None, email("grace")),
        Effect::AcceptInvitations(id, user.clone()),
        Effect::RemoveTeam(team.clone()),
        Effect::RemoveMember(id, user.clone(), Role::Member),
        Effect::CreateProject(id, "website".parse().unwrap()),
        Effect::RemoveProject(Project {
            id: 1,
            name: "website".parse().unwrap(),
            organization: id,
            created_at: at(1),
        }),
        Effect::RemovePerson(Box::new(ada.person.clone())),
        Effect::RemoveOrganization(Box::new(renamed("another"))),
        Effect::NoteUse(vec![Use {
            token: record.id,
            at: at(1),
            from: None,
        }]),
        Effect::NoteReports(vec!["https://api.example.org".to_owned()]),
        Effect::NoteRefusals(vec![(
            record.id,
            Refusals {
                count: 1,
                last_at: at(1),
            },
        )]),
        Effect::Purge(Box::new(purge(0))),
        Effect::Purge(Box::new(purge(3))),
        Effect::PublishKey(Box::new(key)),
        Effect::SetKeyState(
            "second".to_owned(),
            Edit {
                before: KeyState::Published,
                after: KeyState::Retired,
            },
        ),
        Effect::NeedKey("first".to_owned(), at(60)),
        Effect::PromiseJwks(Edit {
            before: promise(0),
            after: promise(60),
        }),
        Effect::SettleTime(at(1)),
        Effect::SetSetting(
            "tokens.prefix".to_owned(),
            Edit {
                before: None,
                after: Some("\"acme_\"".to_owned()),
            },
        ),
        Effect::NoteFailures(Box::new(Failures {
            attempt: Attempted::Login,
            count: 12,
            network: Some(Network::of(IpAddr::from([192, 0, 2, 1]))),
            who: Some("ada@example.org".to_owned()),
            organization: None,
            operations: BTreeMap::new(),
        })),
    ];
    let mut seen = BTreeSet::new();
    for effect in effects {
        let (kind, lines) = expected(&effect);
        let what = format!("{effect:?}");
        seen.insert(kind);
        let before = seal(&world.store).await;
        let order = Order::new(cause(&world, 1)).effect(effect);
        world.store.commit(order).await.unwrap().unwrap();
        let after = seal(&world.store).await;
        assert_eq!(after.sequence - before.sequence, lines as u64, "{what}");
        let AuditSince::Entries { entries: new, .. } =
            world.store.audit_after(None, before.into(), 10).await.unwrap()
        else {
            panic!("{what}: nothing is pruned");
        };
        assert_eq!(new.len(), lines, "{what}");
        for entry in new {
            let record = &entry.line.record;
            assert_eq!(record.actor.name, "admin@example.org", "{what}");
            let detail = entry.detail.unwrap();
            assert_eq!(detail.surface, Some(Surface::Terraform), "{what}");
            assert_eq!(detail.address, Some(IpAddr::from([192, 0, 2, 9])), "{what}");
            assert_eq!(detail.request_id.as_deref(), Some("request-1"), "{what}");
            assert_eq!(detail.on_behalf_of.as_deref(), Some("ada@example.org"), "{what}");
            assert!(ACTIONS.contains(&record.action.as_ref()), "{}", record.action);
            assert!(!format!("{detail:?}").contains("SECRET"), "{detail:?}");
            if record.source == AuditSource::Action {
                assert_eq!(record.actor.user, Some(world.admin.clone()), "{what}");
                assert_eq!(record.actor_token, Some(TokenId(7)), "{what}");
                for values in [&detail.before, &detail.after].into_iter().flatten() {
                    let values: serde_json::Value = serde_json::from_str(values).unwrap();
                    assert!(values.is_object(), "{what}");
                }
            }
        }
    }
    assert_eq!(seen.len(), KINDS, "an effect is not in the table");
    let all = chain(&world.store).await;
    let named: BTreeSet<&str> = all
        .iter()
        .map(|entry| entry.line.record.action.as_ref())
        .collect();
    let unnamed: Vec<_> = ACTIONS
        .iter()
        .filter(|action| !named.contains(**action))
        .collect();
    // What needs a predecessor, a session, a command, or another attempt.
    let elsewhere = [
        "token.rotate",
        "session.create",
        "session.revoke",
        RESTORED,
        CLOCK_ACCEPTED,
        "audit.prune",
        "request.refused",
    ];
    assert!(
        unnamed.iter().all(|action| elsewhere.contains(*action)),
        "{unnamed:?}"
    );
    let told = |action: &str| {
        let found = all.iter().find(|entry| entry.line.record.action == action);
        found.and_then(|entry| entry.detail.clone()).unwrap()
    };
    assert_eq!(told("project.create").target.as_deref(), Some("1"));
    assert_eq!(told("token.revoke_many").target.as_deref(), Some("1"));
    assert_eq!(told("token.revoke_many").reason.as_deref(), Some("leaked"));
    for deleted in all.iter().filter(|entry| {
        let action = &*entry.line.record.action;
        action.ends_with(".delete") && action != "invitation.delete" || action.ends_with(".remove")
    }) {
        let (record, detail) = (&deleted.line.record, deleted.detail.as_ref().unwrap());
        assert!(detail.before.is_some(), "{record:?} does not tell what it was");
    }
    assert_eq!(told("team.delete").before.as_deref(), Some(r#"{"name":"ops"}"#));
    assert_eq!(
        told("project.delete").before.as_deref(),
        Some(r#"{"name":"website"}"#)
    );
    let left = told("team_member.remove").before.unwrap();
    assert!(left.contains(r#""role":"viewer""#), "{left}");
    let organization = told("organization.delete").before.unwrap();
    assert!(organization.contains(r#""name":"another""#), "{organization}");
    let removed = told("user.delete").before.unwrap();
    assert!(removed.contains(r#""email":"ada@example.org""#), "{removed}");
    let updated = told("token.update");
    assert_eq!(updated.before.as_deref(), Some(r#"{"name":"deploy"}"#));
    assert_eq!(updated.after.as_deref(), Some(r#"{"name":"deployment"}"#));
    assert_eq!(
        told("organization.update").after.as_deref(),
        Some(r#"{"name":"another","notification_url":"changed"}"#)
    );
    assert_eq!(
        told("user.update").after.as_deref(),
        Some(r#"{"first_name":"Ada","password":"changed"}"#)
    );
    assert_eq!(
        told("login.failed").after.as_deref(),
        Some(r#"{"count":12,"network":"192.0.2.1"}"#)
    );
    assert_eq!(
        told("key.update").before.as_deref(),
        Some(r#"{"state":"published"}"#)
    );
    assert_eq!(
        told("key.update").after.as_deref(),
        Some(r#"{"state":"retired"}"#)
    );
}

/// An organization's lines name everyone who becomes a member or stops being one with an account.
pub(crate) async fn members_who_come_and_go_with_their_account_have_lines(world: World) {
    let store = &world.store;
    let other = world.organization("other").await;
    let new = person("grace");
    let user = new.person.id.clone();
    let removed = new.person.clone();
    let mut order = Order::new(cause(&world, 1));
    for (organization, role, consent) in [
        (world.organization, Role::Viewer, Consent::Waived),
        (other, Role::Member, Consent::Required),
    ] {
        let existing = Existing::Replaced;
        let email = email("grace");
        order = order.effect(Effect::Invite(organization, None, email, role, consent, existing));
    }
    store.commit(order).await.unwrap().unwrap();
    let before = seal(store).await;
    let lines = async |after: AuditHead| {
        seal(store).await;
        let all = chain(store).await;
        let new = all.iter().filter(|entry| entry.line.sequence > after.sequence);
        let mut new: Vec<_> = new
            .map(|entry| {
                let record = &entry.line.record;
                let detail = entry.detail.clone().unwrap();
                let values = detail
                    .before
                    .or(detail.after)
                    .filter(|_| record.organization.is_some());
                (
                    record.action.to_string(),
                    record.organization.map(|organization| organization.to_string()),
                    detail.target.unwrap(),
                    values,
                )
            })
            .collect();
        new.sort();
        new
    };
    let id = user.to_string();
    let account = |action: &str| (action.to_owned(), None, id.clone(), None);
    let member = |action: &str, organization: OrganizationId, role: &str| {
        let role = format!(r#"{{"role":"{role}"}}"#);
        (
            action.to_owned(),
            Some(organization.to_string()),
            id.clone(),
            Some(role),
        )
    };
    let order = Order::new(cause(&world, 2)).effect(Effect::CreatePerson(new));
    store.commit(order).await.unwrap().unwrap();
    assert_eq!(
        lines(before).await,
        [
            member("invitation.accept", world.organization, "viewer"),
            account("user.create")
        ]
    );
    let join = Effect::SetRole(other, user.clone(), Role::Member, Existing::Replaced, None);
    store
        .commit(Order::new(cause(&world, 3)).effect(join))
        .await
        .unwrap()
        .unwrap();
    let before = seal(store).await;
    let order = Order::new(cause(&world, 4)).effect(Effect::RemovePerson(Box::new(removed)));
    store.commit(order).await.unwrap().unwrap();
    let mut removed = vec![
        member("member.remove", world.organization, "viewer"),
        member("member.remove", other, "member"),
        account("user.delete"),
    ];
    removed.sort();
    assert_eq!(lines(before).await, removed);
}

fn everything() -> Filter {
    Filter::of(Visibility::Everything)
}

/// An order that is refused, or that fails, is not on record.
pub(crate) async fn what_did_not_happen_has_no_line(world: World) {
    let before = seal(&world.store).await;
    let invited = |guarded: bool| {
        let effect = Effect::Invite(
            world.organization,
            None,
            email("grace"),
            Role::Viewer,
            Consent::Required,
            Existing::Replaced,
        );
        let order = Order::new(cause(&world, 1)).effect(effect);
        match guarded {
            true => order.guard(crate::Guard::NoSiteAdministrator),
            false => order,
        }
    };
    world.store.commit(invited(true)).await.unwrap().unwrap_err();
    // Its second effect fails.
    let missing = Effect::Revoke(TokenId(999), at(2), None);
    world
        .store
        .commit(invited(false).effect(missing))
        .await
        .unwrap_err();
    assert_eq!(seal(&world.store).await, before);
    world.store.commit(invited(false)).await.unwrap().unwrap();
    assert_eq!(seal(&world.store).await.sequence, before.sequence + 1);
}

/// Lines are in the order of their instants, and one of each record, however many there are at once.
pub(crate) async fn a_backlog_is_sealed_in_order(world: World) {
    let mut tokens = Vec::new();
    for number in 0..700 {
        let record = world.record(token(world.owner(), number)).await;
        if number % 3 == 0 {
            world.revoke(record.id, revocation(number + 1, 0)).await;
        }
        tokens.push(record.id);
    }
    let status = world.store.audit_status().await.unwrap();
    assert_eq!(status.unsealed_since, Some(at(0)));
    let [one, other] = world.processes();
    // Two processes that seal at once write one chain.
    let (first, second) = tokio::join!(seal(&one), seal(&other));
    assert!(first.sequence.max(second.sequence) >= 700);
    drop((one, other));
    seal(&world.store).await;
    let all = chain(&world.store).await;
    let instants: Vec<_> = all.iter().map(|entry| entry.line.record.at).collect();
    assert!(instants.is_sorted());
    let of = |action: &str| {
        let lines = all.iter().filter(|entry| entry.line.record.action == action);
        lines
            .map(|entry| entry.line.record.token.unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("token.issue"), tokens);
    assert_eq!(of("token.revoke").len(), 234);
    let status = world.store.audit_status().await.unwrap();
    assert_eq!(status.unsealed_since, None);
    let sealed = world.store.seal().await.unwrap();
    assert_eq!(
        (sealed.lines, sealed.has_more, sealed.head),
        (0, false, status.head)
    );
}

/// Filters, both orders, and pages joined.
pub(crate) async fn lines_are_found_by_what_they_concern(world: World) {
    let other = world.organization("other").await;
    let mine = world.record(token(world.owner(), 10)).await;
    let theirs = world.record(token(Owner::Organization(other), 20)).await;
    world.revoke(theirs.id, revocation(30, 0)).await;
    seal(&world.store).await;
    let all = chain(&world.store).await;
    let store = &world.store;
    let found = async |filter: AuditFilter| {
        let found = entries(store, filter.clone()).await;
        assert_eq!(store.audit_count(filter).await.unwrap(), found.len() as u64);
        found.iter().map(|entry| entry.line.sequence).collect::<Vec<_>>()
    };
    let matching = |matches: &dyn Fn(&AuditEntry) -> bool| {
        let matching = all.iter().filter(|entry| matches(entry));
        matching.map(|entry| entry.line.sequence).collect::<Vec<_>>()
    };
    let none = AuditFilter::default;
    let wanted = AuditFilter {
        organization: Some(other),
        ..none()
    };
    let expected = matching(&|entry| entry.line.record.organization == Some(other));
    assert_eq!(expected.len(), 4, "created, its admin, a token, its revocation");
    assert_eq!(found(wanted).await, expected);
    for (wanted, count) in [
        (
            AuditFilter {
                token: Some(theirs.id),
                ..none()
            },
            2,
        ),
        (
            AuditFilter {
                token: Some(mine.id),
                ..none()
            },
            1,
        ),
        (
            AuditFilter {
                action: Some("token.issue".to_owned()),
                ..none()
            },
            2,
        ),
        (
            AuditFilter {
                action: Some("token".to_owned()),
                ..none()
            },
            0,
        ),
        (
            AuditFilter {
                actor: Some("admin@example.org".to_owned()),
                ..none()
            },
            3,
        ),
        (
            AuditFilter {
                after: Some(at(20)),
                ..none()
            },
            2,
        ),
        (
            AuditFilter {
                after: Some(at(20)),
                before: Some(at(30)),
                ..none()
            },
            1,
        ),
        (
            AuditFilter {
                text: Some("LEAKED".to_owned()),
                ..none()
            },
            1,
        ),
        (
            AuditFilter {
                text: Some("deploy".to_owned()),
                ..none()
            },
            2,
        ),
        (
            AuditFilter {
                text: Some("key.publish".to_owned()),
                ..none()
            },
            1,
        ),
        (
            AuditFilter {
                text: Some("first".to_owned()),
                ..none()
            },
            1,
        ),
        (
            AuditFilter {
                text: Some("%".to_owned()),
                ..none()
            },
            0,
        ),
    ] {
        let found = found(wanted.clone()).await;
        assert_eq!(found.len(), count, "{wanted:?}");
    }
    let by_id = AuditFilter {
        actor: Some(world.admin.to_string()),
        ..none()
    };
    assert_eq!(found(by_id).await, Vec::<u64>::new(), "no actor has given an id");
    for order in [AuditOrder::NewestFirst, AuditOrder::OldestFirst] {
        let mut joined = Vec::new();
        let mut after = None;
        loop {
            let page = AuditPage {
                order,
                after,
                skip: 0,
                limit: 3,
            };
            let AuditListing { entries, has_more } = store.audit_entries(none(), page).await.unwrap();
            after = entries.last().map(|entry| entry.line.sequence);
            joined.extend(entries);
            if !has_more {
                break;
            }
        }
        // The same by leaving out lines, of all and of those after a line.
        for after in [None, all.get(all.len() / 2).map(|entry| entry.line.sequence)] {
            let place = after.map_or(0, |after| {
                let found = joined.iter().position(|entry| entry.line.sequence == after);
                found.unwrap() + 1
            });
            for skip in 0..=joined.len() + 1 {
                let page = AuditPage {
                    order,
                    after,
                    skip: skip as u64,
                    limit: 2,
                };
                let listing = store.audit_entries(none(), page).await.unwrap();
                let rest = joined.get(place + skip..).unwrap_or_default();
                assert_eq!(listing.entries, rest[..rest.len().min(2)], "{page:?}");
                assert_eq!(listing.has_more, rest.len() > 2, "{page:?}");
            }
        }
        if order == AuditOrder::NewestFirst {
            joined.reverse();
        }
        assert_eq!(joined, all);
    }
    let revoked = all.last().unwrap();
    let detail = revoked.detail.clone().unwrap();
    assert_eq!(revoked.line.record.action, "token.revoke");
    assert_eq!(detail.reason.as_deref(), Some("leaked"));
    assert_eq!(detail.target, Some(theirs.token.jti.to_string()));
    let last = revoked.line.sequence;
    assert_eq!(
        store.audit_after(None, (last - 1).into(), 10).await.unwrap(),
        AuditSince::Entries {
            entries: vec![revoked.clone()],
            through: revoked.line.head()
        }
    );
    assert_eq!(
        store.audit_after(None, last.into(), 10).await.unwrap(),
        AuditSince::Entries {
            entries: Vec::new(),
            through: revoked.line.head()
        }
    );
    assert_eq!(
        store.audit_after(None, (last + 1).into(), 10).await.unwrap(),
        AuditSince::Ahead
    );
    // A line of another history, of which a follower knows the hash.
    for entry in &all {
        let mut known = AuditPosition::from(entry.line.head());
        let text: AuditPosition = known.to_string().parse().unwrap();
        assert_eq!(text.hash.len(), 4);
        for known in [&known, &text] {
            let since = store.audit_after(None, known.clone(), 1).await.unwrap();
            assert!(matches!(since, AuditSince::Entries { .. }), "{known}");
        }
        known.hash[3] ^= 1;
        let since = store.audit_after(None, known.clone(), 1).await.unwrap();
        assert_eq!(since, AuditSince::Ahead, "{known}");
    }
    assert!(matches!(
        store
            .audit_after(None, AuditHead::default().into(), 1)
            .await
            .unwrap(),
        AuditSince::Entries { .. }
    ));
    // Those of an organization, in portions: a portion that is not full tells that there are no others so far.
    let organizations: HashSet<_> = all
        .iter()
        .filter_map(|entry| entry.line.record.organization)
        .collect();
    assert!(!organizations.is_empty(), "the control");
    for organization in organizations.into_iter().map(Some) {
        let (mut found, mut after) = (Vec::new(), 0);
        while after < last {
            let AuditSince::Entries { entries, through } =
                store.audit_after(organization, after.into(), 2).await.unwrap()
            else {
                panic!("nothing is pruned");
            };
            let line = all.iter().find(|entry| entry.line.head() == through);
            let through = line.unwrap().line.sequence;
            assert!(through > after);
            let is_full = entries.len() == 2;
            let end = entries
                .last()
                .filter(|_| is_full)
                .map_or(last, |entry| entry.line.sequence);
            assert_eq!(through, end);
            after = through;
            found.extend(entries);
        }
        let concerning = all
            .iter()
            .filter(|entry| entry.line.record.organization == organization);
        let expected: Vec<_> = concerning.cloned().collect();
        assert!(expected.len() < all.len(), "the control");
        assert_eq!(found, expected);
    }
}

/// Lists between two instants have all lines of that time, also where lines are not in the order of their instants.
pub(crate) async fn lists_between_two_instants_are_complete(world: World) {
    let store = &world.store;
    for number in 0..1_200_i64 {
        // As with a clock that jumps back now and then.
        let seconds =
            number * 10 - 3_000 * i64::from(number % 100 == 7) + 5_000 * i64::from(number % 331 == 5);
        world.record(token(world.owner(), seconds)).await;
        if number % 50 == 0 {
            seal(store).await;
        }
    }
    seal(store).await;
    let all = chain(store).await;
    let instants: Vec<_> = all.iter().map(|entry| entry.line.record.at).collect();
    assert!(!instants.is_sorted(), "the control");
    for (after, before) in [
        (None, Some(0)),
        (None, Some(2_000)),
        (Some(2_000), None),
        (Some(2_000), Some(2_000)),
        (Some(2_000), Some(2_500)),
        (Some(-2_000), Some(-1)),
        (Some(11_000), None),
        (Some(15_000), Some(17_000)),
        (Some(90_000), None),
    ] {
        let filter = AuditFilter {
            after: after.map(at),
            before: before.map(at),
            ..AuditFilter::default()
        };
        let expected: Vec<u64> = all
            .iter()
            .filter(|entry| {
                let made_at = entry.line.record.at;
                after.is_none_or(|after| made_at >= at(after))
                    && before.is_none_or(|before| made_at < at(before))
            })
            .map(|entry| entry.line.sequence)
            .collect();
        let found: Vec<u64> = entries(store, filter.clone())
            .await
            .iter()
            .map(|entry| entry.line.sequence)
            .collect();
        assert_eq!(found, expected, "{filter:?}");
        assert_eq!(store.audit_count(filter).await.unwrap(), expected.len() as u64);
    }
}

/// A session is issued and revoked under names of its own; a rotated token names its predecessor's end.
pub(crate) async fn sessions_and_rotations_have_actions_of_their_own(world: World) {
    let mut session = token(
        Owner::User {
            user: world.admin.clone(),
            organization: None,
        },
        5,
    );
    session.kind = TokenKind::Session;
    let session = world.record(session).await;
    world.revoke(session.id, revocation(6, 0)).await;
    let record = world.record(token(world.owner(), 7)).await;
    let mut order = world.plain_order(token(world.owner(), 8)).await;
    order.rotation = Some(super::clerk::Rotation {
        token: record.id,
        revocation: revocation(8, 60),
    });
    super::world::reserve_and_record(&world.store, order)
        .await
        .unwrap();
    seal(&world.store).await;
    let all = chain(&world.store).await;
    let actions: Vec<&str> = all
        .iter()
        .map(|entry| entry.line.record.action.as_ref())
        .collect();
    let last = actions.len().saturating_sub(5);
    assert_eq!(
        actions.get(last..).unwrap(),
        [
            "session.create",
            "session.revoke",
            "token.issue",
            "token.rotate",
            "token.revoke"
        ]
    );
}

/// A record without a line is not deleted; a line stays when its record is.
pub(crate) async fn lines_outlive_their_records(world: World) {
    let ended = world.record(ending(&world, 0, Some(50))).await;
    world.revoke(ended.id, revocation(10, 0)).await;
    // Without a line for anything.
    let aged = world.store.aged(None).await.unwrap();
    let (order, purged) = crate::rules::retention::purge(
        Cause::server(at(100)),
        aged,
        crate::rules::retention::Ended::at(at(100), 0),
        Deleted::default(),
    );
    assert_eq!((purged.records, purged.events), (0, 0));
    world.store.commit(order.unwrap()).await.unwrap().unwrap();
    // The scan of the case seals first.
    let before = seal(&world.store).await;
    assert_eq!(round(&world, 100).await, 1);
    seal(&world.store).await;
    let all = chain(&world.store).await;
    let about: Vec<&AuditEntry> = all
        .iter()
        .filter(|entry| entry.line.record.token == Some(ended.id))
        .collect();
    assert_eq!(about.len(), 2);
    assert!(about.iter().all(|entry| entry.detail.is_none()));
    let purge = all.last().unwrap();
    assert_eq!(purge.line.record.action, "retention.purge");
    assert_eq!(purge.line.sequence, before.sequence + 1);
    assert_eq!(
        purge.detail.clone().unwrap().after.as_deref(),
        Some(r#"{"events":1,"tokens":1}"#)
    );
    // A round without anything to delete leaves no line.
    let before = seal(&world.store).await;
    round(&world, 100).await;
    assert_eq!(seal(&world.store).await, before);
}

/// Lines are deleted from the beginning; the rest stays one chain.
pub(crate) async fn old_lines_are_pruned(world: World) {
    let store = &world.store;
    for number in 0..300 {
        world.record(token(world.owner(), number * 10)).await;
    }
    let nothing = PrunedLines::default();
    let prune = async |made_by| store.prune_audit(at(made_by), at(7)).await.unwrap();
    assert_eq!(prune(99_999).await, nothing, "nothing is sealed");
    let head = seal(store).await;
    assert_eq!(prune(99_999).await, nothing, "nothing is signed");
    keep(store, head).await;
    assert_eq!(prune(-1).await, nothing);
    let all = chain(store).await;
    let until = all
        .iter()
        .take_while(|entry| entry.line.record.at <= at(1_000))
        .count();
    let mut deleted = 0;
    loop {
        let pruned = prune(1_000).await;
        deleted += pruned.lines;
        if !pruned.has_more {
            break;
        }
    }
    assert_eq!(deleted, until as u64);
    let rest = chain(store).await;
    assert_eq!(rest.as_slice(), all.get(until..).unwrap());
    let last_deleted = all.get(until - 1).unwrap().line.head();
    let mut other = AuditPosition::from(last_deleted);
    other.hash[0] ^= 1;
    assert!(matches!(
        store.audit_after(None, last_deleted.into(), 10).await.unwrap(),
        AuditSince::Entries { .. }
    ));
    assert_eq!(
        store.audit_after(None, other, 10).await.unwrap(),
        AuditSince::Ahead
    );
    assert_eq!(
        store.audit_after(None, (deleted - 1).into(), 10).await.unwrap(),
        AuditSince::Pruned
    );
    assert!(matches!(
        store.audit_after(None, deleted.into(), 10).await.unwrap(),
        AuditSince::Entries { .. }
    ));
    // 250 lines are a portion, and the scan is on record once.
    assert_eq!(prune(99_999).await.lines, head.sequence - deleted);
    let status = store.audit_status().await.unwrap();
    assert_eq!((status.pruned, status.head), (head, head));
    assert_eq!(chain(store).await, []);
    assert_eq!(prune(99_999).await, nothing);
    // It goes on after the last one.
    world.record(token(world.owner(), 8)).await;
    let last = seal(store).await;
    let new = chain(store).await;
    let told: Vec<_> = new
        .iter()
        .map(|entry| {
            let after = entry.detail.clone().and_then(|detail| detail.after);
            (entry.line.record.action.as_ref(), after.unwrap())
        })
        .collect();
    let [(first, through), (second, all), (third, _)] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(
        (*first, *second, *third),
        ("audit.prune", "audit.prune", "token.issue")
    );
    assert!(
        through.contains(&format!(r#""through":{deleted}}}"#)),
        "{through}"
    );
    assert!(
        all.contains(&format!(r#""through":{}}}"#, head.sequence)),
        "{all}"
    );
    // The last portion of a scan that has more than one leaves the line.
    for number in 0..300 {
        world.record(token(world.owner(), number)).await;
    }
    keep(store, seal(store).await).await;
    let pruned = prune(99_999).await;
    assert_eq!((pruned.lines, pruned.has_more), (250, true));
    assert_eq!(
        prune(99_999).await.lines,
        last.sequence + 300 - head.sequence - 250
    );
    seal(store).await;
    let new = chain(store).await;
    assert_eq!(new.len(), 1, "{new:?}");
}

/// Keeps a checkpoint of a head.
async fn keep(store: &SharedStore, head: AuditHead) {
    let checkpoint = Checkpoint {
        head,
        signed_at: at(60),
        kid: "first".to_owned(),
        note: "a note".to_owned(),
    };
    store.keep_checkpoint(checkpoint).await.unwrap();
}

/// Checkpoints are heads of the chain, and the last ones are kept.
pub(crate) async fn checkpoints_are_heads_of_the_chain(world: World) {
    let store = &world.store;
    assert_eq!(store.last_checkpoint().await.unwrap(), None);
    let head = seal(store).await;
    let checkpoint = |head: AuditHead| Checkpoint {
        head,
        signed_at: at(60),
        kid: "first".to_owned(),
        note: format!("{} lines\n", head.sequence),
    };
    store.keep_checkpoint(checkpoint(head)).await.unwrap();
    let forged = AuditHead {
        hash: [1; 32],
        sequence: head.sequence - 1,
    };
    store.keep_checkpoint(checkpoint(forged)).await.unwrap_err();
    let ahead = AuditHead {
        sequence: head.sequence + 1,
        hash: BEFORE_FIRST_LINE,
    };
    store.keep_checkpoint(checkpoint(ahead)).await.unwrap_err();
    assert_eq!(store.last_checkpoint().await.unwrap(), Some(checkpoint(head)));
    world.record(token(world.owner(), 0)).await;
    let next = seal(store).await;
    store.keep_checkpoint(checkpoint(next)).await.unwrap();
    let world = world.reopen();
    assert_eq!(
        world.store.last_checkpoint().await.unwrap(),
        Some(checkpoint(next))
    );
}
