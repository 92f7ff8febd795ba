//! Users: created, updated and deleted by site administrators with a session.

use std::net::IpAddr;

use crate::authority::organizations::organizations_of;
use crate::authority::password::{NewPassword, Password};
use crate::authority::retry::Attempt;
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result, policy};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Email, Membership, Person, UserId};
use jeton_core::text::Line;
use jeton_store::rules::people;
use jeton_store::{Cause, NewPerson, Order, OrganizationsOf, Slice, Versioned};

/// A user to create.
#[derive(Debug)]
pub struct NewAccount {
    /// The e-mail address.
    pub email: Email,
    /// The password.
    pub password: NewPassword,
    /// Given name.
    pub first_name: Option<Line>,
    /// Family name.
    pub last_name: Option<Line>,
    /// A short name.
    pub username: Option<Line>,
    /// Whether the user is a site administrator.
    pub site_admin: bool,
}

impl NewAccount {
    /// Returns a site administrator without names.
    pub fn site_administrator(email: Email, password: NewPassword) -> Self {
        Self {
            email,
            password,
            first_name: None,
            last_name: None,
            username: None,
            site_admin: true,
        }
    }
}

/// Requested changes to a user; `None` keeps the current value.
#[derive(Debug, Default)]
pub struct PersonPatch {
    /// A new password.
    pub password: Option<NewPassword>,
    /// The current password, which users send when they change their own.
    pub current_password: Option<Password>,
    /// A new given name; `Some(None)` removes it.
    pub first_name: Option<Option<Line>>,
    /// A new family name; `Some(None)` removes it.
    pub last_name: Option<Option<Line>>,
    /// A new short name; `Some(None)` removes it.
    pub username: Option<Option<Line>>,
    /// Whether the user is a site administrator.
    pub site_admin: Option<bool>,
    /// Whether the user is disabled.
    pub disabled: Option<bool>,
}

impl PersonPatch {
    fn is_only_a_password(&self) -> bool {
        let Self {
            password,
            current_password: _,
            first_name,
            last_name,
            username,
            site_admin,
            disabled,
        } = self;
        password.is_some()
            && first_name.is_none()
            && last_name.is_none()
            && username.is_none()
            && site_admin.is_none()
            && disabled.is_none()
    }

    /// Returns what the patch changes, if the caller may change that.
    pub(super) fn allowed(&self, caller: &Caller, email: &Email) -> Result<Change> {
        let change = match self.is_only_a_password() {
            true => Change::Password,
            false => Change::Anything,
        };
        may_change(caller, email, change).map(|()| change)
    }

    /// Returns the changes, with the hash of the new password.
    pub(super) fn with_hash(self, password_hash: Option<String>) -> PersonChanges {
        let Self {
            password: _,
            current_password: _,
            first_name,
            last_name,
            username,
            site_admin,
            disabled,
        } = self;
        PersonChanges {
            first_name: first_name.map(|name| name.map(Into::into)),
            last_name: last_name.map(|name| name.map(Into::into)),
            username: username.map(|name| name.map(Into::into)),
            site_admin,
            disabled,
            password_hash,
        }
    }
}

