//! The OpenAPI schema of a form agrees with its parser.

use utoipa::openapi::path::Parameter;
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::*;

/// A parcel.
#[derive(Debug, Form)]
#[expect(dead_code, reason = "read through Debug")]
#[form(body, name = "Parcel", unknown = Forbidden, example = json!({"label": "x"}))]
struct Parcel {
    /// For people,
    /// on the outside.
    #[form(length(min = 1, max = 3), example = "ab")]
    label: String,
    #[form(range(min = 1, max = 9))]
    weight: Option<i64>,
    #[form(default = Direction::Prev)]
    direction: Direction,
    #[form(given)]
    fragile: Option<bool>,
    note: Option<Option<String>>,
    #[form(name = "stop-over", length(max = 2))]
    stops: Option<Vec<i64>>,
    way: Option<Direction>,
    #[form(nested)]
    sender: Option<Address>,
    #[form(nested)]
    receiver: Address,
    #[form(nested)]
    size: Size,
    #[form(nested, length(max = 1))]
    items: Vec<Size>,
    #[form(flatten)]
    stamp: Stamp,
}

#[derive(Debug, Form)]
#[expect(dead_code, reason = "read through Debug")]
#[form(body)]
struct Address {
    city: String,
}

#[derive(Debug, Form)]
#[expect(dead_code, reason = "read through Debug")]
#[form(body)]
struct Size {
    width: Option<i64>,
}

#[derive(Debug, Form)]
#[expect(dead_code, reason = "read through Debug")]
#[form(query)]
struct Stamp {
    #[form(range(min = 5), default = 7)]
    cents: i64,
}

fn parcel(body: &str) -> Result<Parcel, Violations> {
    read_body(body, Media::Json, &HeaderMap::new())
}

fn schema() -> Json {
    serde_json::to_value(Parcel::schema()).unwrap()
}

#[test]
fn a_body_is_described_from_its_declaration() {
    let schema = schema();
    assert_eq!(<Parcel as ToSchema>::name(), "Parcel");
    assert_eq!(schema["description"], "A parcel.");
    assert_eq!(schema["example"], json!({"label": "x"}));
    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(schema["required"], json!(["label", "receiver", "items"]));
    let nullable =
        |name: &str| json!({"oneOf": [{"$ref": format!("#/components/schemas/{name}")}, {"type": "null"}]});
    for (name, expected) in [
        (
            "label",
            json!({"type": "string", "description": "For people,\non the outside.", "minLength": 1, "maxLength": 3,
                "example": "ab"}),
        ),
        (
            "weight",
            json!({"type": ["integer", "null"], "format": "int64", "minimum": 1, "maximum": 9}),
        ),
        (
            "direction",
            json!({"type": "string", "enum": ["next", "prev"], "default": "prev"}),
        ),
        ("fragile", json!({"type": "boolean"})),
        ("note", json!({"type": ["string", "null"]})),
        (
            "stop-over",
            json!({"type": ["array", "null"], "items": {"type": "integer", "format": "int64"}, "maxItems": 2}),
        ),
        (
            "way",
            json!({"oneOf": [{"type": "string", "enum": ["next", "prev"]}, {"type": "null"}]}),
        ),
        ("sender", nullable("Address")),
        ("receiver", json!({"$ref": "#/components/schemas/Address"})),
        ("size", nullable("Size")),
        (
            "items",
            json!({"type": "array", "items": {"$ref": "#/components/schemas/Size"}, "maxItems": 1}),
        ),
        (
            "cents",
            json!({"type": "integer", "format": "int64", "minimum": 5, "default": 7}),
        ),
    ] {
        assert_eq!(schema["properties"][name], expected, "{name}");
    }
    let mut defined = Vec::new();
    Parcel::schemas(&mut defined);
    let names: Vec<_> = defined.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Address", "Address", "Size", "Size"]);
}

#[test]
fn a_body_is_read_as_it_is_described() {
    let least = r#"{"label":"x","receiver":{"city":"Bern"},"items":[]}"#;
    let read = format!("{:?}", parcel(least).unwrap());
    assert_eq!(
        read,
        "Parcel { label: \"x\", weight: None, direction: Prev, fragile: None, note: None, stops: None, way: None, \
         sender: None, receiver: Address { city: \"Bern\" }, size: Size { width: None }, items: [], \
         stamp: Stamp { cents: 7 } }"
    );
    // `null` is accepted exactly if the schema allows it.
    let schema = schema();
    for (name, property) in schema["properties"].as_object().unwrap() {
        let mut body: Json = serde_json::from_str(least).unwrap();
        body[name] = Json::Null;
        let is_nullable = property.to_string().contains(r#""null""#);
        assert_eq!(
            parcel(&body.to_string()).is_ok(),
            is_nullable,
            "{name}: {property}"
        );
    }
    // All violations are reported, in the order of the fields.
    let wrong = r#"{"label":"long","weight":0,"stop-over":[1,2,3],"items":[{},{}],"cents":4,"x":1}"#;
    let wrong = parcel(wrong).unwrap_err().to_string();
    assert_eq!(
        wrong,
        "label: String should have at most 3 characters; weight: Input should be greater than or equal to 1; \
         stop-over: List should have at most 2 items after validation, not 3; city: Field required; \
         items: List should have at most 1 item after validation, not 2; \
         cents: Input should be greater than or equal to 5; x: Extra inputs are not permitted"
    );
}

fn parameters<P: IntoParams>() -> Vec<Json> {
    let parameters: Vec<Parameter> = P::into_params(|| None);
    parameters
        .iter()
        .map(|parameter| serde_json::to_value(parameter).unwrap())
        .collect()
}

#[test]
fn parameters_are_described_from_their_declaration() {
    let query = parameters::<ListTokens>();
    assert_eq!(
        query[1],
        json!({"name": "limit", "in": "query", "required": false,
            "schema": {"type": "integer", "format": "int64", "minimum": 1, "maximum": 1000, "default": 50}})
    );
    assert_eq!(query[2]["schema"]["enum"], json!(["next", "prev"]));
    // No parameter can be `null`, and path parameters are required.
    let header = parameters::<Business>();
    assert_eq!(
        (&header[0]["name"], &header[0]["in"]),
        (&json!("x-business"), &json!("header"))
    );
    assert_eq!(header[0]["schema"]["type"], "integer");
    assert_eq!(parameters::<TokenPath>()[0]["required"], true);
}
