//! `POST /oauth/introspect`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jeton::keys::KeyFolder;
use jeton_verifier::strip_prefix;
use serde_json::{Value, json};

use crate::harness::{Actor, Answer, Fault, ISSUER, MANAGEMENT, Minted, NORTH, Plan, SOUTH, TestApp};

const INACTIVE: &str = r#"{"active":false}"#;

impl TestApp {
    async fn introspect(&self, caller: &Actor, token: &str) -> Answer {
        self.form(caller, "/oauth/introspect", &format!("token={token}"))
            .await
    }

    /// Returns a service that may introspect tokens of an organization.
    async fn service(&self) -> Actor {
        self.organization_token(&NORTH, &["tokens:introspect"])
            .await
            .holder
    }

    #[track_caller]
    fn seconds(info: &Value, field: &str) -> Value {
        let instant = info[field].as_str().unwrap();
        let instant: jeton_core::clock::Timestamp = instant.parse().unwrap();
        instant.seconds().into()
    }
}

#[tokio::test]
async fn an_active_token_is_described_in_full() {
    let app = TestApp::new().await;
    let order = json!({"organization": NORTH.name, "owner": "team", "team": NORTH.team,
        "projects": [NORTH.project_id()], "scopes": ["projects:read", "content:write"],
        "audience": ["https://a.example", "https://b.example"]});
    let Minted { secret, id, info, .. } = app.mint(&app.team_admin(&NORTH), order).await;
    let answer = app.introspect(&app.service().await, &secret).await.is(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.json(),
        json!({
            "active": true,
            "token_type": "Bearer",
            "scope": "projects:read content:write",
            "sub": NORTH.team_id(),
            "client_id": NORTH.team_id(),
            "aud": ["https://a.example", "https://b.example"],
            "iss": ISSUER,
            "exp": TestApp::seconds(&info, "expires_at"),
            "iat": TestApp::seconds(&info, "created_at"),
            "jti": info["jti"],
            "org": NORTH.id(),
            "team": NORTH.team_id(),
            "projects": [NORTH.project_id()],
            "token_id": id,
        })
    );
}

/// A response cached until `exp` must not outlive a scheduled revocation.
#[tokio::test]
async fn exp_is_the_scheduled_revocation() {
    let app = TestApp::new().await;
    let (admin, service) = (app.admin_of(&NORTH), app.service().await);
    let minted = app.organization_token(&NORTH, &["projects:read"]).await;
    let rotate = format!("/tokens/{}/rotate", minted.id);
    app.post(&admin, &rotate, json!({"grace_period": "60s"}))
        .await
        .is(201);
    let shown = app.get(&admin, &format!("/tokens/{}", minted.id)).await.json();
    let told = app.introspect(&service, &minted.secret).await.is(200).json();
    assert_eq!(told["exp"], TestApp::seconds(&shown, "revocation_effective_at"));

    // An earlier expiry still applies.
    let order = json!({"organization": NORTH.name, "owner": "organization", "expires_in": "30s"});
    let minted = app.mint(&admin, order).await;
    let rotate = format!("/tokens/{}/rotate", minted.id);
    app.post(&admin, &rotate, json!({"grace_period": "60s"}))
        .await
        .is(201);
    let told = app.introspect(&service, &minted.secret).await.is(200).json();
    assert_eq!(told["exp"], TestApp::seconds(&minted.info, "expires_at"));
}

