//! Invitations: roles that wait for the consent of their person.

use crate::suite::clerk::Clerk;

use crate::suite::clerk::{Attempt, Changed, MemberChange};
use crate::{OrganizationsOf, Slice, Standing};
use jeton_core::directory::{
    Belonging, Consent, Invitation, Invited, OrganizationId, Role, SentInvitation, TeamId, UserId,
};

use super::world::{World, at, done, email, removal};

const ALL: Slice = Slice {
    after: None,
    limit: 1_000,
};

async fn offer_in(world: &World, id: OrganizationId, team: Option<&TeamId>, name: &str, role: Role) {
    let generation = world.generation().await;
    let offered = world
        .store
        .offer((id, team.cloned()), email(name), role, generation);
    assert_eq!(done(offered.await.unwrap()), MemberChange::Done);
}

/// Gives a role in the first organization as somebody who must ask.
async fn offer(world: &World, team: Option<&TeamId>, name: &str, role: Role) {
    offer_in(world, world.organization, team, name, role).await;
}

async fn accept(world: &World, user: &UserId) -> MemberChange {
    let generation = world.generation().await;
    let accepted = world.store.accept(world.organization, user.clone(), generation);
    done(accepted.await.unwrap())
}

async fn invited(world: &World, name: &str) -> Option<Invited> {
    let invited = world.store.invited(email(name), world.organization);
    invited.await.unwrap()
}

async fn invitations(world: &World, name: &str) -> Vec<Invitation> {
    world.store.invitations(email(name), ALL).await.unwrap()
}

async fn standing(world: &World, user: &UserId) -> Standing {
    let standing = world.store.standing(user.clone(), world.organization);
    standing.await.unwrap()
}

async fn members(world: &World) -> Vec<Belonging> {
    world.store.members(world.organization, ALL).await.unwrap()
}

async fn put_into_team(world: &World, team: &TeamId, name: &str, role: Role) {
    let generation = world.generation().await;
    let put = world
        .store
        .put_team_member(team.clone(), email(name), role, generation);
    assert_eq!(done(put.await.unwrap()), MemberChange::Done);
}

fn waiting(name: &str, role: Role) -> Belonging {
    Belonging::Invited {
        email: email(name),
        role,
    }
}

fn role(role: Role) -> Standing {
    Standing {
        role: Some(role),
        teams: Vec::new(),
    }
}

/// A role that waits for consent is no membership in any list.
pub(crate) async fn a_role_that_waits_gives_nothing(world: World) {
    let ada = world.person("ada").await;
    let web = world.team(world.organization, "web").await;
    let before = world.store.person(email("ada").into()).await.unwrap();
    offer(&world, None, "ada", Role::Admin).await;
    offer(&world, Some(&web), "ada", Role::Admin).await;
    let world = world.reopen();
    assert_eq!(standing(&world, &ada).await, Standing::default());
    assert_eq!(world.store.memberships(ada.clone()).await.unwrap(), []);
    let of = OrganizationsOf::Person(ada.clone());
    assert_eq!(world.store.organizations(of, ALL).await.unwrap(), []);
    let of = OrganizationsOf::Only(world.organization);
    let found = world.store.find_people("ada".to_owned(), of, ALL).await.unwrap();
    assert_eq!(found, []);
    // Nor does it disturb the person: their version, and what they are deciding, stay.
    let after = world.store.person(email("ada").into()).await.unwrap();
    assert_eq!(after, before);
    // An admin who is only invited is none.
    let generation = world.generation().await;
    let alone = world
        .store
        .remove_member(world.organization, email("admin"), removal(1), generation);
    assert_eq!(done(alone.await.unwrap()), MemberChange::LastAdmin);
}

