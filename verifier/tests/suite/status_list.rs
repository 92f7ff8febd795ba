//! Published status lists: parsed as signed, and refused if any part is invalid.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use jeton_verifier::{
    CompressedList, ExpectedList, FeedPosition, KeySet, MAX_STATUS_LIST_BYTES, Malformed, Rejection,
    STATUS_LIST_CAPACITY, StatusListClaims, TokenType, Unsignable, Unverified, UnverifiedStatusList,
    assemble, statement_signing_input,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{ES256, ISSUER, Issuer, NOW, RS256, base64, issuers};

const EPOCH: Uuid = Uuid::from_u128(3);

fn uri() -> String {
    format!("{ISSUER}/status-lists/7")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns valid claims, written independently of the crate.
fn json() -> Value {
    json!({
        "sub": uri(),
        "iat": NOW - 5,
        "exp": NOW + 60,
        "ttl": 30,
        "feed": {"epoch": EPOCH, "sequence": 9},
        "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"},
    })
}

fn claims(list: Vec<u8>) -> StatusListClaims {
    StatusListClaims {
        issuer: Some("https://jeton.example/status-lists".to_owned()),
        audience: Some("https://jeton.example/status-lists".to_owned()),
        uri: uri(),
        issued_at: NOW - 5,
        expires_at: NOW + 60,
        ttl: 30,
        feed: FeedPosition {
            epoch: EPOCH,
            sequence: 9,
        },
        list: CompressedList(list),
    }
}

fn header(issuer: &Issuer, typ: &str) -> String {
    issuer.header_json().replace("at+jwt", typ)
}

fn token(claims: &Value) -> String {
    ES256.token(header(&ES256, "statuslist+jwt"), claims.to_string())
}

fn expected(uri: &str) -> ExpectedList<'_> {
    ExpectedList {
        uri,
        known: None,
        now: NOW,
        leeway: 0,
    }
}

fn check(token: &str, expected: &ExpectedList<'_>) -> Result<StatusListClaims, Rejection> {
    let keys: KeySet = [ES256.key.clone()].into_iter().collect();
    let verified = keys.verify_statement(UnverifiedStatusList::parse(token)?)?;
    verified.judge(expected).cloned()
}

/// Returns valid claims with one replaced, or removed if `null`.
fn with(pointer: &str, value: Value) -> String {
    let mut claims = json();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let object = claims.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => drop(object.remove(name).unwrap()),
        value => drop(object.insert(name.to_owned(), value)),
    }
    token(&claims)
}

#[test]
fn what_is_signed_is_read_back() {
    for issuer in issuers() {
        let header = issuer.header(TokenType::StatusList).encode();
        let signed = claims(zlib(&[0xb9, 0xa3]));
        let message = statement_signing_input(&header, &signed).unwrap();
        let signature = issuer.sign(&message);
        let token = assemble(message, &signature);
        let unverified = UnverifiedStatusList::parse(&token).unwrap();
        assert_eq!(unverified.header().kid, *issuer.key.kid());
        let verified = unverified.verify(&issuer.key).unwrap();
        assert_eq!(verified.judge(&expected(&uri())), Ok(&signed));
        assert_eq!(signed.list.inflate().unwrap().to_bytes(), [0xb9, 0xa3]);
    }
}

/// The bytes of the draft, section 4.2, with claims written independently of the crate.
#[test]
fn the_example_of_the_draft() {
    let claims = check(&token(&json()), &expected(&uri())).unwrap();
    assert_eq!(
        (claims.issued_at, claims.expires_at, claims.ttl),
        (NOW - 5, NOW + 60, 30)
    );
    assert_eq!((claims.feed.epoch, claims.feed.sequence), (EPOCH, 9));
    let list = claims.list.inflate().unwrap();
    let set: Vec<u32> = (0..16).filter(|index| list.is_set(*index).unwrap()).collect();
    assert_eq!(set, [0, 3, 4, 5, 7, 8, 9, 13, 15]);
}

#[test]
fn a_list_of_another_time_or_place_is_refused() {
    let good = token(&json());
    let judged = |expected: ExpectedList<'_>| check(&good, &expected).map(|_| ());
    let uri = uri();
    let now = expected(&uri);
    assert_eq!(judged(now), Ok(()));
    assert_eq!(
        judged(expected(&format!("{ISSUER}/status-lists/8"))),
        Err(Rejection::WrongList)
    );
    for (at, verdict) in [
        (NOW + 59, Ok(())),
        (NOW + 60, Err(Rejection::Expired)),
        (NOW - 5, Ok(())),
        (NOW - 6, Err(Rejection::NotYetIssued)),
    ] {
        assert_eq!(judged(ExpectedList { now: at, ..now }), verdict, "{at}");
    }
    let lenient = ExpectedList { leeway: 2, ..now };
    assert_eq!(
        judged(ExpectedList {
            now: NOW + 61,
            ..lenient
        }),
        Ok(())
    );
    assert_eq!(
        judged(ExpectedList {
            now: NOW - 7,
            ..lenient
        }),
        Ok(())
    );
    assert_eq!(
        judged(ExpectedList {
            now: NOW + 62,
            ..lenient
        }),
        Err(Rejection::Expired)
    );
}

