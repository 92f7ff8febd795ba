//! Organizations, teams, projects and people.

use async_trait::async_trait;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{
    Belonging, Email, Invitation, Invited, Member, MemberStatus, Membership, Name, Organization,
    OrganizationId, OrganizationReference, Person, Project, Role, SentInvitation, Team, TeamId,
    TeamReference, UserId,
};

use super::MemoryStore;
use super::data::{Account, Data, Kept};
use crate::{
    Credentials, Found, Holdings, OrganizationSize, Organizations, OrganizationsOf, People, PersonReference,
    Projects, Result, Search, Slice, Standing, Teams, Versioned,
};

/// Returns a part of a list in the order of its keys.
fn slice<T>(all: impl Iterator<Item = T>, key: impl Fn(&T) -> String, slice: &Slice) -> Vec<T> {
    let mut found: Vec<(String, T)> = all
        .map(|item| (key(&item), item))
        .filter(|(key, _)| slice.after.as_ref().is_none_or(|after| key > after))
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let limit = slice.limit as usize;
    found.into_iter().take(limit).map(|(_, item)| item).collect()
}

/// Returns a numbered page of a list in the order of its keys. The text may match the key or `also`.
fn find<T>(
    all: impl Iterator<Item = T>,
    key: impl Fn(&T) -> String,
    also: impl Fn(&T) -> Option<String>,
    search: &Search,
) -> Found<T> {
    let mut found: Vec<(String, T)> = all
        .map(|item| (key(&item), item))
        .filter(|(key, item)| {
            let has_text = |text: &String| {
                key.contains(text) || also(item).is_some_and(|also| also.to_ascii_lowercase().contains(text))
            };
            search.text.as_ref().is_none_or(has_text)
                && search.keys.as_ref().is_none_or(|keys| keys.contains(key))
        })
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let total = found.len() as u64;
    let offset = usize::try_from(search.offset).unwrap_or(usize::MAX);
    let page = found.into_iter().skip(offset).take(search.limit as usize);
    Found {
        items: page.map(|(_, item)| item).collect(),
        total,
    }
}

impl Data {
    /// Returns the members and invited addresses of an organization or a team, from their roles.
    fn belonging<'a>(
        &'a self,
        members: impl Iterator<Item = (&'a UserId, &'a Role)>,
        invited: impl Iterator<Item = (&'a Email, &'a Role)>,
    ) -> impl Iterator<Item = Belonging> {
        let members = members.filter_map(|(user, role)| {
            let person = self.person(user)?.clone();
            Some(Belonging::Member(Member { person, role: *role }))
        });
        let invited = invited.map(|(email, role)| Belonging::Invited {
            email: email.clone(),
            role: *role,
        });
        members.chain(invited)
    }

    /// Returns the members and invited addresses of an organization.
    fn of_organization(&self, id: OrganizationId) -> impl Iterator<Item = Belonging> {
        let members = self.memberships.iter().filter(move |((of, _), _)| *of == id);
        let invited = self
            .invitations
            .iter()
            .filter(move |((of, team, _), _)| *of == id && team.is_none());
        self.belonging(
            members.map(|((_, user), role)| (user, role)),
            invited.map(|((.., email), offered)| (email, &offered.role)),
        )
    }

    /// Returns the roles that an address is invited to in teams of an organization, in the order of their names.
    fn invited_to_teams(&self, email: &Email, organization: OrganizationId) -> Vec<(TeamId, Name, Role)> {
        let invitations = self.invitations.iter();
        let mut teams: Vec<_> = invitations
            .filter(|((of, _, to), _)| *of == organization && to == email)
            .filter_map(|((_, team, _), offered)| {
                let team = self.team(team.as_ref()?)?;
                Some((team.id.clone(), team.name.clone(), offered.role))
            })
            .collect();
        teams.sort_by_key(|(_, name, _)| name.canonical());
        teams
    }

    fn account(&self, email: &Email) -> Option<&Kept<Account>> {
        let person = self.live_people().find(|person| person.email == *email)?;
        self.people.get(&person.id)
    }
}

#[async_trait]
impl Organizations for MemoryStore {
    async fn organization(
        &self,
        reference: OrganizationReference,
    ) -> Result<Option<Versioned<Organization>>> {
        let data = self.data();
        let found = match reference {
            OrganizationReference::Id(id) => data.organizations.get(&id),
            OrganizationReference::Name(name) => data.organizations.values().find(|kept| {
                kept.live()
                    .is_some_and(|organization| organization.name.canonical() == name)
            }),
        };
        Ok(found.and_then(|kept| kept.versioned(kept.value.clone())))
    }

    async fn organizations(&self, of: OrganizationsOf, part: Slice) -> Result<Vec<Organization>> {
        let data = self.data();
        let found = data.organizations.values().filter_map(Kept::live);
        let found = found.filter(|organization| match &of {
            OrganizationsOf::Everybody => true,
            OrganizationsOf::Only(id) => organization.id == *id,
            OrganizationsOf::Person(user) => data.is_member(organization.id, user),
        });
        Ok(slice(
            found.cloned(),
            |organization| organization.name.canonical(),
            &part,
        ))
    }