/// Accepting makes the memberships of the organization and of its teams, and uses the invitations up.
pub(crate) async fn accepting_makes_all_memberships(world: World) {
    let ada = world.person("ada").await;
    let [ops, web] = [
        world.team(world.organization, "ops").await,
        world.team(world.organization, "web").await,
    ];
    let other = world.organization("other").await;
    let elsewhere = world.team(other, "web").await;
    offer(&world, Some(&web), "ada", Role::Viewer).await;
    offer(&world, Some(&ops), "ada", Role::Admin).await;
    offer(&world, None, "bob", Role::Member).await;
    offer_in(&world, other, Some(&elsewhere), "ada", Role::Member).await;
    assert_eq!(accept(&world, &ada).await, MemberChange::Done);
    let expected = Standing {
        role: Some(Role::Viewer),
        teams: vec![(ops, Role::Admin), (web, Role::Viewer)],
    };
    let world = world.reopen();
    assert_eq!(standing(&world, &ada).await, expected);
    assert_eq!(invited(&world, "ada").await, None);
    // No other organization's, and nobody else's.
    let there = world.store.standing(ada.clone(), other).await.unwrap();
    assert_eq!(there, Standing::default());
    assert_eq!(invitations(&world, "ada").await.len(), 1);
    assert!(invited(&world, "bob").await.is_some());
    // Once.
    assert_eq!(accept(&world, &ada).await, MemberChange::Absent);
    assert_eq!(accept(&world, &world.admin).await, MemberChange::Absent);
    // A removed member is not let in again by what they accepted.
    let generation = world.generation().await;
    let removed = world
        .store
        .remove_member(world.organization, email("ada"), removal(2), generation);
    assert_eq!(done(removed.await.unwrap()), MemberChange::Done);
    assert_eq!(accept(&world, &ada).await, MemberChange::Absent);
    assert_eq!(standing(&world, &ada).await, Standing::default());
}

/// Lists show an invited address alike, whether or not a person has it; so do answers and versions.
pub(crate) async fn an_invitation_is_told_alike_for_every_address(world: World) {
    world.person("known").await;
    let web = world.team(world.organization, "web").await;
    for name in ["known", "unknown"] {
        offer(&world, None, name, Role::Viewer).await;
        offer(&world, Some(&web), name, Role::Member).await;
    }
    let both = [waiting("known", Role::Viewer), waiting("unknown", Role::Viewer)];
    let listed = members(&world).await;
    assert!(both.iter().all(|one| listed.contains(one)), "{listed:?}");
    assert_eq!(listed.len(), 3);
    let in_team = ["known", "unknown"].map(|name| waiting(name, Role::Member));
    assert_eq!(
        world
            .store
            .team_members(world.organization, web.clone(), ALL)
            .await
            .unwrap(),
        in_team
    );
    // Repeating it changes nothing, removing it is a change, and removing it twice is none.
    for name in ["known", "unknown"] {
        let mut versions = vec![world.generation().await];
        offer(&world, None, name, Role::Viewer).await;
        versions.push(world.generation().await);
        for _ in 0..2 {
            let generation = world.generation().await;
            let left = world
                .store
                .remove_team_member(web.clone(), email(name), generation);
            assert_eq!(done(left.await.unwrap()), MemberChange::Done);
            versions.push(world.generation().await);
        }
        for _ in 0..2 {
            let generation = world.generation().await;
            let order = removal(1);
            let removed = world
                .store
                .remove_member(world.organization, email(name), order, generation);
            assert_eq!(done(removed.await.unwrap()), MemberChange::Done);
            versions.push(world.generation().await);
        }
        let changed: Vec<_> = versions.windows(2).map(|pair| pair[0] != pair[1]).collect();
        assert_eq!(changed, [false, true, false, true, false], "{name}");
    }
}

