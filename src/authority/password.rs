//! Passwords: length limits, Argon2id hashes, and checks that run in a bounded number of threads.

use std::fmt;
use std::str::{FromStr, Utf8Error};
use std::sync::Arc;

use argon2::password_hash::phc::{Output, Salt};
use argon2::{Argon2, Params};
use argon2::{PasswordHasher as _, PasswordVerifier as _};
use zeroize::Zeroizing;

use crate::authority::concurrency::ConcurrencyLimit;
use jeton_core::entropy::Entropy;
use jeton_core::text;

/// A password as a client sent it, of any length. Overwritten in memory when dropped.
pub struct Password(Zeroizing<String>);

/// A password that may be set: of a length within [`NewPassword::MINIMUM`] and [`Password::MAXIMUM`], and not one of the
/// most common ones.
#[derive(Debug)]
pub struct NewPassword(Password);

/// A password hash for the store: salt, cost and digest, in the PHC string format.
///
/// It allows offline guessing, so it has no `Display`, and `Debug` shows no content.
#[derive(Clone)]
pub struct PasswordHash(argon2::PasswordHash);

/// The result of checking a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
}

/// Hashes and checks passwords on blocking threads, apart from those that serve requests.
///
/// One Argon2id hash takes 19 MiB and tens of milliseconds of CPU on purpose. At most [`Self::RUNNING`]
/// run at once and [`Self::WAITING`] wait, so that a flood of logins is refused and uses no more CPUs
/// than that.
pub struct PasswordHasher {
    entropy: Arc<dyn Entropy>,
    limit: ConcurrencyLimit,
    /// Checked for unknown users, so that the response takes as long as for a known one.
    dummy: PasswordHash,
}

/// An error of hashing or checking a password. It does not depend on whether the password is right.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The queue is full; a retry may succeed.
    #[error("too many passwords are being checked; retry later")]
    Busy,
    #[error("cannot hash the password")]
    Hash(#[source] argon2::password_hash::Error),
    /// The blocking thread panicked, or the runtime is shutting down.
    #[error("the password hashing thread ended early")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// Why a password may not be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordPolicyError {
    #[error("a password must have at least {} characters", NewPassword::MINIMUM)]
    TooShort,
    #[error("a password must have at most {} characters", Password::MAXIMUM)]
    TooLong,
    #[error("a password must not contain the control character U+{:04X}", u32::from(*.0))]
    Control(char),
    #[error("a password must not be one of the {} most common ones", COMMON.lines().count())]
    Common,
}

/// The most common passwords of at least [`NewPassword::MINIMUM`] characters, in lower case, the most common first.
///
/// They are of the list of Django 5.2 (`django/contrib/auth/common-passwords.txt.gz`, BSD licence: see the file
/// beside it), which Royce Williams made from passwords of public breaches.
const COMMON: &str = include_str!("common_passwords/list.txt");

/// The error of a stored string that is not an Argon2 hash in the PHC string format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Argon2 hash in the PHC string format")]
pub struct NotAPasswordHash;

impl Password {
    /// The maximum length in characters. Without one, a client could choose the cost of checking its
    /// guess.
    pub const MAXIMUM: usize = 128;

    /// The maximum length of a password with its line ending, in bytes.
    pub const MAXIMUM_LINE: usize = Self::MAXIMUM * 4 + 2;

    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns whether it has no characters.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether two passwords that one person has typed are the same. Takes a time that depends on them.
    pub(crate) fn is_repeated_by(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }

    /// Returns the canonical form, in which a password is hashed: the same from every keyboard (RFC 8265, OpaqueString).
    fn canonical(&self) -> Self {
        Self(text::opaque(&self.0))
    }

    /// Returns the password in a line, without its line ending (LF or CRLF).
    pub fn of_line(line: &[u8]) -> Result<Self, Utf8Error> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        Ok(Self::new(str::from_utf8(text)?.to_owned()))
    }

    /// Returns whether it is one of the most common passwords, in any letter case. Comparing with all
    /// of them takes far less time than the hash that follows.
    fn is_common(&self) -> bool {
        let is_same = |common: &str| self.0.chars().flat_map(char::to_lowercase).eq(common.chars());
        COMMON.lines().any(is_same)
    }

    fn is_too_long(&self) -> bool {
        // `nth` stops at the limit; `count` would read the whole input.
        self.0.chars().nth(Self::MAXIMUM).is_some()
    }
}

