//! Operations of the operator, who runs commands on the machine itself. No permission is checked.

use crate::authority::password::NewPassword;
use crate::authority::people::PersonChanges;
use crate::authority::{Authority, Error, NewAccount, Result};
use jeton_core::directory::{Email, Name, Organization, OrganizationId, Person, Policy};
use jeton_store::rules::{organizations, settings as rules};
use jeton_store::{Cause, Guard, Refused, StoredSettings, Versioned};

impl Authority {
    /// Creates the first site administrator and an organization of which they are admin. Returns `false`
    /// and changes nothing if there is a site administrator already.
    pub async fn found(&self, administrator: NewAccount, organization: Name) -> Result<bool> {
        let cause = Cause::operator(self.clock.now());
        self.found_by(cause, administrator, organization).await
    }

    pub(super) async fn found_by(
        &self,
        cause: Cause,
        administrator: NewAccount,
        organization: Name,
    ) -> Result<bool> {
        let administrator = self.new_person(administrator).await?;
        let organization = Organization {
            id: OrganizationId(self.entropy.uuid_v4()),
            name: organization,
            email: None,
            notification_url: None,
            policy: Policy::default(),
            created_at: cause.at,
        };
        let order = organizations::found(cause, administrator, organization);
        match self.write(order).await? {
            Ok(_) => Ok(true),
            Err(Refused(Guard::NoSiteAdministrator)) => Ok(false),
            // Another process creates the first administrator at the same time.
            Err(Refused(_)) => Err(Error::Busy),
        }
    }

    /// Sets a setting that all servers share to a value in TOML, or returns it to its default. The caller has checked the
    /// value together with the other `settings`. Returns `false` and changes nothing if these have changed meanwhile.
    pub async fn operator_sets(
        &self,
        settings: &Versioned<StoredSettings>,
        name: &str,
        value: Option<String>,
    ) -> Result<bool> {
        let cause = Cause::operator(self.clock.now());
        match rules::set(cause, settings, name, value) {
            Some(order) => Ok(self.write(order).await?.is_ok()),
            None => Ok(true),
        }
    }

    /// Creates a user.
    pub async fn operator_creates_person(&self, account: NewAccount) -> Result<Person> {
        let new = &self.new_person(account).await?;
        self.attempt(move |view| {
            Box::pin(async move {
                let cause = Cause::operator(self.clock.now());
                self.create(&view, cause, new).await
            })
        })
        .await
    }

    /// Sets a user's password and ends their sessions.
    pub async fn operator_sets_password(&self, email: &Email, password: NewPassword) -> Result<Person> {
        let hash = self.passwords.hash(password).await?.to_phc();
        let changes = &PersonChanges::password(hash);
        self.attempt(move |view| {
            Box::pin(async move {
                let cause = Cause::operator(self.clock.now());
                self.change_as(&view, cause, email, changes).await
            })
        })
        .await
    }
}
