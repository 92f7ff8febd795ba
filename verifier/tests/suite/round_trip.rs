use jeton_verifier::{
    Claims, Expected, KeySet, MAX_TOKEN_BYTES, NEVER, Rejection, StatusReference, TokenType, Unsignable,
    Unverified, assemble, signing_input,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use crate::harness::{AUDIENCE, EDDSA, ISSUER, Issuer, NOW, check, claims, claims_json, expected, issuers};

fn sign(issuer: &Issuer, token_type: TokenType, claims: &Claims) -> String {
    let input = signing_input(&issuer.header(token_type).encode(), claims).unwrap();
    let signature = issuer.sign(&input);
    assemble(input, &signature)
}

fn any_claims() -> impl Strategy<Value = Claims> {
    let text = "[^\\p{Cc}]{1,40}";
    let scope = vec("[!#-\\[\\]-~]{1,20}", 1..6);
    (
        (text, text, vec(text, 1..4), text),
        (0..=NEVER, 0..=NEVER, any::<u128>(), option::of(scope)),
        (
            option::of(any::<u128>()),
            option::of(text),
            option::of(vec(0..=2_147_483_647_u32, 0..5)),
        ),
        (any::<u32>(), text),
    )
        .prop_map(
            |((issuer, subject, audience, client_id), (one, other, jti, scope), rest, (index, uri))| {
                let (organization, team, projects) = rest;
                Claims {
                    issuer,
                    subject,
                    audience,
                    client_id,
                    issued_at: one.min(other),
                    expires_at: one.max(other),
                    jti: Uuid::from_u128(jti),
                    scope,
                    organization: organization.map(Uuid::from_u128),
                    team,
                    projects,
                    status: StatusReference { index, uri },
                }
            },
        )
}

proptest! {
    #[test]
    fn what_is_signed_is_read_back(claims in any_claims(), which in 0..3_usize, session in any::<bool>()) {
        let issuer = issuers()[which];
        let token_type = if session { TokenType::Session } else { TokenType::Access };
        let token = sign(issuer, token_type, &claims);
        let verified = Unverified::parse(&token).unwrap().verify(&issuer.key).unwrap();
        let expected = Expected {
            issuer: &claims.issuer,
            audience: claims.audience.last().map(String::as_str),
            token_type,
            now: claims.issued_at,
            leeway: 1,
        };
        prop_assert_eq!(verified.judge(&expected), Ok(&claims));
        let again = Claims::of_verified(&format!("jtn_{token}"));
        prop_assert_eq!(again.as_ref(), Ok(&claims));
    }

    #[test]
    fn a_prefix_makes_no_difference(which in 0..3_usize, prefix in "[A-Za-z0-9]{1,16}_") {
        let token = issuers()[which].good_token();
        prop_assert_eq!(check(&format!("{prefix}{token}")), check(&token));
        prop_assert!(check(&token).is_ok());
        let twice = check(&format!("x_{prefix}{token}"));
        prop_assert!(twice.is_err());
    }

    #[test]
    fn no_text_makes_the_parser_fail_otherwise_than_by_refusing(text in ".{0,200}") {
        let _ = Unverified::parse(&text).map(|token| token.header().clone());
    }

    #[test]
    fn one_changed_byte_is_refused(which in 0..3_usize, place in any::<prop::sample::Index>(), flip in 1..=127_u8) {
        let mut bytes = issuers()[which].good_token().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert!(check(&text).is_err());
        }
    }
}

#[test]
fn the_claims_on_the_wire() {
    let claims = claims();
    assert_eq!(serde_json::to_value(&claims).unwrap(), claims_json());
    for issuer in issuers() {
        assert_eq!(
            check(&sign(issuer, TokenType::Access, &claims)),
            Ok(claims.clone())
        );
        assert_eq!(check(&issuer.good_token()), Ok(claims.clone()));
    }

    let bare = Claims {
        scope: None,
        organization: None,
        team: None,
        projects: None,
        ..claims
    };
    let several = Claims {
        audience: vec![AUDIENCE.to_owned(), ISSUER.to_owned()],
        ..bare
    };
    let mut json = claims_json();
    for absent in ["scope", "org", "team", "projects"] {
        json.as_object_mut().unwrap().remove(absent);
    }
    json["aud"] = serde_json::json!([AUDIENCE, ISSUER]);
    assert_eq!(serde_json::to_value(&several).unwrap(), json);
}

