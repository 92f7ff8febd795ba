//! Status lists, as a service reads them with the verifier crate and the URLs in tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_verifier::{
    ExpectedList, FeedPosition, KeySet, StatusListClaims, UnverifiedStatusList, strip_prefix,
};
use serde_json::Value;

use crate::harness::{Answer, ISSUER, TestApp};

/// The status list entry of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatusListEntry {
    pub(crate) uri: String,
    pub(crate) index: u32,
}

impl StatusListEntry {
    /// Returns the entry that the token names.
    pub(crate) fn of(token: &str) -> Self {
        let claims = strip_prefix(token).split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let entry = &claims["status"]["status_list"];
        Self {
            uri: entry["uri"].as_str().unwrap().to_owned(),
            index: entry["idx"].as_u64().unwrap().try_into().unwrap(),
        }
    }

    /// Returns the path of the list.
    pub(crate) fn path(&self) -> &str {
        self.uri.strip_prefix(ISSUER).unwrap()
    }
}

impl TestApp {
    /// Fetches and verifies the list at this URL.
    pub(crate) async fn list(&self, uri: &str, known: Option<FeedPosition>) -> StatusListClaims {
        let path = uri.strip_prefix(ISSUER).unwrap();
        let answer = self.get(&self.anyone(), path).await.is(200);
        self.read_list(&answer, uri, known).await
    }

    /// Verifies a fetched list.
    pub(crate) async fn read_list(
        &self,
        answer: &Answer,
        uri: &str,
        known: Option<FeedPosition>,
    ) -> StatusListClaims {
        let keys = self.get(&self.anyone(), "/.well-known/jwks.json").await.is(200);
        let keys = KeySet::from_json(&keys.text).unwrap();
        let list = UnverifiedStatusList::parse(&answer.text).unwrap();
        let verified = keys.verify_statement(list).unwrap();
        let expected = ExpectedList {
            uri,
            known,
            now: self.clock.now_seconds(),
            leeway: 0,
        };
        verified.judge(&expected).unwrap().clone()
    }

    /// Returns whether the list that a token names reports it as revoked.
    pub(crate) async fn is_revoked_in_its_list(&self, token: &str) -> bool {
        let entry = StatusListEntry::of(token);
        let list = self.list(&entry.uri, None).await.list.inflate().unwrap();
        list.is_set(entry.index).unwrap()
    }
}
