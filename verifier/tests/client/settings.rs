//! Settings, and what the metadata may say.

use std::time::Duration;

use jeton_verifier::{BuildError, Builder, Rejection, Verifier};
use serde_json::json;

use crate::authority::{Authority, Fault};
use crate::{AUDIENCE, LONG, builder, eventually, ready, verdict_becomes};

const ISSUER: &str = "https://tokens.example.org";
const METADATA: &str = "/.well-known/oauth-authorization-server";

#[tokio::test]
async fn nothing_that_matters_has_a_default() {
    let new = || Verifier::builder(ISSUER, AUDIENCE);
    let good = || new().token("t").max_staleness(LONG);
    assert!(good().build().is_ok());
    assert!(matches!(new().token("t").build(), Err(BuildError::MaxStaleness)));
    assert!(matches!(
        new().max_staleness(LONG).build(),
        Err(BuildError::Token)
    ));
    assert!(matches!(
        good().status_lists_only().build(),
        Err(BuildError::TokenUnused)
    ));
    let lists = new().status_lists_only().max_staleness(LONG);
    assert!(matches!(
        lists.report_usage(true).build(),
        Err(BuildError::UsageNeedsToken)
    ));
    let is_bad_bound = |builder: Builder| matches!(builder.build(), Err(BuildError::MaxStalenessRange));
    for (millis, is_bad) in [
        (999, true),
        (1000, false),
        (604_800_000, false),
        (604_800_001, true),
    ] {
        let bound = Duration::from_millis(millis);
        assert_eq!(is_bad_bound(good().max_staleness(bound)), is_bad, "{millis}");
    }
    for (seconds, is_bad) in [(119, true), (120, false)] {
        let lists = new().status_lists_only();
        let bound = Duration::from_secs(seconds);
        assert_eq!(is_bad_bound(lists.max_staleness(bound)), is_bad, "{seconds}");
    }
    for (entries, bytes) in [(0, 1), (1, 0)] {
        let built = good().cache(entries, bytes).build();
        assert!(matches!(built, Err(BuildError::Cache)));
    }
    let leeway = |seconds| good().leeway(Duration::from_secs(seconds)).build();
    assert!(leeway(300).is_ok());
    assert!(matches!(leeway(301), Err(BuildError::Leeway)));
    let no_audience = Verifier::builder(ISSUER, "").token("t").max_staleness(LONG);
    assert!(matches!(no_audience.build(), Err(BuildError::Audience)));
    for url in [
        "",
        "tokens.example.org",
        "ftp://a",
        "https://a/",
        "https://a?b",
        "https://a#b",
        "https://u@a",
        "https://",
    ] {
        let issuer = Verifier::builder(url, AUDIENCE).token("t").max_staleness(LONG);
        assert!(matches!(issuer.build(), Err(BuildError::Url(_))), "{url}");
        assert!(
            matches!(good().authority(url).build(), Err(BuildError::Url(_))),
            "{url}"
        );
    }
}

#[test]
fn a_verifier_needs_a_runtime() {
    let builder = Verifier::builder(ISSUER, AUDIENCE)
        .token("secret")
        .max_staleness(LONG);
    assert!(!format!("{builder:?}").contains("secret"));
    assert!(matches!(builder.build(), Err(BuildError::Runtime)));
}

#[tokio::test]
async fn requests_can_go_to_another_address() {
    let authority = Authority::start().await;
    let issuer = authority.issuer().replace("127.0.0.1", "issuer.invalid");
    {
        let mut data = authority.data();
        data.rename(&issuer);
    }
    let at = format!("http://{}", authority.address);
    let verifier = Verifier::builder(issuer, AUDIENCE).token("reader").authority(at);
    let verifier = ready(verifier.max_staleness(LONG)).await;
    let token = authority.token();
    assert!(verifier.verify(&token).is_ok());
    authority.revoke(&token);
    verdict_becomes(&verifier, &token, Err(Rejection::Revoked)).await;
}

#[tokio::test]
async fn metadata_of_another_issuer_or_with_urls_elsewhere_is_refused() {
    let authority = Authority::start().await;
    let elsewhere = Authority::start().await;
    let (own, other) = (authority.issuer(), elsewhere.issuer());
    let with = |issuer: &str, keys: &str, feed: &str| {
        let metadata = json!({
            "issuer": issuer,
            "jwks_uri": format!("{keys}/.well-known/jwks.json"),
            "revocation_feed_uri": format!("{feed}/api/v1/revocations"),
            "revocation_stream_uri": format!("{feed}/api/v1/revocations/stream"),
            "revocation_snapshot_uri": format!("{feed}/api/v1/revocations/snapshot"),
        });
        Fault::Text(metadata.to_string())
    };
    let longer = format!("{own}0");
    for metadata in [
        with(&other, &own, &own),
        with(&own, &other, &own),
        with(&own, &own, &other),
        with(&own, &own, &longer),
    ] {
        authority.fault(METADATA, metadata);
        let verifier = builder(&authority)
            .max_staleness(Duration::from_secs(60))
            .build()
            .unwrap();
        eventually("an error", || verifier.status().fetch_errors > 1).await;
        assert!(!verifier.status().is_ready);
    }
    assert!(elsewhere.data().hits.is_empty());
}
