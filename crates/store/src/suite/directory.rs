//! Organizations, teams, projects and users: memberships, and what is revoked with a deletion.

use crate::suite::clerk::Clerk;

use crate::rules::organizations::NAME_RESERVED;
use crate::rules::tokens::{self, Liveness};
use crate::suite::clerk::{Attempt, Changed, Created, MemberChange, NewOrganization, NewTeam, PersonChanges};
use crate::{Change, OrganizationsOf, PersonReference, Search, Slice, Standing};
use jeton_core::directory::{
    Belonging, MemberStatus, Organization, OrganizationReference, Person, Policy, Role, TeamId,
    TeamReference, UserId,
};
use jeton_core::token::{CutOff, Owner, Reach, Record, TokenKind};

use super::world::{World, at, created, done, email, entropy, organization, person, removal, token};

const ALL: Slice = Slice {
    after: None,
    limit: 1_000,
};

fn unchanged(seconds: i64) -> PersonChanges {
    PersonChanges {
        first_name: None,
        last_name: None,
        username: None,
        site_admin: None,
        disabled: None,
        password_hash: None,
        change: removal(seconds),
    }
}

async fn change(world: &World, id: &UserId, changes: PersonChanges) -> Changed<Person> {
    let generation = world.generation().await;
    done(
        world
            .store
            .change_person(id.clone(), changes, generation)
            .await
            .unwrap(),
    )
}

async fn remove_person(world: &World, id: &UserId, seconds: i64) -> Changed<()> {
    let generation = world.generation().await;
    let removed = world
        .store
        .remove_person(id.clone(), removal(seconds), generation);
    done(removed.await.unwrap())
}

async fn remove_member(world: &World, name: &str, seconds: i64) -> MemberChange {
    let generation = world.generation().await;
    let removed = world
        .store
        .remove_member(world.organization, email(name), removal(seconds), generation);
    done(removed.await.unwrap())
}

async fn members(world: &World, slice: Slice) -> Vec<Belonging> {
    world.store.members(world.organization, slice).await.unwrap()
}

async fn standing(world: &World, user: &UserId) -> Standing {
    let standing = world.store.standing(user.clone(), world.organization);
    standing.await.unwrap()
}

async fn liveness(world: &World, record: &Record) -> Liveness {
    let presented = world.store.presented(record.token.jti).await.unwrap();
    tokens::liveness(&presented.unwrap())
}

fn last_cut_off(world: &World) -> CutOff {
    world
        .seen
        .all()
        .into_iter()
        .rev()
        .find_map(|change| match change {
            Change::CutOff { cut_off, .. } => Some(cut_off),
            _ => None,
        })
        .unwrap()
}

/// A deployment is founded once.
pub(crate) async fn a_deployment_is_founded_once(world: World) {
    let mut second = person("second");
    second.person.site_admin = true;
    let new = NewOrganization {
        organization: organization("second"),
        creator: None,
    };
    assert!(!world.store.found(second, new).await.unwrap());
    let people = world.store.people(ALL).await.unwrap();
    assert_eq!(people.len(), 1);
    assert_eq!(standing(&world, &world.admin).await.role, Some(Role::Admin));
    let credentials = world.store.credentials(email("admin")).await.unwrap().unwrap();
    assert_eq!(credentials.password_hash, "hash of admin");
    // The generation is the edit that created the user; publishing a key was the next edit.
    assert_eq!(credentials.generation.0 + 1, world.generation().await.0);
    assert!(credentials.person.site_admin);
}

/// Names differ in more than case, and are free again some time after a deletion.
pub(crate) async fn names_are_unique_while_they_live(world: World) {
    let world = world;
    let first = world.organization("Acme").await;
    let generation = world.generation().await;
    let again = NewOrganization {
        organization: organization("ACME"),
        creator: None,
    };
    let taken = world.store.create_organization(again.clone(), generation).await;
    assert_eq!(done(taken.unwrap()), Created::NameTaken);
    let rename = |organization: &mut Organization| organization.name = "aCMe".parse().unwrap();
    let taken = world
        .store
        .change_organization(world.organization, rename, None, generation)
        .await;
    assert_eq!(done(taken.unwrap()), Created::NameTaken);
    let own = world
        .store
        .change_organization(first, rename, None, generation)
        .await;
    assert_eq!(created(own.unwrap()).0.name.as_str(), "aCMe");
    let generation = world.generation().await;
    let removed = world
        .store
        .remove_organization(first, removal(1), generation)
        .await;
    assert_eq!(removed.unwrap(), Attempt::Done(()));
    let later = Organization {
        created_at: at(1 + NAME_RESERVED),
        ..again.organization
    };
    let later = NewOrganization {
        organization: later,
        creator: None,
    };
    created(world.store.create_organization(later, generation).await.unwrap());
    let found = world.store.organization("acme".parse().unwrap()).await.unwrap();
    assert_ne!(found.unwrap().value.id, first);
    assert_eq!(
        world.store.organization(first.into()).await.unwrap(),
        None,
        "what is removed is not found by its id either"
    );
    let generation = world.generation().await;
    let taken = world.store.create_person(person("admin"), generation).await;
    assert_eq!(done(taken.unwrap()), Created::NameTaken);
    let stranger = NewOrganization {
        organization: organization("fresh"),
        creator: Some(UserId::random(entropy())),
    };
    let absent = world.store.create_organization(stranger, generation).await;
    assert_eq!(done(absent.unwrap()), Created::Absent);
}

