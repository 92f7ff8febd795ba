//! The OpenAPI documents: complete, up to date, and correct as far as tests can tell.

use std::collections::BTreeSet;

use jeton::http::Document;
use serde_json::{Value, json};

use crate::harness::{SchemaAt, TestApp};

/// Returns a document as generated.
fn generated(document: Document) -> Value {
    serde_json::to_value(jeton::http::document(document)).unwrap()
}

/// Returns every operation with its method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let items = paths.iter().flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        operations.map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    items
        .filter(|(_, operation)| operation["responses"].is_object())
        .collect()
}

/// Operations with an empty successful response.
const EMPTY: [&str; 2] = ["authorize_request", "revoke_presented_token"];

/// Returns the errors that operations of an API must list: those with a credential, and those with a
/// body.
fn errors(api: Document) -> (&'static [&'static str], &'static [&'static str]) {
    match api {
        Document::Native | Document::DayZero | Document::Quant => {
            (&["401", "403", "503"], &["400", "413", "415", "422"])
        }
        // Forbidden is 404 there.
        Document::Terraform => (&["401", "404", "503"], &["400", "413", "415", "422"]),
        // Every invalid body is one status there.
        Document::Cave => (&["401", "403", "503"], &["400", "413"]),
    }
}

/// Operations without a successful response, since they need e-mail, which the server does not send.
const NEVER: [&str; 4] = ["register", "confirm", "forgot_password", "reset_password"];

/// Returns what is wrong with a document, as sentences.
fn findings(api: Document, document: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    let mut ids = BTreeSet::new();
    let (of_callers, of_bodies) = errors(api);
    let tags = document["tags"].as_array().into_iter().flatten();
    let tags: Vec<&Value> = tags.map(|tag| &tag["name"]).collect();
    for (what, operation) in operations(document) {
        let mut demand = |holds: bool, sentence: &str| {
            if !holds {
                findings.push(format!("{what}: {sentence}"));
            }
        };
        let id = operation["operationId"].as_str().unwrap_or_default();
        demand(
            !id.is_empty() && ids.insert(id.to_owned()),
            "needs an operationId of its own",
        );
        let has_text = |field: &str| operation[field].as_str().is_some_and(|text| !text.is_empty());
        demand(has_text("summary"), "needs a summary");
        let known = operation["tags"]
            .as_array()
            .is_some_and(|own| !own.is_empty() && own.iter().all(|tag| tags.contains(&tag)));
        demand(known, "needs a tag that the document describes");
        let responses = operation["responses"].as_object().unwrap();
        demand(
            responses.keys().any(|status| status.starts_with('2')) != NEVER.contains(&id),
            "needs its success",
        );
        demand(
            responses.keys().any(|status| status.starts_with('4')),
            "needs its errors",
        );
        if operation["security"] != json!([{}]) {
            for status in of_callers {
                demand(
                    responses.contains_key(*status),
                    &format!("needs {status} for its caller"),
                );
            }
        }
        if operation["requestBody"].is_object() {
            for status in of_bodies {
                // OAuth uses 400 for invalid fields too.
                let is_oauths_own = *status == "422" && what.contains(" /oauth/");
                demand(
                    responses.contains_key(*status) != is_oauths_own,
                    &format!("needs {status} for its body, unless it is OAuth's 422"),
                );
            }
        }
        for (status, response) in responses {
            let described = response["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty());
            demand(described, "needs a description of every answer");
            let has_body = response["content"].is_object();
            let is_empty = ["204", "304"].contains(&status.as_str())
                || what.starts_with("head ")
                || (status == "200" && EMPTY.contains(&id));
            // CAVE's errors are texts or empty, and so is its 202.
            let may_be_empty = api == Document::Cave && (status == "202" || status.starts_with('4'));
            demand(
                has_body != is_empty || may_be_empty,
                "needs a schema of every body",
            );
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let told = parameter["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty());
            demand(told, "needs a description of every parameter");
            let has_default = !parameter["schema"]["default"].is_null();
            demand(
                !(has_default && parameter["required"] == true),
                "requires a parameter that has a default",
            );
        }
    }
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let required: Vec<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let parts = property["allOf"].as_array().into_iter().flatten();
            let types: BTreeSet<_> = parts.filter_map(|part| part["type"].as_str()).collect();
            if types.len() > 1 {
                findings.push(format!("{name}: no value can be all that {field} has to be"));
            }
            if !property["default"].is_null() && required.contains(&field.as_str()) {
                findings.push(format!("{name}: requires {field}, which has a default"));
            }
        }
    }
    findings.extend(useless_to_generators(document));
    findings
}