/// An invitation that was changed or withdrawn after it was read is not accepted.
pub(crate) async fn what_has_changed_is_not_accepted_as_it_was(world: World) {
    let ada = world.person("ada").await;
    let web = world.team(world.organization, "web").await;
    offer(&world, Some(&web), "ada", Role::Member).await;
    for change in 0..4 {
        let read = world.generation().await;
        match change {
            0 => offer(&world, None, "ada", Role::Admin).await,
            1 => offer(&world, Some(&web), "ada", Role::Viewer).await,
            2 => {
                let removed = world.store.remove_team(web.clone(), removal(1), read);
                assert_eq!(removed.await.unwrap(), Attempt::Done(()));
            }
            _ => {
                let order = removal(1);
                let withdrawn = world
                    .store
                    .remove_member(world.organization, email("ada"), order, read);
                assert_eq!(done(withdrawn.await.unwrap()), MemberChange::Done);
                offer(&world, None, "ada", Role::Member).await;
            }
        }
        let late = world.store.accept(world.organization, ada.clone(), read);
        assert_eq!(late.await.unwrap(), Attempt::Stale, "{change}");
        assert_eq!(standing(&world, &ada).await, Standing::default());
    }
    // That there is nothing to remove is confirmed too: the address may have been invited since.
    let read = world.generation().await;
    offer(&world, None, "somebody", Role::Member).await;
    let stale = world
        .store
        .remove_member(world.organization, email("nobody"), removal(1), read);
    assert_eq!(stale.await.unwrap(), Attempt::Stale);
    let read = world.generation().await;
    let nothing = world
        .store
        .remove_member(world.organization, email("nobody"), removal(1), read);
    assert_eq!(done(nothing.await.unwrap()), MemberChange::Done);
    // Of accepting and withdrawing at once, one wins and the other is decided again.
    let read = world.generation().await;
    let [one, other] = world.processes();
    let organization = world.organization;
    let accepted = tokio::spawn(async move { one.accept(organization, ada, read).await.unwrap() });
    let withdrawn = tokio::spawn(async move {
        let order = removal(2);
        let withdrawn = other.remove_member(organization, email("ada"), order, read);
        withdrawn.await.unwrap()
    });
    let is_done = |change: Attempt<MemberChange>| change == Attempt::Done(MemberChange::Done);
    let (accepted, withdrawn) = (
        is_done(accepted.await.unwrap()),
        is_done(withdrawn.await.unwrap()),
    );
    assert_ne!(accepted, withdrawn);
    assert_eq!(invited(&world, "ada").await, None);
}

/// Somebody who belongs to an organization gets other roles of it at once; and a person who is admitted
/// without consent is asked for nothing that was offered before.
pub(crate) async fn who_belongs_is_not_asked(world: World) {
    let ada = world.member("ada").await;
    let web = world.team(world.organization, "web").await;
    offer(&world, None, "ada", Role::Viewer).await;
    offer(&world, Some(&web), "ada", Role::Admin).await;
    let expected = Standing {
        role: Some(Role::Viewer),
        teams: vec![(web.clone(), Role::Admin)],
    };
    assert_eq!(standing(&world, &ada).await, expected);
    assert_eq!(invited(&world, "ada").await, None);

    let bob = world.person("bob").await;
    offer(&world, None, "bob", Role::Admin).await;
    offer(&world, Some(&web), "bob", Role::Member).await;
    assert_eq!(world.put_member("bob", Role::Viewer).await, MemberChange::Done);
    let expected = Standing {
        role: Some(Role::Viewer),
        teams: vec![(web.clone(), Role::Member)],
    };
    assert_eq!(standing(&world, &bob).await, expected);
    assert_eq!(invited(&world, "bob").await, None);

    let cy = world.person("cy").await;
    offer(&world, None, "cy", Role::Admin).await;
    put_into_team(&world, &web, "cy", Role::Member).await;
    let expected = Standing {
        role: Some(Role::Member),
        teams: vec![(web, Role::Member)],
    };
    assert_eq!(standing(&world, &cy).await, expected, "the offer is superseded");
}