impl Authority {
    /// Creates a user.
    pub async fn create_person(&self, caller: &Caller, account: NewAccount) -> Result<Person> {
        policy::manage_people(caller)?;
        let new = &self.new_person(account).await?;
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                policy::manage_people(&caller)?;
                self.create(&view, caller.cause(self.clock.now()), new).await
            })
        })
        .await
        .inspect(|person| tracing::info!(by = caller.actor().name, person = %person.email, site_admin = person.site_admin, "user created"))
    }

    /// Returns all users.
    pub async fn people(&self, caller: &Caller, slice: Slice) -> Result<Vec<Person>> {
        policy::manage_people(caller)?;
        Ok(self.store.people(slice).await?)
    }

    /// Returns the users whose names or e-mail address contain a text: users who share an organization with
    /// the caller; for a site administrator, all users.
    pub async fn find_people(&self, caller: &Caller, text: &str, slice: Slice) -> Result<Vec<Person>> {
        match organizations_of(caller) {
            Some(of) => Ok(self.store.find_people(Email::searched(text), of, slice).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Returns a user: for a site administrator any user, for other callers themselves only.
    pub async fn person(&self, caller: &Caller, email: &Email) -> Result<Person> {
        policy::logged_in(caller)?;
        if !is_self(caller, email) {
            policy::manage_people(caller)?;
        }
        let found = self.store.person(email.clone().into()).await?;
        found.map(Versioned::into_value).ok_or(Error::Absent)
    }

    /// Returns the user with an id: the caller, or a user who shares an organization with the caller; for a site
    /// administrator any user.
    pub async fn person_with_id(&self, caller: &Caller, id: &UserId) -> Result<Person> {
        let found = self.store.person(id.clone().into()).await?;
        let person = found.map(Versioned::into_value).ok_or(Error::Absent)?;
        let is_seen = match organizations_of(caller) {
            None => false,
            Some(OrganizationsOf::Everybody) => true,
            Some(OrganizationsOf::Only(only)) => {
                let standing = self.store.standing(person.id.clone(), only).await?;
                caller.user() == Some(id) || standing.role.is_some()
            }
            Some(OrganizationsOf::Person(user)) => {
                let own = self.store.memberships(user.clone()).await?;
                let theirs = self.store.memberships(person.id.clone()).await?;
                let is_shared =
                    |one: &Membership| theirs.iter().any(|other| one.organization == other.organization);
                user == *id || own.iter().any(is_shared)
            }
        };
        if is_seen { Ok(person) } else { Err(Error::Absent) }
    }

    /// Updates a user. Users may change their own password if they send the current one; only site
    /// administrators may change anything else. A new password ends all sessions of the user. The check of
    /// the current password is throttled like a login from `address`.
    pub async fn change_person(
        &self,
        caller: &Caller,
        address: IpAddr,
        email: &Email,
        mut patch: PersonPatch,
    ) -> Result<Person> {
        let change = patch.allowed(caller, email)?;
        let (password, current_password) = (patch.password.take(), patch.current_password.take());
        if is_self(caller, email) && password.is_some() {
            let right = match current_password {
                Some(current) => self
                    .try_password(email.as_str(), current, address)
                    .await?
                    .is_some(),
                None => false,
            };
            if !right {
                return Err(Error::WrongPassword);
            }
        }
        let sets_password = password.is_some();
        let password_hash = match password {
            Some(password) => Some(self.passwords.hash(password).await?.to_phc()),
            None => None,
        };
        let changes = &patch.with_hash(password_hash);
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                may_change(&caller, email, change)?;
                self.change_as(&view, caller.cause(self.clock.now()), email, changes)
                    .await
            })
        })
        .await
        .inspect(|person| {
            let password = if sets_password { "set" } else { "kept" };
            let disabled = person.disabled_at.is_some();
            tracing::info!(by = caller.actor().name, person = %person.email, password, disabled, site_admin = person.site_admin, "user updated");
        })
    }

    /// Deletes a user; removes them from organizations and teams and revokes their sessions and tokens.
    pub async fn remove_person(&self, caller: &Caller, email: &Email) -> Result<()> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let order = self.removal_of_person(&view, &caller, email).await?;
                Ok(self.commit(&view, order).await?.map(drop))
            })
        })
        .await
        .inspect(|()| tracing::info!(by = caller.actor().name, person = %email, "user deleted"))
    }

    /// Returns the order of [`Authority::remove_person`].
    pub(super) async fn removal_of_person(
        &self,
        view: &View<'_>,
        caller: &Caller,
        email: &Email,
    ) -> Result<Order> {
        policy::manage_people(caller)?;
        let person = view.person(&email.clone().into()).await?.ok_or(Error::Absent)?;
        Ok(people::remove(caller.cause(self.clock.now()), &person))
    }

    /// Creates a user and records `cause`.
    pub(super) async fn create(
        &self,
        view: &View<'_>,
        cause: Cause,
        new: &NewPerson,
    ) -> Result<Attempt<Person>> {
        if self
            .store
            .person(new.person.email.clone().into())
            .await?
            .is_some()
        {
            return Err(Error::AddressTaken);
        }
        let order = people::create(cause, new.clone());
        Ok(self.commit(view, order).await?.map(|_| new.person.clone()))
    }

    /// Updates a user and records `cause`.
    pub(super) async fn change_as(
        &self,
        view: &View<'_>,
        cause: Cause,
        email: &Email,
        changes: &PersonChanges,
    ) -> Result<Attempt<Person>> {
        let (order, changed) = order_to_change(view, cause, email, changes).await?;
        Ok(self.commit(view, order).await?.map(|_| changed))
    }

    /// Returns the user to create, with a new id and the hashed password.
    pub(super) async fn new_person(&self, account: NewAccount) -> Result<NewPerson> {
        let NewAccount {
            email,
            password,
            first_name,
            last_name,
            username,
            site_admin,
        } = account;
        Ok(NewPerson {
            password_hash: self.passwords.hash(password).await?.to_phc(),
            person: Person {
                id: UserId::random(&*self.entropy),
                email,
                first_name: first_name.map(Into::into),
                last_name: last_name.map(Into::into),
                username: username.map(Into::into),
                site_admin,
                disabled_at: None,
                created_at: self.clock.now(),
            },
        })
    }
}

