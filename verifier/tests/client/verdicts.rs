//! The verdict on tokens, whatever the authority does.

use jeton_verifier::{Claims, NEVER, Rejection, Requirements, TokenType};
use uuid::Uuid;

use crate::authority::{Authority, Key};
use crate::{builder, ready, verdict_becomes};

#[tokio::test]
async fn only_good_tokens_are_accepted() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority)).await;
    let claims = authority.claims();
    let verdict = verifier.verify(&authority.sign(&claims)).unwrap();
    assert_eq!(*verdict, claims);
    assert!(
        verifier
            .verify(&format!("jt_{}", authority.sign(&claims)))
            .is_ok()
    );

    let changed = |change: fn(&mut Claims)| {
        let mut claims = authority.claims();
        change(&mut claims);
        verifier.verify(&authority.sign(&claims)).map(drop)
    };
    assert_eq!(
        changed(|claims| claims.issuer.push('/')),
        Err(Rejection::WrongIssuer)
    );
    assert_eq!(
        changed(|claims| claims.audience[0].push('/')),
        Err(Rejection::WrongAudience)
    );
    assert_eq!(
        changed(|claims| claims.issued_at += 60),
        Err(Rejection::NotYetIssued)
    );
    assert_eq!(changed(|claims| claims.issued_at += 10), Ok(()));
    assert_eq!(
        changed(|claims| (claims.issued_at, claims.expires_at) = (0, claims.issued_at - 60)),
        Err(Rejection::Expired)
    );
    assert_eq!(
        changed(|claims| (claims.issued_at, claims.expires_at) = (0, claims.issued_at - 10)),
        Ok(())
    );
    assert_eq!(changed(|claims| claims.expires_at = NEVER), Ok(()));

    let session = authority.data().key.token(TokenType::Session, &claims);
    assert_eq!(verifier.verify(&session).map(drop), Err(Rejection::WrongType));
    let head = authority.data().sign_last();
    assert_eq!(verifier.verify(&head).map(drop), Err(Rejection::WrongType));
    let token = authority.sign(&claims);
    let (message, _) = token.rsplit_once('.').unwrap();
    let other = Key::new().token(TokenType::Access, &claims);
    let (_, signature) = other.rsplit_once('.').unwrap();
    let forged = format!("{message}.{signature}");
    assert_eq!(verifier.verify(&forged).map(drop), Err(Rejection::BadSignature));
    for text in ["", "x", &"x".repeat(10_000)] {
        assert!(matches!(verifier.verify(text), Err(Rejection::Malformed(_))));
    }
}

#[tokio::test]
async fn requirements_are_checked_at_every_use() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority)).await;
    let mut claims = authority.claims();
    claims.audience.push("https://other.example.org".to_owned());
    let token = authority.sign(&claims);
    claims.projects = None;
    let unrestricted = authority.sign(&claims);
    let new = Requirements::new;
    let good = new()
        .scope("projects:read")
        .project(1)
        .project(2)
        .organization(Uuid::from_u128(7))
        .team("team-1")
        .audience("https://other.example.org");
    for _ in 0..2 {
        assert!(verifier.verify_for(&good, &token).is_ok());
        assert!(verifier.verify_for(&good, &unrestricted).is_ok());
        for (requirements, rejection) in [
            (
                new().scope("projects:read").scope("projects:write"),
                Rejection::InsufficientScope,
            ),
            (new().scope("projects"), Rejection::InsufficientScope),
            (new().project(1).project(3), Rejection::WrongProject),
            (
                new().organization(Uuid::from_u128(8)),
                Rejection::WrongOrganization,
            ),
            (new().team("team-2"), Rejection::WrongTeam),
            (
                new().audience("https://third.example.org"),
                Rejection::WrongAudience,
            ),
        ] {
            assert_eq!(
                verifier.verify_for(&requirements, &token).map(drop),
                Err(rejection)
            );
        }
    }
    let status = verifier.status();
    assert_eq!((status.accepted, status.rejected["insufficient_scope"]), (4, 4));
    assert_eq!(status.cached_tokens, 2);
}

#[tokio::test]
async fn a_further_audience_counts_in_place_of_the_verifiers() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority).further_audience("files")).await;
    let token = |audience: &str| {
        let mut claims = authority.claims();
        claims.audience = vec![audience.to_owned()];
        authority.sign(&claims)
    };
    let (own, files) = (authority.token(), token("files"));
    assert!(verifier.verify(&own).is_ok() && verifier.verify(&files).is_ok());
    assert_eq!(verifier.verify(&token("file")), Err(Rejection::WrongAudience));
    let for_files = Requirements::new().audience("files");
    assert!(verifier.verify_for(&for_files, &files).is_ok());
    assert_eq!(
        verifier.verify_for(&for_files, &own),
        Err(Rejection::WrongAudience)
    );
}

#[tokio::test]
async fn a_cached_token_is_checked_at_every_use() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority).leeway(std::time::Duration::ZERO)).await;
    let mut claims = authority.claims();
    claims.expires_at = claims.issued_at + 2;
    let (short, revoked) = (authority.sign(&claims), authority.token());
    assert!(verifier.verify(&short).is_ok());
    assert!(verifier.verify(&revoked).is_ok());
    authority.revoke(&revoked);
    verdict_becomes(&verifier, &revoked, Err(Rejection::Revoked)).await;
    verdict_becomes(&verifier, &short, Err(Rejection::Expired)).await;
    assert_eq!(verifier.status().cached_tokens, 2);
}

#[tokio::test]
async fn the_cache_is_bounded_in_entries_and_in_bytes() {
    let authority = Authority::start().await;
    for (entries, bytes, most) in [(500, 1 << 40, 500), (1_000_000, 512 * 1024, 1000)] {
        let verifier = ready(builder(&authority).cache(entries, bytes)).await;
        for _ in 0..2000 {
            assert!(verifier.verify(&authority.token()).is_ok());
        }
        let status = verifier.status();
        assert!(
            (10..=most).contains(&status.cached_tokens),
            "{}",
            status.cached_tokens
        );
        assert!(status.cached_bytes <= bytes);
    }
}
