use jeton_verifier::jwk::{Jwk, ThumbprintHash};
use jeton_verifier::{Algorithm, KeyId, KeySet, NotAKeySet, NotAPublicKey, PublicKey, Rejection, Unverified};
use serde_json::{Value, json};

use crate::harness::{EDDSA, ES256, RS256, issuers};

/// RFC 7638 section 3.1.
const MODULUS: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

fn read(jwk: &Value) -> Result<PublicKey, NotAPublicKey> {
    PublicKey::from_json(&jwk.to_string())
}

fn with(jwk: &Value, member: &str, value: impl Into<Value>) -> Value {
    let mut jwk = jwk.clone();
    jwk[member] = value.into();
    jwk
}

#[test]
fn the_thumbprints_of_the_standards() {
    let key = read(&json!({"kty": "RSA", "alg": "RS256", "n": MODULUS, "e": "AQAB"})).unwrap();
    assert_eq!(key.kid().as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(key.algorithm(), Algorithm::Rs256);

    // RFC 8037 appendix A.3.
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let key = read(&json!({"kty": "OKP", "alg": "EdDSA", "crv": "Ed25519", "x": x})).unwrap();
    assert_eq!(key.kid().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

/// RFC 8037 appendix A.4, whose payload is not a token of jeton.
#[test]
fn the_signature_of_the_standard() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let key = read(&json!({"kty": "OKP", "alg": "EdDSA", "crv": "Ed25519", "x": x})).unwrap();
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = [
        0x86, 0x0c, 0x98, 0xd2, 0x29, 0x7f, 0x30, 0x60, 0xa3, 0x3f, 0x42, 0x73, 0x96, 0x72, 0xd6, 0x1b, 0x53,
        0xcf, 0x3a, 0xde, 0xfe, 0xd3, 0xd3, 0xc6, 0x72, 0xf3, 0x20, 0xdc, 0x02, 0x1b, 0x41, 0x1e, 0x9d, 0x59,
        0xb8, 0x62, 0x8d, 0xc3, 0x51, 0xe2, 0x48, 0xb8, 0x8b, 0x29, 0x46, 0x8e, 0x0e, 0x41, 0x85, 0x5b, 0x0f,
        0xb7, 0xd8, 0x3b, 0xb1, 0x5b, 0xe9, 0x02, 0xbf, 0xcc, 0xb8, 0xcd, 0x0a, 0x02,
    ];
    assert!(key.verify(message, &signature));
    assert!(!key.verify(&message[1..], &signature));
}

#[test]
fn a_key_names_itself_by_its_thumbprint_or_not_at_all() {
    for issuer in issuers() {
        let kid = issuer.key.kid().as_str();
        assert_eq!(
            read(&with(&issuer.jwk, "kid", kid)).unwrap().kid(),
            issuer.key.kid()
        );
        let other = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        for bad in [other, "", "2011-04-29", &kid.to_uppercase()] {
            assert_eq!(
                read(&with(&issuer.jwk, "kid", bad)).unwrap_err(),
                NotAPublicKey::KeyId
            );
        }
        let jwk: Jwk = serde_json::from_value(issuer.jwk.clone()).unwrap();
        assert_eq!(jwk.thumbprint(ThumbprintHash::SHA256).unwrap(), kid);
        assert_eq!(PublicKey::try_from(&jwk).unwrap().kid(), issuer.key.kid());
    }
}

#[test]
fn a_key_has_the_algorithm_that_fits_it() {
    let all = [
        "ES256", "EdDSA", "RS256", "HS256", "ES384", "PS256", "none", "es256",
    ];
    for issuer in issuers() {
        for alg in all {
            let outcome = read(&with(&issuer.jwk, "alg", alg));
            if alg == issuer.algorithm().name() {
                outcome.unwrap();
            } else {
                assert_eq!(outcome.unwrap_err(), NotAPublicKey::Algorithm, "{alg}");
            }
        }
        let mut jwk = issuer.jwk.clone();
        jwk.as_object_mut().unwrap().remove("alg");
        assert_eq!(read(&jwk).unwrap_err(), NotAPublicKey::Algorithm);
    }
    for crv in ["P-384", "P-521", "Ed25519"] {
        assert_eq!(
            read(&with(&ES256.jwk, "crv", crv)).unwrap_err(),
            NotAPublicKey::Algorithm
        );
    }
}

#[test]
fn a_key_is_for_verifying() {
    for good in [
        with(&ES256.jwk, "use", "sig"),
        with(&ES256.jwk, "key_ops", json!(["verify"])),
    ] {
        read(&good).unwrap();
    }
    for bad in [
        with(&ES256.jwk, "use", "enc"),
        with(&ES256.jwk, "key_ops", json!(["sign"])),
        with(&ES256.jwk, "key_ops", json!([])),
    ] {
        assert_eq!(read(&bad).unwrap_err(), NotAPublicKey::Use);
    }
}

#[test]
fn numbers_that_make_no_key() {
    let x = ES256.jwk["x"].as_str().unwrap();
    let y = ES256.jwk["y"].as_str().unwrap();
    let modulus_1024 = format!("{}w", &MODULUS[..170]);
    let mut shifted = vec![0];
    shifted.extend([0x80; 256]);
    for bad in [
        with(&ES256.jwk, "y", x),                // off the curve
        with(&ES256.jwk, "x", format!("{x}AA")), // too long
        with(&ES256.jwk, "x", format!("{x}=")),  // padded
        with(&ES256.jwk, "y", &y[..40]),         // too short
        with(&EDDSA.jwk, "x", "AA"),
        with(&RS256.jwk, "n", modulus_1024),
        with(&RS256.jwk, "n", crate::harness::base64(&shifted)), // leading zero
        with(&RS256.jwk, "n", ""),
        with(&RS256.jwk, "e", "AQ"),     // 1: every text is its own signature
        with(&RS256.jwk, "e", "Ag"),     // even
        with(&RS256.jwk, "e", "AAEAAQ"), // leading zero
        with(&RS256.jwk, "e", ""),
    ] {
        assert_eq!(read(&bad).unwrap_err(), NotAPublicKey::Numbers, "{bad}");
    }
    // Two coordinates with only their total length right: a key with two thumbprints.
    let bytes = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(text)
            .unwrap()
    };
    let (x, y) = (bytes(x), bytes(y));
    let point = [x, y].concat();
    let (left, right) = point.split_at(31);
    let split = json!({"kty": "EC", "crv": "P-256", "alg": "ES256",
        "x": crate::harness::base64(left), "y": crate::harness::base64(right)});
    assert_eq!(read(&split).unwrap_err(), NotAPublicKey::Numbers);
}

#[test]
fn secrets_are_refused_wherever_they_are() {
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
        for issuer in issuers() {
            let leaked = with(&issuer.jwk, member, "AA");
            assert_eq!(read(&leaked).unwrap_err(), NotAPublicKey::Private, "{member}");
            let set = json!({"keys": [ES256.jwk, leaked]}).to_string();
            assert_eq!(
                KeySet::from_json(&set).unwrap_err(),
                NotAKeySet::Private,
                "{member}"
            );
        }
    }
    let shared = json!({"kty": "oct", "alg": "HS256", "k": "AA"});
    assert_eq!(read(&shared).unwrap_err(), NotAPublicKey::Private);
    let shared: Jwk = serde_json::from_value(shared).unwrap();
    assert_eq!(PublicKey::try_from(&shared).unwrap_err(), NotAPublicKey::Private);
}

#[test]
fn a_set_skips_what_it_does_not_know() {
    let set = json!({"keys": [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": "EC", "crv": "secp256k1", "alg": "ES256K", "x": "AA", "y": "AA"},
        {"kty": "RSA"},
        "not a key",
        with(&RS256.jwk, "alg", "PS256"),
        ES256.jwk,
        EDDSA.jwk,
    ], "more": 1});
    let keys = KeySet::from_json(&set.to_string()).unwrap();
    for issuer in [&ES256, &EDDSA] {
        let token = issuer.good_token();
        assert!(keys.verify(Unverified::parse(&token).unwrap()).is_ok());
        assert!(keys.find(issuer.key.kid()).is_some());
    }
    let token = RS256.good_token();
    assert_eq!(
        keys.verify(Unverified::parse(&token).unwrap()).unwrap_err(),
        Rejection::UnknownKey
    );
    let unknown: KeyId = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".parse().unwrap();
    assert!(keys.find(&unknown).is_none());

    for bad in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":null}"#, "null"] {
        assert_eq!(KeySet::from_json(bad).unwrap_err(), NotAKeySet::Json, "{bad}");
    }
    assert!(KeySet::from_json(r#"{"keys":[]}"#).is_ok());
}
