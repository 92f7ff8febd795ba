//! Several violations at once.

use super::*;

#[tokio::test]
async fn all_violations_are_reported_at_once() {
    let request =
        HttpRequest::post("/tokens/abc?owners=1&owners=x&direction=up&include_revoked=maybe&limit=0")
            .header("content-type", "application/json")
            .header("x-business", "q")
            .body(Body::from(
                r#"{"policy":{},"scopes":[5,"a:b",6],"expires_in_days":"400","description":"d"}"#,
            ));
    let (status, text) = answer(request.unwrap()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let answer: Json = serde_json::from_str(&text).unwrap();
    let found: Vec<Json> = answer["detail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|violation| json!([violation["type"], violation["loc"], violation["input"]]))
        .collect();
    let body = json!({"policy": {}, "scopes": [5, "a:b", 6], "expires_in_days": "400", "description": "d"});
    assert_eq!(
        Json::from(found),
        json!([
            ["int_parsing", ["path", "id"], "abc"],
            ["bool_parsing", ["query", "include_revoked"], "maybe"],
            ["greater_than_equal", ["query", "limit"], "0"],
            ["literal_error", ["query", "direction"], "up"],
            ["int_parsing", ["query", "owners", 1], "x"],
            ["int_parsing", ["header", "x-business"], "q"],
            ["missing", ["body", "name"], body],
            ["less_than_equal", ["body", "expires_in_days"], "400"],
            ["string_type", ["body", "scopes", 0], 5],
            ["string_type", ["body", "scopes", 2], 6],
            ["missing", ["body", "policy", "max_lifetime"], {}],
        ])
    );
    assert_eq!(answer["detail"][3]["msg"], "Input should be 'next' or 'prev'");
    assert_eq!(
        answer["detail"][3]["ctx"],
        json!({"expected": "'next' or 'prev'"})
    );
}

#[tokio::test]
async fn rules_across_fields_join_the_answer_once_the_fields_are_right() {
    let both = r#"{"name":"n","expires_in_days":1,"expires_at":"2026-01-02"}"#;
    assert_eq!(
        wrong(both).await,
        json!([{"type": "value_error", "loc": ["body", "expires_at"],
                "msg": "Value error, give at most one of expires_in_days and expires_at",
                "input": "2026-01-02",
                "ctx": {"error": "give at most one of expires_in_days and expires_at"}}])
    );
    let (_, violation) = wrong_field("scopes", r#"["a:b","nonsense"]"#).await;
    assert_eq!(
        (&violation["loc"], &violation["input"]),
        (&json!(["body", "scopes", 1]), &json!("nonsense"))
    );
    // An invalid query does not hide the violation; an invalid field of the same part does.
    let (_, text) = send("/tokens/7?limit=0", both).await;
    assert!(
        text.contains("greater_than_equal") && text.contains("value_error"),
        "{text}"
    );
    let detail = wrong(r#"{"name":5,"expires_in_days":1,"expires_at":"2026-01-02"}"#).await;
    assert_eq!(detail.as_array().unwrap().len(), 1, "{detail}");
    accepted(
        "/tokens",
        r#"{"name":"n","expires_in_days":null,"expires_at":"2026-01-02"}"#,
    )
    .await;
}

#[tokio::test]
async fn unknown_fields_are_ignored_unless_the_form_forbids_them() {
    accepted("/tokens", r#"{"name":"n","nmae":"x"}"#).await;
    assert_eq!(
        accepted("/bulk", r#"{"organization":"o","team":null}"#).await,
        "o None"
    );
    let (status, text) = send("/bulk", r#"{"z":5,"team":1,"organisation":"o","z":[]}"#).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let whole = json!({"z": [], "team": 1, "organisation": "o"});
    assert_eq!(
        serde_json::from_str::<Json>(&text).unwrap()["detail"],
        json!([
            {"type": "missing", "loc": ["body", "organization"], "msg": "Field required", "input": whole},
            {"type": "string_type", "loc": ["body", "team"], "msg": "Input should be a valid string", "input": 1},
            {"type": "extra_forbidden", "loc": ["body", "z"], "msg": "Extra inputs are not permitted", "input": []},
            {"type": "extra_forbidden", "loc": ["body", "organisation"], "msg": "Extra inputs are not permitted",
             "input": "o"},
        ])
    );
}

#[tokio::test]
async fn a_list_of_nothing_but_wrong_elements_has_a_short_answer() {
    let list = |length: usize| format!(r#"{{"name":"n","scopes":[{}]}}"#, vec!["1"; length].join(","));
    assert_eq!(wrong(&list(3)).await.as_array().unwrap().len(), 3);
    assert_eq!(wrong(&list(30_000)).await.as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn a_form_with_a_password_echoes_no_input() {
    for body in [
        r#"{"password":["hunter2hunter2"]}"#,
        r#"{"pasword":"hunter2hunter2"}"#,
        r#""hunter2hunter2""#,
        r#"{"password":"hunter2hunter2" "#,
    ] {
        let (status, text) = send("/secret", body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        let answer: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["detail"][0]["input"], Json::Null);
        // A form without a password does echo it.
        let (_, text) = send("/plain", body).await;
        assert!(
            text.contains("hunter2") || text.contains("json_invalid"),
            "{text}"
        );
    }
}
