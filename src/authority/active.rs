//! Decides whether a token is active: the one predicate for all surfaces.
//!
//! Authentication, introspection, forward-auth and status lists all use it. A token is active if its key is
//! published, its signature is valid, its type and issuer are this deployment's, its claims equal its record,
//! its owner exists and is enabled, and it is neither expired nor revoked.
//!
//! [`Condition`] names what it checks. [`ActiveTokens::find`] ends at the first condition that does not hold;
//! [`ActiveTokens::examine`] evaluates all of them, to explain a refusal.
//!
//! The first check of a token reads the store and compares every claim with the record. The verified token is
//! then cached. Every later check tests expiry, key and revocation again; the record is read again as soon as
//! its organization or user has changed.

mod examine;

use std::net::IpAddr;
use std::sync::Arc;

use jeton_verifier::{
    Claims, Expected, KeyId, PublicKey, Rejection, TokenType, Unverified, judge_expiry, strip_prefix,
};
use quick_cache::sync::Cache;

pub(super) use self::examine::Examined;

use crate::authority::Settings;
use crate::authority::claims::claims as record_claims;
use crate::authority::presented_token::PresentedToken;
use crate::authority::refusals::Refused;
use crate::authority::token_cache::{ManagementScopes, TokenCache, TokenDigest, VerifiedToken};
use crate::authority::usage::{LastNoted, Usage};
use crate::keys::KeyRing;
use crate::revocation::Index;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, Person, UserId};
use jeton_core::token::{CutOffSubject, ListIndex, Record, TokenKind, Use};
use jeton_store::rules::tokens::{Liveness, liveness};
use jeton_store::{Generation, Presented as StoredToken, Realm, Result, SharedStore, StoreError, Versions};

/// The reason why a token is not active.
///
/// [`Inactive::Expired`] and [`Inactive::Revoked`] are of a token with a valid signature and a record with its claims:
/// its holder is told. All others are only logged, and have one text in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Inactive {
    /// The token is malformed, not of this deployment, or expired and without a record.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It has expired. The record of a token is kept for some time after that.
    #[error("the token has expired")]
    Expired,
    /// The signature is valid, but the store has no record with these claims.
    #[error("the token has no record")]
    Unknown,
    /// Its owner, team, organization or user is deleted or disabled.
    #[error("the owner of the token was deleted or disabled")]
    Gone,
    /// It is revoked, or a cut-off covers it.
    #[error("the token is revoked")]
    Revoked,
}

impl Inactive {
    /// Returns a name for metrics, which never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.name(),
            Self::Expired => Rejection::Expired.name(),
            Self::Unknown => "unknown",
            Self::Gone => "owner_gone",
            Self::Revoked => "revoked",
        }
    }
}

/// A condition of the predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// The text has three segments in canonical base64url, and is not too long.
    Form,
    /// The header is exactly a known `alg`, `kid` and `typ`.
    Header,
    /// The key is published.
    Key,
    /// The algorithm is the key's.
    Algorithm,
    /// The signature is valid.
    Signature,
    /// The type is that of a credential.
    Type,
    /// The claims are well-formed.
    Claims,
    /// The issuer is this deployment.
    Issuer,
    /// The audience of a session is this deployment.
    Audience,
    /// The token has not expired.
    Expiry,
    /// The store has a record with exactly these claims.
    Record,
    /// The owner exists and is enabled, and its user belongs to its organization.
    Owner,
    /// No revocation of the token's own has taken effect.
    Revocation,
    /// No cut-off that has taken effect covers the token.
    CutOff,
}

/// The facts that decide about a token with a record.
struct Facts<'a> {
    /// The first second in which it is expired.
    exp: i64,
    /// The key that signed it; `None` if its id is damaged.
    kid: Option<&'a KeyId>,
    liveness: Liveness,
    /// When the revocation in its record takes effect.
    revoked_from: Option<Timestamp>,
    list_index: ListIndex,
    cut_off_subject: CutOffSubject<'a>,
}

