//! People: made, changed and removed by site administrators, logged in.

use std::net::IpAddr;

use crate::authority::organizations::organizations_of;
use crate::authority::password::{NewPassword, Password};
use crate::authority::retry::Judged;
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result, policy};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Email, Person, UserId};
use jeton_store::rules::people;
use jeton_store::{Cause, NewPerson, Slice, Versioned};

/// A person about to be made.
#[derive(Debug)]
pub struct NewAccount {
    /// Their address.
    pub email: Email,
    /// Their password.
    pub password: NewPassword,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// A short name.
    pub username: Option<String>,
    /// Whether they may do everything.
    pub site_admin: bool,
}

/// What is to change about a person; `None` leaves it as it is.
#[derive(Debug, Default)]
pub struct PersonPatch {
    /// A new password.
    pub password: Option<NewPassword>,
    /// The present password, which a person gives with a new one.
    pub current_password: Option<Password>,
    /// A new given name, or none.
    pub first_name: Option<Option<String>>,
    /// A new family name, or none.
    pub last_name: Option<Option<String>>,
    /// A new short name, or none.
    pub username: Option<Option<String>>,
    /// Whether they are a site administrator.
    pub site_admin: Option<bool>,
    /// Whether they are shut out.
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
}

impl Authority {
    /// Makes a person.
    pub async fn create_person(&self, caller: &Caller, account: NewAccount) -> Result<Person> {
        policy::manage_people(caller)?;
        let new = &self.new_person(account).await?;
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                policy::manage_people(&caller)?;
                self.create(&view, caller.cause(self.clock.now()), new).await
            })
        })
        .await
        .inspect(|person| tracing::info!(by = caller.actor().name, person = %person.email, site_admin = person.site_admin, "user created"))
    }

    /// Everybody.
    pub async fn people(&self, caller: &Caller, slice: Slice) -> Result<Vec<Person>> {
        policy::manage_people(caller)?;
        Ok(self.store.people(slice).await?)
    }

    /// People who have a text in their names or address: those who share an organization with the caller,
    /// and everybody for a site administrator.
    pub async fn find_people(&self, caller: &Caller, text: &str, slice: Slice) -> Result<Vec<Person>> {
        match organizations_of(caller) {
            Some(of) => Ok(self.store.find_people(text.to_owned(), of, slice).await?),
            None => Ok(Vec::new()),
        }
    }

    /// One person: anyone for a site administrator, oneself for everybody else.
    pub async fn person(&self, caller: &Caller, email: &Email) -> Result<Person> {
        policy::logged_in(caller)?;
        if !is_self(caller, email) {
            policy::manage_people(caller)?;
        }
        let found = self.store.person(email.clone().into()).await?;
        found.map(Versioned::into_value).ok_or(Error::Absent)
    }

    /// Changes a person. Everybody may change their own password, giving the present one; the rest is
    /// the site administrators'. A new password ends the person's sessions, this one included. The
    /// present one is tried as at a login, from an address.
    pub async fn change_person(
        &self,
        caller: &Caller,
        address: IpAddr,
        email: &Email,
        patch: PersonPatch,
    ) -> Result<Person> {
        let what = match patch.is_only_a_password() {
            true => Change::Password,
            false => Change::Anything,
        };
        may_change(caller, email, what)?;
        let PersonPatch {
            password,
            current_password,
            first_name,
            last_name,
            username,
            site_admin,
            disabled,
        } = patch;
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
        let changes = &PersonChanges {
            first_name,
            last_name,
            username,
            site_admin,
            disabled,
            password_hash,
        };
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                may_change(&caller, email, what)?;
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

    /// Removes a person from everything; their sessions and tokens end.
    pub async fn remove_person(&self, caller: &Caller, email: &Email) -> Result<()> {
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                policy::manage_people(&caller)?;
                let person = view.person(&email.clone().into()).await?.ok_or(Error::Absent)?;
                let order = people::remove(caller.cause(self.clock.now()), &person);
                Ok(self.commit(&view, order).await?.map(drop))
            })
        })
        .await
        .inspect(|()| tracing::info!(by = caller.actor().name, person = %email, "user deleted"))
    }

    /// Makes a person in somebody's name.
    pub(super) async fn create(
        &self,
        view: &View<'_>,
        cause: Cause,
        new: &NewPerson,
    ) -> Result<Judged<Person>> {
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

    /// Changes a person in somebody's name.
    pub(super) async fn change_as(
        &self,
        view: &View<'_>,
        cause: Cause,
        email: &Email,
        changes: &PersonChanges,
    ) -> Result<Judged<Person>> {
        let before = view.person(&email.clone().into()).await?.ok_or(Error::Absent)?;
        let changed = changes.apply(before.clone(), cause.at);
        let order = people::change(cause, &before, changed.clone(), changes.password_hash.clone());
        Ok(self.commit(view, order).await?.map(|_| changed))
    }

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
                first_name,
                last_name,
                username,
                site_admin,
                disabled_at: None,
                created_at: self.clock.now(),
            },
        })
    }
}

/// Changes to a person; `None` leaves it as it is.
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
    /// Another password, by its hash.
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

/// What somebody wants to change about a person.
#[derive(Debug, Clone, Copy)]
enum Change {
    Password,
    Anything,
}

/// Everybody changes their own password; the rest is the site administrators'.
fn may_change(caller: &Caller, email: &Email, what: Change) -> Result<()> {
    match what {
        Change::Password if is_self(caller, email) => Ok(()),
        Change::Password | Change::Anything => policy::manage_people(caller),
    }
}

fn is_self(caller: &Caller, email: &Email) -> bool {
    caller.logged_in().is_some_and(|person| person.email == *email)
}
