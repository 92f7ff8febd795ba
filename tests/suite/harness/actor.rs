//! Callers.

use serde_json::{Value, json};

use crate::harness::world::{Tenant, World, password};
use crate::harness::{Answer, TestApp};

/// The management scopes that every owner can have.
pub(crate) const MANAGEMENT: [&str; 6] = [
    "tokens:read",
    "tokens:write",
    "tokens:introspect",
    "organizations:read",
    "organizations:write",
    "audit:read",
];

/// A caller, with its credential.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    credential: Option<String>,
}

/// An API token and the response that created it.
#[derive(Debug, Clone)]
pub(crate) struct Minted {
    /// The caller that presents the token.
    pub(crate) holder: Actor,
    /// The token itself.
    pub(crate) secret: String,
    /// The token's number.
    pub(crate) id: String,
    /// `token_info`.
    pub(crate) info: Value,
}

impl Actor {
    /// Returns a caller with a token.
    pub(crate) fn holding(token: &str) -> Self {
        Self {
            credential: Some(format!("Bearer {token}")),
        }
    }

    /// Returns a caller with this `Authorization` header.
    pub(crate) fn presenting(credential: &str) -> Self {
        Self {
            credential: Some(credential.to_owned()),
        }
    }

    /// Returns a caller without a credential.
    pub(crate) fn anyone() -> Self {
        Self { credential: None }
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.credential.as_deref()
    }

    /// Returns the caller's token.
    pub(crate) fn token(&self) -> &str {
        self.authorization()
            .and_then(|text| text.strip_prefix("Bearer "))
            .unwrap()
    }
}

impl TestApp {
    /// Returns the site administrator, who is also admin of the organization `default`.
    pub(crate) fn site_admin(&self) -> Actor {
        World::once().session("admin@example.com")
    }

    /// Returns the admin of an organization.
    pub(crate) fn admin_of(&self, tenant: &Tenant) -> Actor {
        World::once().session(&tenant.email("admin"))
    }

    /// Returns a member of an organization who is in no team.
    pub(crate) fn member_of(&self, tenant: &Tenant) -> Actor {
        World::once().session(&tenant.email("member"))
    }

    /// Returns a viewer of an organization who is an admin of its team, created when first needed.
    pub(crate) async fn viewer_of(&self, tenant: &Tenant) -> Actor {
        let site = self.site_admin();
        let email = tenant.email("viewer");
        let account = json!({"email": email, "password": password(&email)});
        self.post(&site, "/users", account).await.is(201);
        let home = format!("/organizations/{}", tenant.name);
        for (path, role) in [
            (format!("{home}/members/{email}"), "viewer"),
            (format!("{home}/teams/{}/members/{email}", tenant.team), "admin"),
        ] {
            self.put(&site, &path, json!({"role": role})).await.is(204);
        }
        let session = self.log_in(&email, &password(&email)).await.is(200);
        Actor::holding(&session.text_at("/token"))
    }

    /// Returns a member of an organization who is an admin of its team.
    pub(crate) fn team_admin(&self, tenant: &Tenant) -> Actor {
        World::once().session(&tenant.email("lead"))
    }

    /// Returns the admin of another organization than [`crate::harness::NORTH`].
    pub(crate) fn outsider(&self) -> Actor {
        self.admin_of(&crate::harness::SOUTH)
    }

    /// Returns a caller without a credential.
    pub(crate) fn anyone(&self) -> Actor {
        Actor::anyone()
    }

    /// Returns the number of an actor's session.
    pub(crate) async fn current_session(&self, actor: &Actor) -> String {
        let sessions = self.get(actor, "/sessions").await.is(200).json();
        let mut sessions = sessions["items"].as_array().unwrap().iter();
        let current = sessions.find(|session| session["current"] == true).unwrap();
        current["id"].as_str().unwrap().to_owned()
    }

    /// Requests a token.
    pub(crate) async fn request_token(&self, actor: &Actor, order: Value) -> Answer {
        self.post(actor, "/tokens", order).await
    }

    /// Creates a token, with a default name.
    pub(crate) async fn mint(&self, actor: &Actor, mut order: Value) -> Minted {
        if order["name"].is_null() {
            order["name"] = "minted".into();
        }
        let answer = self.request_token(actor, order).await.is(201);
        let secret = answer.text_at("/token");
        Minted {
            holder: Actor::holding(&secret),
            id: answer.text_at("/token_info/id"),
            info: answer.json()["token_info"].clone(),
            secret,
        }
    }

    /// Creates a token of an organization.
    pub(crate) async fn organization_token(&self, tenant: &Tenant, scopes: &[&str]) -> Minted {
        let order = json!({"organization": tenant.name, "owner": "organization", "scopes": scopes});
        self.mint(&self.admin_of(tenant), order).await
    }

    /// Creates a token of an organization's team.
    pub(crate) async fn team_token(&self, tenant: &Tenant, scopes: &[&str]) -> Minted {
        let order =
            json!({"organization": tenant.name, "owner": "team", "team": tenant.team, "scopes": scopes});
        self.mint(&self.team_admin(tenant), order).await
    }

    /// Creates a token of a user in an organization.
    pub(crate) async fn personal_token(&self, actor: &Actor, tenant: &Tenant, scopes: &[&str]) -> Minted {
        let order = json!({"organization": tenant.name, "owner": "user", "scopes": scopes});
        self.mint(actor, order).await
    }

    /// Creates a token of the deployment.
    pub(crate) async fn deployment_token(&self, scopes: &[&str]) -> Minted {
        let order = json!({"owner": "deployment", "scopes": scopes});
        self.mint(&self.site_admin(), order).await
    }

    /// Logs in.
    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Answer {
        let body = json!({"email": email, "password": password});
        self.post(&self.anyone(), "/login", body).await
    }
}
