//! Idempotency keys: a request with a key is carried out once, and a retry is told what the first one made.
//!
//! The key is looked up when the body has arrived, before work that costs: hashing a password, signing. That only
//! saves the work; [`Guard::NotDone`](jeton_store::Guard::NotDone) decides.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{Context, SHA256};

use crate::authority::quotas::Counted;
use crate::authority::{Active, Authority, Caller, Error, Result};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Owner, Record, Status, TokenReference};
use jeton_store::{DoneRequest, Idempotency, Made, Origin};

/// The most keys of one caller that are recorded at a time, so that no caller fills the disk alone. Revocations are
/// carried out beyond it: each leaves a row or an event that is kept for longer than its key.
pub(super) const KEYS_PER_CALLER: u32 = 100_000;

/// The idempotency key of a request whose body may not have arrived yet.
#[derive(Debug, Clone)]
pub struct RequestKey {
    digests: Arc<Digests>,
    /// Whether the request is refused if the caller has used too many keys.
    is_limited: bool,
}

/// Digests of all that a [`RequestKey`] consists of, so that it can be recorded.
#[derive(Debug)]
struct Digests {
    caller: [u8; 16],
    key: [u8; 32],
    /// Of key and head.
    head: [u8; 32],
    /// Of key, head and body.
    request: OnceLock<[u8; 32]>,
}

impl RequestKey {
    /// Returns the key of a request by the holder of a token. `head` is all that decides what the request does,
    /// except its body: method, path, query and `x-business-id`. `is_limited` is whether the request is refused if the
    /// caller has used too many keys.
    ///
    /// Keys belong to the owner of the token: a user who logs in again is the same caller, and a user in one
    /// organization is another caller than the same user in all organizations.
    pub fn new(owner: &Owner, key: &str, head: &[&[u8]], is_limited: bool) -> Self {
        let (subject, organization) = (owner.subject(), owner.organization());
        let organization = organization.map(|organization| organization.to_string());
        let organization = organization.as_deref().unwrap_or_default();
        let caller = [subject.as_bytes(), organization.as_bytes()];
        let mut first_half = [0; 16];
        let whole = digest("caller", &caller);
        first_half.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        let digests = Digests {
            caller: first_half,
            key: digest("key", &[&caller[..], &[key.as_bytes()]].concat()),
            // With the key, which is not stored: the digest of a body with a password would let the password be guessed.
            head: digest("head", &[&[key.as_bytes()], head].concat()),
            request: OnceLock::new(),
        };
        Self {
            digests: Arc::new(digests),
            is_limited,
        }
    }

    /// Adds the body of the request. Without it, the body counts as empty.
    pub fn add_body(&self, body: &str) {
        // Set at most once, since a request has one body.
        let _ = self.digests.request.set(self.with_body(body));
    }

    fn with_body(&self, body: &str) -> [u8; 32] {
        digest("request", &[&self.digests.head, body.as_bytes()])
    }

    /// Returns the key as an order records it.
    pub(super) fn idempotency(&self) -> Idempotency {
        Idempotency {
            caller: self.digests.caller,
            key: self.digests.key,
            request: self
                .digests
                .request
                .get()
                .copied()
                .unwrap_or_else(|| self.with_body("")),
        }
    }
}

