//! Who makes requests.

use serde_json::{Value, json};

use crate::harness::world::{Place, World, password};
use crate::harness::{Answer, TestApp};

/// The scopes for the authority itself that any owner can hold.
pub(crate) const MANAGEMENT: [&str; 5] = [
    "tokens:read",
    "tokens:write",
    "tokens:introspect",
    "organizations:read",
    "organizations:write",
];

/// Somebody who makes requests, by what they present.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    credential: Option<String>,
}

/// An API token and what was said about it.
#[derive(Debug, Clone)]
pub(crate) struct Minted {
    /// Whoever holds it.
    pub(crate) holder: Actor,
    /// The token itself.
    pub(crate) secret: String,
    /// Its number.
    pub(crate) id: String,
    /// `token_info`.
    pub(crate) info: Value,
}

impl Actor {
    /// Whoever holds a token.
    pub(crate) fn holding(token: &str) -> Self {
        Self {
            credential: Some(format!("Bearer {token}")),
        }
    }

    /// Whoever presents this in `Authorization`.
    pub(crate) fn presenting(credential: &str) -> Self {
        Self {
            credential: Some(credential.to_owned()),
        }
    }

    /// Somebody without a credential.
    pub(crate) fn anyone() -> Self {
        Self { credential: None }
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.credential.as_deref()
    }

    /// The token they hold.
    pub(crate) fn token(&self) -> &str {
        self.authorization()
            .and_then(|text| text.strip_prefix("Bearer "))
            .unwrap()
    }
}

impl TestApp {
    /// The administrator of the deployment, who is also admin of the organization `default`.
    pub(crate) fn site_admin(&self) -> Actor {
        World::once().session("admin@example.com")
    }

    /// The admin of an organization.
    pub(crate) fn admin_of(&self, place: &Place) -> Actor {
        World::once().session(&place.email("admin"))
    }

    /// A member of an organization who belongs to no team.
    pub(crate) fn member_of(&self, place: &Place) -> Actor {
        World::once().session(&place.email("member"))
    }

    /// A viewer of an organization whom its team has for an admin, made when first needed.
    pub(crate) async fn viewer_of(&self, place: &Place) -> Actor {
        let (site, admin) = (self.site_admin(), self.admin_of(place));
        let email = place.email("viewer");
        let account = json!({"email": email, "password": password(&email)});
        self.post(&site, "/users", account).await.is(201);
        let home = format!("/organizations/{}", place.name);
        for (path, role) in [
            (format!("{home}/members/{email}"), "viewer"),
            (format!("{home}/teams/{}/members/{email}", place.team), "admin"),
        ] {
            self.put(&admin, &path, json!({"role": role})).await.is(204);
        }
        let session = self.log_in(&email, &password(&email)).await.is(200);
        Actor::holding(&session.text_at("/token"))
    }

    /// A member of an organization who is admin of its team.
    pub(crate) fn team_admin(&self, place: &Place) -> Actor {
        World::once().session(&place.email("lead"))
    }

    /// The admin of another organization than [`crate::harness::NORTH`].
    pub(crate) fn outsider(&self) -> Actor {
        self.admin_of(&crate::harness::SOUTH)
    }

    /// Somebody without a credential.
    pub(crate) fn anyone(&self) -> Actor {
        Actor::anyone()
    }

    /// Asks for a token.
    pub(crate) async fn ask_for_token(&self, actor: &Actor, order: Value) -> Answer {
        self.post(actor, "/tokens", order).await
    }

    /// Makes a token; a name is added.
    pub(crate) async fn mint(&self, actor: &Actor, mut order: Value) -> Minted {
        if order["name"].is_null() {
            order["name"] = "minted".into();
        }
        let answer = self.ask_for_token(actor, order).await.is(201);
        let secret = answer.text_at("/token");
        Minted {
            holder: Actor::holding(&secret),
            id: answer.text_at("/token_info/id"),
            info: answer.json()["token_info"].clone(),
            secret,
        }
    }

    /// A token of an organization.
    pub(crate) async fn organization_token(&self, place: &Place, scopes: &[&str]) -> Minted {
        let order = json!({"organization": place.name, "owner": "organization", "scopes": scopes});
        self.mint(&self.admin_of(place), order).await
    }

    /// A token of an organization's team.
    pub(crate) async fn team_token(&self, place: &Place, scopes: &[&str]) -> Minted {
        let order =
            json!({"organization": place.name, "owner": "team", "team": place.team, "scopes": scopes});
        self.mint(&self.team_admin(place), order).await
    }

    /// A token of a person in an organization.
    pub(crate) async fn personal_token(&self, actor: &Actor, place: &Place, scopes: &[&str]) -> Minted {
        let order = json!({"organization": place.name, "owner": "user", "scopes": scopes});
        self.mint(actor, order).await
    }

    /// A token of the deployment.
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
