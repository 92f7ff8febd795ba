//! A guard that follows an authority.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_verifier::Claims;
use jeton_verifier::feed::Cursor;
use serde_json::json;
use tokio::time::sleep;
use uuid::Uuid;

use crate::AUDIENCE;
use crate::authority::Fault;
use crate::harness::{Answer, Running, running_authority};

const RULES: &str = "[rules.any]\n[rules.read]\nscopes = ['projects:read']\n";

/// Returns the headers for the service, each of which is there once.
fn told(answer: &Answer) -> [String; 7] {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, "");
    [
        "subject",
        "organization",
        "team",
        "scopes",
        "projects",
        "token-id",
        "jti",
    ]
    .map(|claim| answer.header(&format!("x-jeton-{claim}")))
}

#[tokio::test]
async fn the_service_is_told_about_the_token_and_no_header_is_empty() {
    let authority = running_authority().await;
    let guard = Running::of(&authority, RULES, |_| {}).await;
    let claims = authority.claims();
    let jti = claims.jti.to_string();
    let organization = Uuid::from_u128(7).to_string();
    let answer = guard.check("any", &authority.sign(&claims)).await;
    assert_eq!(
        told(&answer),
        [
            "user-1",
            &organization,
            "team-1",
            "projects:read",
            "1 2",
            "-",
            &jti
        ]
    );
    assert_eq!(answer.header("cache-control"), "no-store");

    let least = Claims {
        scope: Some(Vec::new()),
        organization: None,
        team: None,
        projects: None,
        ..claims.clone()
    };
    let answer = guard
        .check("any", &authority.sign(&Claims { scope: None, ..least }))
        .await;
    assert_eq!(told(&answer), ["user-1", "-", "-", "-", "-", "-", &jti]);
    let none = Claims {
        projects: Some(Vec::new()),
        ..claims
    };
    assert_eq!(told(&guard.check("any", &authority.sign(&none)).await)[4], "none");
}