/// The name of a removed or renamed organization is reserved for a while, except for that organization.
pub(crate) async fn a_name_that_was_given_up_is_reserved(world: World) {
    let create = async |name: &str, seconds| {
        let new = NewOrganization {
            organization: Organization {
                created_at: at(seconds),
                ..organization(name)
            },
            creator: None,
        };
        let generation = world.generation().await;
        done(world.store.create_organization(new, generation).await.unwrap())
    };
    let rename = async |id, name: &'static str| {
        let generation = world.generation().await;
        let change = move |organization: &mut Organization| organization.name = name.parse().unwrap();
        let changed = world.store.change_organization(id, change, None, generation);
        done(changed.await.unwrap())
    };
    let remove = async |id, seconds| {
        let generation = world.generation().await;
        let removed = world.store.remove_organization(id, removal(seconds), generation);
        done(removed.await.unwrap());
    };
    let removed = world.organization("Removed").await;
    remove(removed, 5).await;
    // Renaming happens at the instant 0.
    let renamed = world.organization("Renamed").await;
    assert!(matches!(rename(renamed, "Other").await, Created::Made(_)));
    assert_eq!(rename(world.organization, "removed").await, Created::NameTaken);
    for (name, given_up) in [("REMOVED", 5), ("renamed", 0)] {
        for seconds in [given_up, given_up + NAME_RESERVED - 1] {
            assert_eq!(
                create(name, seconds).await,
                Created::NameTaken,
                "{name} {seconds}"
            );
        }
    }
    // Another case is the same name, and the organization itself may return to its own.
    assert!(matches!(rename(renamed, "OTHER").await, Created::Made(_)));
    assert!(matches!(rename(renamed, "Renamed").await, Created::Made(_)));
    assert!(matches!(rename(renamed, "other").await, Created::Made(_)));
    for (name, given_up) in [("REMOVED", 5), ("renamed", 0)] {
        let Created::Made(again) = create(name, given_up + NAME_RESERVED).await else {
            panic!("{name} is free again");
        };
        // The latest reservation counts.
        let removed = given_up + NAME_RESERVED + 9;
        remove(again.id, removed).await;
        assert_eq!(create(name, removed + 1).await, Created::NameTaken);
        let next = create(name, removed + NAME_RESERVED).await;
        assert!(matches!(next, Created::Made(_)), "{next:?}");
    }
}

/// Changes are read back, and all other fields are unchanged.
pub(crate) async fn organizations_change(world: World) {
    let changes = |organization: &mut Organization| {
        organization.name = "renamed".parse().unwrap();
        organization.email = Some("mail@example.org".to_owned());
        organization.notification_url = Some("https://example.org/hook".to_owned());
        organization.policy = Policy {
            max_lifetime: Some(3_600),
            max_active_tokens_per_owner: Some(3),
            keep_last_token: true,
            allowed_scopes: Some(vec!["a:read".parse().unwrap()]),
            allowed_presets: Some(Vec::new()),
            default_lifetime: Some(60),
            default_preset: Some("small".to_owned()),
        };
    };
    let generation = world.generation().await;
    let changed = world
        .store
        .change_organization(world.organization, changes, None, generation)
        .await;
    let (changed, _) = created(changed.unwrap());
    assert!(world.generation().await > generation);
    let clear = |organization: &mut Organization| organization.notification_url = None;
    let generation = world.generation().await;
    let cleared = world
        .store
        .change_organization(world.organization, clear, None, generation)
        .await;
    let world = world.reopen();
    let read = world
        .store
        .organization(world.organization.into())
        .await
        .unwrap()
        .unwrap()
        .value;
    assert_eq!(read, created(cleared.unwrap()).0);
    assert_eq!(read.notification_url, None);
    assert_eq!((read.email, read.policy), (changed.email, changed.policy));
    assert_eq!(
        world
            .store
            .organization(OrganizationReference::Name("default".to_owned()))
            .await
            .unwrap(),
        None
    );
}

