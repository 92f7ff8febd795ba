//! People: made, changed and removed by site administrators, logged in.

use std::net::IpAddr;

use crate::authority::organizations::{created, organizations_of};
use crate::authority::password::{NewPassword, Password};
use crate::authority::{Authority, Caller, Error, Result, policy};
use jeton_core::directory::{Email, Person, UserId};
use jeton_store::{Changed, Judged, NewPerson, PersonChanges, Slice};

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
                created(self.store.create_person(new.clone(), view.generation()).await?).map_err(of_address)
            })
        })
        .await
        .inspect(|person| tracing::info!(by = caller.actor().name, person = %person.email, site_admin = person.site_admin, "a person was made"))
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
        self.store
            .person(email.clone().into())
            .await?
            .ok_or(Error::Absent)
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
            change: self.removal(caller),
        };
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                may_change(&caller, email, what)?;
                let person = self
                    .store
                    .person(email.clone().into())
                    .await?
                    .ok_or(Error::Absent)?;
                changed(
                    self.store
                        .change_person(person.id, changes.clone(), view.generation())
                        .await?,
                )
            })
        })
        .await
        .inspect(|person| {
            let password = if sets_password { "set" } else { "kept" };
            let disabled = person.disabled_at.is_some();
            tracing::info!(by = caller.actor().name, person = %person.email, password, disabled, site_admin = person.site_admin, "a person was changed");
        })
    }

    /// Removes a person from everything; their sessions and tokens end.
    pub async fn remove_person(&self, caller: &Caller, email: &Email) -> Result<()> {
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                policy::manage_people(&caller)?;
                let person = self
                    .store
                    .person(email.clone().into())
                    .await?
                    .ok_or(Error::Absent)?;
                changed(
                    self.store
                        .remove_person(person.id, self.removal(&caller), view.generation())
                        .await?,
                )
            })
        })
        .await
        .inspect(|()| tracing::info!(by = caller.actor().name, person = %email, "a person was removed"))
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

/// Of a person it is the address that is unique.
pub(super) fn of_address(error: Error) -> Error {
    match error {
        Error::NameTaken => Error::AddressTaken,
        other => other,
    }
}

fn is_self(caller: &Caller, email: &Email) -> bool {
    caller.logged_in().is_some_and(|person| person.email == *email)
}

pub(super) fn changed<T>(outcome: Judged<Changed<T>>) -> Result<Judged<T>> {
    match outcome {
        Judged::Done(Changed::Changed(changed)) => Ok(Judged::Done(changed)),
        Judged::Done(Changed::Absent) => Err(Error::Absent),
        Judged::Done(Changed::LastAdministrator) => Err(Error::LastAdministrator),
        Judged::Stale => Ok(Judged::Stale),
    }
}