#[test]
fn a_list_that_lacks_what_is_known_is_refused() {
    let uri = uri();
    let judged = |epoch, sequence| {
        let expected = ExpectedList {
            known: Some(FeedPosition { epoch, sequence }),
            ..expected(&uri)
        };
        check(&token(&json()), &expected).map(|_| ())
    };
    assert_eq!(judged(EPOCH, 8), Ok(()));
    assert_eq!(judged(EPOCH, 9), Ok(()));
    assert_eq!(judged(EPOCH, 10), Err(Rejection::Outdated));
    assert_eq!(judged(Uuid::from_u128(4), 8), Err(Rejection::Outdated));
}

#[test]
fn claims_that_are_off_are_no_claims() {
    for (pointer, value) in [
        ("/sub", Value::Null),
        ("/sub", json!("")),
        ("/iat", Value::Null),
        ("/iat", json!(NOW + 61)),
        ("/exp", Value::Null),
        ("/exp", json!(1.5e9)),
        ("/ttl", Value::Null),
        ("/ttl", json!(0)),
        ("/ttl", json!(-1)),
        ("/feed", Value::Null),
        ("/feed/epoch", json!("3")),
        ("/feed/sequence", json!(-1)),
        ("/status_list", Value::Null),
        ("/status_list/bits", json!(2)),
        ("/status_list/lst", json!("eNrbuRgAAhcBXQ==")),
        ("/status_list/lst", json!("eNrbuRgAAhcBXR")),
    ] {
        let refused = check(&with(pointer, value.clone()), &expected(&uri()));
        assert_eq!(refused, Err(Malformed::Claims.into()), "{pointer} {value}");
    }
    let twice = json().to_string().replacen('{', "{\"ttl\":30,", 1);
    let twice = ES256.token(header(&ES256, "statuslist+jwt"), twice);
    assert_eq!(check(&twice, &expected(&uri())), Err(Malformed::Claims.into()));
}

#[test]
fn neither_kind_of_token_passes_for_the_other() {
    for typ in ["at+jwt", "session+jwt"] {
        let other = ES256.token(header(&ES256, typ), json().to_string());
        assert_eq!(
            check(&other, &expected(&uri())),
            Err(Rejection::WrongType),
            "{typ}"
        );
    }
    let list = token(&json());
    let refused = Unverified::parse(&list).unwrap().verify(&ES256.key);
    assert_eq!(refused.unwrap_err(), Rejection::WrongType);
}

#[test]
fn an_altered_list_is_refused() {
    let good = token(&json());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let cleared = with("/status_list/lst", json!(base64(&zlib(&[0, 0]))));
    let (_, body) = cleared.rsplit_once('.').unwrap().0.split_once('.').unwrap();
    let refused = check(&format!("{head}.{body}.{signature}"), &expected(&uri()));
    assert_eq!(refused, Err(Rejection::BadSignature));
    let by_another = RS256.token(header(&RS256, "statuslist+jwt"), json().to_string());
    assert_eq!(check(&by_another, &expected(&uri())), Err(Rejection::UnknownKey));
    for text in [
        "",
        ".",
        "a.b",
        &format!("{good}.x"),
        &good.replacen("eyJ", "jtn_eyJ", 1),
    ] {
        UnverifiedStatusList::parse(text).unwrap_err();
    }
}

/// A few bytes that expand to a gigabyte are abandoned at the size of the largest list.
#[test]
fn a_list_that_grows_too_large_is_none() {
    let largest = STATUS_LIST_CAPACITY as usize / 8;
    for (bytes, is_list) in [(largest, true), (largest + 1, false), (1 << 26, false)] {
        let inflated = CompressedList(zlib(&vec![0; bytes])).inflate();
        assert_eq!(inflated.is_ok(), is_list, "{bytes}");
    }
    let mut damaged = zlib(&[0xb9, 0xa3]);
    let stream = damaged.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let mut longer = stream.clone();
    longer.push(0);
    for flawed in [damaged, longer, stream[..stream.len() - 1].to_vec(), Vec::new()] {
        assert_eq!(CompressedList(flawed).inflate().err(), Some(Malformed::Claims));
    }
}

#[test]
fn an_oversized_status_list_is_not_signed() {
    let header = ES256.header(TokenType::StatusList).encode();
    // The largest list, incompressible.
    let largest = claims(vec![0; STATUS_LIST_CAPACITY as usize / 8 + 64]);
    statement_signing_input(&header, &largest).unwrap();
    let refused = statement_signing_input(&header, &claims(vec![0; MAX_STATUS_LIST_BYTES]));
    assert!(matches!(refused, Err(Unsignable::TooLong)));
    let long = "a".repeat(MAX_STATUS_LIST_BYTES + 1);
    assert_eq!(UnverifiedStatusList::parse(&long).err(), Some(Malformed::TooLong));
}
