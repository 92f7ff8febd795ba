//! The one predicate: whether a token is active.
//!
//! Authentication, introspection, forward-auth and status lists all ask here. A token is active if
//! its key is published, its signature right, its type and issuer ours, the store knows this very
//! token, everything it rests on lives, it has not expired, and it is not revoked.
//!
//! The first sight of a token reads the store once. After that memory answers, and every use checks
//! expiry and revocation anew; the record is read again as soon as the directory, the keys or the
//! record itself have changed.

use std::net::IpAddr;
use std::sync::Arc;

use jeton_verifier::{Expected, Rejection, TokenType, Unverified, Verified, strip_prefix};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::authority::Settings;
use crate::authority::claims::status_reference;
use crate::authority::refusals::Refused;
use crate::authority::usage::{LastNoted, Usage};
use crate::keys::KeyRing;
use crate::revocation::Index;
use jeton_core::clock::Timestamp;
use jeton_core::directory::Person;
use jeton_core::token::{Record, TokenKind, Use};
use jeton_store::{Generation, JudgedAt, Liveness, Realm, Result, SharedStore};

/// How many bytes of seen tokens are kept.
const CACHE_BYTES: u64 = 32 << 20;

/// Why a token is not active. Told to nobody but the log: a stranger learns nothing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Inactive {
    /// It is no token of ours, or its time is over.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Well signed, and yet the store never recorded it, or not at this place.
    #[error("the store does not know the token")]
    Unknown,
    /// Its owner, team, organization or person is gone.
    #[error("what the token rests on is gone")]
    Gone,
    /// It is revoked, or covered by a cut-off.
    #[error("the token is revoked")]
    Revoked,
}

/// An active token and whom it acts for.
#[derive(Clone)]
pub struct Active {
    seen: Arc<Seen>,
    /// When it ends: by itself, or by a revocation that lies ahead. `None` is never.
    pub ends_at: Option<Timestamp>,
    /// How many seconds it is still good for; `None` is for ever.
    pub expires_in: Option<u64>,
}

impl std::fmt::Debug for Active {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Active").field(&self.seen.record).finish()
    }
}

impl Active {
    /// Its record.
    pub fn record(&self) -> &Arc<Record> {
        &self.seen.record
    }

    /// The person it acts for, where it acts for one.
    pub fn person(&self) -> Option<&Arc<Person>> {
        self.seen.person.as_ref()
    }

    /// The versions of the organization and the person that it rests on, when that was read.
    pub(super) fn judged_at(&self) -> &JudgedAt {
        &self.seen.judged_at
    }
}

/// What a token is presented for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// To be used, and from which address, where that is to be kept. It is noted.
    ForUse(Option<IpAddr>),
    /// To be ended. That is no use of it: whoever ends a leaked one would otherwise cover up when it was
    /// used last.
    ToEnd,
}

/// Answers the predicate.
pub struct ActiveTokens {
    store: SharedStore,
    keys: Arc<KeyRing>,
    index: Arc<Index>,
    issuer: String,
    session_audience: String,
    usage: Usage,
    refused: Refused,
    /// By the whole bytes of the token, not a digest of some of them, and without the prefix, which
    /// says nothing.
    seen: Cache<Box<str>, Arc<Seen>, Weight>,
}

/// A token whose signature was right, and what the store said about it.
struct Seen {
    verified: Arc<Verified>,
    record: Arc<Record>,
    person: Option<Arc<Person>>,
    liveness: Liveness,
    noted: LastNoted,
    /// The versions of its organization and its person.
    judged_at: JudgedAt,
    /// The last edit of the directory that was known before it was read.
    as_of: Generation,
    version: u64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<str>, Arc<Seen>> for Weight {
    fn weight(&self, token: &Box<str>, _: &Arc<Seen>) -> u64 {
        // Its text; what three quarters of that say, twice, as claims and as record; and the structs
        // around them, which their sizes and the allocator's classes bring to some 700 bytes.
        token.len() as u64 * 5 / 2 + 768
    }
}

impl std::fmt::Debug for ActiveTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActiveTokens")
            .field("seen", &self.seen.len())
            .finish_non_exhaustive()
    }
}

impl ActiveTokens {
    pub(super) fn new(
        store: SharedStore,
        keys: Arc<KeyRing>,
        index: Arc<Index>,
        settings: &Settings,
    ) -> Self {
        Self {
            store,
            keys,
            index,
            issuer: settings.issuer.clone(),
            session_audience: settings.session_audience(),
            usage: Usage::default(),
            refused: Refused::default(),
            seen: Cache::with_weighter(10_000, CACHE_BYTES, Weight),
        }
    }

    pub(super) fn usage(&self) -> &Usage {
        &self.usage
    }

    pub(super) fn refused(&self) -> &Refused {
        &self.refused
    }

    /// The token's record if it is active at this instant, or why it is not. A failure of the store
    /// is neither.
    pub async fn find(
        &self,
        token: &str,
        presented: Presented,
        now: Timestamp,
    ) -> Result<std::result::Result<Active, Inactive>> {
        // Whoever holds one token could otherwise fill the memory with it under many prefixes.
        let without_prefix = strip_prefix(token);
        let known = self.seen.get(without_prefix);
        if let Some(seen) = &known
            && self.is_current(seen)
        {
            return Ok(self.met(seen, presented, now));
        }
        let verified = match known {
            Some(seen) => Arc::clone(&seen.verified),
            None => match self.verify(token) {
                Ok(verified) => verified,
                Err(rejection) => return Ok(Err(rejection.into())),
            },
        };
        let edits = self.index.edits();
        let seen = match self.look_up(verified, now).await? {
            Ok(seen) => Arc::new(seen),
            Err(inactive) => return Ok(Err(inactive)),
        };
        let verdict = self.met(&seen, presented, now);
        // The record's own counter could only be read after the store had named the record. If any
        // record was changed meanwhile, what was read may be older than that counter says.
        if verdict.is_ok() && self.index.edits() == edits {
            self.seen.insert(without_prefix.into(), seen);
        }
        Ok(verdict)
    }

