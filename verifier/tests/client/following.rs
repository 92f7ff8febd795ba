//! Following: resume, replaced tokens, cold starts, status lists.

use std::fs;
use std::time::Duration;

use jeton_verifier::feed::Cursor;
use jeton_verifier::{Rejection, Requirements, Source, Verifier};
use tokio::time::{sleep, timeout};

use crate::authority::{Authority, Fault};
use crate::{AUDIENCE, LONG, PATIENCE, builder, eventually, ready, verdict_becomes};

const SNAPSHOT: &str = "/api/v1/revocations/snapshot";
const METADATA: &str = "/.well-known/oauth-authorization-server";
const STREAM: &str = "/api/v1/revocations/stream";

#[tokio::test]
async fn a_revocation_arrives_with_its_cursor() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority)).await;
    let token = authority.token();
    assert!(verifier.verify(&token).is_ok());
    let cursor = authority.revoke(&token);
    timeout(PATIENCE, verifier.wait_for(cursor)).await.unwrap();
    assert_eq!(verifier.verify(&token).map(drop), Err(Rejection::Revoked));
    assert_eq!(verifier.status().source, Source::Stream);
}

#[tokio::test]
async fn a_new_connection_resumes() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority)).await;
    for round in 1..=3 {
        let token = authority.token();
        assert!(verifier.verify(&token).is_ok());
        authority.stop().await;
        let cursor = authority.revoke(&token);
        authority.start_again().await;
        timeout(PATIENCE, verifier.wait_for(cursor)).await.unwrap();
        assert_eq!(verifier.verify(&token).map(drop), Err(Rejection::Revoked));
        assert_eq!(verifier.status().reconnects, round);
    }
    assert_eq!(authority.hits(SNAPSHOT), 1);
    assert_eq!(verifier.status().restarts, 0);
}

#[tokio::test]
async fn many_events_after_the_snapshot_arrive() {
    let authority = Authority::start().await;
    authority.data().snapshot_at = Some(0);
    let tokens: Vec<String> = (0..2500).map(|_| authority.token()).collect();
    for token in &tokens {
        authority.revoke(token);
    }
    let verifier = ready(builder(&authority)).await;
    let is_revoked = |token: &String| verifier.verify(token).map(drop) == Err(Rejection::Revoked);
    assert!(tokens.iter().all(is_revoked));

    authority.fault(STREAM, Fault::Refuse(404, "not_found"));
    let by_pages = ready(builder(&authority)).await;
    assert_eq!(by_pages.status().source, Source::Pages);
    let is_revoked = |token: &String| by_pages.verify(token).map(drop) == Err(Rejection::Revoked);
    assert!(tokens.iter().all(is_revoked));
}

#[tokio::test]
async fn pages_replace_a_stream_that_cannot_be_had() {
    let authority = Authority::start().await;
    authority.fault(STREAM, Fault::Slow);
    let verifier = ready(builder(&authority).max_staleness(Duration::from_secs(4))).await;
    assert_eq!(verifier.status().source, Source::Pages);
    let token = authority.token();
    assert!(verifier.verify(&token).is_ok());
    authority.revoke(&token);
    verdict_becomes(&verifier, &token, Err(Rejection::Revoked)).await;
}

#[tokio::test]
async fn a_replaced_token_is_used_without_a_restart() {
    let authority = Authority::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "reader\n").unwrap();
    let verifier = ready(
        Verifier::builder(authority.issuer(), AUDIENCE)
            .token_file(&path)
            .max_staleness(LONG),
    )
    .await;
    authority.data().readers = vec!["successor".to_owned()];
    fs::write(&path, "successor\n").unwrap();
    authority.stop().await;
    authority.start_again().await;
    let token = authority.token();
    authority.revoke(&token);
    verdict_becomes(&verifier, &token, Err(Rejection::Revoked)).await;
    assert_eq!(verifier.status().source, Source::Stream);
}

