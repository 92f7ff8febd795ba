//! Counts that quotas are compared with.

use crate::OrganizationSize;
use crate::suite::clerk::Clerk;
use jeton_core::directory::Role;
use jeton_core::token::{CutOff, NewToken, Owner, Reach, TokenKind};

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