/// A numbered page returns matching items in the order of names or addresses, and their total number.
pub(crate) async fn lists_are_searched_page_by_page(world: World) {
    let stranger = world.person("stranger").await;
    let elsewhere = world.organization("Elsewhere").await;
    world.team(elsewhere, "Beta").await;
    let gone = world.team(world.organization, "beta-gone").await;
    for name in ["zeta", "Alpha", "beta", "Gamma"] {
        world.team(world.organization, name).await;
        world.member(&name.to_lowercase()).await;
    }
    let generation = world.generation().await;
    let removed = world.store.remove_team(gone, removal(1), generation).await;
    done(removed.unwrap());
    world.put_member("beta-invited", Role::Member).await;

    let search = |text: Option<&str>, keys: Option<&[&str]>, offset, limit| Search {
        text: text.map(str::to_owned),
        keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
        offset,
        limit,
    };
    let teams = async |search| {
        let found = world.store.find_teams(world.organization, search).await.unwrap();
        let names: Vec<_> = found.items.iter().map(|team| team.name.to_string()).collect();
        (names.join(" "), found.total)
    };
    for (search, names, total) in [
        (search(None, None, 0, 9), "Alpha beta Gamma zeta", 4),
        (search(None, None, 1, 2), "beta Gamma", 4),
        (search(None, None, 4, 2), "", 4),
        (search(None, None, u64::MAX, 2), "", 4),
        (search(Some("eta"), None, 0, 1), "beta", 2),
        (search(Some("eta"), None, 1, 1), "zeta", 2),
        (search(Some("%"), None, 0, 9), "", 0),
        (
            search(None, Some(&["zeta", "alpha", "none"]), 0, 9),
            "Alpha zeta",
            2,
        ),
        (search(None, Some(&["zeta", "alpha", "zeta"]), 1, 9), "zeta", 2),
        (search(Some("l"), Some(&["zeta", "alpha"]), 0, 9), "Alpha", 1),
        (search(None, Some(&[]), 0, 9), "", 0),
    ] {
        assert_eq!(
            teams(search.clone()).await,
            (names.to_owned(), total),
            "{search:?}"
        );
    }

    let members = async |status, search| {
        let found = world
            .store
            .find_members(world.organization, status, search)
            .await
            .unwrap();
        let emails = found.items.into_iter().map(|listed| listed.email().clone());
        (emails.collect::<Vec<_>>(), found.total)
    };
    let all = world.store.members(world.organization, ALL).await.unwrap();
    for status in [None, Some(MemberStatus::Active), Some(MemberStatus::Invited)] {
        let of_it = all
            .iter()
            .filter(|one| status.is_none_or(|status| one.status() == status));
        let of_it: Vec<_> = of_it.cloned().collect();
        assert!(!of_it.is_empty());
        let everything = search(None, None, 0, 99);
        let found = world.store.find_members(world.organization, status, everything);
        let found = found.await.unwrap();
        assert_eq!(
            (found.total, found.items),
            (of_it.len() as u64, of_it),
            "{status:?}"
        );
    }
    let (beta, waits, not_here) = (email("beta"), email("beta-invited"), email("stranger"));
    let (active, invited) = (Some(MemberStatus::Active), Some(MemberStatus::Invited));
    let keys = [beta.as_str(), waits.as_str(), not_here.as_str()];
    let (text, keys) = (
        |offset, limit| search(Some("eta"), None, offset, limit),
        |offset, limit| search(None, Some(&keys), offset, limit),
    );
    for (status, search, emails, total) in [
        (active, text(0, 99), vec![&beta, &email("zeta")], 2),
        (None, text(0, 2), vec![&waits, &beta], 3),
        (None, text(2, 2), vec![&email("zeta")], 3),
        (active, keys(0, 99), vec![&beta], 1),
        (active, keys(1, 99), vec![], 1),
        (invited, keys(0, 99), vec![&waits], 1),
        (None, keys(0, 1), vec![&waits], 2),
        (None, keys(1, 1), vec![&beta], 2),
    ] {
        let (found, of) = members(status, search.clone()).await;
        assert_eq!(
            (found.iter().collect(), of),
            (emails, total),
            "{status:?} {search:?}"
        );
    }

    let organizations = async |of, search| {
        let found = world.store.find_organizations(of, search).await.unwrap();
        let names: Vec<_> = found.items.iter().map(|one| one.name.to_string()).collect();
        (names.join(" "), found.total)
    };
    let everybodys = OrganizationsOf::Everybody;
    let of_admin = OrganizationsOf::Person(world.admin.clone());
    for (of, search, names, total) in [
        (
            everybodys.clone(),
            search(None, None, 0, 9),
            "default Elsewhere",
            2,
        ),
        (everybodys.clone(), search(None, None, 1, 1), "Elsewhere", 2),
        (
            everybodys.clone(),
            search(Some("where"), None, 0, 9),
            "Elsewhere",
            1,
        ),
        (of_admin, search(Some("f"), None, 0, 9), "default", 1),
        (OrganizationsOf::Person(stranger), search(None, None, 0, 9), "", 0),
        (
            OrganizationsOf::Only(elsewhere),
            search(None, None, 0, 9),
            "Elsewhere",
            1,
        ),
        (
            OrganizationsOf::Only(elsewhere),
            search(Some("default"), None, 0, 9),
            "",
            0,
        ),
    ] {
        let found = organizations(of.clone(), search.clone()).await;
        assert_eq!(found, (names.to_owned(), total), "{of:?} {search:?}");
    }
    let changes =
        |organization: &mut Organization| organization.email = Some("Ops@Remote.example".to_owned());
    let generation = world.generation().await;
    let changed = world
        .store
        .change_organization(elsewhere, changes, None, generation)
        .await;
    created(changed.unwrap());
    let found = organizations(everybodys, search(Some("ops@remote"), None, 0, 9)).await;
    assert_eq!(found, ("Elsewhere".to_owned(), 1));
}

/// Slices joined are the whole list, in the order of canonical names.
pub(crate) async fn lists_are_cut_into_slices(world: World) {
    let mut names = vec!["default".to_owned()];
    for name in ["zeta", "Alpha", "beta", "Gamma"] {
        world.organization(name).await;
        world.team(world.organization, name).await;
        let user = world.person(&name.to_lowercase()).await;
        if name != "beta" {
            world.put_member(&name.to_lowercase(), Role::Member).await;
        }
        let generation = world.generation().await;
        let project =
            world
                .store
                .create_project(world.organization, name.parse().unwrap(), at(0), generation);
        created(project.await.unwrap());
        names.push(name.to_owned());
        assert_eq!(standing(&world, &user).await.teams, []);
    }
    names.sort_by_key(|name| name.to_lowercase());
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let slice = Slice { after, limit: 2 };
        let some = world
            .store
            .organizations(OrganizationsOf::Everybody, slice)
            .await
            .unwrap();
        let Some(last) = some.last() else { break };
        after = Some(last.name.canonical());
        found.extend(some.into_iter().map(|organization| organization.name.to_string()));
    }
    assert_eq!(found, names);
    let after = Slice {
        after: Some("beta".to_owned()),
        limit: 2,
    };
    let teams = world
        .store
        .teams(world.organization, after.clone())
        .await
        .unwrap();
    let teams: Vec<_> = teams.iter().map(|team| team.name.as_str()).collect();
    assert_eq!(teams, ["Gamma", "zeta"]);
    let projects = world.store.projects(world.organization, after).await.unwrap();
    let projects: Vec<_> = projects.iter().map(|project| project.name.as_str()).collect();
    assert_eq!(projects, ["Gamma", "zeta"]);
    let after = Slice {
        after: Some(email("alpha").to_string()),
        limit: 2,
    };
    let members = world
        .store
        .members(world.organization, after.clone())
        .await
        .unwrap();
    let members: Vec<_> = members.iter().map(|member| member.email().clone()).collect();
    assert_eq!(members, [email("gamma"), email("zeta")]);
    let people = world.store.people(after).await.unwrap();
    let people: Vec<_> = people.iter().map(|person| person.email.clone()).collect();
    assert_eq!(people, [email("beta"), email("gamma")]);
    let of_admin = OrganizationsOf::Person(world.admin.clone());
    assert_eq!(world.store.organizations(of_admin, ALL).await.unwrap().len(), 5);
    assert_eq!(
        world.store.memberships(world.admin.clone()).await.unwrap().len(),
        5
    );
    let only = OrganizationsOf::Only(world.organization);
    assert_eq!(world.store.organizations(only, ALL).await.unwrap().len(), 1);
}

