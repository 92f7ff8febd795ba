//! Attacks on tokens, each next to the same token without the attack, so that a parser that refuses
//! everything fails too.

use aws_lc_rs::hmac;
use jeton_verifier::{Malformed, Rejection, Unverified};
use serde_json::{Value, json};

use crate::harness::{EDDSA, ES256, Issuer, NOW, RS256, base64, check, claims, claims_json, issuers};

fn refused(token: &str, rejection: Rejection, what: &str) {
    assert_eq!(check(token), Err(rejection), "{what}");
}

fn good(token: &str) {
    assert_eq!(check(token), Ok(claims()));
}

/// Returns a correctly signed token with this header, the only part that can be invalid.
fn with_header(issuer: &Issuer, header: &str) -> String {
    issuer.token(header, claims_json().to_string())
}

fn header(issuer: &Issuer, change: impl FnOnce(&mut Value)) -> String {
    let mut header: Value = serde_json::from_str(&issuer.header_json()).unwrap();
    change(&mut header);
    with_header(issuer, &header.to_string())
}

#[test]
fn no_other_algorithm() {
    for issuer in issuers() {
        good(&header(issuer, |_| {}));
        let names = [
            "none", "None", "NONE", "nOnE", "", "HS256", "es256", "ES384", "PS256", "Ed25519", "ES256 ",
        ];
        let values = [
            json!(null),
            json!([issuer.algorithm().name()]),
            json!({issuer.algorithm().name(): null}),
            json!(1),
        ];
        for alg in names.into_iter().map(Value::from).chain(values) {
            let token = header(issuer, |header| header["alg"] = alg.clone());
            refused(&token, Malformed::Header.into(), &alg.to_string());
        }
        let token = header(issuer, |header| {
            drop(header.as_object_mut().unwrap().remove("alg"))
        });
        refused(&token, Malformed::Header.into(), "alg absent");
        for other in issuers()
            .into_iter()
            .filter(|other| other.algorithm() != issuer.algorithm())
        {
            let token = header(issuer, |header| header["alg"] = other.algorithm().name().into());
            refused(&token, Rejection::WrongAlgorithm, "the algorithm of another key");
            let token = header(issuer, |header| header["kid"] = other.key.kid().as_str().into());
            refused(&token, Rejection::WrongAlgorithm, "another key");
        }
        // Unsigned, with "none".
        let token = header(issuer, |header| header["alg"] = "none".into());
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        refused(
            &format!("{unsigned}."),
            Malformed::Header.into(),
            "none without a signature",
        );
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let secrets = [
        RS256.jwk.to_string(),
        format!("{}\n", RS256.jwk),
        RS256.jwk["n"].as_str().unwrap().to_owned(),
    ];
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        for alg in ["HS256", "RS256"] {
            let header = RS256.header_json().replace("RS256", alg);
            let message = format!(
                "{}.{}",
                base64(header.as_bytes()),
                base64(claims_json().to_string().as_bytes())
            );
            let signature = hmac::sign(&key, message.as_bytes());
            assert!(check(&format!("{message}.{}", base64(signature.as_ref()))).is_err());
        }
    }
}

#[test]
fn no_other_key_id() {
    let kid = EDDSA.key.kid().as_str();
    let absent = header(&EDDSA, |header| {
        drop(header.as_object_mut().unwrap().remove("kid"))
    });
    refused(&absent, Malformed::Header.into(), "kid absent");
    let long = "A".repeat(4096);
    let padded = format!("{kid}=");
    let nul = format!("{kid}\0");
    let texts = ["", "../../dev/null", "'; --", &long, &padded, &nul, &kid[1..]].map(Value::from);
    for value in texts.into_iter().chain([json!(1), json!(null), json!([kid])]) {
        let token = header(&EDDSA, |header| header["kid"] = value.clone());
        refused(&token, Malformed::Header.into(), &value.to_string());
    }
    let unknown = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    let token = header(&EDDSA, |header| header["kid"] = unknown.into());
    refused(&token, Rejection::UnknownKey, "a key of another authority");

    let token = EDDSA.good_token();
    let outcome = Unverified::parse(&token).unwrap().verify(&ES256.key);
    assert_eq!(
        outcome,
        Err(Rejection::UnknownKey),
        "a key that the caller chose wrongly"
    );
}