#[tokio::test]
async fn what_a_token_does_not_have_is_left_out() {
    let app = TestApp::new().await;
    let order = json!({"organization": NORTH.name, "owner": "user", "expires_in": "never"});
    let minted = app.mint(&app.member_of(&NORTH), order).await;
    let told = app.introspect(&app.service().await, &minted.secret).await;
    let told = told.is(200).json();
    assert_eq!(told["username"], NORTH.email("member"));
    assert_eq!(told["sub"], minted.info["user"]);
    assert_eq!(told["exp"], 253_402_300_799_i64);
    for absent in ["team", "projects", "nbf", "status"] {
        assert_eq!(told.get(absent), None, "{absent}");
    }
    let everywhere = app.deployment_token(&["tokens:introspect"]).await;
    let told = app
        .introspect(&everywhere.holder, &everywhere.secret)
        .await
        .json();
    assert_eq!(told["sub"], "deployment");
    for absent in ["org", "team", "projects", "username"] {
        assert_eq!(told.get(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn the_members_agree_with_the_claims_of_the_token() {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let app = TestApp::new().await;
    let deployment = app.deployment_token(&["tokens:introspect"]).await.holder;
    for minted in [
        app.organization_token(&NORTH, &["projects:read"]).await,
        app.team_token(&NORTH, &["ai:use", "content:write"]).await,
        app.personal_token(&app.member_of(&NORTH), &NORTH, &["tokens:read"])
            .await,
        app.deployment_token(&["projects:read"]).await,
    ] {
        let claims = URL_SAFE_NO_PAD
            .decode(minted.secret.split('.').nth(1).unwrap())
            .unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let told = app.introspect(&deployment, &minted.secret).await.json();
        for claim in [
            "iss",
            "sub",
            "client_id",
            "exp",
            "iat",
            "jti",
            "scope",
            "org",
            "team",
            "projects",
        ] {
            assert_eq!(told[claim], claims[claim], "{claim}");
        }
        // A single audience is a text in the claim; the response always has a list.
        assert_eq!(told["aud"], json!([claims["aud"]]));
    }
}

#[tokio::test]
async fn whatever_is_not_active_is_answered_alike() {
    let app = TestApp::new().await;
    let service = app.service().await;
    let short = json!({"organization": NORTH.name, "owner": "organization", "expires_in": "1m"});
    let expired = app.mint(&app.admin_of(&NORTH), short).await.secret;
    app.introspect(&service, &expired).await.is(200);
    let revoked = app.organization_token(&NORTH, &["projects:read"]).await;
    let path = format!("/tokens/{}/revoke", revoked.id);
    assert_ne!(app.introspect(&service, &revoked.secret).await.text, INACTIVE);
    app.post(&app.admin_of(&NORTH), &path, json!({})).await.is(201);
    app.clock.advance(60);
    let live = app.organization_token(&NORTH, &["projects:read"]).await.secret;
    let live = live.trim_start_matches("jtn_");
    let (message, signature) = live.rsplit_once('.').unwrap();
    let twisted = if signature.starts_with('A') { 'B' } else { 'A' };
    for (what, token) in [
        ("expired", expired),
        ("revoked", revoked.secret),
        (
            "of another organization",
            app.organization_token(&SOUTH, &["projects:read"]).await.secret,
        ),
        (
            "of the deployment",
            app.deployment_token(&["projects:read"]).await.secret,
        ),
        ("a session", app.admin_of(&NORTH).token().to_owned()),
        (
            "a session of another organization",
            app.outsider().token().to_owned(),
        ),
        ("a text", "nonsense".to_owned()),
        ("too long", "x".repeat(9000)),
        (
            "with a changed signature",
            format!("{message}.{twisted}{}", &signature[1..]),
        ),
        ("without a signature", format!("{message}.")),
        ("with something behind", format!("{live}%20")),
        ("with two prefixes", format!("a_b_{live}")),
        ("no text", "%ff%fe".to_owned()),
    ] {
        let answer = app.introspect(&service, &token).await;
        assert_eq!((answer.status, &*answer.text), (200, INACTIVE), "{what}");
    }
    // The prefix is not signed, so any prefix is accepted.
    for token in [live.to_owned(), format!("jtn_{live}"), format!("other_{live}")] {
        let told = app.introspect(&service, &token).await.is(200).json();
        assert_eq!(told["active"], true, "{token}");
    }
}

#[tokio::test]
async fn a_caller_asks_about_the_tokens_that_it_could_manage() {
    let app = TestApp::new().await;
    let scope = ["tokens:introspect"];
    let (member, lead) = (app.member_of(&NORTH), app.team_admin(&NORTH));
    let callers = [
        (
            "organization",
            app.organization_token(&NORTH, &scope).await.holder,
        ),
        ("team", app.team_token(&NORTH, &scope).await.holder),
        ("member", app.personal_token(&member, &NORTH, &scope).await.holder),
        ("lead", app.personal_token(&lead, &NORTH, &scope).await.holder),
        ("deployment", app.deployment_token(&scope).await.holder),
        (
            "other organization",
            app.organization_token(&SOUTH, &scope).await.holder,
        ),
        ("admin's session", app.admin_of(&NORTH)),
        ("outsider's session", app.outsider()),
    ];
    let everywhere = json!({"owner": "user", "organization": null, "scopes": ["projects:read"]});
    let tokens = [
        (
            "organization's",
            app.organization_token(&NORTH, &["projects:read"]).await.secret,
        ),
        ("team's", app.team_token(&NORTH, &["projects:read"]).await.secret),
        (
            "member's",
            app.personal_token(&member, &NORTH, &["projects:read"])
                .await
                .secret,
        ),
        ("member's everywhere", {
            let session = app.site_admin();
            app.mint(&session, everywhere).await.secret
        }),
        (
            "deployment's",
            app.deployment_token(&["projects:read"]).await.secret,
        ),
    ];
    let mut table = String::new();
    for (caller, actor) in callers {
        let mut seen = Vec::new();
        for (token, secret) in &tokens {
            let answer = app.introspect(&actor, secret).await.is(200);
            if answer.text != INACTIVE {
                seen.push(*token);
            }
        }
        table.push_str(&format!("{caller}: {}\n", seen.join(", ")));
    }
    insta::assert_snapshot!(table, @r"
    organization: organization's, team's, member's
    team: team's
    member: member's
    lead: team's
    deployment: organization's, team's, member's, member's everywhere, deployment's
    other organization: 
    admin's session: organization's, team's, member's
    outsider's session:
    ");
}

#[tokio::test]
async fn the_caller_comes_as_bearer_or_in_either_half_of_basic() {
    let app = TestApp::new().await;
    let service = app
        .organization_token(&NORTH, &["tokens:introspect"])
        .await
        .secret;
    let token = app.organization_token(&NORTH, &["projects:read"]).await.secret;
    let basic = |text: String| format!("Basic {}", STANDARD.encode(text));
    for credential in [
        format!("Bearer {service}"),
        basic(format!("anybody:{service}")),
        basic(format!("{service}:")),
    ] {
        let answer = app.introspect(&Actor::presenting(&credential), &token).await;
        assert_eq!(answer.is(200).json()["active"], true, "{credential}");
    }
    let wrong = basic(format!("{service}:wrong"));
    let answer = app.introspect(&Actor::presenting(&wrong), &token).await;
    answer.fails(401, "invalid_token");
    // The introspected token is no credential.
    let answer = app.introspect(&app.anyone(), &service).await;
    answer.fails(401, "invalid_client");
    let unscoped = app.organization_token(&NORTH, &["tokens:read"]).await.holder;
    let answer = app.introspect(&unscoped, &token).await;
    assert_eq!(
        answer.fails(403, "insufficient_scope").challenge(),
        "Bearer realm=\"jeton\", error=\"insufficient_scope\", scope=\"tokens:introspect\""
    );
}

#[tokio::test]
async fn a_hint_of_any_kind_changes_nothing() {
    let app = TestApp::new().await;
    let service = app.service().await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await.secret;
    for hint in ["access_token", "refresh_token", "unheard%20of", ""] {
        let form = format!("token_type_hint={hint}&token={token}");
        let told = app.form(&service, "/oauth/introspect", &form).await;
        assert_eq!(told.is(200).json()["active"], true, "{hint}");
    }
}

#[tokio::test]
async fn what_ends_a_token_ends_it_here_at_once_and_after_a_restart() {
    let mut app = TestApp::new().await;
    let service = app.deployment_token(&["tokens:introspect"]).await.holder;
    let team = app.team_token(&NORTH, &MANAGEMENT).await;
    let personal = app
        .personal_token(&app.member_of(&NORTH), &NORTH, &["projects:read"])
        .await;
    for minted in [&team, &personal] {
        let told = app.introspect(&service, &minted.secret).await.json();
        assert_eq!(told["active"], true);
    }
    let home = format!("/organizations/{}", NORTH.name);
    let admin = app.admin_of(&NORTH);
    app.delete(&admin, &format!("{home}/teams/{}", NORTH.team))
        .await
        .is(204);
    app.delete(&admin, &format!("{home}/members/{}", NORTH.email("member")))
        .await
        .is(204);
    for _ in 0..2 {
        for minted in [&team, &personal] {
            assert_eq!(app.introspect(&service, &minted.secret).await.text, INACTIVE);
        }
        app.restart().await;
    }
}

#[tokio::test]
async fn a_token_that_was_seen_before_is_answered_from_memory() {
    let plan = Arc::new(Plan::default());
    let app = TestApp::over(plan.follow()).await;
    let service = app.service().await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    let unseen = app.organization_token(&NORTH, &["projects:read"]).await;
    let first = app.introspect(&service, &token.secret).await.is(200);
    // From here on every call of the store fails.
    plan.arm(Fault::Fails, None, 0);
    let bare = token.secret.trim_start_matches("jtn_");
    for spelling in [&token.secret, bare, &format!("other_{bare}")] {
        let again = app.introspect(&service, spelling).await.is(200);
        assert_eq!(again.text, first.text);
        app.get(&token.holder, "/oauth/authorize-request?scope=projects:read")
            .await
            .is(200);
    }
    assert!(plan.disarm(), "the store was asked");
    plan.arm(Fault::Fails, None, 0);
    let answer = app.introspect(&service, &unseen.secret).await;
    answer.fails(503, "temporarily_unavailable");
}

/// Claims of a cached token replace its record, so they must match that record.
#[tokio::test]
async fn a_token_whose_claims_are_not_those_of_its_record_is_not_active() {
    let app = TestApp::new().await;
    let service = app.service().await;
    let triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'tokens'";
    for trigger in app
        .db_rows_in(triggers, "SELECT 'all'")
        .concat()
        .into_iter()
        .flatten()
    {
        app.db_change_in(
            &format!("DROP TRIGGER \"{trigger}\""),
            "ALTER TABLE tokens DISABLE TRIGGER USER",
        );
    }
    for (change, is_active) in [
        // Columns that are not in the claims may change.
        ("name = 'renamed'", true),
        ("description = 'described'", true),
        ("scopes = 'projects:read tokens:read'", false),
        ("scopes = ''", false),
        ("audience = '[\"https://other.example\"]'", false),
        ("projects = '[1]'", false),
        ("expires_at = expires_at + 1000", false),
        ("expires_at = NULL", false),
        ("created_at = created_at - 1000", false),
        ("status_index = (status_index + 1) % 1048576", false),
        ("session = NOT session", false),
        (
            "organization = (SELECT max(id) FROM organizations WHERE id <> tokens.organization)",
            false,
        ),
        (
            "organization = NULL, {user} = (SELECT max(id) FROM users WHERE site_admin)",
            false,
        ),
    ] {
        let token = app.organization_token(&NORTH, &["projects:read"]).await;
        let statement = format!("UPDATE tokens SET {change} WHERE id = {}", token.id);
        let changed = app.db_change_in(
            &statement.replace("{user}", "user"),
            &statement.replace("{user}", "person"),
        );
        assert_eq!(changed, 1);
        for _ in 0..2 {
            let answer = app.introspect(&service, &token.secret).await.is(200);
            assert_eq!(answer.json()["active"], is_active, "{change}");
        }
        let current = app.get(&token.holder, "/tokens/current").await;
        if is_active {
            current.is(200);
        } else {
            current.fails(401, "invalid_token");
        }
    }
}

/// A thief of a private key can sign any claims. Claims that differ from the record are refused, each by itself.
#[tokio::test]
async fn a_signed_token_with_other_claims_than_its_record_is_not_active() {
    let app = TestApp::new().await;
    let service = app.service().await;
    let token = app.organization_token(&NORTH, &["projects:read"]).await;
    let (message, _) = strip_prefix(&token.secret).rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let parsed =
        |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (head, claims) = (parsed(header), parsed(claims));
    // The key is not sealed, and so belongs to any deployment.
    let keys = KeyFolder::open(app.key_folder(), None).unwrap();
    let keys = keys.of_deployment(uuid::Uuid::nil());
    let kid = head["kid"].as_str().unwrap().parse().unwrap();
    let key = keys.load(&kid).unwrap().unwrap();
    let signed = |changes: Value| {
        let mut claims = claims.clone();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims
                    .as_object_mut()
                    .unwrap()
                    .insert(name.clone(), value.clone()),
            };
        }
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).unwrap());
        format!("{message}.{signature}")
    };
    let later = |name: &str, by: i64| json!({name: claims[name].as_i64().unwrap() + by});
    let status = |index: u64, uri: &str| json!({"status": {"status_list": {"idx": index, "uri": uri}}});
    let list = claims["status"]["status_list"]["uri"].as_str().unwrap();
    let index = claims["status"]["status_list"]["idx"].as_u64().unwrap();
    for (changes, is_active) in [
        (json!({}), true),
        // jeton ignores a claim that it does not know, and shows it nowhere.
        (json!({"admin": true}), true),
        (json!({"iss": "https://other.example"}), false),
        (json!({"sub": "deployment", "client_id": "deployment"}), false),
        (json!({"sub": "deployment"}), false),
        (json!({"client_id": "deployment"}), false),
        (json!({"aud": ["https://other.example"]}), false),
        (later("iat", 1), false),
        (later("iat", -1), false),
        (later("exp", 1), false),
        (later("exp", -1), false),
        (json!({"jti": "00000000-0000-4000-8000-000000000000"}), false),
        (json!({"scope": "projects:read tokens:write"}), false),
        (json!({"scope": null}), false),
        (json!({"org": "00000000-0000-4000-8000-000000000000"}), false),
        (json!({"org": null}), false),
        (json!({"team": "team-0123456789abcdef"}), false),
        (json!({"projects": [1]}), false),
        (json!({"projects": []}), false),
        (status(index ^ 1, list), false),
        (status(index, "https://other.example/status-lists/1"), false),
    ] {
        let other = signed(changes.clone());
        let answer = app.introspect(&service, &other).await.is(200).json();
        assert_eq!(answer["active"], is_active, "{changes}");
        assert_eq!(answer.get("admin"), None);
    }
}

/// A cached token reflects the current state of its record.
#[tokio::test]
async fn a_renamed_token_shows_its_new_name_everywhere() {
    let app = TestApp::new().await;
    let token = app.organization_token(&NORTH, &MANAGEMENT).await;
    let names = async || {
        let current = app.get(&token.holder, "/tokens/current").await.is(200);
        let me = app.get(&token.holder, "/me").await.is(200);
        let own = app
            .get(&token.holder, &format!("/tokens/{}", token.id))
            .await
            .is(200);
        [
            current.text_at("/name"),
            me.text_at("/token/name"),
            own.text_at("/name"),
        ]
    };
    names().await;
    let path = format!("/tokens/{}", token.id);
    app.patch(&app.admin_of(&NORTH), &path, json!({"name": "renamed"}))
        .await
        .is(200);
    assert_eq!(names().await, ["renamed"; 3]);
    let rotated = app
        .post(&token.holder, "/tokens/current/rotate", json!({}))
        .await
        .is(201);
    assert_eq!(rotated.text_at("/token_info/name"), "renamed");
    let ended = app
        .post(&token.holder, "/tokens/current/revoke", json!({}))
        .await
        .is(201);
    assert_eq!(ended.text_at("/name"), "renamed");
}