/// A person who is created later is asked, unless the person who gave the role need not ask.
pub(crate) async fn who_is_made_later_is_asked_unless_that_is_waived(world: World) {
    let web = world.team(world.organization, "web").await;
    let other = world.organization("other").await;
    let asks = |role, consent| {
        Some(Invited {
            role,
            consent,
            teams: vec![(web.clone(), Role::Member)],
        })
    };
    for name in ["asked", "let-in", "raised", "superseded"] {
        match name {
            "asked" => offer(&world, Some(&web), name, Role::Member).await,
            "let-in" => put_into_team(&world, &web, name, Role::Member).await,
            // An admitted person is treated like a member.
            "raised" => {
                put_into_team(&world, &web, name, Role::Member).await;
                offer(&world, None, name, Role::Admin).await;
            }
            _ => {
                offer(&world, None, name, Role::Admin).await;
                put_into_team(&world, &web, name, Role::Member).await;
            }
        }
        offer_in(&world, other, None, name, Role::Member).await;
    }
    assert_eq!(
        invited(&world, "asked").await,
        asks(Role::Member, Consent::Required)
    );
    assert_eq!(
        invited(&world, "let-in").await,
        asks(Role::Member, Consent::Waived)
    );
    assert_eq!(
        invited(&world, "raised").await,
        asks(Role::Admin, Consent::Waived)
    );
    assert_eq!(
        invited(&world, "superseded").await,
        asks(Role::Member, Consent::Waived)
    );
    let world = world.reopen();
    for (name, role) in [
        ("asked", None),
        ("let-in", Some(Role::Member)),
        ("raised", Some(Role::Admin)),
        ("superseded", Some(Role::Member)),
    ] {
        let user = world.person(name).await;
        let expected = Standing {
            role,
            teams: role.map(|_| (web.clone(), Role::Member)).into_iter().collect(),
        };
        assert_eq!(standing(&world, &user).await, expected, "{name}");
        assert_eq!(invited(&world, name).await.is_some(), role.is_none(), "{name}");
        let elsewhere = world.store.standing(user, other).await.unwrap();
        assert_eq!(elsewhere, Standing::default(), "the other organization asks");
    }
    let asked = world.store.person(email("asked").into()).await.unwrap().unwrap();
    assert_eq!(accept(&world, &asked.value.id).await, MemberChange::Done);
    assert_eq!(standing(&world, &asked.value.id).await.role, Some(Role::Member));
}

/// A removed person leaves no invitation, nor does a team or an organization.
pub(crate) async fn invitations_go_with_their_person_team_and_organization(world: World) {
    let ada = world.person("ada").await;
    let web = world.team(world.organization, "web").await;
    let other = world.organization("other").await;
    offer(&world, Some(&web), "ada", Role::Admin).await;
    offer_in(&world, other, None, "ada", Role::Admin).await;
    offer(&world, Some(&web), "bob", Role::Admin).await;
    let generation = world.generation().await;
    let removed = world.store.remove_person(ada, removal(1), generation);
    assert_eq!(done(removed.await.unwrap()), Changed::Done(()));
    assert_eq!(invitations(&world, "ada").await, []);
    let again = world.person("ada").await;
    assert_eq!(accept(&world, &again).await, MemberChange::Absent);

    let generation = world.generation().await;
    let removed = world.store.remove_team(web, removal(2), generation);
    assert_eq!(removed.await.unwrap(), Attempt::Done(()));
    let bob = world.person("bob").await;
    let teams = invited(&world, "bob").await.map(|invited| invited.teams);
    assert_eq!(teams, Some(Vec::new()));
    assert_eq!(accept(&world, &bob).await, MemberChange::Done);
    assert_eq!(standing(&world, &bob).await, role(Role::Member));

    offer_in(&world, other, None, "bob", Role::Admin).await;
    let generation = world.generation().await;
    let removed = world.store.remove_organization(other, removal(3), generation);
    assert_eq!(done(removed.await.unwrap()), ());
    assert_eq!(invitations(&world, "bob").await, []);
}

