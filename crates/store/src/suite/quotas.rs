//! Counts that quotas are compared with.

use crate::rules::tokens::{self, Demands};
use crate::suite::clerk::Clerk;
use crate::{Cause, OpenSession, OrganizationSize, Origin, Surface};
use jeton_core::directory::{Role, UserId};
use jeton_core::token::{CutOff, NewToken, Owner, Reach, Record, TokenKind, Use};

use super::world::{World, actor, at, created, removal, revocation, token};

async fn size(world: &World) -> [u64; 3] {
    let size = world.store.size(world.organization).await.unwrap();
    let OrganizationSize {
        teams,
        projects,
        members,
    } = size;
    [teams, projects, members]
}

/// What belongs to an organization is counted, and nothing that was removed or belongs to another.
pub(crate) async fn what_belongs_to_an_organization_is_counted(world: World) {
    let elsewhere = world.organization("elsewhere").await;
    world.team(elsewhere, "other").await;
    assert_eq!(size(&world).await, [0, 0, 1], "the administrator");
    let team = world.team(world.organization, "one").await;
    world.team(world.organization, "two").await;
    let generation = world.generation().await;
    let project = world
        .store
        .create_project(world.organization, "site".parse().unwrap(), at(0), generation);
    created(project.await.unwrap());
    world.member("ada").await;
    world.put_member("nobody", Role::Member).await;
    assert_eq!(size(&world).await, [2, 1, 3]);
    let generation = world.generation().await;
    let removed = world.store.remove_team(team, removal(1), generation);
    removed.await.unwrap();
    assert_eq!(size(&world).await, [1, 1, 3]);
}

/// Sessions are counted until they expire or are revoked, singly or by a cut-off. API tokens are not.
pub(crate) async fn sessions_are_counted_while_they_last(world: World) {
    let session = |seconds, expires| NewToken {
        kind: TokenKind::Session,
        expires_at: Some(at(expires)),
        ..token(
            Owner::User {
                user: world.admin.clone(),
                organization: None,
            },
            seconds,
        )
    };
    let count = async |now| {
        let sessions = world.store.count_sessions(world.admin.clone(), at(now));
        sessions.await.unwrap()
    };
    world.record(token(world.owner_user(&world.admin), 1)).await;
    assert_eq!(count(1).await, 0);
    world.record(session(1, 10)).await;
    let revoked = world.record(session(1, 100)).await;
    world.record(session(1, 100)).await;
    assert_eq!(count(9).await, 3);
    assert_eq!(count(10).await, 2);
    world.revoke(revoked.id, revocation(11, 0)).await;
    assert_eq!(count(11).await, 1);
    let cut_off = CutOff {
        reach: Reach {
            user: Some(world.admin.clone()),
            kind: Some(TokenKind::Session),
            ..Reach::default()
        },
        issued_through: at(12).seconds(),
        effective_at: at(12),
    };
    let cut = world.store.cut_off(cut_off, actor("operator"), None, at(12));
    cut.await.unwrap();
    assert_eq!(count(12).await, 0);
    world.record(session(13, 100)).await;
    assert_eq!(count(13).await, 1);
}

/// A person's sessions are listed, the newest first, with where each came from, until they expire or are revoked. API
/// tokens and the sessions of others are not.
pub(crate) async fn sessions_are_listed_while_they_last(world: World) {
    let other = world.member("ada").await;
    let record = async |user: &UserId, origin: Origin, expires| {
        let token = NewToken {
            kind: TokenKind::Session,
            expires_at: Some(at(expires)),
            ..token(
                Owner::User {
                    user: user.clone(),
                    organization: None,
                },
                1,
            )
        };
        let cause = Cause {
            origin,
            ..Cause::operator(at(1))
        };
        let list_index = world.store.reserve(&token).await.unwrap();
        let order = tokens::record(cause, token, list_index, Demands::none()).unwrap();
        let committed = world.store.commit(order).await.unwrap().unwrap();
        committed.recorded.unwrap().into_record()
    };
    let origin = |surface, address: Option<&str>| Origin {
        surface,
        address: address.map(|address| address.parse().unwrap()),
        ..Origin::default()
    };
    let listed = async |now| {
        let sessions = world.store.sessions(world.admin.clone(), at(now)).await.unwrap();
        let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
        (sessions, ids)
    };
    world.record(token(world.owner_user(&world.admin), 1)).await;
    record(&other, Origin::default(), 100).await;
    assert_eq!(listed(1).await.0, []);
    let first = record(&world.admin, origin(Surface::Native, Some("192.0.2.1")), 100).await;
    let second = record(&world.admin, origin(Surface::Cave, Some("2001:db8::1")), 100).await;
    let third = record(&world.admin, origin(Surface::Server, None), 10).await;
    let used = Use {
        token: first.id,
        at: at(2),
        from: Some("192.0.2.7".parse().unwrap()),
    };
    world.store.note_use(vec![used]).await.unwrap();
    let (sessions, ids) = listed(9).await;
    assert_eq!(ids, [third.id, second.id, first.id]);
    let expected = |record: &Record, surface, address: Option<&str>| OpenSession {
        id: record.id,
        jti: record.token.jti,
        created_at: at(1),
        expires_at: record.token.expires_at,
        last_used_at: None,
        last_used_from: None,
        surface: Some(surface),
        address: address.map(|address| address.parse().unwrap()),
    };
    assert_eq!(
        sessions,
        [
            expected(&third, Surface::Server, None),
            expected(&second, Surface::Cave, Some("2001:db8::1")),
            OpenSession {
                last_used_at: Some(at(2)),
                last_used_from: used.from,
                ..expected(&first, Surface::Native, Some("192.0.2.1"))
            },
        ]
    );
    assert_eq!(listed(10).await.1, [second.id, first.id]);
    world.revoke(second.id, revocation(11, 0)).await;
    assert_eq!(listed(11).await.1, [first.id]);
    let cut_off = CutOff {
        reach: Reach {
            user: Some(world.admin.clone()),
            ..Reach::default()
        },
        issued_through: at(12).seconds(),
        effective_at: at(12),
    };
    let cut = world.store.cut_off(cut_off, actor("operator"), None, at(12));
    cut.await.unwrap();
    assert_eq!(listed(12).await.0, []);
}