/// Returns what generators of clients refuse or have no type for.
fn useless_to_generators(document: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    // openapi-generator reports a license without an SPDX identifier or URL as an error.
    if !document["info"]["license"]["identifier"].is_string() {
        findings.push("info.license needs its identifier".to_owned());
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for name in schemas.keys() {
        let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if name.is_empty() || !name.chars().all(is_allowed) {
            findings.push(format!("{name:?} cannot be the name of a schema"));
        }
        if !text.contains(&format!(r##""#/components/schemas/{name}""##)) {
            findings.push(format!("{name}: nothing refers to this schema"));
        }
    }
    each(document, &mut Vec::new(), &mut |at, part| {
        if part["items"]["properties"].is_object() {
            let at = at.join("/");
            findings.push(format!("{at}: the elements of a list need a schema with a name"));
        }
    });
    findings
}

/// Calls `found` with every object of a document and the way to it.
fn each<'a>(part: &'a Value, way: &mut Vec<String>, found: &mut impl FnMut(&[String], &'a Value)) {
    let parts: Vec<(String, &Value)> = match part {
        Value::Object(members) => {
            found(way, part);
            members
                .iter()
                .map(|(name, member)| (name.clone(), member))
                .collect()
        }
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            elements
                .map(|(index, element)| (index.to_string(), element))
                .collect()
        }
        _ => Vec::new(),
    };
    for (name, part) in parts {
        way.push(name);
        each(part, way, found);
        way.pop();
    }
}

/// Returns the examples, defaults and words of a document that are not values of their schema, and the
/// number of those that are.
fn wrong_examples(api: Document, document: &Value) -> (Vec<String>, usize) {
    let (mut findings, mut right) = (Vec::new(), 0);
    each(document, &mut Vec::new(), &mut |way, part| {
        // What is in an example, and a property with the name of a keyword.
        let is_data = way.iter().any(|name| name == "example" || name == "examples");
        if is_data || way.last().is_some_and(|name| name == "properties") {
            return;
        }
        let way: Vec<&str> = way.iter().map(String::as_str).collect();
        // Parameters and media types have the schema beside the example.
        let beside = [way.as_slice(), &["schema"]].concat();
        let schema = match part["schema"].is_object() {
            true => SchemaAt::new(api, &beside),
            false => SchemaAt::new(api, &way),
        };
        let named = part["examples"].as_object().into_iter().flatten();
        let named = named.map(|(_, example)| &example["value"]);
        let listed = ["examples", "enum"].map(|name| part[name].as_array().into_iter().flatten());
        let single = ["example", "default"].map(|name| &part[name]).into_iter();
        let examples = single.filter(|value| !value.is_null());
        for example in examples.chain(listed.into_iter().flatten()).chain(named) {
            match schema.mismatch(example) {
                Some(why) => findings.push(why),
                None => right += 1,
            }
        }
    });
    (findings, right)
}

#[test]
fn the_file_in_the_repository_is_the_generated_document() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(
        file == generated(Document::Native),
        "{path} is not current: run make openapi"
    );
}

#[tokio::test]
async fn every_document_is_served_as_it_is_generated() {
    let app = TestApp::new().await;
    for document in Document::ALL {
        let served = app.get(&app.anyone(), document.path()).await.is(200);
        assert!(served.json() == generated(document), "{}", document.path());
    }
}