#[test]
fn a_prefix_changes_nothing() {
    let token = EDDSA.good_token();
    for prefix in ["jt_", "dz_", "0123456789abcdef_"] {
        assert_eq!(check(&format!("{prefix}{token}")), Ok(claims()));
    }
    for prefix in ["_", "0123456789abcdefg_", "dz_dz_", "a-b_", "Bearer ", "dz"] {
        assert!(check(&format!("{prefix}{token}")).is_err(), "{prefix}");
    }
}

#[test]
fn the_longest_token_that_is_signed_is_accepted_and_a_longer_one_is_not_signed() {
    let header = EDDSA.header(TokenType::Access).encode();
    let of_size = |scopes: usize| Claims {
        scope: Some(vec!["s".repeat(100); scopes]),
        ..claims()
    };
    let fits = (1..100)
        .take_while(|scopes| signing_input(&header, &of_size(*scopes)).is_ok())
        .count();
    assert!((30..70).contains(&fits), "{fits}");

    let input = signing_input(&header, &of_size(fits)).unwrap();
    let longest = format!("0123456789abcdef_{}", assemble(input, &[0; 1024]));
    assert!(longest.len() <= MAX_TOKEN_BYTES);
    assert!(Unverified::parse(&longest).is_ok());
    assert!(matches!(
        signing_input(&header, &of_size(fits + 1)),
        Err(Unsignable::TooLong)
    ));
}

#[test]
fn the_verdict() {
    let claims = Claims {
        issued_at: NOW,
        expires_at: NOW + 100,
        ..claims()
    };
    let token = sign(&EDDSA, TokenType::Access, &claims);
    let verified = Unverified::parse(&token).unwrap().verify(&EDDSA.key).unwrap();
    let judge = |expected: Expected<'_>| verified.judge(&expected).map(|_| ());
    let base = expected();

    assert_eq!(judge(base), Ok(()));
    assert_eq!(
        judge(Expected {
            audience: None,
            ..base
        }),
        Ok(())
    );
    assert_eq!(
        judge(Expected {
            now: NOW + 99,
            ..base
        }),
        Ok(())
    );
    assert_eq!(
        judge(Expected {
            now: NOW + 100,
            ..base
        }),
        Err(Rejection::Expired)
    );
    assert_eq!(
        judge(Expected {
            now: NOW + 109,
            leeway: 10,
            ..base
        }),
        Ok(())
    );
    assert_eq!(
        judge(Expected {
            now: NOW + 110,
            leeway: 10,
            ..base
        }),
        Err(Rejection::Expired)
    );
    assert_eq!(
        judge(Expected { now: NOW - 1, ..base }),
        Err(Rejection::NotYetIssued)
    );
    assert_eq!(
        judge(Expected {
            now: NOW - 10,
            leeway: 10,
            ..base
        }),
        Ok(())
    );
    assert_eq!(
        judge(Expected {
            now: NOW - 11,
            leeway: 10,
            ..base
        }),
        Err(Rejection::NotYetIssued)
    );
    assert_eq!(
        judge(Expected {
            now: i64::MAX,
            leeway: 0,
            ..base
        }),
        Err(Rejection::Expired)
    );

    for issuer in [
        "https://tokens.example.org/",
        "https://tokens.example.or",
        "https://TOKENS.example.org",
        "http://tokens.example.org",
        "https://tokens.ex\u{430}mple.org",
        "",
    ] {
        assert_eq!(
            judge(Expected { issuer, ..base }),
            Err(Rejection::WrongIssuer),
            "{issuer}"
        );
    }
    for audience in [
        "https://api.example.org/",
        "https://api.example",
        "https://API.example.org",
        "",
    ] {
        let expected = Expected {
            audience: Some(audience),
            ..base
        };
        assert_eq!(judge(expected), Err(Rejection::WrongAudience), "{audience}");
    }
    for token_type in [TokenType::Session, TokenType::StatusList] {
        assert_eq!(judge(Expected { token_type, ..base }), Err(Rejection::WrongType));
    }
}

#[test]
fn a_session_is_not_an_api_token_and_a_status_list_is_no_credential() {
    let session = sign(&EDDSA, TokenType::Session, &claims());
    assert_eq!(check(&session), Err(Rejection::WrongType));
    let keys: KeySet = [EDDSA.key.clone()].into_iter().collect();
    let verified = keys.verify(Unverified::parse(&session).unwrap()).unwrap();
    assert!(
        verified
            .judge(&Expected {
                token_type: TokenType::Session,
                ..expected()
            })
            .is_ok()
    );

    // A list whose claims would be those of a token.
    let list = sign(&EDDSA, TokenType::StatusList, &claims());
    assert_eq!(
        keys.verify(Unverified::parse(&list).unwrap()),
        Err(Rejection::WrongType)
    );
}