impl NewPassword {
    /// The minimum length in characters.
    pub const MINIMUM: usize = 8;

    /// Returns a copy, to set a configured password.
    pub(crate) fn copy(&self) -> Self {
        Self(Password(self.0.0.clone()))
    }
}

impl TryFrom<Password> for NewPassword {
    type Error = PasswordPolicyError;

    fn try_from(password: Password) -> Result<Self, Self::Error> {
        let password = password.canonical();
        if let Some(control) = password.0.chars().find(|character| character.is_control()) {
            return Err(PasswordPolicyError::Control(control));
        }
        if password.is_too_long() {
            return Err(PasswordPolicyError::TooLong);
        }
        if password.0.chars().count() < Self::MINIMUM {
            return Err(PasswordPolicyError::TooShort);
        }
        if password.is_common() {
            return Err(PasswordPolicyError::Common);
        }
        Ok(Self(password))
    }
}

impl PasswordHasher {
    /// The number of hashes that run at once.
    pub const RUNNING: usize = 2;
    /// The number of hashes that may wait: about a second of work.
    pub const WAITING: usize = 64;

    pub fn new(entropy: Arc<dyn Entropy>) -> Result<Self, PasswordError> {
        let dummy = PasswordHash::dummy(&*entropy).map_err(PasswordError::Hash)?;
        Ok(Self {
            entropy,
            limit: ConcurrencyLimit::new(Self::RUNNING, Self::WAITING),
            dummy,
        })
    }

    pub(super) fn limit(&self) -> &ConcurrencyLimit {
        &self.limit
    }

    /// Returns the hash of a password, with a random salt.
    pub async fn hash(&self, password: NewPassword) -> Result<PasswordHash, PasswordError> {
        let mut salt = [0; SALT_LENGTH];
        self.entropy.fill(&mut salt);
        self.run(move || argon2().hash_password_with_salt(password.0.0.as_bytes(), &salt))
            .await?
            .map(PasswordHash)
            .map_err(PasswordError::Hash)
    }

    /// Checks a password against a hash. `None`, for an unknown user, is [`Verdict::Wrong`] after the same
    /// work, so that the response time does not reveal who has an account.
    pub async fn verify(
        &self,
        password: Password,
        hash: Option<PasswordHash>,
    ) -> Result<Verdict, PasswordError> {
        let canonical = password.canonical();
        // A password that was set before passwords had a canonical form.
        let as_typed = (password.0 != canonical.0).then_some(password);
        let mut forms: Vec<Password> = [canonical].into_iter().chain(as_typed).collect();
        forms.retain(|form| !form.is_too_long());
        if forms.is_empty() {
            // No user can have such a password. The early return does not depend on the user.
            return Ok(Verdict::Wrong);
        }
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.clone());
        // Each form costs a hash for an unknown user too.
        let checked = self
            .run(move || {
                let verify = |form: &Password| argon2().verify_password(form.0.as_bytes(), &hash.0);
                let is_over =
                    |checked: &_| !matches!(checked, Err(argon2::password_hash::Error::PasswordInvalid));
                let wrong = Err(argon2::password_hash::Error::PasswordInvalid);
                forms.iter().map(verify).find(is_over).unwrap_or(wrong)
            })
            .await?;
        match checked {
            Ok(()) if is_known => Ok(Verdict::Right),
            Ok(()) | Err(argon2::password_hash::Error::PasswordInvalid) => Ok(Verdict::Wrong),
            Err(error) => Err(PasswordError::Hash(error)),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let permit = self.limit.acquire().await.ok_or(PasswordError::Busy)?;
        // The thread holds the permit: a client that disconnects drops this future, but the thread
        // continues to hash.
        tokio::task::spawn_blocking(move || {
            let answer = work();
            drop(permit);
            answer
        })
        .await
        .map_err(PasswordError::Interrupted)
    }
}

impl PasswordHash {
    /// Returns the PHC string, for the store only.
    pub fn to_phc(&self) -> String {
        self.0.to_string()
    }