/// An organization always has an admin who can log in.
pub(crate) async fn the_last_admin_stays(world: World) {
    let ada = world.member("ada").await;
    assert_eq!(
        world.put_member("admin", Role::Member).await,
        MemberChange::LastAdmin
    );
    assert_eq!(
        world.put_member("admin", Role::Viewer).await,
        MemberChange::LastAdmin
    );
    assert_eq!(remove_member(&world, "admin", 1).await, MemberChange::LastAdmin);
    assert_eq!(world.put_member("ada", Role::Admin).await, MemberChange::Done);
    // An admin who cannot log in does not count.
    let disabled = PersonChanges {
        disabled: Some(true),
        ..unchanged(2)
    };
    assert!(matches!(change(&world, &ada, disabled).await, Changed::Done(_)));
    assert_eq!(remove_member(&world, "admin", 3).await, MemberChange::LastAdmin);
    // Nor does one who is only invited.
    assert_eq!(world.put_member("nobody", Role::Admin).await, MemberChange::Done);
    assert_eq!(remove_member(&world, "admin", 3).await, MemberChange::LastAdmin);
    let enabled = PersonChanges {
        disabled: Some(false),
        ..unchanged(4)
    };
    assert!(matches!(change(&world, &ada, enabled).await, Changed::Done(_)));
    assert_eq!(remove_member(&world, "admin", 5).await, MemberChange::Done);
    assert_eq!(standing(&world, &world.admin).await, Standing::default());
    assert_eq!(remove_member(&world, "ada", 6).await, MemberChange::LastAdmin);
}

/// If two admins remove each other at once, one remains.
pub(crate) async fn two_admins_cannot_remove_each_other(world: World) {
    world.member("ada").await;
    world.put_member("ada", Role::Admin).await;
    let generation = world.generation().await;
    let removals: Vec<_> = ["ada", "admin"]
        .into_iter()
        .zip(world.processes())
        .map(|(name, store)| {
            let organization = world.organization;
            tokio::spawn(async move {
                let removed = store.remove_member(organization, email(name), removal(1), generation);
                removed.await.unwrap()
            })
        })
        .collect();
    for removal in removals {
        removal.await.unwrap();
    }
    let admins = world.store.members(world.organization, ALL).await.unwrap();
    assert_eq!(admins.len(), 1);
}

/// A deployment always has a site administrator who can log in.
pub(crate) async fn the_last_site_administrator_stays(world: World) {
    let demote = || PersonChanges {
        site_admin: Some(false),
        ..unchanged(1)
    };
    let disable = || PersonChanges {
        disabled: Some(true),
        ..unchanged(1)
    };
    let admin = world.admin.clone();
    assert_eq!(change(&world, &admin, demote()).await, Changed::LastAdministrator);
    assert_eq!(
        change(&world, &admin, disable()).await,
        Changed::LastAdministrator
    );
    assert_eq!(remove_person(&world, &admin, 1).await, Changed::LastAdministrator);
    let ada = world.person("ada").await;
    let promote = PersonChanges {
        site_admin: Some(true),
        ..unchanged(1)
    };
    assert!(matches!(change(&world, &ada, promote).await, Changed::Done(_)));
    assert!(matches!(change(&world, &ada, disable()).await, Changed::Done(_)));
    assert_eq!(remove_person(&world, &admin, 2).await, Changed::LastAdministrator);
    let enable = PersonChanges {
        disabled: Some(false),
        ..unchanged(3)
    };
    assert!(matches!(change(&world, &ada, enable).await, Changed::Done(_)));
    assert_eq!(remove_person(&world, &admin, 4).await, Changed::Done(()));
    assert_eq!(remove_person(&world, &ada, 5).await, Changed::LastAdministrator);
    assert_eq!(remove_person(&world, &admin, 6).await, Changed::Absent);
}

/// A user created again with the same address inherits nothing of the former user.
pub(crate) async fn a_person_made_again_is_another(world: World) {
    let former = world.member("ada").await;
    let team = world.team(world.organization, "web").await;
    let generation = world.generation().await;
    let joined = world
        .store
        .put_team_member(team.clone(), email("ada"), Role::Admin, generation);
    assert_eq!(done(joined.await.unwrap()), MemberChange::Done);
    let record = world.record(token(world.owner_user(&former), 1)).await;
    let mut session = token(
        Owner::User {
            user: former.clone(),
            organization: None,
        },
        1,
    );
    session.kind = TokenKind::Session;
    let session = world.record(session).await;
    assert_eq!(liveness(&world, &record).await, Liveness::Live);
    assert_eq!(remove_person(&world, &former, 2).await, Changed::Done(()));
    let cut_off = last_cut_off(&world);
    for ended in [&record, &session] {
        assert_eq!(liveness(&world, ended).await, Liveness::Gone);
        assert!(cut_off.ends(ended, at(2)));
    }
    assert_eq!(world.store.credentials(email("ada")).await.unwrap(), None);
    let again = world.person("ada").await;
    assert_ne!(again, former);
    assert_eq!(standing(&world, &again).await, Standing::default());
    assert_eq!(standing(&world, &former).await, Standing::default());
    assert_eq!(liveness(&world, &record).await, Liveness::Gone);
    let former = world.store.person(PersonReference::Id(former)).await.unwrap();
    assert_eq!(former, None);
    assert_eq!(
        world
            .store
            .team_members(world.organization, team, ALL)
            .await
            .unwrap(),
        []
    );
}