    /// A token that was active a while ago, as it is now.
    pub async fn again(
        &self,
        active: &Active,
        now: Timestamp,
    ) -> Result<std::result::Result<Active, Inactive>> {
        if self.is_current(&active.seen) {
            return Ok(self.judge(&active.seen, now));
        }
        let seen = self.look_up(Arc::clone(&active.seen.verified), now).await?;
        Ok(seen.and_then(|seen| self.judge(&Arc::new(seen), now)))
    }

    fn is_current(&self, seen: &Seen) -> bool {
        let realms = self.index.realms();
        let unchanged = |(realm, _): &(Realm, _)| realms.is_current(realm, seen.as_of);
        seen.judged_at.0.iter().all(unchanged) && seen.version == self.index.version(seen.record.id)
    }

    /// What the store says of a token whose signature is right.
    async fn look_up(
        &self,
        verified: Arc<Verified>,
        now: Timestamp,
    ) -> Result<std::result::Result<Seen, Inactive>> {
        // Before the store is read, so that what was read can only be newer.
        let as_of = self.index.realms().as_of();
        let claims = match self.expected(&verified, now) {
            Ok(claims) => claims,
            Err(inactive) => return Ok(Err(inactive)),
        };
        let Some(presented) = self.store.presented(claims.jti).await? else {
            return Ok(Err(Inactive::Unknown));
        };
        if claims.status != status_reference(&self.issuer, presented.record.place) {
            return Ok(Err(Inactive::Unknown));
        }
        for (realm, generation) in &presented.generations.0 {
            self.index.realms().changed(realm, *generation);
        }
        Ok(Ok(Seen {
            version: self.index.version(presented.record.id),
            as_of,
            judged_at: presented.generations,
            liveness: presented.liveness,
            noted: LastNoted::new(presented.record.last_used_at),
            person: presented.person.map(Arc::new),
            record: Arc::new(presented.record),
            verified,
        }))
    }

    fn verify(&self, token: &str) -> std::result::Result<Arc<Verified>, Rejection> {
        let unverified = Unverified::parse(token)?;
        let key = self
            .keys
            .verifying(&unverified.header().kid)
            .ok_or(Rejection::UnknownKey)?;
        Ok(Arc::new(unverified.verify(&key)?))
    }

    fn expected<'a>(
        &self,
        verified: &'a Verified,
        now: Timestamp,
    ) -> std::result::Result<&'a jeton_verifier::Claims, Inactive> {
        let token_type = verified.header().token_type;
        let audience = match token_type {
            TokenType::Session => Some(self.session_audience.as_str()),
            TokenType::Access | TokenType::StatusList => None,
        };
        let expected = Expected {
            issuer: &self.issuer,
            audience,
            token_type,
            now: now.seconds(),
            leeway: 0,
        };
        Ok(verified.judge(&expected)?)
    }

    /// A token that is presented at this moment: what it was used for is noted, and that it was refused
    /// after its revocation.
    fn met(
        &self,
        seen: &Arc<Seen>,
        presented: Presented,
        now: Timestamp,
    ) -> std::result::Result<Active, Inactive> {
        let verdict = self.judge(seen, now);
        if seen.record.token.kind == TokenKind::Api {
            match (&verdict, presented) {
                (Ok(active), Presented::ForUse(from)) => {
                    let seen_now = Use {
                        token: seen.record.id,
                        at: now,
                        from,
                    };
                    self.usage.note(seen_now, &seen.noted, active.ends_at);
                }
                (Err(Inactive::Revoked), _) => self.refused.note(seen.record.id, now),
                (Ok(_) | Err(_), _) => {}
            }
        }
        verdict
    }

    /// The predicate.
    fn judge(&self, seen: &Arc<Seen>, now: Timestamp) -> std::result::Result<Active, Inactive> {
        self.expected(&seen.verified, now)?;
        // At every use: the keys of this process may change after what it knows of the directory.
        if !self.keys.publishes(&seen.verified.header().kid) {
            return Err(Rejection::UnknownKey.into());
        }
        let kind = match seen.verified.header().token_type {
            TokenType::Access => TokenKind::Api,
            TokenType::Session => TokenKind::Session,
            TokenType::StatusList => return Err(Rejection::WrongType.into()),
        };
        if seen.record.token.kind != kind {
            return Err(Inactive::Unknown);
        }
        if seen.liveness == Liveness::Gone {
            return Err(Inactive::Gone);
        }
        if self.index.is_revoked(&seen.record, now) {
            return Err(Inactive::Revoked);
        }
        let ends_at = self.ends_at(seen);
        Ok(Active {
            seen: Arc::clone(seen),
            ends_at,
            expires_in: ends_at.and_then(|end| u64::try_from(end.seconds() - now.seconds()).ok()),
        })
    }

    /// When it ends by itself, or by a revocation that lies ahead.
    fn ends_at(&self, seen: &Seen) -> Option<Timestamp> {
        let ends = [
            seen.record.token.expires_at,
            self.index.scheduled(seen.record.place),
        ];
        ends.into_iter().flatten().min()
    }
}