    /// Returns a hash of the current cost that no password matches: its digest is random.
    fn dummy(entropy: &dyn Entropy) -> Result<Self, argon2::password_hash::Error> {
        let mut salt = [0; SALT_LENGTH];
        let mut digest = [0; Params::DEFAULT_OUTPUT_LEN];
        entropy.fill(&mut salt);
        entropy.fill(&mut digest);
        Ok(Self(argon2::PasswordHash {
            algorithm: argon2::ARGON2ID_IDENT,
            version: Some(argon2::Version::default().into()),
            params: argon2().params().try_into()?,
            salt: Some(Salt::new(&salt)?),
            hash: Some(Output::new(&digest)?),
        }))
    }
}

impl FromStr for PasswordHash {
    type Err = NotAPasswordHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hash = argon2::PasswordHash::new(text).map_err(|_| NotAPasswordHash)?;
        let complete = hash.salt.is_some()
            && hash.hash.is_some()
            && argon2::Algorithm::try_from(hash.algorithm.as_str()).is_ok()
            && Params::try_from(&hash).is_ok();
        complete.then_some(Self(hash)).ok_or(NotAPasswordHash)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHasher")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

const SALT_LENGTH: usize = 16;

/// Returns Argon2id with 19 MiB, two passes and one lane: the first choice of OWASP's password storage
/// cheat sheet, and the crate's default (a test checks it). A stored hash is checked at its own cost.
fn argon2() -> Argon2<'static> {
    Argon2::default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::system::SystemEntropy;