/// A role given to an unknown address takes effect once a user with it is created.
pub(crate) async fn a_role_waits_for_its_person(world: World) {
    let web = world.team(world.organization, "web").await;
    let ops = world.team(world.organization, "ops").await;
    let doomed = world.team(world.organization, "doomed").await;
    for (team, role) in [(&web, Role::Admin), (&ops, Role::Member), (&doomed, Role::Member)] {
        let generation = world.generation().await;
        let put = world
            .store
            .put_team_member(team.clone(), email("ada"), role, generation);
        assert_eq!(done(put.await.unwrap()), MemberChange::Done);
    }
    assert_eq!(world.put_member("bob", Role::Member).await, MemberChange::Done);
    assert_eq!(world.put_member("bob", Role::Admin).await, MemberChange::Done);
    assert_eq!(world.put_member("eve", Role::Admin).await, MemberChange::Done);
    assert_eq!(remove_member(&world, "eve", 1).await, MemberChange::Done);
    let generation = world.generation().await;
    let left = world
        .store
        .remove_team_member(ops.clone(), email("ada"), generation);
    assert_eq!(done(left.await.unwrap()), MemberChange::Done);
    let generation = world.generation().await;
    let removed = world.store.remove_team(doomed, removal(1), generation);
    assert_eq!(removed.await.unwrap(), Attempt::Done(()));
    let of_organization = members(&world, ALL).await;
    let waiting = [("ada", Role::Member), ("bob", Role::Admin)].map(|(name, role)| Belonging::Invited {
        email: email(name),
        role,
    });
    let [ada_waits, bob_waits] = waiting.clone();
    let is_admin =
        |listed: &Belonging| matches!(listed, Belonging::Member(one) if one.person.id == world.admin);
    assert_eq!(of_organization.len(), 3, "{of_organization:?}");
    assert!(of_organization.iter().any(is_admin));
    assert!(waiting.iter().all(|one| of_organization.contains(one)));
    // Single-item pages return the same order, which is that of the addresses.
    let mut one_by_one: Vec<Belonging> = Vec::new();
    loop {
        let after = one_by_one.last().map(|last| last.email().to_string());
        let [next] = &members(&world, Slice { after, limit: 1 }).await[..] else {
            break;
        };
        one_by_one.push(next.clone());
    }
    assert_eq!(one_by_one, of_organization);
    assert!(one_by_one.is_sorted_by_key(|listed| listed.email().to_string()));
    let of_team = world
        .store
        .team_members(world.organization, web.clone(), ALL)
        .await
        .unwrap();
    assert_eq!(
        of_team,
        [Belonging::Invited {
            email: email("ada"),
            role: Role::Admin
        }]
    );
    assert_eq!(
        world
            .store
            .team_members(world.organization, ops, ALL)
            .await
            .unwrap(),
        []
    );
    let world = world.reopen();
    let [ada, bob, eve] = [
        world.person("ada").await,
        world.person("bob").await,
        world.person("eve").await,
    ];
    let of_ada = Standing {
        role: Some(Role::Member),
        teams: vec![(web, Role::Admin)],
    };
    assert_eq!(standing(&world, &ada).await, of_ada);
    assert_eq!(standing(&world, &bob).await.role, Some(Role::Admin));
    assert_eq!(standing(&world, &eve).await, Standing::default());
    // The invitation is used up.
    let listed = members(&world, ALL).await;
    assert!(!listed.contains(&ada_waits) && !listed.contains(&bob_waits));
    assert!(listed.into_iter().all(|one| one.member().is_some()));
    assert_eq!(remove_member(&world, "ada", 2).await, MemberChange::Done);
    assert_eq!(standing(&world, &ada).await, Standing::default());
    remove_person(&world, &ada, 3).await;
    let again = world.person("ada").await;
    assert_eq!(standing(&world, &again).await, Standing::default());
}

/// Users are found by a part of their names or address, among the members of given organizations.
pub(crate) async fn people_are_found_by_a_part_of_their_names(world: World) {
    let ada = world.member("ada").await;
    let named = PersonChanges {
        first_name: Some(Some("Augusta".to_owned())),
        last_name: Some(Some("100%_\u{c4}".to_owned())),
        ..unchanged(1)
    };
    change(&world, &ada, named).await;
    let bob = world.person("bob").await;
    let other = world.organization("other").await;
    let generation = world.generation().await;
    let put = world
        .store
        .put_member(other, email("bob"), Role::Viewer, generation);
    assert_eq!(done(put.await.unwrap()), MemberChange::Done);
    let find = async |text: &str, of: &OrganizationsOf, slice: Slice| {
        let found = world.store.find_people(text.to_owned(), of.clone(), slice);
        let found = found.await.unwrap().into_iter();
        found.map(|person| person.email.to_string()).collect::<Vec<_>>()
    };
    let everybody = OrganizationsOf::Everybody;
    let [ada_, bob_, admin_] = ["ada", "bob", "admin"].map(|name| email(name).to_string());
    for text in ["AUGUST", "gust", "100%_", "%_\u{c4}", "ADA@"] {
        assert_eq!(
            find(text, &everybody, ALL).await,
            std::slice::from_ref(&ada_),
            "{text}"
        );
    }
    for text in ["augustaa", "_%", "x' OR 1", "\0"] {
        assert_eq!(find(text, &everybody, ALL).await, Vec::<String>::new(), "{text}");
    }
    for (of, expected) in [
        (&everybody, vec![&ada_, &admin_, &bob_]),
        (&OrganizationsOf::Only(world.organization), vec![&ada_, &admin_]),
        (&OrganizationsOf::Only(other), vec![&admin_, &bob_]),
        (&OrganizationsOf::Person(ada.clone()), vec![&ada_, &admin_]),
        (&OrganizationsOf::Person(bob.clone()), vec![&admin_, &bob_]),
    ] {
        let found = find("", of, ALL).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{of:?}");
        // Slices give the same result.
        let first = find(
            "",
            of,
            Slice {
                after: None,
                limit: 1,
            },
        )
        .await;
        let rest = Slice {
            after: first.first().cloned(),
            ..ALL
        };
        assert_eq!([first, find("", of, rest).await].concat(), found);
    }
    remove_person(&world, &ada, 3).await;
    assert_eq!(find("ada", &everybody, ALL).await, Vec::<String>::new());
}