#[tokio::test]
async fn the_end_of_the_verifiers_own_token_is_shown() {
    let authority = Authority::start().await;
    let mut claims = authority.claims();
    claims.expires_at += 15 * 24 * 3600;
    let (later, soon) = (authority.sign(&claims), authority.token());
    authority.data().readers = vec![later.clone(), soon.clone()];
    let verifier = ready(builder(&authority).token(later)).await;
    assert_eq!(verifier.status().token_expires_at, Some(claims.expires_at));
    assert!(!verifier.status().token_expires_soon);
    assert_eq!(verifier.status().problem, None);
    let verifier = ready(builder(&authority).token(soon)).await;
    assert!(verifier.status().token_expires_soon);
    assert!(verifier.status().problem.unwrap().contains("14 days"));
}

#[tokio::test]
async fn status_lists_replace_a_feed_that_cannot_be_had() {
    let authority = Authority::start().await;
    let (good, revoked) = (authority.token(), authority.token());
    authority.revoke(&revoked);
    authority.data().readers = vec!["somebody-else".to_owned()];
    let verifier = builder(&authority)
        .token("reader")
        .max_staleness(Duration::from_secs(20));
    let verifier = ready(verifier).await;
    assert_eq!(verifier.status().source, Source::StatusLists);
    assert!(verifier.verify(&good).is_ok());
    assert_eq!(verifier.verify(&revoked).map(drop), Err(Rejection::Revoked));
    authority.data().readers.push("reader".to_owned());
    eventually("the feed again", || verifier.status().source == Source::Stream).await;
    authority.revoke(&good);
    verdict_becomes(&verifier, &good, Err(Rejection::Revoked)).await;
}

#[tokio::test]
async fn streams_that_end_at_once_are_not_opened_without_pause() {
    let authority = Authority::start().await;
    let (head, cursor) = {
        let data = authority.data();
        (data.sign_last(), Cursor(data.last()))
    };
    let text = format!("retry: 0\n\nevent: head\ndata: {{\"cursor\":\"{cursor}\",\"head\":\"{head}\"}}\n\n");
    authority.fault(STREAM, Fault::Text(text));
    let verifier = ready(builder(&authority)).await;
    sleep(Duration::from_secs(5)).await;
    let hits = authority.hits(STREAM);
    assert!((3..9).contains(&hits), "{hits}");
    authority.mend();
    let token = authority.token();
    authority.revoke(&token);
    verdict_becomes(&verifier, &token, Err(Rejection::Revoked)).await;
}

#[tokio::test]
async fn a_stream_that_repeats_a_head_is_opened_again() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority)).await;
    let old = authority.data().sign_last();
    authority.data().head = Some(old);
    for _ in 0..18 {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::time::resume();
        sleep(Duration::from_millis(120)).await;
    }
    eventually("another connection", || {
        verifier.status().reconnects > 0 || authority.hits("/api/v1/revocations") > 0
    })
    .await;
}

#[tokio::test]
async fn the_problem_names_the_reason() {
    let authority = Authority::start().await;
    authority.fault(STREAM, Fault::Refuse(403, "insufficient_scope"));
    let bound = Duration::from_secs(20);
    let verifier = ready(builder(&authority).max_staleness(bound)).await;
    let problem = || verifier.status().problem.unwrap_or_default();
    assert!(verifier.status().is_ready);
    assert!(problem().contains("insufficient_scope"), "{}", problem());
    assert!(problem().contains("lacks the scope `revocations:read`"));
    authority.data().readers = vec!["somebody-else".to_owned()];
    eventually("another reason", || problem().contains("is not active")).await;
    authority.mend();
    authority.data().readers = vec!["reader".to_owned()];
    eventually("no problem", || verifier.status().problem.is_none()).await;
    assert_eq!(verifier.status().source, Source::Stream);

    authority.stop().await;
    eventually("no source", || verifier.status().source == Source::None).await;
    drop(verifier);
    let verifier = builder(&authority).build().unwrap();
    let problem = || verifier.status().problem.unwrap_or_default();
    eventually("a reason", || problem().contains("cannot be reached")).await;
    authority.fault(
        METADATA,
        Fault::Text(format!("{{\"issuer\":\"\\n{}\"}}", "a".repeat(1000))),
    );
    authority.start_again().await;
    eventually("another reason", || problem().contains("metadata")).await;
    assert!(
        !problem().contains('\n') && problem().len() < 400,
        "{}",
        problem()
    );
}