/// A condition of a token with a record.
type Recorded = fn(&ActiveTokens, &Facts<'_>, Timestamp) -> std::result::Result<(), Inactive>;

/// The conditions of a token with a record, in the order in which they are checked.
const RECORDED: [(Condition, Recorded); 5] = [
    (Condition::Expiry, |_, facts, now| {
        judge_expiry(facts.exp, now.seconds(), 0).map_err(|_| Inactive::Expired)
    }),
    // Checked at every use: this process may learn of a withdrawn key after a change of the directory.
    (Condition::Key, |active, facts, _| {
        let is_published = facts.kid.is_some_and(|kid| active.keys.publishes(kid));
        holds(is_published, Rejection::UnknownKey.into())
    }),
    (Condition::Owner, |_, facts, _| {
        holds(facts.liveness == Liveness::Live, Inactive::Gone)
    }),
    // The index decides, and the record too: one of them may be damaged.
    (Condition::Revocation, |active, facts, now| {
        let is_revoked = facts.revoked_from.is_some_and(|from| from <= now);
        let is_revoked = is_revoked || active.index.is_revoked(facts.list_index, now);
        holds(!is_revoked, Inactive::Revoked)
    }),
    (Condition::CutOff, |active, facts, now| {
        let is_cut_off = active.index.is_cut_off(facts.cut_off_subject, now);
        holds(!is_cut_off, Inactive::Revoked)
    }),
];

fn holds(holds: bool, otherwise: Inactive) -> std::result::Result<(), Inactive> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// An active token and the user it acts for.
#[derive(Debug, Clone)]
pub struct Active {
    token: Arc<PresentedToken>,
    person: Option<Arc<Person>>,
    /// When the token ends: its expiry or its scheduled revocation, whichever is earlier. `None` is never.
    pub ends_at: Option<Timestamp>,
    /// The seconds until the token ends; `None` if it never does.
    pub expires_in: Option<u64>,
}

impl Active {
    /// Returns the token.
    pub fn token(&self) -> &PresentedToken {
        &self.token
    }

    /// Returns the user the token acts for, if any.
    pub fn person(&self) -> Option<&Arc<Person>> {
        self.person.as_ref()
    }

    /// Returns the generations of the token's organization and user, as of the read that verified it.
    pub(super) fn versions(&self) -> Versions {
        let (owner, verified) = (self.token.owner(), &self.token.verified);
        let organization = owner.organization().map(Realm::Organization);
        let person = owner.user().cloned().map(Realm::Person);
        let realms = [
            organization.zip(Some(verified.organization)),
            person.zip(Some(verified.person)),
        ];
        let known = |(_, generation): &(Realm, Generation)| *generation != Generation::default();
        Versions(realms.into_iter().flatten().filter(known).collect())
    }
}

/// The purpose for which a token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// To be used. The use is recorded, with the client address if one is given.
    ForUse(Option<IpAddr>),
    /// To be revoked. This is not recorded as a use: revoking a leaked token must not overwrite its last use.
    ToEnd,
}

/// The number of users cached for tokens that act for them.
const CACHED_PEOPLE: usize = 16_384;

/// Checks whether tokens are active, with caches of verified tokens and of users.
pub struct ActiveTokens {
    store: SharedStore,
    keys: Arc<KeyRing>,
    index: Arc<Index>,
    issuer: String,
    session_audience: String,
    usage: Usage,
    refused: Refused,
    tokens: Arc<TokenCache>,
    people: Cache<UserId, (Generation, Arc<Person>)>,
}