/// A viewer added through a team becomes a viewer of the organization; an existing role there is kept.
pub(crate) async fn a_viewer_brings_no_more_along(world: World) {
    let web = world.team(world.organization, "web").await;
    let there = world.person("there").await;
    let member = world.member("member").await;
    for name in ["there", "member", "invited"] {
        let generation = world.generation().await;
        let put = world
            .store
            .put_team_member(web.clone(), email(name), Role::Viewer, generation);
        assert_eq!(done(put.await.unwrap()), MemberChange::Done);
    }
    // A role in a team never raises a role in the organization.
    let generation = world.generation().await;
    let put = world
        .store
        .put_team_member(web.clone(), email("there"), Role::Admin, generation);
    assert_eq!(done(put.await.unwrap()), MemberChange::Done);
    let world = world.reopen();
    let invited = world.person("invited").await;
    for (user, role, in_team) in [
        (there, Role::Viewer, Role::Admin),
        (member, Role::Member, Role::Viewer),
        (invited, Role::Viewer, Role::Viewer),
    ] {
        let expected = Standing {
            role: Some(role),
            teams: vec![(web.clone(), in_team)],
        };
        assert_eq!(standing(&world, &user).await, expected);
    }
}

/// Leaving an organization revokes a user's tokens of it and no others.
pub(crate) async fn leaving_ends_the_tokens_of_one_organization(world: World) {
    let ada = world.member("ada").await;
    let other = world.organization("other").await;
    let generation = world.generation().await;
    let put = world
        .store
        .put_member(other, email("ada"), Role::Member, generation);
    done(put.await.unwrap());
    let here = world.record(token(world.owner_user(&ada), 1)).await;
    let there = Owner::User {
        user: ada.clone(),
        organization: Some(other),
    };
    let there = world.record(token(there, 1)).await;
    let everywhere = Owner::User {
        user: ada.clone(),
        organization: None,
    };
    let everywhere = world.record(token(everywhere, 1)).await;
    assert_eq!(remove_member(&world, "ada", 2).await, MemberChange::Done);
    let cut_off = last_cut_off(&world);
    assert_eq!(cut_off.issued_through, at(2).seconds());
    for (record, ended) in [(&here, true), (&there, false), (&everywhere, false)] {
        assert_eq!(cut_off.ends(record, at(2)), ended);
        assert_eq!(liveness(&world, record).await == Liveness::Gone, ended);
    }
    assert_eq!(world.put_member("ada", Role::Member).await, MemberChange::Done);
    assert!(
        cut_off.ends(&here, at(9)),
        "coming back does not bring a token back"
    );
}

/// A new password revokes sessions, disabling revokes everything, and neither affects other users.
pub(crate) async fn passwords_and_disabling_end_what_they_should(world: World) {
    let ada = world.member("ada").await;
    let everywhere = |user: &UserId| Owner::User {
        user: user.clone(),
        organization: None,
    };
    let mut session = token(everywhere(&ada), 1);
    session.kind = TokenKind::Session;
    let session = world.record(session).await;
    let api = world.record(token(world.owner_user(&ada), 1)).await;
    let others = world.record(token(everywhere(&world.admin), 1)).await;
    let password = PersonChanges {
        password_hash: Some("a new hash".to_owned()),
        first_name: Some(Some("Ada".to_owned())),
        ..unchanged(2)
    };
    let Changed::Done(changed) = change(&world, &ada, password).await else {
        panic!("not changed");
    };
    assert_eq!(changed.first_name.as_deref(), Some("Ada"));
    let cut_off = last_cut_off(&world);
    for (record, ended) in [(&session, true), (&api, false), (&others, false)] {
        assert_eq!(cut_off.ends(record, at(2)), ended);
    }
    let credentials = world.store.credentials(email("ada")).await.unwrap().unwrap();
    assert_eq!(credentials.password_hash, "a new hash");
    let names = PersonChanges {
        last_name: Some(Some("Lovelace".to_owned())),
        username: Some(Some("ada".to_owned())),
        ..unchanged(3)
    };
    change(&world, &ada, names).await;
    assert_eq!(last_cut_off(&world), cut_off, "a name ends nothing");
    let disable = PersonChanges {
        disabled: Some(true),
        ..unchanged(4)
    };
    let Changed::Done(disabled) = change(&world, &ada, disable).await else {
        panic!("not disabled");
    };
    assert_eq!(disabled.disabled_at, Some(at(4)));
    let cut_off = last_cut_off(&world);
    for (record, ended) in [(&session, true), (&api, true), (&others, false)] {
        assert_eq!(cut_off.ends(record, at(4)), ended);
        assert_eq!(liveness(&world, record).await == Liveness::Gone, ended);
    }
    let world = world.reopen();
    let read = world
        .store
        .person(PersonReference::Email(email("ada")))
        .await
        .unwrap();
    assert_eq!(read.map(|read| read.value), Some(disabled));
    let stranger = UserId::random(entropy());
    assert_eq!(change(&world, &stranger, unchanged(5)).await, Changed::Absent);
}