#[tokio::test]
async fn status_lists_need_no_token() {
    let authority = Authority::start().await;
    authority.data().ttl = 5;
    let (good, revoked) = (authority.token(), authority.token());
    authority.revoke(&revoked);
    let builder = Verifier::builder(authority.issuer(), AUDIENCE);
    let verifier = ready(
        builder
            .status_lists_only()
            .max_staleness(Duration::from_secs(120)),
    )
    .await;
    assert!(verifier.verify(&good).is_ok());
    assert_eq!(verifier.verify(&revoked).map(drop), Err(Rejection::Revoked));
    // A token of a list that appeared since is neither good nor revoked.
    let mut claims = authority.claims();
    claims.status.uri = format!("{}/status-lists/2", authority.issuer());
    let elsewhere = authority.sign(&claims);
    assert_eq!(
        verifier.verify(&elsewhere).map(drop),
        Err(Rejection::RevocationUnknown)
    );
    assert_eq!(authority.hits(STREAM), 0);
    authority.revoke(&good);
    verdict_becomes(&verifier, &good, Err(Rejection::Revoked)).await;
}

#[tokio::test]
async fn each_status_list_goes_on_and_never_back() {
    let authority = Authority::start().await;
    {
        let mut data = authority.data();
        data.ttl = 5;
        data.second_list = Some(data.sign_list(2));
    }
    let old = authority.data().second_list.clone();
    let (first, mut second) = (authority.token(), authority.claims());
    second.status.uri = format!("{}/status-lists/2", authority.issuer());
    let second = authority.sign(&second);
    let builder = Verifier::builder(authority.issuer(), AUDIENCE).status_lists_only();
    let verifier = ready(builder.max_staleness(Duration::from_secs(120))).await;
    assert!(verifier.verify(&second).is_ok());
    // The other list stays as old as it is.
    authority.revoke(&first);
    verdict_becomes(&verifier, &first, Err(Rejection::Revoked)).await;

    authority.revoke(&second);
    let newer = authority.data().sign_list(2);
    authority.data().second_list = Some(newer);
    verdict_becomes(&verifier, &second, Err(Rejection::Revoked)).await;
    let hits = || authority.hits("/status-lists/2");
    let before = hits();
    authority.data().second_list = old;
    eventually("two more rounds", || hits() > before + 1).await;
    assert_eq!(verifier.verify(&second).map(drop), Err(Rejection::Revoked));
}

#[tokio::test]
async fn a_cold_start_knows_what_it_knew() {
    let authority = Authority::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let before_snapshot = authority.token();
    authority.revoke(&before_snapshot);
    let verifier = ready(builder(&authority).snapshot_file(&path)).await;
    eventually("a file", || path.exists()).await;
    drop(verifier);
    let verifier = ready(builder(&authority).snapshot_file(&path)).await;
    let (good, after_snapshot) = (authority.token(), authority.token());
    let cursor = authority.revoke(&after_snapshot);
    timeout(PATIENCE, verifier.wait_for(cursor)).await.unwrap();
    let written = || fs::read_to_string(&path).unwrap().contains("\"token\"");
    eventually("the item in the file", written).await;
    drop(verifier);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    authority.stop().await;
    let verifier = ready(builder(&authority).snapshot_file(&path)).await;
    assert_eq!(verifier.status().source, Source::File);
    assert!(verifier.verify(&good).is_ok());
    for token in [&before_snapshot, &after_snapshot] {
        assert_eq!(verifier.verify(token).map(drop), Err(Rejection::Revoked));
    }
    authority.revoke(&good);
    authority.start_again().await;
    verdict_becomes(&verifier, &good, Err(Rejection::Revoked)).await;
    assert_eq!(authority.hits(SNAPSHOT), 1);
    drop(verifier);

    // It is as stale as its head says.
    authority.stop().await;
    sleep(Duration::from_secs(2)).await;
    let strict = builder(&authority)
        .snapshot_file(&path)
        .max_staleness(Duration::from_secs(1));
    let verifier = strict.build().unwrap();
    eventually("the file", || verifier.status().source == Source::File).await;
    let token = authority.token();
    assert_eq!(
        verifier.verify(&token).map(drop),
        Err(Rejection::RevocationUnknown)
    );
    let open = Requirements::new().accept_if_unknown();
    assert!(verifier.verify_for(&open, &token).is_ok());
    assert_eq!(
        verifier.verify_for(&open, &after_snapshot).map(drop),
        Err(Rejection::Revoked)
    );
}

