//! Evaluates all conditions of the predicate for one token, to explain why it is accepted or refused. The predicate itself
//! ends at the first condition that does not hold.

use jeton_verifier::{Claims, Header, Malformed, NEVER, Rejection, TokenType, Unverified, strip_prefix};

use super::{ActiveTokens, Condition, Facts, Inactive, RECORDED, holds};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Record, TokenKind};
use jeton_store::Presented;
use jeton_store::rules::tokens::liveness;

/// All conditions of the predicate, evaluated for one token.
#[derive(Debug)]
pub(in crate::authority) struct Examined {
    /// The verdict: what [`ActiveTokens::find`] returns for the same token.
    pub(in crate::authority) verdict: std::result::Result<(), Inactive>,
    /// The conditions that can be evaluated, in the order in which they are checked.
    pub(in crate::authority) conditions: Vec<(Condition, std::result::Result<(), Inactive>)>,
    /// The header, if it is well-formed. Unverified unless the condition of the signature holds, like the claims.
    pub(in crate::authority) header: Option<Header>,
    /// The claims, if they are well-formed.
    pub(in crate::authority) claims: Option<Claims>,
}

impl ActiveTokens {
    /// Evaluates all conditions for a token, given as its text or by its record alone. `presented` is the store's record
    /// with the `jti` of its claims, whatever its signature.
    ///
    /// Neither the caches nor the records of use and refusals change: nobody has used the token.
    pub(in crate::authority) fn examine(
        &self,
        text: Option<&str>,
        presented: Option<&Presented>,
        now: Timestamp,
    ) -> Examined {
        let mut examined = match text {
            Some(text) => self.examine_text(text, presented, now),
            None => Examined {
                verdict: Ok(()),
                conditions: vec![(Condition::Record, holds(presented.is_some(), Inactive::Unknown))],
                header: None,
                claims: None,
            },
        };
        if let Some(stored) = presented {
            let record = &stored.record;
            let kid = record.token.kid.parse().ok();
            let facts = Facts {
                exp: record.token.expires_at.map_or(NEVER, Timestamp::seconds),
                kid: kid.as_ref(),
                liveness: liveness(stored),
                revoked_from: record.revocation.as_ref().map(|note| note.effective_at),
                list_index: record.list_index,
                cut_off_subject: record.into(),
            };
            for (condition, holds) in RECORDED {
                if !examined.conditions.iter().any(|(known, _)| *known == condition) {
                    examined.conditions.push((condition, holds(self, &facts, now)));
                }
            }
        }
        if text.is_none() {
            let first = examined.conditions.iter().find_map(|(_, outcome)| outcome.err());
            examined.verdict = first.map_or(Ok(()), Err);
        }
        examined
    }

    /// Evaluates the conditions that concern the text of a token, and the verdict on it.
    fn examine_text(&self, text: &str, presented: Option<&Presented>, now: Timestamp) -> Examined {
        let verdict = self.verify(text, now).and_then(|(key, kind, claims)| {
            let text = strip_prefix(text);
            let presented = presented.filter(|presented| presented.record.token.jti == claims.jti);
            let read_at = self.index.realms().as_of();
            let known = self.recorded(presented.cloned(), read_at, key, kind, text, claims, now)?;
            self.judge(known, now).map(drop)
        });
        let mut conditions = Vec::new();
        let mut header = None;
        let mut say = |condition, outcome: std::result::Result<(), Rejection>| {
            conditions.push((condition, outcome.map_err(Inactive::from)));
        };
        match Unverified::parse(text) {
            Err(Malformed::Header) => {
                say(Condition::Form, Ok(()));
                say(Condition::Header, Err(Malformed::Header.into()));
            }
            Err(malformed) => {
                say(Condition::Form, Err(malformed.into()));
                return Examined {
                    verdict,
                    conditions,
                    header: None,
                    claims: None,
                };
            }
            Ok(unverified) => {
                say(Condition::Form, Ok(()));
                say(Condition::Header, Ok(()));
                let read = unverified.header().clone();
                let is_credential = match read.token_type.is_credential() {
                    true => Ok(()),
                    false => Err(Rejection::WrongType),
                };
                match self.keys.verifying(&read.kid) {
                    None => say(Condition::Key, Err(Rejection::UnknownKey)),
                    Some(key) => {
                        say(Condition::Key, Ok(()));
                        match unverified.verify(&key) {
                            Err(Rejection::WrongAlgorithm) => {
                                say(Condition::Algorithm, Err(Rejection::WrongAlgorithm));
                            }
                            Err(Rejection::BadSignature) => {
                                say(Condition::Algorithm, Ok(()));
                                say(Condition::Signature, Err(Rejection::BadSignature));
                            }
                            // The rest is about the type and the claims.
                            Ok(_) | Err(_) => {
                                say(Condition::Algorithm, Ok(()));
                                say(Condition::Signature, Ok(()));
                            }
                        }
                    }
                }
                say(Condition::Type, is_credential);
                header = Some(read);
            }
        }
        let claims = Claims::unverified(text);
        // Another type of text has other claims.
        if header
            .as_ref()
            .is_none_or(|header| header.token_type.is_credential())
        {
            say(
                Condition::Claims,
                claims.as_ref().map(drop).map_err(|malformed| (*malformed).into()),
            );
        }
        let claims = claims.ok();
        if let Some(claims) = &claims {
            let token_type = header
                .as_ref()
                .map_or(TokenType::Access, |header| header.token_type);
            let unmet: Vec<Rejection> = match self.expected(token_type, now) {
                Some((_, expected)) => expected.unmet(token_type, claims).collect(),
                None => Vec::new(),
            };
            let judged = |rejection| match unmet.contains(&rejection) {
                true => Err(rejection),
                false => Ok(()),
            };
            say(Condition::Issuer, judged(Rejection::WrongIssuer));
            if token_type == TokenType::Session {
                say(Condition::Audience, judged(Rejection::WrongAudience));
            }
            say(Condition::Expiry, judged(Rejection::Expired));
            let kid = header.as_ref().map(|header| header.kid.as_str());
            let is_of = |record: &Record| {
                self.is_of(
                    record,
                    claims,
                    kid.unwrap_or(&record.token.kid),
                    match token_type {
                        TokenType::Session => TokenKind::Session,
                        _ => TokenKind::Api,
                    },
                )
            };
            let is_recorded = presented.is_some_and(|presented| is_of(&presented.record));
            conditions.push((Condition::Record, holds(is_recorded, Inactive::Unknown)));
        }
        Examined {
            verdict,
            conditions,
            header,
            claims,
        }
    }
}