    fn hasher() -> PasswordHasher {
        PasswordHasher::new(Arc::new(SystemEntropy)).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    fn new(text: &str) -> NewPassword {
        password(text).try_into().unwrap()
    }

    #[tokio::test]
    async fn only_the_password_that_was_hashed_is_right() {
        let hasher = hasher();
        let hash = hasher.hash(new("correct horse")).await.unwrap();
        let verify = |text, hash| hasher.verify(password(text), hash);
        assert_eq!(
            verify("correct horse", Some(hash.clone())).await.unwrap(),
            Verdict::Right
        );
        assert_eq!(
            verify("correct horsf", Some(hash.clone())).await.unwrap(),
            Verdict::Wrong
        );
        assert_eq!(verify("", Some(hash)).await.unwrap(), Verdict::Wrong);
        assert_eq!(verify("correct horse", None).await.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_survives_the_store_and_has_its_own_salt() {
        let hasher = hasher();
        let first = hasher.hash(new("correct horse")).await.unwrap().to_phc();
        let second = hasher.hash(new("correct horse")).await.unwrap().to_phc();
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert_ne!(first, second);
        let read = first.parse().unwrap();
        let verdict = hasher
            .verify(password("correct horse"), Some(read))
            .await
            .unwrap();
        assert_eq!(verdict, Verdict::Right);
    }

    #[test]
    fn an_incomplete_hash_is_refused() {
        for text in [
            "",
            "correct horse",
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$argon2id$v=19$m=1,t=0,p=0$c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaA",
            "$pbkdf2-sha256$i=1000$c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaA",
        ] {
            assert_eq!(
                text.parse::<PasswordHash>().err(),
                Some(NotAPasswordHash),
                "{text}"
            );
        }
    }

    /// Compares the work instead of the time: a unit test that measures time would be flaky.
    #[test]
    fn the_dummy_hash_costs_as_much_as_a_real_one() {
        let dummy = PasswordHash::dummy(&SystemEntropy).unwrap().0;
        let real = argon2()
            .hash_password_with_salt(b"correct horse", &[1; SALT_LENGTH])
            .unwrap();
        assert_eq!(dummy.algorithm, real.algorithm);
        assert_eq!(dummy.version, real.version);
        assert_eq!(dummy.params, real.params);
        assert_eq!(dummy.salt.unwrap().len(), real.salt.unwrap().len());
        assert_eq!(dummy.hash.unwrap().len(), real.hash.unwrap().len());
    }

    #[test]
    fn the_length_is_counted_in_characters() {
        let policy = |text: &str| NewPassword::try_from(password(text)).err();
        assert_eq!(policy("1234567"), Some(PasswordPolicyError::TooShort));
        assert_eq!(policy("q7345678"), None);
        assert_eq!(policy("ééééééé"), Some(PasswordPolicyError::TooShort));
        assert_eq!(policy(&"é".repeat(128)), None);
        assert_eq!(policy(&"é".repeat(129)), Some(PasswordPolicyError::TooLong));
    }

    #[tokio::test]
    async fn a_password_is_right_in_its_canonical_form_and_as_it_was_hashed() {
        let hasher = hasher();
        let (composed, decomposed) = ("caf\u{e9} au lait", "cafe\u{301}\u{a0}au lait");
        let verify = async |typed, hash: &PasswordHash| {
            hasher.verify(password(typed), Some(hash.clone())).await.unwrap()
        };
        for set in [composed, decomposed] {
            let hash = hasher.hash(new(set)).await.unwrap();
            for typed in [composed, decomposed] {
                assert_eq!(verify(typed, &hash).await, Verdict::Right, "{set} {typed}");
            }
            assert_eq!(verify("cafe au lait", &hash).await, Verdict::Wrong);
        }
        // As an earlier version hashed it.
        let hash = hasher.hash(NewPassword(password(decomposed))).await.unwrap();
        assert_eq!(verify(decomposed, &hash).await, Verdict::Right);
        assert_eq!(verify(composed, &hash).await, Verdict::Wrong);
        assert_eq!(
            hasher.verify(password(decomposed), None).await.unwrap(),
            Verdict::Wrong
        );
    }

    #[test]
    fn a_password_holds_no_control_character_and_its_canonical_form_is_counted() {
        let policy = |text: &str| NewPassword::try_from(password(text)).err();
        assert_eq!(policy("long\0enough"), Some(PasswordPolicyError::Control('\0')));
        assert_eq!(policy("long\tenough"), Some(PasswordPolicyError::Control('\t')));
        assert_eq!(policy(&"e\u{301}".repeat(7)), Some(PasswordPolicyError::TooShort));
        assert_eq!(policy(&"e\u{301}".repeat(128)), None);
        assert_eq!(policy("pass\u{200b}word"), None);
    }

    #[tokio::test]
    async fn a_common_password_cannot_be_set_and_still_logs_in() {
        for text in [
            "password",
            "PassWord1",
            "12345678",
            "P@ssw0rd",
            "Qwertyuiop",
            "00000000",
        ] {
            let refused = NewPassword::try_from(password(text)).err();
            assert_eq!(refused, Some(PasswordPolicyError::Common), "{text}");
        }
        assert!(NewPassword::try_from(password("password1 of mine")).is_ok());
        let hasher = hasher();
        let hash = hasher.hash(NewPassword(password("password1"))).await.unwrap();
        let verdict = hasher.verify(password("password1"), Some(hash)).await;
        assert_eq!(verdict.unwrap(), Verdict::Right);
    }

    #[test]
    fn the_list_of_common_passwords_has_no_duplicates_and_only_what_could_be_set() {
        let mut common: Vec<&str> = COMMON.lines().collect();
        for text in &common {
            assert!(
                (NewPassword::MINIMUM..=Password::MAXIMUM).contains(&text.chars().count()),
                "{text}"
            );
            assert_eq!(text.to_lowercase(), **text);
        }
        let all = common.len();
        common.sort_unstable();
        common.dedup();
        assert_eq!((all, common.len()), (3000, 3000));
    }

    #[tokio::test]
    async fn a_password_beyond_the_limit_is_wrong_without_being_hashed() {
        let full = PasswordHasher {
            limit: ConcurrencyLimit::new(0, 0),
            ..hasher()
        };
        let long = full.verify(password(&"x".repeat(129)), None).await;
        assert_eq!(long.unwrap(), Verdict::Wrong);
        let short = full.verify(password("x"), None).await;
        assert!(
            matches!(short, Err(PasswordError::Busy)),
            "the queue was full: {short:?}"
        );
    }

    #[test]
    fn no_debug_form_shows_a_secret() {
        let text = format!("{:?} {:?}", password("hunter2hunter2"), new("hunter2hunter2"));
        assert_eq!(text, "Password(..) NewPassword(Password(..))");
        let hash = PasswordHash::dummy(&SystemEntropy).unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    }
}