#[tokio::test]
async fn a_revocation_that_no_head_confirmed_yet_is_known_after_a_restart() {
    let authority = Authority::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let (first, revoked) = (authority.token(), authority.token());
    let verifier = ready(builder(&authority).snapshot_file(&path)).await;
    let cursor = authority.revoke(&first);
    timeout(PATIENCE, verifier.wait_for(cursor)).await.unwrap();
    let items = || fs::read_to_string(&path).map_or(0, |text| text.lines().count() - 1);
    eventually("the first item", || items() == 1).await;
    // From now on, heads are old.
    let old = authority.data().sign_last();
    authority.data().head = Some(old);
    let since = tokio::time::Instant::now();
    authority.revoke(&revoked);
    verdict_becomes(&verifier, &revoked, Err(Rejection::Revoked)).await;
    eventually("the second item", || items() == 2).await;
    assert!(since.elapsed() < Duration::from_secs(3));
    drop(verifier);

    authority.stop().await;
    let verifier = ready(builder(&authority).snapshot_file(&path)).await;
    for token in [&first, &revoked] {
        assert_eq!(verifier.verify(token).map(drop), Err(Rejection::Revoked));
    }
    assert!(verifier.verify(&authority.token()).is_ok());
    authority.data().head = None;
    authority.start_again().await;
    eventually("the stream", || verifier.status().source == Source::Stream).await;
    assert_eq!(verifier.verify(&revoked).map(drop), Err(Rejection::Revoked));
    assert_eq!(authority.hits(SNAPSHOT), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_in_place_of_the_file_is_not_followed() {
    let authority = Authority::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("snapshot"), folder.path().join("link"));
    drop(ready(builder(&authority).snapshot_file(&path)).await);
    eventually("a file", || path.exists()).await;
    std::os::unix::fs::symlink(&path, &link).unwrap();
    authority.stop().await;
    let source = async |path: &std::path::Path| {
        let verifier = builder(&authority).snapshot_file(path).build().unwrap();
        eventually("no authority", || verifier.status().fetch_errors > 0).await;
        verifier.status().source
    };
    assert_eq!(source(&path).await, Source::File);
    assert_eq!(source(&link).await, Source::None);
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_ignored() {
    let authority = Authority::start().await;
    let other = Authority::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let token = authority.token();
    authority.data().snapshot_at = Some(0);
    authority.revoke(&token);
    drop(ready(builder(&authority).snapshot_file(&path)).await);
    eventually("a file", || path.exists()).await;
    let good = fs::read_to_string(&path).unwrap();
    assert_eq!(good.lines().count(), 2);

    let copy = folder.path().join("copy");
    let start = |text: &str| {
        fs::write(&copy, text).unwrap();
        builder(&authority).snapshot_file(&copy).build().unwrap()
    };
    let without_item = good.lines().next().unwrap().to_owned();
    let altered = good.replace("\"index\":1", "\"index\":2");
    assert_ne!(altered, good);
    let damaged = ["", "{}", "\0", &good[..good.len() / 2], &without_item, &altered];
    authority.stop().await;
    for text in damaged {
        let verifier = start(text);
        eventually("no authority", || verifier.status().fetch_errors > 0).await;
        assert_eq!(verifier.status().source, Source::None, "{text}");
    }
    let verifier = start(&good);
    eventually("the file", || verifier.status().source == Source::File).await;
    drop(verifier);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let writable = fs::Permissions::from_mode(0o620);
        fs::set_permissions(&copy, writable).unwrap();
        let verifier = builder(&authority).snapshot_file(&copy).build().unwrap();
        eventually("no authority", || verifier.status().fetch_errors > 0).await;
        assert_eq!(verifier.status().source, Source::None);
    }

    let foreign = ready(builder(&other).snapshot_file(&path)).await;
    assert_eq!(foreign.verify(&token).map(drop), Err(Rejection::UnknownKey));
    assert!(foreign.verify(&other.token()).is_ok());

    authority.start_again().await;
    let verifier = start(&altered);
    timeout(PATIENCE, verifier.ready()).await.unwrap();
    assert_eq!(verifier.verify(&token).map(drop), Err(Rejection::Revoked));
}

#[tokio::test]
async fn a_new_snapshot_is_taken_each_day() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority)).await;
    let token = long_lived(&authority);
    authority.revoke(&token);
    verdict_becomes(&verifier, &token, Err(Rejection::Revoked)).await;
    // An old one is no step back: the verifier reads it when it has caught up.
    authority.data().snapshot_at = Some(0);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(25 * 3600)).await;
    tokio::time::resume();
    let is_revoked = || verifier.verify(&token).map(drop) == Err(Rejection::Revoked);
    eventually("a snapshot", || {
        assert!(is_revoked());
        authority.hits(SNAPSHOT) == 2
    })
    .await;
    eventually("ready", || {
        assert!(is_revoked());
        verifier.status().is_ready
    })
    .await;
}