#[tokio::test]
async fn a_proxy_that_keeps_method_path_and_headers_gets_the_same_answer() {
    let authority = running_authority().await;
    let guard = Running::of(&authority, RULES, |_| {}).await;
    let bearer = format!("Bearer {}", authority.token());
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-jeton-team", "forged"),
        ("x_jeton_team", "forged"),
        ("origin", "https://page.example"),
        ("access-control-request-method", "GET"),
        ("content-encoding", "gzip"),
    ];
    let get = told(&guard.ask("GET", "/check/read", &headers).await);
    for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        for path in [
            "/check/read",
            "/check/read/",
            "/check/read/a/b?audience=x&rule=any",
        ] {
            assert_eq!(
                told(&guard.ask(method, path, &headers).await),
                get,
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn every_requirement_of_a_rule_is_needed() {
    let authority = running_authority().await;
    let other = "00000000-0000-0000-0000-000000000008";
    let own = "00000000-0000-0000-0000-000000000007";
    let rules = format!(
        "[rules.scopes]\nscopes = ['projects:read', 'content:write']\n\
         [rules.organization]\norganization = '{other}'\n\
         [rules.team]\nteam = 'team-2'\n\
         [rules.projects]\norganization = '{own}'\nprojects = [1, 3]\n\
         [rules.audience]\naudience = 'https://files.example.com'\n\
         [rules.all]\nscopes = ['projects:read']\norganization = '{own}'\nteam = 'team-1'\nprojects = [2, 1]\n"
    );
    let guard = Running::of(&authority, &rules, |_| {}).await;
    let token = authority.token();
    told(&guard.check("all", &token).await);
    for (rule, description) in [
        (
            "scopes",
            "The token lacks a scope among: projects:read content:write.",
        ),
        ("organization", "Refused: the token is of another organization."),
        ("team", "Refused: the token is of another team."),
        ("projects", "Refused: the token is restricted to other projects."),
    ] {
        let answer = guard.check(rule, &token).await.is(403);
        assert_eq!(
            answer.json(),
            json!({"error": "insufficient_scope", "error_description": description})
        );
        let scope = match rule {
            "scopes" => ", scope=\"projects:read content:write\"",
            _ => "",
        };
        assert_eq!(
            answer.header("www-authenticate"),
            format!(
                "Bearer realm=\"jeton\", error=\"insufficient_scope\", error_description=\"{description}\"{scope}"
            )
        );
        assert_eq!(answer.header("x-jeton-subject"), "");
    }
    let answer = guard.check("audience", &token).await.is(401);
    assert_eq!(answer.json()["error"], "invalid_token");
}

#[tokio::test]
async fn a_rule_has_an_audience_of_its_own_in_place_of_the_guards() {
    let authority = running_authority().await;
    let rules = "[rules.api]\n[rules.files]\naudience = 'https://files.example.com'\n";
    let guard = Running::of(&authority, rules, |_| {}).await;
    for (audience, api, files) in [
        (&[AUDIENCE][..], 200, 401),
        (&["https://files.example.com"], 401, 200),
        (&["https://files.example.com", AUDIENCE], 200, 200),
        (&["https://files.example"], 401, 401),
    ] {
        let claims = Claims {
            audience: audience.iter().map(|one| (*one).to_owned()).collect(),
            ..authority.claims()
        };
        let token = authority.sign(&claims);
        // Twice: the second answer is from the cache.
        for _ in 0..2 {
            assert_eq!(guard.check("api", &token).await.status, api, "{audience:?}");
            assert_eq!(guard.check("files", &token).await.status, files, "{audience:?}");
        }
        // Introspection is for the guard's own audience.
        let introspected = guard.introspect(&token).await.is(200).json();
        assert_eq!(introspected["active"], api == 200, "{audience:?}");
    }
}

#[tokio::test]
async fn only_the_holder_of_a_signed_token_learns_why_it_is_refused() {
    let authority = running_authority().await;
    let guard = Running::of(&authority, RULES, |_| {}).await;
    let claims = authority.claims();
    let expired = Claims {
        issued_at: claims.issued_at - 7200,
        expires_at: claims.issued_at - 3600,
        ..claims.clone()
    };
    let revoked = authority.sign(&claims);
    authority.revoke(&revoked);
    let tampered = format!("{}AAAA", &revoked[..revoked.len() - 4]);
    guard.eventually_refuses("any", &revoked).await;
    for (token, description) in [
        (revoked.as_str(), "Refused: the token is revoked."),
        (&authority.sign(&expired), "Refused: the token has expired."),
        (&tampered, "The token is not valid."),
        ("eyJ.e30.AA", "The token is not valid."),
        ("", "The token is not valid."),
    ] {
        let answer = guard.check("any", token).await.is(401);
        assert_eq!(answer.json()["error_description"], description);
        assert_eq!(
            answer.header("www-authenticate"),
            format!("Bearer realm=\"jeton\", error=\"invalid_token\", error_description=\"{description}\"")
        );
        assert_eq!(
            guard.introspect(token).await.status,
            if token.is_empty() { 400 } else { 200 }
        );
    }
    let metrics = guard.ask("GET", "/metrics", &[]).await.body;
    assert!(
        metrics.contains("{rule=\"any\",verdict=\"expired\"} 1\n"),
        "{metrics}"
    );
    assert!(metrics.contains("{verdict=\"revoked\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn introspection_answers_what_is_in_the_token() {
    let authority = running_authority().await;
    let guard = Running::of(&authority, RULES, |_| {}).await;
    let claims = authority.claims();
    let token = authority.sign(&claims);
    assert_eq!(
        guard.introspect(&token).await.is(200).json(),
        json!({
            "active": true, "token_type": "Bearer", "scope": "projects:read", "sub": "user-1",
            "client_id": "user-1", "aud": [AUDIENCE], "iss": authority.issuer(), "exp": claims.expires_at,
            "iat": claims.issued_at, "jti": claims.jti, "org": Uuid::from_u128(7), "team": "team-1",
            "projects": [1, 2],
        })
    );
    // With a prefix too.
    assert_eq!(
        guard.introspect(&format!("jeton_{token}")).await.json()["active"],
        true
    );
    authority.revoke(&token);
    guard.eventually_refuses("any", &token).await;
    assert_eq!(guard.introspect(&token).await.is(200).body, "{\"active\":false}");
}

#[tokio::test]
async fn metrics_name_the_position_of_a_revocation_that_is_known() {
    let authority = running_authority().await;
    let guard = Running::of(&authority, RULES, |_| {}).await;
    let token = authority.token();
    let Cursor(position) = authority.revoke(&token);
    guard.eventually_refuses("any", &token).await;
    let metrics = guard.ask("GET", "/metrics", &[]).await.body;
    let (epoch, sequence) = (position.epoch, position.sequence);
    let sample = format!("\njeton_guard_feed_sequence{{epoch=\"{epoch}\"}} {sequence}\n");
    assert!(metrics.contains(&sample), "{metrics}");
}

#[tokio::test]
async fn a_known_revocation_is_inactive_also_while_others_are_unknown() {
    let authority = running_authority().await;
    let bound = Duration::from_secs(2);
    let guard = Running::of(&authority, RULES, |config| config.max_staleness = bound).await;
    let (token, revoked) = (authority.token(), authority.token());
    authority.revoke(&revoked);
    guard.eventually_refuses("any", &revoked).await;
    authority.stop().await;
    guard.eventually("/readyz", 503).await;
    guard.introspect(&token).await.is(503);
    assert_eq!(
        guard.introspect(&revoked).await.is(200).body,
        "{\"active\":false}"
    );
}

#[tokio::test]
async fn with_a_token_that_may_not_read_the_feed_it_reads_status_lists() {
    let authority = running_authority().await;
    authority.fault("/api/v1/revocations/snapshot", Fault::Refuse(403, "forbidden"));
    let (token, revoked) = (authority.token(), authority.token());
    authority.revoke(&revoked);
    let bound = Duration::from_secs(300);
    let guard = Running::of(&authority, RULES, |config| config.max_staleness = bound).await;
    told(&guard.check("any", &token).await);
    guard.check("any", &revoked).await.is(401);
    let metrics = guard.ask("GET", "/metrics", &[]).await.body;
    assert!(
        metrics.contains("\njeton_guard_stream_connected 0\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn beyond_the_bound_closed_rules_refuse_and_open_ones_accept_what_is_not_known_to_be_revoked() {
    let authority = running_authority().await;
    let rules = "[rules.closed]\n[rules.open]\nwhen_unknown = 'accept'\n";
    let bound = Duration::from_secs(2);
    let guard = Running::of(&authority, rules, |config| config.max_staleness = bound).await;
    let (token, revoked) = (authority.token(), authority.token());
    authority.revoke(&revoked);
    guard.eventually_refuses("closed", &revoked).await;
    authority.stop().await;
    told(&guard.check("closed", &token).await);
    let unready = guard.eventually("/readyz", 503).await;
    let reason = unready.json()["status"].as_str().unwrap().to_owned();
    assert!(reason.contains("the bound is 2 s"), "{reason}");

    let refused = guard.check("closed", &token).await.is(503);
    assert_eq!(refused.json()["error"], "temporarily_unavailable");
    assert_eq!(refused.header("retry-after"), "1");
    told(&guard.check("open", &token).await);
    guard.check("open", &revoked).await.is(401);
    guard.introspect(&token).await.is(503);
    let metrics = guard.ask("GET", "/metrics", &[]).await.body;
    for sample in [
        "jeton_guard_ready 0\n",
        "jeton_guard_stream_connected 0\n",
        "jeton_guard_accepted_if_unknown_total 1\n",
        "jeton_guard_verdicts_total{rule=\"closed\",verdict=\"revocation_unknown\"} 1\n",
        "jeton_guard_introspections_total{verdict=\"revocation_unknown\"} 1\n",
    ] {
        assert!(metrics.contains(sample), "{sample}{metrics}");
    }

    // Without a restart.
    authority.start_again().await;
    guard.eventually("/readyz", 200).await;
    told(&guard.check("closed", &token).await);
    guard.check("closed", &revoked).await.is(401);
}

#[tokio::test]
async fn a_start_while_the_authority_is_down_knows_what_was_known() {
    let authority = running_authority().await;
    let kept = tempfile::tempdir().unwrap();
    let file = kept.path().join("snapshot");
    let settings = format!("snapshot_file = '{}'\n{RULES}", file.display());
    let guard = Running::of(&authority, &settings, |_| {}).await;
    let (token, revoked) = (authority.token(), authority.token());
    authority.revoke(&revoked);
    guard.eventually_refuses("any", &revoked).await;
    // The file is written every 5 s at most.
    sleep(Duration::from_secs(6)).await;
    guard.stop().await;
    authority.stop().await;
    let guard = Running::of(&authority, &settings, |config| {
        config.max_staleness = Duration::from_secs(60)
    })
    .await;
    told(&guard.check("any", &token).await);
    guard.check("any", &revoked).await.is(401);
}

#[tokio::test]
async fn the_end_of_its_own_token_is_a_warning_and_a_metric() {
    let authority = running_authority().await;
    let own = authority.token();
    authority.data().readers = vec![own];
    let guard = Running::of(&authority, RULES, |_| {}).await;
    // It ends in an hour.
    let readiness = guard.ask("GET", "/readyz", &[]).await.is(200);
    assert_eq!(readiness.json()["status"], "ok");
    let warning = readiness.json()["warning"].as_str().unwrap().to_owned();
    assert!(warning.contains("expires within 14 days"), "{warning}");
    let end = Claims::unverified(&authority.own_token()).unwrap().expires_at;
    let metrics = guard.ask("GET", "/metrics", &[]).await.body;
    assert!(metrics.contains(&format!("\njeton_guard_token_expires_timestamp_seconds {end}\n")));
    assert!(metrics.contains("\njeton_guard_ready 1\n"));
    assert!(metrics.contains("\njeton_guard_stream_connected 1\n"));
    assert!(metrics.contains("\njeton_guard_staleness_seconds "));
}

/// Control: a token of a key that is in the key set is accepted all the time.
#[tokio::test]
async fn a_flood_of_unknown_keys_causes_one_fetch() {
    const JWKS: &str = "/.well-known/jwks.json";
    let authority = running_authority().await;
    let guard = Running::of(&authority, RULES, |_| {}).await;
    let good = authority.token();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (_, claims) = message.split_once('.').unwrap();
    let before = authority.hits(JWKS);
    for number in 0..2_000_u64 {
        let mut thumbprint = [7; 32];
        thumbprint[..8].copy_from_slice(&number.to_be_bytes());
        let kid = URL_SAFE_NO_PAD.encode(thumbprint);
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"at+jwt"}}"#));
        guard
            .check("any", &format!("{header}.{claims}.{signature}"))
            .await
            .is(401);
        if number % 100 == 0 {
            guard.check("any", &good).await.is(200);
        }
    }
    assert!(
        authority.hits(JWKS) <= before + 1,
        "{} fetches",
        authority.hits(JWKS) - before
    );
}
