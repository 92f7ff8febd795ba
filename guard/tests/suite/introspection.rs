//! Who may introspect, and what is no question.

use crate::harness::{Answer, Running, SECRET, ask};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn by_unix(guard: &Running, headers: &[(&str, &str)], body: &str) -> Answer {
    ask(&mut guard.unix().await, "POST", "/introspect", headers, body).await
}

#[tokio::test]
async fn a_unix_socket_needs_no_token_and_unknown_is_not_inactive() {
    let guard = Running::blind("[rules.a]\n").await;
    let answer = by_unix(&guard, &[FORM], "token=eyJ.e30.AA").await.is(503);
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn without_the_setting_nobody_introspects_by_tcp() {
    let guard = Running::blind("[rules.a]\n").await;
    let headers = [FORM, ("authorization", "Bearer ")];
    let answer = ask(&mut guard.tcp().await, "POST", "/introspect", &headers, "token=x").await;
    answer.is(404);
}

#[tokio::test]
async fn by_tcp_only_the_introspection_token_may_ask() {
    let guard = Running::blind("introspection_token_file = 'FOLDER/secret'\n[rules.a]\n").await;
    let by_tcp = async |credential: &str| {
        let headers = [FORM, ("authorization", credential)];
        ask(
            &mut guard.tcp().await,
            "POST",
            "/introspect",
            &headers,
            "token=eyJ.e30.AA",
        )
        .await
    };
    by_tcp(&format!("Bearer {SECRET}")).await.is(503);
    // `guard:SECRET`
    by_tcp("Basic Z3VhcmQ6MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
        .await
        .is(503);
    for wrong in [
        "Bearer ",
        "Bearer x",
        &format!("Bearer {SECRET}0"),
        &format!("Bearer {}", &SECRET[1..]),
    ] {
        let answer = by_tcp(wrong).await.is(401);
        assert!(answer.header("www-authenticate").contains("invalid_token"));
    }
    let answer = ask(&mut guard.tcp().await, "POST", "/introspect", &[FORM], "token=x")
        .await
        .is(401);
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"jeton\"");
}

#[tokio::test]
async fn a_question_has_one_token_in_a_form() {
    let guard = Running::blind("[rules.a]\n").await;
    for body in ["", "token=", "token=a&token=b", "token=a&token=", "Token=a", "{}"] {
        let answer = by_unix(&guard, &[FORM], body).await;
        assert_eq!(answer.status, 400, "{body}");
    }
    let also = ("content-type", "Application/X-WWW-Form-Urlencoded; charset=UTF-8");
    by_unix(
        &guard,
        &[also],
        "token_type_hint=access_token&token=a%2Eb&x=1&x=2",
    )
    .await
    .is(503);
    by_unix(
        &guard,
        &[("content-type", "application/json")],
        "{\"token\":\"a\"}",
    )
    .await
    .is(415);
    by_unix(&guard, &[], "token=a").await.is(415);
    by_unix(&guard, &[FORM], &format!("token={}", "a".repeat(20_000)))
        .await
        .is(413);
    let answer = ask(&mut guard.unix().await, "GET", "/introspect?token=a", &[], "")
        .await
        .is(405);
    assert_eq!(answer.header("allow"), "POST");
}
