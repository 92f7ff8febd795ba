//! What the operator does on the machine itself, beside every permission.

use crate::authority::organizations::created;
use crate::authority::password::NewPassword;
use crate::authority::people::{changed, of_address};
use crate::authority::{Authority, Error, NewAccount, Result};
use jeton_core::directory::{Email, Name, Organization, OrganizationId, Person, Policy};
use jeton_core::token::Actor;
use jeton_store::{NewOrganization, PersonChanges, Removal};

impl Authority {
    /// Makes the first site administrator and the organization they administer, unless there is a
    /// site administrator already; says whether it did.
    pub async fn found(&self, administrator: NewAccount, organization: Name) -> Result<bool> {
        let administrator = self.new_person(administrator).await?;
        let organization = NewOrganization {
            organization: Organization {
                id: OrganizationId(self.entropy.uuid_v4()),
                name: organization,
                email: None,
                notification_url: None,
                policy: Policy::default(),
                created_at: self.clock.now(),
            },
            creator: Some(administrator.person.id.clone()),
        };
        Ok(self.store.found(administrator, organization).await?)
    }

    /// Makes a person, by order of the operator.
    pub async fn operator_creates_person(&self, account: NewAccount) -> Result<Person> {
        let new = &self.new_person(account).await?;
        self.judged(move |view| {
            Box::pin(async move {
                let made = self.store.create_person(new.clone(), view.generation()).await?;
                created(made).map_err(of_address)
            })
        })
        .await
    }

    /// Sets a person's password, by order of the operator; ends their sessions.
    pub async fn operator_sets_password(&self, email: &Email, password: NewPassword) -> Result<Person> {
        let hash = self.passwords.hash(password).await?.to_phc();
        let changes = &PersonChanges {
            first_name: None,
            last_name: None,
            username: None,
            site_admin: None,
            disabled: None,
            password_hash: Some(hash),
            change: Removal {
                at: self.clock.now(),
                by: Actor {
                    name: "operator".to_owned(),
                    user: None,
                },
            },
        };
        self.judged(move |view| {
            Box::pin(async move {
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
    }
}