impl std::fmt::Debug for ActiveTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActiveTokens")
            .field("cached", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

/// A token whose claims equal its record, and the user it acts for.
struct Known {
    token: Arc<PresentedToken>,
    person: Option<Arc<Person>>,
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
            session_audience: super::session_audience(&settings.issuer),
            usage: Usage::default(),
            refused: Refused::default(),
            tokens: Arc::new(TokenCache::new(settings.cached_tokens)),
            people: Cache::new(CACHED_PEOPLE),
        }
    }

    pub(super) fn usage(&self) -> &Usage {
        &self.usage
    }

    pub(super) fn tokens(&self) -> &Arc<TokenCache> {
        &self.tokens
    }

    pub(super) fn refused(&self) -> &Refused {
        &self.refused
    }

    /// Fails unless the index knows all revocations: it is complete, and the lease of this server is held.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`], which passes.
    pub(super) fn check_index(&self) -> Result<()> {
        match self.index.is_ready() {
            true => Ok(()),
            false => Err(StoreError::Busy),
        }
    }

    /// Returns the token if it is active now, or the reason why it is not. `Err` is a failure of the store, or that not
    /// all revocations are known.
    pub async fn find(
        &self,
        token: &str,
        presented: Presented,
        now: Timestamp,
    ) -> Result<std::result::Result<Active, Inactive>> {
        self.check_index()?;
        // Without the prefix: one token with many prefixes could otherwise fill the cache.
        let without_prefix = strip_prefix(token);
        let digest = TokenDigest::of(without_prefix);
        let (key, kind, claims) = match self.tokens.get(&digest) {
            Some(verified) => {
                let token = PresentedToken::new(verified, without_prefix);
                if let Some(person) = self.current_person(&token) {
                    let token = Arc::new(token);
                    return Ok(self.check(Known { token, person }, presented, now));
                }
                match token.claims() {
                    Some(claims) => (Arc::clone(&token.verified.key), token.kind(), claims.clone()),
                    None => return Ok(Err(Inactive::Unknown)),
                }
            }
            None => match self.verify(token, now) {
                Ok(verified) => verified,
                Err(inactive) => return Ok(Err(inactive)),
            },
        };
        let known = match self.look_up(key, kind, without_prefix, claims, now).await? {
            Ok(known) => known,
            Err(inactive) => return Ok(Err(inactive)),
        };
        let verified = Arc::clone(&known.token.verified);
        let verdict = self.check(known, presented, now);
        if verdict.is_ok() {
            self.tokens.insert(digest, verified);
        }
        Ok(verdict)
    }

    /// Checks again a token that was active earlier in the request.
    pub async fn again(
        &self,
        active: &Active,
        now: Timestamp,
    ) -> Result<std::result::Result<Active, Inactive>> {
        self.check_index()?;
        let token = &active.token;
        if let Some(person) = self.current_person(token) {
            let token = Arc::clone(token);
            return Ok(self.judge(Known { token, person }, now));
        }
        let Some(claims) = token.claims() else {
            return Ok(Err(Inactive::Unknown));
        };
        let (key, kind) = (Arc::clone(&token.verified.key), token.kind());
        let known = self.look_up(key, kind, token.text(), claims.clone(), now).await?;
        Ok(known.and_then(|known| self.judge(known, now)))
    }

    /// Returns the token's user (`Some(None)` if it has none), or `None` if the store must be read again.
    fn current_person(&self, token: &PresentedToken) -> Option<Option<Arc<Person>>> {
        let owner = token.owner();
        if !self.is_current(token.verified.read_at, owner.organization(), owner.user()) {
            return None;
        }
        let Some(user) = owner.user() else {
            return Some(None);
        };
        let (read_at, person) = self.people.get(user)?;
        self.is_current(read_at, None, Some(user)).then_some(Some(person))
    }

    /// Returns whether an organization and a user are unchanged since they were read.
    fn is_current(
        &self,
        as_of: Generation,
        organization: Option<OrganizationId>,
        user: Option<&UserId>,
    ) -> bool {
        let realms = self.index.realms();
        let organization = organization.map(Realm::Organization);
        let user = user.cloned().map(Realm::Person);
        organization
            .iter()
            .chain(&user)
            .all(|realm| realms.is_current(realm, as_of))
    }

    /// Reads the record of a token with a valid signature and compares it with the claims.
    async fn look_up(
        &self,
        key: Arc<PublicKey>,
        kind: TokenKind,
        text: &str,
        claims: Claims,
        now: Timestamp,
    ) -> Result<std::result::Result<Known, Inactive>> {
        // Loaded before the store is read, so that the data can only be newer than this generation.
        let read_at = self.index.realms().as_of();
        let presented = self.store.presented(claims.jti).await?;
        Ok(self.recorded(presented, read_at, key, kind, text, claims, now))
    }

    /// Returns the token if the store's record has its claims.
    #[expect(clippy::too_many_arguments, reason = "what a presented token consists of")]
    fn recorded(
        &self,
        presented: Option<StoredToken>,
        read_at: Generation,
        key: Arc<PublicKey>,
        kind: TokenKind,
        text: &str,
        claims: Claims,
        now: Timestamp,
    ) -> std::result::Result<Known, Inactive> {
        // The record of an expired token may be deleted. That is no sign of a stolen key.
        let unknown = match judge_expiry(claims.expires_at, now.seconds(), 0) {
            Ok(()) => Inactive::Unknown,
            Err(expired) => expired.into(),
        };
        let Some(presented) = presented else {
            return Err(unknown);
        };
        let record = &presented.record;
        if !self.is_of(record, &claims, key.kid().as_str(), kind) {
            return Err(unknown);
        }
        let Versions(generations) = &presented.generations;
        for (realm, generation) in generations {
            self.index.realms().changed(realm, *generation);
        }
        let of = |realm: Option<Realm>| {
            let found = generations
                .iter()
                .find(|(known, _)| Some(known) == realm.as_ref());
            found.map_or_else(Generation::default, |(_, generation)| *generation)
        };
        let owner = &record.token.owner;
        let verified = VerifiedToken {
            organization: of(owner.organization().map(Realm::Organization)),
            person: of(owner.user().cloned().map(Realm::Person)),
            id: record.id,
            kind,
            owner: owner.clone(),
            list_index: record.list_index,
            issued_at: claims.issued_at,
            management: ManagementScopes::among(claims.scope.as_deref().unwrap_or_default()),
            is_for_issuer: claims.audience.contains(&self.issuer),
            is_restricted: claims.projects.is_some(),
            expires_at: record.token.expires_at,
            revoked_from: record
                .revocation
                .as_ref()
                .map(|revocation| revocation.effective_at),
            key,
            liveness: liveness(&presented),
            noted: LastNoted::new(record.last_used_at),
            read_at,
        };
        let person = presented.person.map(Arc::new);
        if let Some(person) = &person {
            self.people
                .insert(person.id.clone(), (read_at, Arc::clone(person)));
        }
        let token = PresentedToken::with_claims(Arc::new(verified), text, claims);
        Ok(Known {
            token: Arc::new(token),
            person,
        })
    }

    /// Returns whether a record is of a token with exactly these claims, this key and this kind. Compares all claims: a
    /// cached token is not compared with its record again.
    fn is_of(&self, record: &Record, claims: &Claims, kid: &str, kind: TokenKind) -> bool {
        *claims == record_claims(&record.token, record.list_index, &self.issuer)
            && *record.token.kid == *kid
            && record.token.kind == kind
    }

    /// Returns the kind of a credential and what is expected of it; `None` for other texts.
    fn expected(&self, token_type: TokenType, now: Timestamp) -> Option<(TokenKind, Expected<'_>)> {
        let (kind, audience) = match token_type {
            TokenType::Access => (TokenKind::Api, None),
            TokenType::Session => (TokenKind::Session, Some(self.session_audience.as_str())),
            TokenType::StatusList | TokenType::FeedHead | TokenType::Snapshot => return None,
        };
        let expected = Expected {
            issuer: &self.issuer,
            audience,
            token_type,
            now: now.seconds(),
            leeway: 0,
        };
        Some((kind, expected))
    }

    /// Verifies a token's signature, type, issuer and audience. Its expiry is checked with its record, by
    /// [`Self::judge`].
    fn verify(
        &self,
        token: &str,
        now: Timestamp,
    ) -> std::result::Result<(Arc<PublicKey>, TokenKind, Claims), Inactive> {
        let unverified = Unverified::parse(token).map_err(Rejection::from)?;
        let key = self
            .keys
            .verifying(&unverified.header().kid)
            .ok_or(Rejection::UnknownKey)?;
        let verified = unverified.verify(&key)?;
        let token_type = verified.header().token_type;
        let (kind, expected) = self.expected(token_type, now).ok_or(Rejection::WrongType)?;
        let claims = verified.judge_identity(&expected)?.clone();
        Ok((key, kind, claims))
    }

    /// Checks a presented token, and records its use, or its refusal if it is revoked.
    fn check(
        &self,
        known: Known,
        presented: Presented,
        now: Timestamp,
    ) -> std::result::Result<Active, Inactive> {
        let verified = Arc::clone(&known.token.verified);
        let verdict = self.judge(known, now);
        match (&verdict, presented, verified.kind) {
            (Ok(active), Presented::ForUse(from), kind) => {
                let seen_now = Use {
                    token: verified.id,
                    at: now,
                    from,
                };
                // Nobody needs to be warned of the end of a session.
                let ends_at = active.ends_at.filter(|_| kind == TokenKind::Api);
                self.usage.note(seen_now, &verified.noted, ends_at);
            }
            (Err(Inactive::Revoked), _, TokenKind::Api) => self.refused.note(verified.id, now),
            (Ok(_) | Err(_), ..) => {}
        }
        verdict
    }

    /// Evaluates the predicate for a token that has a record.
    fn judge(&self, known: Known, now: Timestamp) -> std::result::Result<Active, Inactive> {
        let Known { token, person } = known;
        let verified = &*token.verified;
        let facts = Facts {
            exp: token.exp(),
            kid: Some(verified.key.kid()),
            liveness: verified.liveness,
            revoked_from: verified.revoked_from,
            list_index: verified.list_index,
            cut_off_subject: token.cut_off_subject(),
        };
        for (_, holds) in RECORDED {
            holds(self, &facts, now)?;
        }
        let ends = [verified.expires_at, self.index.scheduled(verified.list_index)];
        let ends_at = ends.into_iter().flatten().min();
        Ok(Active {
            token,
            person,
            ends_at,
            expires_in: ends_at.and_then(|end| u64::try_from(end.seconds() - now.seconds()).ok()),
        })
    }
}
