//! A guard that knows nothing, since its authority cannot be reached.

use crate::harness::Running;

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
];

#[tokio::test]
async fn a_rule_answers_any_method_and_any_path_behind_its_name() {
    let guard = Running::blind("[rules.read-1]\n[rules.open]\nwhen_unknown = 'accept'\n").await;
    for method in METHODS {
        for path in ["", "/", "//", "/a/b?rule=open", "/..%2fopen", "/%ff", "?x=1"] {
            let path = format!("/check/read-1{path}");
            let answer = guard
                .ask(method, &path, &[("authorization", "Bearer eyJ.e30.AA")])
                .await;
            assert_eq!(answer.status, 503, "{method} {path}");
            assert_eq!(answer.header("retry-after"), "1");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.header("www-authenticate"), "");
        }
    }
}

#[tokio::test]
async fn what_is_no_rule_lets_nothing_through() {
    let guard = Running::blind("[rules.read]\nwhen_unknown = 'accept'\n").await;
    for path in [
        "/check",
        "/check/",
        "/check//read",
        "/check/rea",
        "/check/reads",
        "/check/READ",
        "/check/%72ead",
        "/check/read%2f",
        "/check/read;x",
        "/checks/read",
        "//check/read",
        "/",
    ] {
        let answer = guard.ask("GET", path, &[("authorization", "Bearer x")]).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.json()["error"], "invalid_request", "{path}");
    }
}

#[tokio::test]
async fn a_request_without_a_readable_credential_is_refused_by_every_rule() {
    let guard = Running::blind("[rules.closed]\n[rules.open]\nwhen_unknown = 'accept'\n").await;
    for rule in ["/check/closed", "/check/open"] {
        for credential in [&[][..], &[("authorization", "Digest x")]] {
            let answer = guard.ask("GET", rule, credential).await.is(401);
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"jeton\"");
            assert_eq!(answer.json()["error"], "invalid_client");
        }
        for credential in [
            &[("authorization", "Basic !!!")][..],
            &[("authorization", "Bearer \u{e9}")],
            &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
        ] {
            let answer = guard.ask("GET", rule, credential).await.is(401);
            assert_eq!(
                answer.header("www-authenticate"),
                "Bearer realm=\"jeton\", error=\"invalid_token\", error_description=\"The token is not valid.\""
            );
            assert_eq!(answer.json()["error"], "invalid_token");
        }
    }
}

#[tokio::test]
async fn without_keys_even_an_open_rule_accepts_nothing() {
    let guard = Running::blind("[rules.open]\nwhen_unknown = 'accept'\n").await;
    guard.check("open", "eyJ.e30.AA").await.is(503);
}

#[tokio::test]
async fn it_lives_but_is_not_ready_and_says_why() {
    let guard = Running::blind("[rules.read]\n").await;
    let health = guard.ask("GET", "/healthz", &[]).await.is(200);
    assert_eq!(health.body, "{\"status\":\"ok\"}");
    let readiness = guard.ask("GET", "/readyz", &[]).await.is(503);
    assert!(
        readiness.json()["status"].as_str().unwrap().contains("key set"),
        "{readiness:?}"
    );
    assert_eq!(guard.ask("HEAD", "/readyz", &[]).await.is(503).body, "");
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(
            guard.ask("POST", path, &[]).await.is(405).header("allow"),
            "GET, HEAD"
        );
    }
}

#[tokio::test]
async fn metrics_count_verdicts_by_rule() {
    let guard = Running::blind("[rules.b]\n[rules.a]\n").await;
    guard.check("a", "eyJ.e30.AA").await.is(503);
    guard.check("a", "eyJ.e30.AA").await.is(503);
    guard.ask("GET", "/check/a", &[]).await.is(401);
    let metrics = guard.ask("GET", "/metrics", &[]).await.is(200);
    assert_eq!(
        metrics.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let verdicts: Vec<&str> = metrics
        .body
        .lines()
        .filter(|line| line.starts_with("jeton_guard_verdicts_total"))
        .collect();
    // All are there from the start: Prometheus takes no increase from what was absent.
    assert_eq!(verdicts.len(), 2 * 18, "{verdicts:?}");
    let counted: Vec<&&str> = verdicts.iter().filter(|line| !line.ends_with(" 0")).collect();
    assert_eq!(
        counted,
        [
            &"jeton_guard_verdicts_total{rule=\"a\",verdict=\"no_credential\"} 1",
            &"jeton_guard_verdicts_total{rule=\"a\",verdict=\"revocation_unknown\"} 2",
        ]
    );
    assert!(metrics.body.contains("\njeton_guard_ready 0\n"));
    assert!(metrics.body.contains("\njeton_guard_stream_connected 0\n"));
    assert!(!metrics.body.contains("staleness_seconds"), "nothing is known");
    // Every sample follows its HELP and TYPE, as Prometheus requires.
    let mut family = "";
    for line in metrics.body.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(kind) => family = kind.split(' ').next().unwrap(),
            None if line.starts_with('#') => {}
            None => assert_eq!(line.split([' ', '{']).next().unwrap(), family),
        }
    }
}