async fn is_followed_without_a_new_snapshot(fault: Fault) {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority).max_staleness(Duration::from_secs(3))).await;
    let token = long_lived(&authority);
    authority.fault(SNAPSHOT, fault);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(25 * 3600)).await;
    tokio::time::resume();
    eventually("a snapshot", || authority.hits(SNAPSHOT) == 2).await;
    verdict_becomes(&verifier, &token, Ok(())).await;
    authority.revoke(&token);
    verdict_becomes(&verifier, &token, Err(Rejection::Revoked)).await;
    assert_eq!(authority.hits(SNAPSHOT), 2);
    assert_eq!(verifier.status().source, Source::Stream);
    // And is tried again.
    authority.mend();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(700)).await;
    tokio::time::resume();
    eventually("a snapshot", || authority.hits(SNAPSHOT) == 3).await;
}

#[tokio::test]
async fn a_daily_snapshot_that_is_refused_does_not_stop_the_following() {
    is_followed_without_a_new_snapshot(Fault::Refuse(500, "busy")).await;
}

#[tokio::test]
async fn a_daily_snapshot_that_is_gone_does_not_stop_the_following() {
    is_followed_without_a_new_snapshot(Fault::Refuse(404, "gone")).await;
}

#[tokio::test]
async fn a_daily_snapshot_that_is_slow_does_not_stop_the_following() {
    is_followed_without_a_new_snapshot(Fault::Slow).await;
}

/// Returns a token that outlives the days of a test.
fn long_lived(authority: &Authority) -> String {
    let mut claims = authority.claims();
    claims.expires_at += 72 * 3600;
    authority.sign(&claims)
}

#[tokio::test]
async fn the_use_of_tokens_is_reported() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority).report_usage(true)).await;
    let token = authority.token();
    for _ in 0..3 {
        assert!(verifier.verify(&token).is_ok());
    }
    authority.fault("/api/v1/usage", Fault::Refuse(503, "busy"));
    let minute = || async {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
        tokio::time::resume();
    };
    minute().await;
    eventually("a report", || authority.hits("/api/v1/usage") > 0).await;
    authority.mend();
    minute().await;
    eventually("a report", || !authority.data().usage.is_empty()).await;

    // What is refused for good is not sent for ever.
    authority.fault("/api/v1/usage", Fault::Refuse(422, "invalid"));
    assert!(verifier.verify(&token).is_ok());
    minute().await;
    eventually("a count", || verifier.status().unreported_uses == 1).await;
    authority.mend();
    assert!(verifier.verify(&authority.token()).is_ok());
    minute().await;
    eventually("a second report", || authority.data().usage.len() == 2).await;
    let report = authority.data().usage[1].clone();
    assert_eq!(report["uses"].as_array().unwrap().len(), 1);
    assert_eq!(report["uses"][0]["jti"], "00000000-0000-0000-0000-000000000002");
    let report = authority.data().usage[0].clone();
    assert_eq!(report["uses"].as_array().unwrap().len(), 1);
    assert_eq!(report["uses"][0]["jti"], "00000000-0000-0000-0000-000000000001");
    assert!(report["uses"][0]["at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn the_task_ends_with_the_last_clone() {
    let authority = Authority::start().await;
    let verifier = ready(builder(&authority)).await;
    let clone = verifier.clone();
    drop(verifier);
    let token = authority.token();
    authority.revoke(&token);
    verdict_becomes(&clone, &token, Err(Rejection::Revoked)).await;
    drop(clone);
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    eventually("the end of the stream", || {
        authority.notify();
        tokio::runtime::Handle::current().metrics().num_alive_tasks() < before
    })
    .await;
}