    async fn find_organizations(&self, of: OrganizationsOf, search: Search) -> Result<Found<Organization>> {
        let everything = Slice {
            after: None,
            limit: u32::MAX,
        };
        let all = self.organizations(of, everything).await?;
        Ok(find(
            all.into_iter(),
            |organization| organization.name.canonical(),
            |organization| organization.email.clone(),
            &search,
        ))
    }

    async fn find_members(
        &self,
        id: OrganizationId,
        status: Option<MemberStatus>,
        search: Search,
    ) -> Result<Found<Belonging>> {
        let data = self.data();
        let listed = data.of_organization(id);
        let listed = listed.filter(|one| status.is_none_or(|status| one.status() == status));
        Ok(find(listed, |one| one.email().to_string(), |_| None, &search))
    }

    async fn members(&self, id: OrganizationId, part: Slice) -> Result<Vec<Belonging>> {
        let data = self.data();
        Ok(slice(
            data.of_organization(id),
            |one| one.email().to_string(),
            &part,
        ))
    }

    async fn size(&self, id: OrganizationId) -> Result<OrganizationSize> {
        let data = self.data();
        let teams = data
            .teams
            .values()
            .filter_map(Kept::live)
            .filter(|team| team.organization == id);
        let projects = data
            .projects
            .values()
            .filter(|project| project.organization == id);
        let members = data
            .memberships
            .keys()
            .filter(|(organization, _)| *organization == id);
        let invited = data
            .invitations
            .keys()
            .filter(|(organization, team, _)| *organization == id && team.is_none());
        Ok(OrganizationSize {
            teams: teams.count() as u64,
            projects: projects.count() as u64,
            members: (members.count() + invited.count()) as u64,
        })
    }

    async fn invited(&self, email: Email, organization: OrganizationId) -> Result<Option<Invited>> {
        let data = self.data();
        let offered = data.invitations.get(&(organization, None, email.clone()));
        Ok(offered.map(|offered| Invited {
            role: offered.role,
            consent: offered.consent,
            teams: data
                .invited_to_teams(&email, organization)
                .into_iter()
                .map(|(id, _, role)| (id, role))
                .collect(),
        }))
    }

    async fn invitations(&self, email: Email, part: Slice) -> Result<Vec<Invitation>> {
        let data = self.data();
        let own = data.invitations.iter();
        let own = own.filter(|((_, team, to), _)| team.is_none() && *to == email);
        let own = own.filter_map(|((id, ..), offered)| {
            let mut teams = data.invited_to_teams(&email, *id);
            teams.truncate(100);
            Some(Invitation {
                organization: *id,
                name: data.organization(*id)?.name.clone(),
                role: offered.role,
                teams,
                invited_by: Some(offered.by.clone()),
                invited_at: Some(offered.at),
            })
        });
        Ok(slice(own, |one| one.name.canonical(), &part))
    }

    async fn sent_invitations(&self, id: OrganizationId, part: Slice) -> Result<Vec<SentInvitation>> {
        let data = self.data();
        let own = data.invitations.iter();
        let own = own.filter(|((of, team, _), _)| *of == id && team.is_none());
        let own = own.map(|((.., email), offered)| {
            let mut teams = data.invited_to_teams(email, id);
            teams.truncate(100);
            SentInvitation {
                email: email.clone(),
                role: offered.role,
                teams,
                invited_by: Some(offered.by.clone()),
                invited_at: Some(offered.at),
            }
        });
        Ok(slice(own, |one| one.email.to_string(), &part))
    }

    async fn holdings(&self, user: UserId, since: Timestamp) -> Result<Holdings> {
        let data = self.data();
        let own = data.memberships.keys().filter(|(_, member)| *member == user);
        let given_up = data
            .former_names
            .values()
            .filter(|former| former.by.as_ref() == Some(&user) && former.at > since);
        Ok(Holdings {
            organizations: own.count() as u64,
            given_up: given_up.count() as u64,
        })
    }

    async fn standing(&self, user: UserId, organization: OrganizationId) -> Result<Standing> {
        let data = self.data();
        let mut teams: Vec<_> = data
            .team_memberships
            .iter()
            .filter(|((_, member), _)| *member == user)
            .filter_map(|((team, _), role)| {
                let team = data.teams.get(team)?.live()?;
                (team.organization == organization).then(|| (team.name.canonical(), team.id.clone(), *role))
            })
            .collect();
        teams.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        Ok(Standing {
            role: data.memberships.get(&(organization, user)).copied(),
            teams: teams.into_iter().map(|(_, id, role)| (id, role)).collect(),
        })
    }

