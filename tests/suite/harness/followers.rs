//! Followers of the revocation feed: what a verifier knows that started from a snapshot, and one that read every event.

use jeton_verifier::event::Position;
use jeton_verifier::feed::{Cursor, Page, SnapshotClaims};
use jeton_verifier::{Claims, KeySet, Known, Unverified, UnverifiedStatement, strip_prefix};

use crate::harness::{Actor, ISSUER, TestApp};

impl TestApp {
    /// Returns the published keys.
    pub(crate) async fn key_set(&self) -> KeySet {
        let keys = self.get(&self.anyone(), "/.well-known/jwks.json").await.is(200);
        KeySet::from_json(&keys.text).unwrap()
    }

    /// Fetches and verifies the snapshot of the feed.
    pub(crate) async fn feed_snapshot(&self, reader: &Actor) -> SnapshotClaims {
        let answer = self.get(reader, "/revocations/snapshot").await.is(200);
        let unverified = UnverifiedStatement::<SnapshotClaims>::parse(&answer.text).unwrap();
        let verified = self.key_set().await.verify_statement(unverified).unwrap();
        verified.judge(ISSUER).unwrap()
    }

    /// Returns what two followers know: one that starts from the snapshot, and one that reads every event.
    pub(crate) async fn followers(&self, reader: &Actor) -> [Known; 2] {
        let snapshot = self.feed_snapshot(reader).await;
        let started = Known::from_snapshot(ISSUER, &snapshot).unwrap();
        let beginning = Known::beginning(ISSUER, Position::beginning(snapshot.position.epoch));
        for known in [&started, &beginning] {
            loop {
                let after = Cursor(known.position());
                let page = self
                    .get(reader, &format!("/revocations?after={after}&limit=7"))
                    .await
                    .is(200);
                let page: Page = serde_json::from_str(&page.text).unwrap();
                for item in &page.items {
                    known.apply(item).unwrap();
                }
                if page.items.len() < 7 {
                    break;
                }
            }
            known.observe(self.clock.now_seconds() * 1000);
        }
        assert_eq!(started.position(), beginning.position());
        [started, beginning]
    }
}

/// Returns whether a token is revoked, as a follower knows it whose clock is far behind.
pub(crate) fn is_revoked(known: &Known, token: &str) -> bool {
    let token = strip_prefix(token);
    let claims = Claims::unverified(token).unwrap();
    let unverified = Unverified::parse(token).unwrap();
    known.is_revoked(unverified.header(), &claims, 0).unwrap()
}