/// A proxy may serve the API below a path of its own, which is the issuer's.
#[tokio::test]
async fn the_server_of_a_served_document_is_the_path_of_the_issuer() {
    for (issuer, path) in [
        ("https://jeton.example.org", "/"),
        ("https://example.org/tokens", "/tokens"),
        ("https://example.org:8443/a/b%20c", "/a/b%20c"),
    ] {
        let app = TestApp::of_issuer(issuer).await;
        for document in Document::ALL {
            let served = app.get(&app.anyone(), document.path()).await.is(200);
            assert_eq!(served.json()["servers"], json!([{"url": path}]), "{issuer}");
        }
    }
}

#[test]
fn every_document_is_complete() {
    for api in Document::ALL {
        let document = generated(api);
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
        let findings = findings(api, &document);
        assert!(findings.is_empty(), "{api:?}:\n{}", findings.join("\n"));
    }
}

/// Returns the errors of a document without an example.
fn errors_without_example(document: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    for (what, operation) in operations(document) {
        // A name in a path is never invalid.
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let has_bounds = parameters.clone().any(|parameter| {
            let schema = &parameter["schema"];
            schema["type"] != "string" || !schema["format"].is_null() || !schema["minLength"].is_null()
        });
        let can_be_invalid = has_bounds || operation["requestBody"].is_object();
        for (status, response) in operation["responses"].as_object().unwrap() {
            let is_error = status.starts_with(['4', '5']) && (status != "422" || can_be_invalid);
            for content in response["content"]
                .as_object()
                .into_iter()
                .flat_map(|all| all.values())
            {
                // The probes have a form of their own, with an example of each field.
                let has_own_form = content["schema"]["$ref"] == "#/components/schemas/Health";
                let has_example = !content["example"].is_null() || content["examples"].is_object();
                if is_error && !has_own_form && !has_example {
                    findings.push(format!("{what} {status}"));
                }
            }
        }
    }
    findings
}

#[test]
fn every_error_has_its_own_example() {
    for api in Document::ALL {
        let findings = errors_without_example(&generated(api));
        assert!(findings.is_empty(), "{api:?}:\n{}", findings.join("\n"));
    }
}

#[test]
fn the_codes_of_errors_are_a_documented_list() {
    let document = generated(Document::Native);
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["Problem"]["properties"]["code"]["$ref"],
        "#/components/schemas/ErrorCode"
    );
    let code = &schemas["ErrorCode"];
    let words: BTreeSet<&str> = code["enum"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(words.len() >= 30, "{words:?}");
    for word in &words {
        let meaning = format!("\n- `{word}`: ");
        assert!(code["description"].as_str().unwrap().contains(&meaning), "{word}");
    }
    // Examples are rendered from failures, as the responses are.
    let mut shown = BTreeSet::new();
    each_object(&document["paths"], &mut |object| {
        shown.extend(object["code"].as_str())
    });
    shown.remove("ok");
    // No operation answers it: the path has none with the method.
    shown.insert("method_not_allowed");
    assert_eq!(shown, words);
}

