//! The types, locations and texts of violations.

use super::*;

#[tokio::test]
async fn every_row_of_the_contract_is_answered_exactly() {
    let long = "n".repeat(256);
    let (too_long, too_long_answer) = (
        format!(r#"{{"name":"{long}"}}"#),
        format!(
            r#"{{"type":"string_too_long","loc":["body","name"],"msg":"String should have at most 255 characters","input":"{long}","ctx":{{"max_length":255}}}}"#
        ),
    );
    for (body, expected) in [
        (
            "",
            r#"{"type":"missing","loc":["body"],"msg":"Field required","input":null}"#,
        ),
        (
            "{}",
            r#"{"type":"missing","loc":["body","name"],"msg":"Field required","input":{}}"#,
        ),
        (
            r#"{ "other" : 1.5 }"#,
            r#"{"type":"missing","loc":["body","name"],"msg":"Field required","input":{"other":1.5}}"#,
        ),
        (
            r#"[]"#,
            r#"{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from","input":[]}"#,
        ),
        (
            r#""s""#,
            r#"{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from","input":"s"}"#,
        ),
        (
            r#"null"#,
            r#"{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from","input":null}"#,
        ),
        (
            r#"{"name":""}"#,
            r#"{"type":"string_too_short","loc":["body","name"],"msg":"String should have at least 1 character","input":"","ctx":{"min_length":1}}"#,
        ),
        (&too_long, &too_long_answer),
        (
            r#"{"name":5}"#,
            r#"{"type":"string_type","loc":["body","name"],"msg":"Input should be a valid string","input":5}"#,
        ),
        (
            r#"{"name":null}"#,
            r#"{"type":"string_type","loc":["body","name"],"msg":"Input should be a valid string","input":null}"#,
        ),
        (
            r#"{"name":"n","description":5}"#,
            r#"{"type":"string_type","loc":["body","description"],"msg":"Input should be a valid string","input":5}"#,
        ),
        (
            r#"{"name":"n","expires_in_days":0}"#,
            r#"{"type":"greater_than_equal","loc":["body","expires_in_days"],"msg":"Input should be greater than or equal to 1","input":0,"ctx":{"ge":1}}"#,
        ),
        (
            r#"{"name":"n","expires_in_days":-1}"#,
            r#"{"type":"greater_than_equal","loc":["body","expires_in_days"],"msg":"Input should be greater than or equal to 1","input":-1,"ctx":{"ge":1}}"#,
        ),
        (
            r#"{"name":"n","expires_in_days":366}"#,
            r#"{"type":"less_than_equal","loc":["body","expires_in_days"],"msg":"Input should be less than or equal to 365","input":366,"ctx":{"le":365}}"#,
        ),
        (
            r#"{"name":"n","expires_in_days":"abc"}"#,
            r#"{"type":"int_parsing","loc":["body","expires_in_days"],"msg":"Input should be a valid integer, unable to parse string as an integer","input":"abc"}"#,
        ),
        (
            r#"{"name":"n","expires_in_days":"1.5"}"#,
            r#"{"type":"int_parsing","loc":["body","expires_in_days"],"msg":"Input should be a valid integer, unable to parse string as an integer","input":"1.5"}"#,
        ),
        (
            r#"{"name":"n","expires_in_days":1.5}"#,
            r#"{"type":"int_from_float","loc":["body","expires_in_days"],"msg":"Input should be a valid integer, got a number with a fractional part","input":1.5}"#,
        ),
        (
            r#"{"name":"n","expires_in_days":[]}"#,
            r#"{"type":"int_type","loc":["body","expires_in_days"],"msg":"Input should be a valid integer","input":[]}"#,
        ),
    ] {
        let (status, answer) = send("/tokens", body.to_owned()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(answer, format!(r#"{{"detail":[{expected}]}}"#), "{body}");
    }
    accepted("/tokens", r#"{"name":"n"}"#).await;
    accepted(
        "/tokens",
        &format!(r#"{{"name":"{}","expires_in_days":365}}"#, "ü".repeat(255)),
    )
    .await;
}

#[tokio::test]
async fn every_row_of_the_contract_about_queries_is_answered_exactly() {
    for (query, expected) in [
        (
            r#"include_revoked=maybe"#,
            r#"{"type":"bool_parsing","loc":["query","include_revoked"],"msg":"Input should be a valid boolean, unable to interpret input","input":"maybe"}"#,
        ),
        (
            r#"limit=0"#,
            r#"{"type":"greater_than_equal","loc":["query","limit"],"msg":"Input should be greater than or equal to 1","input":"0","ctx":{"ge":1}}"#,
        ),
        (
            r#"limit=1001"#,
            r#"{"type":"less_than_equal","loc":["query","limit"],"msg":"Input should be less than or equal to 1000","input":"1001","ctx":{"le":1000}}"#,
        ),
        (
            r#"limit=x"#,
            r#"{"type":"int_parsing","loc":["query","limit"],"msg":"Input should be a valid integer, unable to parse string as an integer","input":"x"}"#,
        ),
        (
            r#"direction=up"#,
            r#"{"type":"literal_error","loc":["query","direction"],"msg":"Input should be 'next' or 'prev'","input":"up","ctx":{"expected":"'next' or 'prev'"}}"#,
        ),
    ] {
        let (status, answer) = send(&format!("/tokens/7?{query}"), r#"{"name":"n"}"#).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(answer, format!(r#"{{"detail":[{expected}]}}"#), "{query}");
    }
    accepted(
        "/tokens/7?include_revoked=y&limit=1000&direction=prev",
        r#"{"name":"n"}"#,
    )
    .await;
}

#[tokio::test]
async fn further_types_have_pydantics_names_and_texts() {
    for (field, value, kind, msg, ctx) in [
        (
            "scopes",
            r#""a:b""#,
            "list_type",
            "Input should be a valid list",
            json!(null),
        ),
        (
            "scopes",
            "[]",
            "too_short",
            "List should have at least 1 item after validation, not 0",
            json!({"field_type": "List", "min_length": 1, "actual_length": 0}),
        ),
        (
            "scopes",
            r#"["a:b","a:c","a:d"]"#,
            "too_long",
            "List should have at most 2 items after validation, not 3",
            json!({"field_type": "List", "max_length": 2, "actual_length": 3}),
        ),
        (
            "owner",
            r#""x""#,
            "uuid_parsing",
            "Input should be a valid UUID, invalid character: found `x` at 0",
            json!({"error": "invalid character: found `x` at 0"}),
        ),
        (
            "owner",
            "5",
            "uuid_type",
            "UUID input should be a string, bytes or UUID object",
            json!(null),
        ),
        (
            "expires_at",
            "true",
            "datetime_type",
            "Input should be a valid datetime",
            json!(null),
        ),
        (
            "expires_in_days",
            "1e30",
            "int_parsing_size",
            "Unable to parse input string as an integer, exceeded maximum size",
            json!(null),
        ),
        (
            "policy",
            "5",
            "model_attributes_type",
            "Input should be a valid dictionary or object to extract fields from",
            json!(null),
        ),
    ] {
        let (_, violation) = wrong_field(field, value).await;
        let mut expected = json!({"type": kind, "loc": ["body", field], "msg": msg,
                                  "input": serde_json::from_str::<Json>(value).unwrap()});
        if !ctx.is_null() {
            expected["ctx"] = ctx;
        }
        assert_eq!(violation, expected);
    }
    let (kind, violation) = wrong_field("expires_at", r#""tomorrow""#).await;
    assert_eq!(kind, "datetime_from_date_parsing");
    assert_eq!(
        violation["ctx"]["error"],
        "expected a form like 2026-01-02T03:04:05Z"
    );
}

#[tokio::test]
async fn elements_and_nested_fields_are_named_by_location() {
    let (kind, violation) = wrong_field("projects", r#"[1,"2","x"]"#).await;
    assert_eq!(
        (kind.as_str(), &violation["loc"]),
        ("int_parsing", &json!(["body", "projects", 2]))
    );
    let (kind, violation) = wrong_field("policy", r#"{"max_lifetime":0}"#).await;
    assert_eq!(
        (kind.as_str(), &violation["loc"]),
        ("greater_than_equal", &json!(["body", "policy", "max_lifetime"]))
    );
    let (kind, violation) = wrong_field("policy", r#"{"a":1}"#).await;
    assert_eq!(
        (kind.as_str(), &violation["input"]),
        ("missing", &json!({"a": 1}))
    );
    let text = accepted(
        "/tokens",
        r#"{"name":"n","projects":[1,"2"],"policy":{"max_lifetime":7}}"#,
    )
    .await;
    assert!(
        text.contains("projects: Some([1, 2])") && text.contains("max_lifetime: 7"),
        "{text}"
    );
}

#[test]
fn the_documents_have_the_names_that_fastapi_gives() {
    use utoipa::OpenApi;

    #[derive(OpenApi)]
    #[openapi(components(schemas(Violations, CreateTokenForm)))]
    struct Document;

    let document = serde_json::to_value(Document::openapi()).unwrap();
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["HTTPValidationError"]["properties"]["detail"]["items"],
        json!({"$ref": "#/components/schemas/ValidationError"})
    );
    let violation = &schemas["ValidationError"]["properties"];
    assert_eq!(violation["loc"]["type"], "array");
    assert_eq!(violation["msg"]["type"], "string");
    assert_eq!(violation["type"]["type"], "string");
    assert_eq!(schemas["CreateToken"]["properties"]["name"]["maxLength"], 255);
}

#[test]
fn debug_output_contains_no_input() {
    let violation = Violation::new(
        Fault::StringType,
        Location::root("body").field("password"),
        "hunter2",
    );
    let error = InputError::Invalid(violation.into());
    assert!(!format!("{error:?} {error}").contains("hunter2"));
    assert!(!format!("{:?}", Value::Text("hunter2".into())).contains("hunter2"));
    let InputError::Invalid(violations) = error else {
        panic!()
    };
    assert!(serde_json::to_string(&violations).unwrap().contains("hunter2"));
}