/// Returns the SHA-256 digest of parts, each with its length before it, in a domain of their own.
fn digest(domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(b"jeton idempotency ");
    context.update(domain.as_bytes());
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// A request that was carried out, as its caller may see it now.
#[derive(Debug)]
pub struct AlreadyDone {
    /// When it was carried out.
    pub at: Timestamp,
    /// What it made; `None` if nothing that has an id.
    pub made: Option<Made>,
    /// The token with its status, if it made one that the caller manages.
    pub token: Option<(Record, Status)>,
}

impl Authority {
    /// Confirms a caller whose request has taken a while since they were authenticated, and refuses a request that
    /// was carried out already.
    ///
    /// # Errors
    ///
    /// [`Error::BadCredential`] if the token is no longer active. [`Error::AlreadyDone`] and [`Error::KeyReused`] if
    /// a request with the key was carried out; [`Error::QuotaReached`] if the caller has used too many keys and the request
    /// is limited by their number.
    pub async fn confirm(&self, active: &Active, key: Option<&RequestKey>) -> Result<()> {
        let found = self.active.again(active, self.clock.now()).await?;
        let active = found.map_err(Error::BadCredential)?;
        match key {
            Some(key) => {
                let (key, is_limited) = (key.idempotency(), key.is_limited);
                let caller = Caller::new(active, Origin::default());
                let recorded = self.store.idempotency_key(key).await?;
                match recorded.done {
                    Some(done) => Err(self.already_done(&caller, key, done).await?),
                    None if is_limited && recorded.count >= KEYS_PER_CALLER.into() => {
                        Err(Error::QuotaReached {
                            what: Counted::IdempotencyKeys,
                            most: KEYS_PER_CALLER,
                        })
                    }
                    None => Ok(()),
                }
            }
            None => Ok(()),
        }
    }

    /// Refuses a request that was carried out since it began, by another request with the same key.
    pub(super) async fn refuse_if_done(&self, caller: &Caller) -> Result<()> {
        let Some(key) = caller.idempotency() else {
            return Ok(());
        };
        match self.store.idempotency_key(key).await?.done {
            Some(done) => Err(self.already_done(caller, key, done).await?),
            None => Ok(()),
        }
    }

    /// Returns the refusal of a request whose key was used.
    async fn already_done(&self, caller: &Caller, key: Idempotency, done: DoneRequest) -> Result<Error> {
        if done.request != key.request {
            return Ok(Error::KeyReused);
        }
        let DoneRequest { at, made, .. } = done;
        let token = match &made {
            Some(Made::Token(id)) => match self.token(caller, TokenReference::Id(*id)).await {
                Ok(record) => {
                    let status = self.status(&record);
                    Some((record, status))
                }
                // Deleted, or the caller does not manage it any more.
                Err(Error::Absent | Error::Forbidden) => None,
                Err(error) => return Err(error),
            },
            // Each has an operation that returns it by its id.
            Some(
                Made::BulkRevocation(_)
                | Made::CutOff(_)
                | Made::Organization(_)
                | Made::Team(_)
                | Made::Project(_)
                | Made::Person(_)
                | Made::Key(_),
            )
            | None => None,
        };
        Ok(Error::AlreadyDone(Box::new(AlreadyDone { at, made, token })))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use jeton_core::directory::OrganizationId;
    use uuid::Uuid;

    #[test]
    fn every_part_of_a_request_decides_whether_it_is_the_same() {
        let user = |organization: Option<u128>| Owner::User {
            user: "user-Tw4Ev8Ny2Ka6Mo3P".parse().unwrap(),
            organization: organization.map(|id| OrganizationId(Uuid::from_u128(id))),
        };
        let of = |owner: &Owner, key, head: &[&[u8]], body| {
            let key = RequestKey::new(owner, key, head, true);
            key.add_body(body);
            key.idempotency()
        };
        let first = of(&user(None), "key", &[b"POST", b"/tokens"], "{}");
        assert_eq!(of(&user(None), "key", &[b"POST", b"/tokens"], "{}"), first);
        for (owner, key) in [
            (user(Some(1)), "key"),
            (user(None), "kez"),
            (Owner::Deployment, "key"),
            (Owner::Organization(OrganizationId(Uuid::from_u128(1))), "key"),
        ] {
            assert_ne!(of(&owner, key, &[b"POST", b"/tokens"], "{}").key, first.key);
        }
        // A body with a guessable secret, such as a password, cannot be found from its digest without the key.
        let other_key = of(&user(None), "kez", &[b"POST", b"/tokens"], "{}");
        assert_ne!(other_key.request, first.request);
        for (head, body) in [
            (&[&b"PUT"[..], b"/tokens"][..], "{}"),
            (&[b"POST", b"/tokens?a"], "{}"),
            (&[b"POST/", b"tokens"], "{}"),
            (&[b"POST", b"/tokens", b""], "{}"),
            (&[b"POST", b"/tokens"], "{} "),
            (&[b"POST", b"/tokens"], ""),
        ] {
            let other = of(&user(None), "key", head, body);
            assert_eq!(other.key, first.key);
            assert_ne!(other.request, first.request, "{head:?} {body}");
        }
        let unread = RequestKey::new(&user(None), "key", &[b"POST", b"/tokens"], true);
        let empty = of(&user(None), "key", &[b"POST", b"/tokens"], "");
        assert_eq!(unread.idempotency(), empty);
    }
}