/// Calls `found` with every object within a value.
fn each_object<'a>(value: &'a Value, found: &mut impl FnMut(&'a Value)) {
    match value {
        Value::Object(members) => {
            found(value);
            members.values().for_each(|member| each_object(member, found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| each_object(element, found)),
        _ => {}
    }
}

#[test]
fn every_example_is_a_value_of_its_schema() {
    for api in Document::ALL {
        let (wrong, right) = wrong_examples(api, &generated(api));
        assert!(wrong.is_empty(), "{api:?}:\n{}", wrong.join("\n"));
        assert!(right >= 10, "{api:?}: only {right} examples were found");
    }
}

#[test]
fn a_wrong_example_is_found() {
    let api = Document::Native;
    let mut document = generated(api);
    let token = &mut document["components"]["schemas"]["CreateToken"];
    token["example"]["name"] = 7.into();
    token["properties"]["name"]["example"] = "".into();
    let page = &mut document["paths"]["/api/v1/tokens"]["get"]["parameters"];
    let pages = page.as_array_mut().unwrap().iter_mut();
    let limit = pages.into_iter().find(|one| one["name"] == "limit").unwrap();
    limit["example"] = "ten".into();
    let (wrong, _) = wrong_examples(api, &document);
    assert_eq!(wrong.len(), 3, "{wrong:#?}");
}

#[test]
fn missing_tests_are_found() {
    let mut document = generated(Document::Native);
    let paths = &mut document["paths"];
    paths["/api/v1/me"]["get"]["operationId"] = "login".into();
    paths["/api/v1/scopes"]["get"]["summary"] = "".into();
    paths["/api/v1/users"]["get"]["tags"] = json!(["unheard of"]);
    paths["/api/v1/users"]["post"]["responses"]
        .as_object_mut()
        .unwrap()
        .remove("422");
    let parameters = &mut paths["/api/v1/tokens"]["get"]["parameters"];
    for parameter in parameters.as_array_mut().unwrap() {
        if parameter["name"] == "limit" {
            parameter["required"] = true.into();
        }
    }
    let found = findings(Document::Native, &document);
    assert_eq!(found.len(), 5, "{found:#?}");
    let mut document = generated(Document::Native);
    document["info"]["license"] = json!({"name": "MIT"});
    let schemas = &mut document["components"]["schemas"];
    schemas["A word"] = json!({"type": "object"});
    schemas["Items_Member"]["properties"]["items"]["items"] = schemas["Member"].clone();
    assert_eq!(
        useless_to_generators(&document),
        [
            "info.license needs its identifier",
            "\"A word\" cannot be the name of a schema",
            "A word: nothing refers to this schema",
            "Member: nothing refers to this schema",
            "components/schemas/Items_Member/properties/items: the elements of a list need a schema with a name",
        ]
    );
    let found = findings(Document::Terraform, &generated(Document::Native));
    assert!(
        found
            .iter()
            .any(|finding| finding == "get /api/v1/me: needs 404 for its caller"),
        "{found:#?}"
    );
}

/// POSTs that take no idempotency key: they create nothing that lasts, or repeating them changes nothing.
const REPEATABLE: [&str; 15] = [
    // The code is valid once.
    "set_up",
    "login",
    "logout",
    "accept_invitation",
    "retire_key",
    "inspect_token",
    "revoke_current_token",
    "report_usage",
    "introspect",
    "authorize_request",
    "revoke_presented_token",
    "register",
    "confirm",
    "forgot_password",
    "reset_password",
];

/// Returns the POSTs that neither take an idempotency key nor are repeatable, and those that take one without
/// documenting the response to a retry.
fn unsafe_to_repeat(document: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    for (what, operation) in operations(document) {
        let id = operation["operationId"].as_str().unwrap();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let takes_key = parameters
            .into_iter()
            .any(|parameter| parameter["name"] == "Idempotency-Key" && parameter["in"] == "header");
        if what.starts_with("post ") && takes_key == REPEATABLE.contains(&id) {
            findings.push(format!(
                "{what}: takes no Idempotency-Key, or is listed as REPEATABLE and does"
            ));
        }
        if takes_key {
            let conflict = &operation["responses"]["409"];
            let told = conflict["description"].as_str().unwrap_or_default();
            let examples = conflict["content"].to_string();
            if !told.contains("Idempotency-Key") || !examples.contains("was carried out already") {
                findings.push(format!("{what}: does not document the response to a retry"));
            }
        }
    }
    findings
}

#[test]
fn each_operation_that_creates_takes_an_idempotency_key() {
    for api in Document::ALL {
        let findings = unsafe_to_repeat(&generated(api));
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
    let mut document = generated(Document::Native);
    let create = &mut document["paths"]["/api/v1/tokens"]["post"];
    create["responses"]["409"]["description"] = "A conflict".into();
    assert_eq!(unsafe_to_repeat(&document).len(), 1);
    let create = &mut document["paths"]["/api/v1/tokens"]["post"];
    create["parameters"] = json!([]);
    assert_eq!(unsafe_to_repeat(&document).len(), 1);
}