/// The list of an address has organizations in the order of their names, with who invited it and when.
pub(crate) async fn invitations_are_listed_for_their_address(world: World) {
    assert_eq!(invitations(&world, "ada").await, []);
    let mut expected = Vec::new();
    for name in ["zeta", "Alpha", "beta"] {
        let id = world.organization(name).await;
        let (web, ops) = (world.team(id, "Web").await, world.team(id, "ops").await);
        offer_in(&world, id, None, "ada", Role::Viewer).await;
        offer_in(&world, id, Some(&web), "ada", Role::Member).await;
        offer_in(&world, id, Some(&ops), "ada", Role::Admin).await;
        offer_in(&world, id, None, "bob", Role::Member).await;
        expected.push(Invitation {
            organization: id,
            name: name.parse().unwrap(),
            role: Role::Viewer,
            teams: vec![
                (ops, "ops".parse().unwrap(), Role::Admin),
                (web, "Web".parse().unwrap(), Role::Member),
            ],
            invited_by: Some("operator".to_owned()),
            invited_at: Some(at(0)),
        });
    }
    expected.sort_by_key(|one| one.name.canonical());
    let world = world.reopen();
    assert_eq!(invitations(&world, "ada").await, expected);
    let first = Slice {
        after: None,
        limit: 1,
    };
    assert_eq!(
        world.store.invitations(email("ada"), first).await.unwrap(),
        expected[..1]
    );
    let rest = Slice {
        after: Some("alpha".to_owned()),
        limit: 9,
    };
    assert_eq!(
        world.store.invitations(email("ada"), rest).await.unwrap(),
        expected[1..]
    );
    // Declining one leaves the others.
    let generation = world.generation().await;
    let declined = world
        .store
        .decline(expected[0].organization, email("ada"), generation);
    assert_eq!(done(declined.await.unwrap()), MemberChange::Done);
    assert_eq!(invitations(&world, "ada").await, expected[1..]);
    let generation = world.generation().await;
    let again = world
        .store
        .decline(expected[0].organization, email("ada"), generation);
    assert_eq!(done(again.await.unwrap()), MemberChange::Absent);
}

/// The list of an organization has addresses in their order, whether or not a person has them, and its own only.
pub(crate) async fn invitations_are_listed_for_their_organization(world: World) {
    let sent = async |world: &World, after: Option<&str>, limit| {
        let slice = Slice {
            after: after.map(str::to_owned),
            limit,
        };
        let sent = world.store.sent_invitations(world.organization, slice);
        sent.await.unwrap()
    };
    assert_eq!(sent(&world, None, 9).await, []);
    let bob = world.person("bob").await;
    let (web, ops) = (
        world.team(world.organization, "Web").await,
        world.team(world.organization, "ops").await,
    );
    let other = world.organization("other").await;
    let elsewhere = world.team(other, "elsewhere").await;
    offer(&world, None, "eve", Role::Viewer).await;
    offer(&world, Some(&web), "bob", Role::Member).await;
    offer(&world, Some(&ops), "bob", Role::Admin).await;
    offer(&world, Some(&web), "ada", Role::Viewer).await;
    offer_in(&world, other, Some(&elsewhere), "bob", Role::Admin).await;
    offer_in(&world, other, None, "dan", Role::Admin).await;
    let one = |name: &str, role, teams: &[(&TeamId, &str, Role)]| SentInvitation {
        email: email(name),
        role,
        teams: teams
            .iter()
            .map(|(id, name, role)| ((*id).clone(), name.parse().unwrap(), *role))
            .collect(),
        invited_by: Some("operator".to_owned()),
        invited_at: Some(at(0)),
    };
    let expected = [
        one("ada", Role::Viewer, &[(&web, "Web", Role::Viewer)]),
        one(
            "bob",
            Role::Member,
            &[(&ops, "ops", Role::Admin), (&web, "Web", Role::Member)],
        ),
        one("eve", Role::Viewer, &[]),
    ];
    let world = world.reopen();
    assert_eq!(sent(&world, None, 9).await, expected);
    assert_eq!(sent(&world, None, 2).await, expected[..2]);
    let after = email("ada").to_string();
    assert_eq!(sent(&world, Some(&after), 9).await, expected[1..]);
    // What is accepted or withdrawn is gone.
    assert_eq!(accept(&world, &bob).await, MemberChange::Done);
    let generation = world.generation().await;
    let removed = world
        .store
        .remove_member(world.organization, email("eve"), removal(1), generation);
    assert_eq!(done(removed.await.unwrap()), MemberChange::Done);
    let generation = world.generation().await;
    let removed = world.store.remove_team(web, removal(2), generation);
    assert_eq!(removed.await.unwrap(), Attempt::Done(()));
    assert_eq!(sent(&world, None, 9).await, [one("ada", Role::Viewer, &[])]);
}