/// Checked changes to a user, with the password hashed; `None` keeps the current value.
#[derive(Clone, Default)]
pub(super) struct PersonChanges {
    first_name: Option<Option<String>>,
    last_name: Option<Option<String>>,
    username: Option<Option<String>>,
    site_admin: Option<bool>,
    disabled: Option<bool>,
    /// The hash of a new password, as a PHC string.
    password_hash: Option<String>,
}

impl PersonChanges {
    /// Returns the change of a password, given its hash.
    pub(super) fn password(hash: String) -> Self {
        Self {
            password_hash: Some(hash),
            ..Self::default()
        }
    }

    fn apply(&self, person: Person, now: Timestamp) -> Person {
        let Self {
            first_name,
            last_name,
            username,
            site_admin,
            disabled,
            password_hash: _,
        } = self.clone();
        Person {
            first_name: first_name.unwrap_or(person.first_name),
            last_name: last_name.unwrap_or(person.last_name),
            username: username.unwrap_or(person.username),
            site_admin: site_admin.unwrap_or(person.site_admin),
            disabled_at: match disabled {
                Some(true) => person.disabled_at.or(Some(now)),
                Some(false) => None,
                None => person.disabled_at,
            },
            ..person
        }
    }
}

/// Returns the order that changes a user, and the user as it will be.
pub(super) async fn order_to_change(
    view: &View<'_>,
    cause: Cause,
    email: &Email,
    changes: &PersonChanges,
) -> Result<(Order, Person)> {
    let before = view.person(&email.clone().into()).await?.ok_or(Error::Absent)?;
    let changed = changes.apply(before.clone(), cause.at);
    let order = people::change(cause, &before, changed.clone(), changes.password_hash.clone());
    Ok((order, changed))
}

/// The part of a user that a request changes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Password,
    Anything,
}

/// Checks that the caller may make a change: their own password, or anything as a site administrator.
fn may_change(caller: &Caller, email: &Email, change: Change) -> Result<()> {
    match change {
        Change::Password if is_self(caller, email) => Ok(()),
        Change::Password | Change::Anything => policy::manage_people(caller),
    }
}

fn is_self(caller: &Caller, email: &Email) -> bool {
    caller.logged_in().is_some_and(|person| person.email == *email)
}
