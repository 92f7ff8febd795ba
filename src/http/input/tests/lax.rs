//! Input that a stricter parser would refuse.

use super::*;

#[tokio::test]
async fn integers_are_as_lax_as_pydantics() {
    for (value, integer) in [
        ("30", 30),
        ("2.0", 2),
        ("1e1", 10),
        ("true", 1),
        (r#""30""#, 30),
        (r#"" 30 ""#, 30),
        (r#""+30""#, 30),
        (r#""030""#, 30),
        (r#""3_0""#, 30),
        (r#""30.0""#, 30),
    ] {
        let text = accepted("/tokens", &format!(r#"{{"name":"n","expires_in_days":{value}}}"#)).await;
        assert!(
            text.contains(&format!("expires_in_days: Some({integer})")),
            "{value}: {text}"
        );
    }
    for value in [
        "30.", "1e2", "", "0x1", "٣", "_3", "3_", "3__0", "+", "--3", "+-3", ".0",
    ] {
        let (kind, _) = wrong_field("expires_in_days", &format!("{value:?}")).await;
        assert_eq!(kind, "int_parsing", "{value}");
    }
}

#[tokio::test]
async fn integers_beyond_64_bits_violate_the_nearest_bound_and_are_echoed_exactly() {
    for (value, kind) in [
        ("123456789012345678901234567890", "less_than_equal"),
        ("-123456789012345678901234567890", "greater_than_equal"),
        ("\"123456789012345678901234567890\"", "less_than_equal"),
        ("9223372036854775808", "less_than_equal"),
        ("18446744073709551616", "less_than_equal"),
    ] {
        let body = format!(r#"{{"name":"n","expires_in_days":{value}}}"#);
        let (_, text) = send("/tokens", body).await;
        assert!(text.contains(&format!(r#""type":"{kind}""#)), "{text}");
        assert!(text.contains(&format!(r#""input":{value}"#)), "{text}");
    }
    let (_, text) = send("/tokens", r#"{"big": 18446744073709551616}"#).await;
    assert!(text.contains(r#""input":{"big":18446744073709551616}"#), "{text}");
    // Without a bound, the error can only say that the integer is too large.
    let (kind, _) = wrong_field("projects", "[18446744073709551616]").await;
    assert_eq!(kind, "int_parsing_size");
    let (status, text) = send("/tokens/18446744073709551616", r#"{"name":"n"}"#).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text.contains("int_parsing_size"), "{text}");
}

#[test]
fn booleans_are_as_lax_as_pydantics() {
    let read = |text: &str| bool::read(&Value::parse(text).unwrap());
    for word in [
        r#""YES""#,
        r#""On""#,
        r#""t""#,
        r#""y""#,
        r#""1""#,
        r#""true""#,
        "1",
        "1.0",
        "true",
    ] {
        assert_eq!(read(word), Ok(true), "{word}");
    }
    for word in [
        r#""no""#,
        r#""off""#,
        r#""F""#,
        r#""n""#,
        r#""0""#,
        r#""false""#,
        "0",
        "0.0",
        "false",
    ] {
        assert_eq!(read(word), Ok(false), "{word}");
    }
    for word in [r#"" true""#, r#""maybe""#, r#""""#, "2", "-1"] {
        assert_eq!(read(word), Err(Fault::BooleanParsing), "{word}");
    }
    for word in ["1.5", "null", "[]", "{}", "123456789012345678901234567890"] {
        assert_eq!(read(word), Err(Fault::BooleanType), "{word}");
    }
}

#[test]
fn a_time_without_a_zone_is_utc_and_a_date_is_its_midnight() {
    let read = |text: &str| Timestamp::read(&Value::Text(text.into())).map(|time| time.to_string());
    for (text, time) in [
        ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678Z"),
        ("2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02 03:04:05Z", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02", "2026-01-02T00:00:00.000Z"),
    ] {
        assert_eq!(read(text), Ok(time.to_owned()), "{text}");
    }
    for text in [
        "",
        "x",
        "2026-13-02",
        "2026-01-02T25:04:05Z",
        "2026-02-30",
        "1767323045",
    ] {
        assert!(matches!(read(text), Err(Fault::DateTimeParsing { .. })), "{text}");
    }
}

#[tokio::test]
async fn the_last_of_repeated_query_values_wins_and_lists_take_all() {
    let path = "/tokens/%37?limit=x&limit=7&include_revoked=ON&direction=%70rev&owners=1&owners=2&other=1";
    assert_eq!(
        accepted(path, r#"{"name":"n"}"#).await,
        "7 ListTokens { include_revoked: true, limit: 7, direction: Prev, owners: [1, 2] } None"
    );
    assert_eq!(
        accepted("/tokens/7", r#"{"name":"n"}"#).await,
        "7 ListTokens { include_revoked: false, limit: 50, direction: Next, owners: [] } None"
    );
    let (status, text) = send("/tokens/7?limit=", r#"{"name":"n"}"#).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        text.contains(r#""type":"int_parsing","loc":["query","limit"]"#),
        "{text}"
    );
}

#[tokio::test]
async fn an_update_tells_absent_from_null() {
    assert_eq!(accepted("/update", "{}").await, "None None");
    assert_eq!(
        accepted("/update", r#"{"description":null}"#).await,
        "None Some(None)"
    );
    assert_eq!(
        accepted("/update", r#"{"name":"n","description":"d"}"#).await,
        r#"Some("n") Some(Some("d"))"#
    );
    let (status, text) = send("/update", r#"{"name":null,"description":"long"}"#).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        text.contains("string_type") && text.contains("string_too_long"),
        "{text}"
    );
}

#[tokio::test]
async fn an_optional_body_may_be_absent_in_every_way() {
    for body in ["", "null", "{}", r#"{"reason":null}"#] {
        assert_eq!(accepted("/revoke", body).await, "None", "{body}");
    }
    assert_eq!(
        accepted("/revoke", r#"{"reason":"leaked"}"#).await,
        r#"Some("leaked")"#
    );
    for body in ["[]", "5", r#"{"reason":5}"#] {
        assert_eq!(
            send("/revoke", body).await.0,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{body}"
        );
    }
}