/// Deleting a team or an organization revokes its tokens and deletes everything in it.
pub(crate) async fn what_is_removed_ends_its_tokens(world: World) {
    let organization = world.organization("doomed").await;
    let team = world.team(organization, "web").await;
    let ada = world.person("ada").await;
    let generation = world.generation().await;
    let put = world
        .store
        .put_team_member(team.clone(), email("ada"), Role::Member, generation);
    assert_eq!(done(put.await.unwrap()), MemberChange::Done);
    let in_doomed = world.store.standing(ada.clone(), organization).await.unwrap();
    assert_eq!(
        in_doomed.role,
        Some(Role::Member),
        "a team's member is the organization's"
    );
    let of_team = Owner::Team {
        team: team.clone(),
        organization,
    };
    let of_team = world.record(token(of_team, 1)).await;
    let of_organization = world.record(token(Owner::Organization(organization), 1)).await;
    let generation = world.generation().await;
    let removed = world.store.remove_team(team.clone(), removal(2), generation);
    assert_eq!(removed.await.unwrap(), Attempt::Done(()));
    let cut_off = last_cut_off(&world);
    for (record, ended) in [(&of_team, true), (&of_organization, false)] {
        assert_eq!(cut_off.ends(record, at(2)), ended);
        assert_eq!(liveness(&world, record).await == Liveness::Gone, ended);
    }
    let by_id = TeamReference::Id(team.clone());
    assert_eq!(world.store.team(organization, by_id.clone()).await.unwrap(), None);
    // The name is free, and a team created with it is a different one.
    let again = world.team(organization, "WEB").await;
    let by_name = TeamReference::Name("web".to_owned());
    let found = world.store.team(organization, by_name).await.unwrap();
    assert_eq!(found.map(|team| team.id), Some(again.clone()));
    assert_eq!(
        world
            .store
            .team_members(world.organization, again.clone(), ALL)
            .await
            .unwrap(),
        []
    );

    let generation = world.generation().await;
    let project = world
        .store
        .create_project(organization, "site".parse().unwrap(), at(2), generation);
    let project = created(project.await.unwrap());
    let generation = world.generation().await;
    let removed = world
        .store
        .remove_organization(organization, removal(3), generation);
    assert_eq!(removed.await.unwrap(), Attempt::Done(()));
    let cut_off = last_cut_off(&world);
    assert_eq!(
        cut_off.reach,
        Reach {
            organization: Some(organization),
            ..Reach::default()
        }
    );
    assert!(cut_off.ends(&of_organization, at(3)));
    assert_eq!(liveness(&world, &of_organization).await, Liveness::Gone);
    let by_id = TeamReference::Id(again.clone());
    assert_eq!(world.store.team(organization, by_id).await.unwrap(), None);
    assert_eq!(world.store.memberships(ada.clone()).await.unwrap(), []);
    let left = world.store.existing_projects(organization, vec![project.id]);
    assert_eq!(left.await.unwrap(), []);
    let generation = world.generation().await;
    let into_nothing = world
        .store
        .put_member(organization, email("ada"), Role::Admin, generation);
    assert_eq!(done(into_nothing.await.unwrap()), MemberChange::Absent);
    let new = NewTeam {
        team: jeton_core::directory::Team {
            id: again,
            name: "late".parse().unwrap(),
            organization,
            created_at: at(4),
        },
    };
    let late = world.store.create_team(new, generation).await.unwrap();
    assert_eq!(done(late), Created::Absent);
    assert_eq!(
        world.generation().await,
        generation,
        "what changed nothing is no new version"
    );
}

/// A project's number is never reused.
pub(crate) async fn project_numbers_are_used_once(world: World) {
    let other = world.organization("other").await;
    assert_eq!(world.store.newest_project().await.unwrap(), 0);
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let generation = world.generation().await;
        let project =
            world
                .store
                .create_project(world.organization, "site".parse().unwrap(), at(1), generation);
        let project = created(project.await.unwrap());
        assert!(!numbers.contains(&project.id));
        numbers.push(project.id);
        let generation = world.generation().await;
        let taken =
            world
                .store
                .create_project(world.organization, "SITE".parse().unwrap(), at(1), generation);
        assert_eq!(done(taken.await.unwrap()), Created::NameTaken);
        let wanted = vec![project.id, 99, project.id];
        let existing = world.store.existing_projects(world.organization, wanted.clone());
        assert_eq!(existing.await.unwrap(), std::slice::from_ref(&project));
        let elsewhere = world.store.existing_projects(other, wanted).await.unwrap();
        assert_eq!(elsewhere, []);
        for (organization, removed) in [
            (other, false),
            (world.organization, true),
            (world.organization, false),
        ] {
            let generation = world.generation().await;
            let outcome = world.store.remove_project(organization, project.id, generation);
            assert_eq!(done(outcome.await.unwrap()), removed);
        }
        // Of a deleted project only its number is known.
        assert_eq!(world.store.newest_project().await.unwrap(), project.id);
    }
}

/// A site administrator acts in organizations without membership, for as long as they are one.
pub(crate) async fn a_site_administrator_belongs_everywhere(world: World) {
    let ada = world.person("ada").await;
    let record = world.record(token(world.owner_user(&ada), 1)).await;
    assert_eq!(liveness(&world, &record).await, Liveness::Gone);
    for (site_admin, expected) in [(true, Liveness::Live), (false, Liveness::Gone)] {
        let changes = PersonChanges {
            site_admin: Some(site_admin),
            ..unchanged(2)
        };
        change(&world, &ada, changes).await;
        assert_eq!(liveness(&world, &record).await, expected);
    }
}