#[test]
fn the_header_is_closed() {
    let kid = EDDSA.key.kid().as_str();
    for (name, value) in [
        ("crit", json!([])),
        ("crit", json!(["b64"])),
        ("crit", json!(["exp"])),
        ("crit", json!(["alg"])),
        ("crit", json!("b64")),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("enc", json!("A256GCM")),
        ("jku", json!("http://127.0.0.1:1/jwks.json")),
        ("jwk", EDDSA.jwk.clone()),
        ("x5u", json!("http://127.0.0.1:1/")),
        ("x5c", json!(["AA"])),
        ("x5t", json!("AA")),
        ("x5t#S256", json!("AA")),
        ("iss", json!("https://tokens.example.org")),
        ("Alg", json!("EdDSA")),
        ("", json!(null)),
    ] {
        let token = header(&EDDSA, |header| header[name] = value.clone());
        refused(&token, Malformed::Header.into(), &format!("{name}: {value}"));
    }
    for text in [
        "",
        "{}",
        "null",
        "\"EdDSA\"",
        &format!(r#"["EdDSA","{kid}","at+jwt"]"#),
        &format!(r#"[{}]"#, EDDSA.header_json()),
        &format!("{}\0", EDDSA.header_json()),
        &EDDSA.header_json().repeat(2),
    ] {
        refused(&with_header(&EDDSA, text), Malformed::Header.into(), text);
    }
    // A byte order mark is `77u_` in base64url, which looks like a prefix and is removed like one.
    let marked = with_header(&EDDSA, &format!("\u{feff}{}", EDDSA.header_json()));
    refused(&marked, Rejection::BadSignature, "a byte order mark");
    // White space and escapes are the same JSON and are signed.
    good(&with_header(
        &EDDSA,
        &format!(" {} ", EDDSA.header_json().replace("alg", "\\u0061lg")),
    ));
}

#[test]
fn no_name_twice_in_the_header() {
    let json = EDDSA.header_json();
    let kid = EDDSA.key.kid();
    for double in [
        r#""alg":"EdDSA""#.to_owned(),
        r#""alg":"none""#.to_owned(),
        r#""\u0061lg":"EdDSA""#.to_owned(),
        format!(r#""kid":"{kid}""#),
        format!(r#""k\u0069d":"{kid}""#),
        r#""typ":"at+jwt""#.to_owned(),
        r#""t\u0079p":"at+jwt""#.to_owned(),
    ] {
        let body = &json[1..json.len() - 1];
        for text in [format!("{{{double},{body}}}"), format!("{{{body},{double}}}")] {
            refused(&with_header(&EDDSA, &text), Malformed::Header.into(), &text);
        }
    }
}

#[test]
fn the_type_is_the_api_tokens() {
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        good(&header(&ES256, |header| header["typ"] = typ.into()));
    }
    for typ in ["session+jwt", "statuslist+jwt", "application/Session+JWT"] {
        refused(
            &header(&ES256, |header| header["typ"] = typ.into()),
            Rejection::WrongType,
            typ,
        );
    }
    for typ in [
        "",
        "JWT",
        "jwt",
        "secevent+jwt",
        "token-introspection+jwt",
        "at+jwt\0",
        "at jwt",
    ] {
        refused(
            &header(&ES256, |header| header["typ"] = typ.into()),
            Malformed::Header.into(),
            typ,
        );
    }
    let absent = header(&ES256, |header| {
        drop(header.as_object_mut().unwrap().remove("typ"))
    });
    refused(&absent, Malformed::Header.into(), "typ absent");
}

#[test]
fn the_frame() {
    let token = EDDSA.good_token();
    good(&token);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        unreachable!()
    };
    for (text, malformed) in [
        (String::new(), Malformed::Segments),
        (header.to_owned(), Malformed::Segments),
        (format!("{header}.{claims}"), Malformed::Segments),
        (format!("{token}.{signature}"), Malformed::Segments),
        (format!("{token}.."), Malformed::Segments),
        (format!("{token}.{token}"), Malformed::Segments),
        (format!(".{token}"), Malformed::Segments),
        (format!("{token}."), Malformed::Segments),
        (".".repeat(100_000), Malformed::TooLong),
        (".".repeat(8_000), Malformed::Segments),
        ("..".to_owned(), Malformed::Header),
        (format!(".{claims}.{signature}"), Malformed::Header),
        (format!("{token}{}", "A".repeat(8192)), Malformed::TooLong),
        (
            format!(r#"{{"payload":"{claims}","signature":"{signature}","protected":"{header}"}}"#),
            Malformed::Segments,
        ),
    ] {
        refused(&text, malformed.into(), &text);
    }
    for around in [
        " ", "\t", "\r", "\n", "\u{feff}", "\0", "\"", "'", "%20", "=", "ü",
    ] {
        refused(&format!("{token}{around}"), Malformed::Encoding.into(), around);
        assert!(check(&format!("{around}{token}")).is_err(), "{around}");
    }
    refused(
        &format!("{header}..{signature}"),
        Rejection::BadSignature,
        "no claims",
    );
    refused(
        &format!("{header}.{claims}."),
        Rejection::BadSignature,
        "no signature",
    );
}

#[test]
fn each_segment_has_one_spelling() {
    for issuer in issuers() {
        let token = issuer.good_token();
        for place in 0..3 {
            let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
            let part = parts[place].clone();
            let mut variants = vec![
                format!("{part}="),
                format!("{part}=="),
                format!("{part}+"),
                format!("{part}/"),
            ];
            if !part.len().is_multiple_of(4) {
                // The last character has bits that decoders ignore: set the lowest.
                let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
                let last = alphabet.find(part.chars().last().unwrap()).unwrap();
                assert_eq!(last % 4, 0);
                variants.push(format!(
                    "{}{}",
                    &part[..part.len() - 1],
                    &alphabet[last + 1..last + 2]
                ));
            }
            variants.extend([("-", "+"), ("_", "/")].map(|(ours, foreign)| part.replace(ours, foreign)));
            for variant in variants.into_iter().filter(|variant| *variant != part) {
                parts[place] = variant;
                refused(&parts.join("."), Malformed::Encoding.into(), &parts.join("."));
            }
        }
    }
}

#[test]
fn signatures() {
    for issuer in issuers() {
        let token = issuer.good_token();
        good(&token);
        let (message, _) = token.rsplit_once('.').unwrap();
        let signature = issuer.sign(message);
        let other = issuer.sign("another message");
        let flipped: Vec<u8> = signature
            .iter()
            .enumerate()
            .map(|(i, b)| if i == 7 { b ^ 1 } else { *b })
            .collect();
        let mut small_order = vec![0; 64];
        small_order[0] = 1; // the neutral point of Ed25519, and S = 0
        for (what, bad) in [
            ("empty", vec![]),
            ("truncated", signature[..signature.len() - 1].to_vec()),
            ("extended", [signature.clone(), vec![0]].concat()),
            ("twice", signature.repeat(2)),
            ("one bit", flipped),
            ("zero: r = s = 0", vec![0; signature.len()]),
            ("ones", vec![0xff; signature.len()]),
            ("a small-order point", small_order),
            ("of another message", other),
        ] {
            refused(
                &format!("{message}.{}", base64(&bad)),
                Rejection::BadSignature,
                what,
            );
        }
    }
    // DER instead of R and S.
    let token = ES256.good_token();
    let (message, _) = token.rsplit_once('.').unwrap();
    let signature = ES256.sign(message);
    let (r, s) = signature.split_at(32);
    let der = [&[0x30, 70, 2, 33, 0], r, &[2, 33, 0], s].concat();
    refused(
        &format!("{message}.{}", base64(&der)),
        Rejection::BadSignature,
        "DER",
    );
}

/// The group orders: of P-256 in big-endian, of Ed25519 in little-endian order.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// ECDSA allows it. It is the same token, since tokens are identified by `jti`.
#[test]
fn an_ecdsa_signature_with_n_minus_s_is_the_same_token() {
    let token = ES256.good_token();
    let (message, _) = token.rsplit_once('.').unwrap();
    let mut signature = ES256.sign(message);
    let mut borrow = 0;
    for (s, n) in signature[32..].iter_mut().zip(P256_ORDER).rev() {
        let difference = i16::from(n) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *s = difference.rem_euclid(256) as u8;
    }
    let twin = format!("{message}.{}", base64(&signature));
    assert_ne!(twin, token);
    good(&twin);
}

/// Ed25519 forbids it (RFC 8032 section 5.1.7: S below the order).
#[test]
fn an_ed25519_signature_with_s_plus_the_order_is_refused() {
    let token = EDDSA.good_token();
    let (message, _) = token.rsplit_once('.').unwrap();
    let mut signature = EDDSA.sign(message);
    let mut carry = 0;
    for (s, l) in signature[32..].iter_mut().zip(ED25519_ORDER) {
        let sum = u16::from(*s) + u16::from(l) + carry;
        carry = sum >> 8;
        *s = sum as u8;
    }
    refused(
        &format!("{message}.{}", base64(&signature)),
        Rejection::BadSignature,
        "S + L",
    );
}

#[test]
fn claims_of_the_wrong_type_or_range() {
    let token = |claims: &str| EDDSA.token(EDDSA.header_json(), claims);
    let good_claims = claims_json();
    good(&token(&good_claims.to_string()));

    let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let dates = [
        json!(null),
        json!("1800000000"),
        json!([1]),
        json!({}),
        json!(true),
        json!(-1),
        json!(1.0),
        json!(1.5),
        json!(253_402_300_800_u64),
        json!(NOW * 1000),
        json!((1_u64 << 53) + 1),
        json!(1_u64 << 63),
        json!(u64::MAX),
        number("1e300"),
        number("18e8"),
        number("1800000000.0"),
        number("18446744073709551616"),
    ];
    let texts = [
        json!(null),
        json!(""),
        json!(1),
        json!(["a"]),
        json!({}),
        json!("a\0b"),
        json!("a\nb"),
        json!("a\u{85}b"),
    ];
    let uuids = [
        json!(null),
        json!(1),
        json!(""),
        json!("01934D6E-7A00-7000-8000-0000000000AB"),
        json!("01934d6e7a00700080000000000000ab"),
        json!("{01934d6e-7a00-7000-8000-0000000000ab}"),
        json!("urn:uuid:01934d6e-7a00-7000-8000-0000000000ab"),
        json!("01934d6e-7a00-7000-8000-0000000000a"),
        json!(["01934d6e-7a00-7000-8000-0000000000ab"]),
    ];
    let audiences = [
        json!(null),
        json!(""),
        json!([]),
        json!([""]),
        json!([1]),
        json!({}),
        json!([null]),
        json!([["a"]]),
    ];
    let scopes = [
        json!(null),
        json!(""),
        json!(" "),
        json!(" a"),
        json!("a "),
        json!("a  b"),
        json!("a\tb"),
        json!("a\"b"),
        json!("a\\b"),
        json!("ä"),
        json!(["a"]),
        json!(1),
    ];
    let projects = [
        json!(null),
        json!("1"),
        json!(1),
        json!([-1]),
        json!([1.0]),
        json!(["1"]),
        json!([2_147_483_648_u32]),
        json!([u64::MAX]),
        json!([null]),
        json!({}),
    ];
    let statuses = [
        json!(null),
        json!({}),
        json!("x"),
        json!([{"idx": 1, "uri": "u"}]),
        json!([[1, "u"]]),
        json!({"status_list": null}),
        json!({"status_list": {}}),
        json!({"status_list": {"idx": 1}}),
        json!({"status_list": [1, "u"]}),
        json!({"status_list": {"uri": "u"}}),
        json!({"status_list": {"idx": -1, "uri": "u"}}),
        json!({"status_list": {"idx": 1.0, "uri": "u"}}),
        json!({"status_list": {"idx": "1", "uri": "u"}}),
        json!({"status_list": {"idx": 4_294_967_296_u64, "uri": "u"}}),
        json!({"status_list": {"idx": 1, "uri": ""}}),
        json!({"status_list": {"idx": 1, "uri": 1}}),
    ];
    let cases: [(&str, &[Value]); 12] = [
        ("iat", &dates),
        ("exp", &dates),
        ("iss", &texts),
        ("sub", &texts),
        ("client_id", &texts),
        ("team", &texts),
        ("jti", &uuids),
        ("org", &uuids),
        ("aud", &audiences),
        ("scope", &scopes),
        ("projects", &projects),
        ("status", &statuses),
    ];
    for (name, values) in cases {
        for value in values {
            let mut claims = good_claims.clone();
            claims[name] = value.clone();
            refused(
                &token(&claims.to_string()),
                Malformed::Claims.into(),
                &format!("{name}: {value}"),
            );
        }
        let mut claims = good_claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        if ["scope", "org", "team", "projects"].contains(&name) {
            assert!(check(&token(&claims.to_string())).is_ok(), "{name} absent");
        } else {
            refused(
                &token(&claims.to_string()),
                Malformed::Claims.into(),
                &format!("{name} absent"),
            );
        }
    }

    let with_nbf = |nbf: Value| {
        let mut claims = good_claims.clone();
        claims["nbf"] = nbf;
        token(&claims.to_string())
    };
    for nbf in [0, NOW - 60] {
        good(&with_nbf(nbf.into()));
    }
    for nbf in [
        json!(NOW - 59),
        json!(NOW + 600),
        json!("1"),
        json!(null),
        json!(1.5),
    ] {
        refused(
            &with_nbf(nbf.clone()),
            Malformed::Claims.into(),
            &format!("nbf: {nbf}"),
        );
    }

    let mut backwards = good_claims.clone();
    backwards["exp"] = json!(NOW - 61);
    refused(
        &token(&backwards.to_string()),
        Malformed::Claims.into(),
        "exp before iat",
    );
    backwards["exp"] = json!(NOW - 60);
    refused(&token(&backwards.to_string()), Rejection::Expired, "exp at iat");
}

#[test]
fn claims_that_are_no_object_or_have_a_name_twice() {
    let token = |claims: &[u8]| EDDSA.token(EDDSA.header_json(), claims);
    let json = claims_json().to_string();
    let body = &json[1..json.len() - 1];
    for double in [
        r#""jti":"01934d6e-7a00-7000-8000-0000000000ab""#,
        r#""j\u0074i":"01934d6e-7a00-7000-8000-0000000000ab""#,
        r#""scope":"*""#,
        r#""\u0073cope":"*""#,
        r#""exp":253402300799"#,
        r#""unknown":1,"unknown":1"#,
        r#""unknown":1,"\u0075nknown":2"#,
    ] {
        for text in [format!("{{{body},{double}}}"), format!("{{{double},{body}}}")] {
            refused(&token(text.as_bytes()), Malformed::Claims.into(), &text);
        }
    }
    let twice_inside = json.replace(r#""idx":4711"#, r#""idx":4711,"idx":4711"#);
    assert_ne!(twice_inside, json);
    refused(
        &token(twice_inside.as_bytes()),
        Malformed::Claims.into(),
        "idx twice",
    );

    let nested = |levels: usize| format!("{{{body},\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    good(&token(nested(10).as_bytes()));
    refused(
        &token(nested(17).as_bytes()),
        Malformed::Claims.into(),
        "nested 17 deep",
    );
    refused(
        &token(nested(2500).as_bytes()),
        Malformed::Claims.into(),
        "nested 2,500 deep",
    );

    for text in [
        String::new(),
        "null".into(),
        "[]".into(),
        "{}".into(),
        format!("[{json}]"),
        format!("\"{body}\""),
        format!("\u{feff}{json}"),
        format!("{json}{json}"),
        format!("{json}\0"),
        format!("{{{body},}}"),
        format!("{{{body},\"x\":NaN}}"),
        format!("{{{body},\"x\":01}}"),
        format!("{{{body},\"x\":\"\\x\"}}"),
        format!("{{{body},x:1}}"),
        format!("{{{body},\"x\"}}"),
        format!("{{{body},\"\\ud800\":1}}"),
        json.replace(r#""sub":""#, r#""sub":"\ud800"#),
    ] {
        refused(&token(text.as_bytes()), Malformed::Claims.into(), &text);
    }
    let invalid_utf8 = [&json.as_bytes()[..json.len() - 1], b",\"x\":\"\xff\"}"].concat();
    refused(&token(&invalid_utf8), Malformed::Claims.into(), "invalid UTF-8");

    // Unknown claims are ignored (RFC 7519 section 4).
    good(&token(
        format!("{{{body},\"x\":{{\"a\":[1.5e3,null,\"\\u00e4\"]}},\"nbf\":1}}").as_bytes(),
    ));
}

#[test]
fn another_authoritys_and_another_times_tokens() {
    let token = |name: &str, value: Value| {
        let mut claims = claims_json();
        claims[name] = value;
        EDDSA.token(EDDSA.header_json(), claims.to_string())
    };
    for issuer in [
        "https://tokens.example.org/",
        "https://tokens.example",
        "HTTPS://tokens.example.org",
        "x",
    ] {
        refused(&token("iss", issuer.into()), Rejection::WrongIssuer, issuer);
    }
    for audience in [
        json!("https://api.example.org/"),
        json!("https://api.example"),
        json!(["a", "b"]),
    ] {
        refused(
            &token("aud", audience.clone()),
            Rejection::WrongAudience,
            &audience.to_string(),
        );
    }
    refused(&token("exp", json!(NOW)), Rejection::Expired, "expires now");
    refused(
        &token("iat", json!(NOW + 1)),
        Rejection::NotYetIssued,
        "from the future",
    );
    assert!(check(&token("exp", json!(NOW + 1))).is_ok());
    assert!(check(&token("iat", json!(NOW))).is_ok());
    assert!(check(&token("aud", json!(["a", "https://api.example.org"]))).is_ok());
}