    async fn memberships(&self, user: UserId) -> Result<Vec<Membership>> {
        let data = self.data();
        let own = data.memberships.iter().filter(|((_, member), _)| *member == user);
        let own = own.filter_map(|((id, _), role)| {
            Some(Membership {
                organization: *id,
                name: data.organization(*id)?.name.clone(),
                role: *role,
            })
        });
        let all = Slice {
            after: None,
            limit: 1_000,
        };
        Ok(slice(own, |membership| membership.name.canonical(), &all))
    }
}

#[async_trait]
impl Teams for MemoryStore {
    async fn team(&self, organization: OrganizationId, reference: TeamReference) -> Result<Option<Team>> {
        let data = self.data();
        let team = data.live_teams().find(|team| {
            team.organization == organization
                && match &reference {
                    TeamReference::Id(id) => team.id == *id,
                    TeamReference::Name(name) => team.name.canonical() == *name,
                }
        });
        Ok(team.cloned())
    }

    async fn team_with_id(&self, id: TeamId) -> Result<Option<Team>> {
        Ok(self.data().team(&id).cloned())
    }

    async fn teams(&self, organization: OrganizationId, part: Slice) -> Result<Vec<Team>> {
        let data = self.data();
        let teams = data.live_teams().filter(|team| team.organization == organization);
        Ok(slice(teams.cloned(), |team| team.name.canonical(), &part))
    }

    async fn find_teams(&self, organization: OrganizationId, search: Search) -> Result<Found<Team>> {
        let data = self.data();
        let teams = data.teams.keys().filter_map(|id| data.team(id));
        let teams = teams.filter(|team| team.organization == organization);
        Ok(find(
            teams.cloned(),
            |team| team.name.canonical(),
            |_| None,
            &search,
        ))
    }

    async fn team_members(&self, _: OrganizationId, id: TeamId, part: Slice) -> Result<Vec<Belonging>> {
        let data = self.data();
        let members = data.team_memberships.iter().filter(|((team, _), _)| *team == id);
        let invited = data
            .invitations
            .iter()
            .filter(|((_, team, _), _)| team.as_ref() == Some(&id));
        let listed = data.belonging(
            members.map(|((_, user), role)| (user, role)),
            invited.map(|((.., email), offered)| (email, &offered.role)),
        );
        Ok(slice(listed, |one| one.email().to_string(), &part))
    }
}

#[async_trait]
impl Projects for MemoryStore {
    async fn projects(&self, organization: OrganizationId, part: Slice) -> Result<Vec<Project>> {
        let data = self.data();
        let own = data
            .projects
            .values()
            .filter(|project| project.organization == organization);
        Ok(slice(own.cloned(), |project| project.name.canonical(), &part))
    }

    async fn existing_projects(&self, organization: OrganizationId, ids: Vec<u32>) -> Result<Vec<Project>> {
        let data = self.data();
        let own = data
            .projects
            .values()
            .filter(|project| project.organization == organization && ids.contains(&project.id));
        Ok(own.cloned().collect())
    }

    async fn newest_project(&self) -> Result<u32> {
        Ok(self.data().newest_project)
    }
}

#[async_trait]
impl People for MemoryStore {
    async fn person(&self, reference: PersonReference) -> Result<Option<Versioned<Person>>> {
        let data = self.data();
        let found = match &reference {
            PersonReference::Email(email) => data.account(email),
            PersonReference::Id(id) => data.people.get(id),
        };
        Ok(found.and_then(|kept| kept.versioned(kept.value.person.clone())))
    }

    async fn credentials(&self, email: Email) -> Result<Option<Credentials>> {
        let data = self.data();
        Ok(data.account(&email).map(|kept| Credentials {
            person: kept.value.person.clone(),
            password_hash: kept.value.password_hash.clone(),
            generation: kept.generation,
        }))
    }

    async fn people(&self, part: Slice) -> Result<Vec<Person>> {
        let data = self.data();
        Ok(slice(
            data.live_people().cloned(),
            |person| person.email.to_string(),
            &part,
        ))
    }

    async fn find_people(&self, text: String, of: OrganizationsOf, part: Slice) -> Result<Vec<Person>> {
        let data = self.data();
        let text = text.to_ascii_lowercase();
        let has = |name: Option<&str>| name.is_some_and(|name| name.to_ascii_lowercase().contains(&text));
        let found = data.live_people().filter(|person| {
            has(Some(person.email.as_str()))
                || has(person.first_name.as_deref())
                || has(person.last_name.as_deref())
        });
        let found = found.filter(|person| match &of {
            OrganizationsOf::Everybody => true,
            OrganizationsOf::Only(id) => data.is_member(*id, &person.id),
            OrganizationsOf::Person(user) => data
                .memberships
                .keys()
                .any(|(id, member)| member == user && data.is_member(*id, &person.id)),
        });
        Ok(slice(found.cloned(), |person| person.email.to_string(), &part))
    }
}