/// A team keeps its id, members and tokens when it is renamed, and is found by its id.
pub(crate) async fn a_team_is_renamed_and_found_by_its_id(world: World) {
    let web = world.team(world.organization, "web").await;
    let ops = world.team(world.organization, "ops").await;
    let other = world.organization("other").await;
    let elsewhere = world.team(other, "shop").await;
    let owner = Owner::Team {
        team: web.clone(),
        organization: world.organization,
    };
    let record = world.record(token(owner, 1)).await;
    let rename = async |id: &TeamId, name: &str| {
        let generation = world.generation().await;
        let renamed = world
            .store
            .rename_team(id.clone(), name.parse().unwrap(), generation);
        (generation, done(renamed.await.unwrap()))
    };
    assert_eq!(rename(&web, "OPS").await.1, Created::NameTaken);
    let (before, renamed) = rename(&web, "Shop").await;
    let Created::Made(renamed) = renamed else {
        panic!("{renamed:?}")
    };
    assert_eq!((renamed.name.as_str(), &renamed.id), ("Shop", &web));
    assert_ne!(
        world.generation().await,
        before,
        "a decision by the old name is made again"
    );
    assert!(
        matches!(rename(&web, "sHOP").await.1, Created::Made(_)),
        "its own in another case"
    );
    let stale = world
        .store
        .rename_team(web.clone(), "late".parse().unwrap(), before)
        .await;
    assert_eq!(stale.unwrap(), Attempt::Stale);
    // The former name is free.
    assert!(matches!(rename(&ops, "web").await.1, Created::Made(_)));

    let by_name = world
        .store
        .team(world.organization, "shop".parse().unwrap())
        .await;
    assert_eq!(by_name.unwrap().map(|team| team.id), Some(web.clone()));
    let presented = world.store.presented(record.token.jti).await.unwrap().unwrap();
    assert_eq!(tokens::liveness(&presented), Liveness::Live);
    for (id, organization) in [(&web, world.organization), (&elsewhere, other)] {
        let found = world.store.team_with_id(id.clone()).await.unwrap();
        assert_eq!(found.map(|team| team.organization), Some(organization));
    }
    let generation = world.generation().await;
    let removed = world.store.remove_team(web.clone(), removal(2), generation).await;
    done(removed.unwrap());
    let generation = world.generation().await;
    let removed = world
        .store
        .remove_organization(other, removal(2), generation)
        .await;
    done(removed.unwrap());
    for gone in [web, elsewhere, TeamId::random(entropy())] {
        assert_eq!(world.store.team_with_id(gone.clone()).await.unwrap(), None);
        assert_eq!(rename(&gone, "again").await.1, Created::Absent);
    }
}

/// Users are added all at once or not at all, and no existing role is lowered.
pub(crate) async fn people_are_brought_in_together(world: World) {
    let [web, ops] = [
        world.team(world.organization, "web").await,
        world.team(world.organization, "ops").await,
    ];
    let other = world.organization("other").await;
    let elsewhere = world.team(other, "shop").await;
    let ada = world.person("ada").await;
    let bob = world.person("bob").await;
    world.put_member("bob", Role::Admin).await;
    let generation = world.generation().await;
    let put = world
        .store
        .put_team_member(web.clone(), email("bob"), Role::Admin, generation);
    done(put.await.unwrap());
    let add = async |teams: &[&TeamId], people: &[&str]| {
        let generation = world.generation().await;
        let teams = teams.iter().copied().cloned().collect();
        let people = people.iter().map(|name| email(name)).collect();
        let added = world
            .store
            .add_members(world.organization, teams, people, generation);
        done(added.await.unwrap())
    };
    let standing = async |user: &UserId| {
        world
            .store
            .standing(user.clone(), world.organization)
            .await
            .unwrap()
    };
    let nothing = Standing::default();
    for wrong in [&elsewhere, &TeamId::random(entropy())] {
        assert_eq!(add(&[&web, wrong], &["ada"]).await, MemberChange::Absent);
        assert_eq!(standing(&ada).await, nothing);
    }
    let before = world.generation().await;
    assert_eq!(
        add(&[&web, &ops], &["ada", "bob", "eve"]).await,
        MemberChange::Done
    );
    assert_ne!(world.generation().await, before);
    let member = |web_role, role| Standing {
        role: Some(role),
        teams: vec![(ops.clone(), Role::Member), (web.clone(), web_role)],
    };
    assert_eq!(standing(&ada).await, member(Role::Member, Role::Member));
    assert_eq!(standing(&bob).await, member(Role::Admin, Role::Admin));
    // The pending role of an unknown address is neither lost nor lowered.
    world.put_member("kim", Role::Admin).await;
    assert_eq!(add(&[&web], &["kim"]).await, MemberChange::Done);
    let [eve, kim] = [world.person("eve").await, world.person("kim").await];
    assert_eq!(standing(&eve).await, member(Role::Member, Role::Member));
    let of_kim = Standing {
        role: Some(Role::Admin),
        teams: vec![(web.clone(), Role::Member)],
    };
    assert_eq!(standing(&kim).await, of_kim);
    let late = world
        .store
        .add_members(world.organization, Vec::new(), vec![email("late")], before);
    assert_eq!(late.await.unwrap(), Attempt::Stale);
    // An existing member is not added again, and no generation is raised.
    let generation = world.generation().await;
    assert_eq!(add(&[], &["ada", "bob"]).await, MemberChange::Done);
    assert_eq!(world.generation().await, generation);
    let removed = world
        .store
        .remove_organization(other, removal(9), generation)
        .await;
    done(removed.unwrap());
    let generation = world.generation().await;
    let gone = world
        .store
        .add_members(other, Vec::new(), vec![email("ada")], generation);
    assert_eq!(done(gone.await.unwrap()), MemberChange::Absent);
}
