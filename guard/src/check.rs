//! Forward-auth: whether a request may pass a proxy, and whom its token acts for.

use hyper::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use jeton_verifier::{
    Claims, Malformed, Rejection, Requirements, UnreadableCredential, Verifier, credential,
};
use uuid::Uuid;

use crate::config::Rule;
use crate::refusal::{Answer, NO_STORE, Refusal};
use crate::verdicts::Verdicts;

const SUBJECT: HeaderName = HeaderName::from_static("x-jeton-subject");
const ORGANIZATION: HeaderName = HeaderName::from_static("x-jeton-organization");
const TEAM: HeaderName = HeaderName::from_static("x-jeton-team");
const SCOPES: HeaderName = HeaderName::from_static("x-jeton-scopes");
const PROJECTS: HeaderName = HeaderName::from_static("x-jeton-projects");
const TOKEN_ID: HeaderName = HeaderName::from_static("x-jeton-token-id");
const JTI: HeaderName = HeaderName::from_static("x-jeton-jti");

/// The value for an absent claim: a proxy would pass on the client's own header in place of an empty or absent one.
const NONE: HeaderValue = HeaderValue::from_static("-");

/// The value for a token that is restricted to no project at all: the opposite of [`NONE`].
const NO_PROJECT: HeaderValue = HeaderValue::from_static("none");

/// A rule and its verdicts.
#[derive(Debug)]
pub(crate) struct Check {
    rule: Rule,
    requirements: Requirements,
    pub(crate) verdicts: Verdicts,
}

impl Check {
    pub(crate) fn new(rule: Rule) -> Self {
        let mut requirements = Requirements::new().audience(&rule.audience);
        for scope in &rule.scopes {
            requirements = requirements.scope(scope);
        }
        for project in &rule.projects {
            requirements = requirements.project(*project);
        }
        if let Some(organization) = rule.organization {
            requirements = requirements.organization(organization);
        }
        if let Some(team) = &rule.team {
            requirements = requirements.team(team);
        }
        if rule.accepts_if_unknown {
            requirements = requirements.accept_if_unknown();
        }
        Self {
            rule,
            requirements,
            verdicts: Verdicts::default(),
        }
    }

    /// Answers a proxy: 200 with the headers for the service, or a refusal for the client.
    pub(crate) fn answer(&self, verifier: &Verifier, headers: &HeaderMap) -> Answer {
        let credential = match credential(headers) {
            Ok(Some(credential)) => credential,
            Ok(None) => {
                self.verdicts.no_credential();
                return Refusal::NoCredential.answer();
            }
            Err(UnreadableCredential) => {
                self.verdicts.bad_credential();
                return Refusal::BadCredential.answer();
            }
        };
        let verdict = verifier
            .verify_for(&self.requirements, credential.token())
            .and_then(|claims| about(&claims).ok_or(Rejection::Malformed(Malformed::Claims)));
        match verdict {
            Ok(about) => {
                self.verdicts.accepted();
                let mut answer = Answer::default();
                // Room for all: a map that grows would cost more than the verdict.
                *answer.headers_mut() = HeaderMap::with_capacity(about.len());
                answer.headers_mut().extend(about);
                answer
            }
            Err(rejection) => {
                self.verdicts.rejected(rejection);
                Refusal::Token(rejection, Some(&self.rule)).answer()
            }
        }
    }
}

/// Returns the headers of a response that lets a request through; `None` for a claim that no header can hold, which the authority never signs.
fn about(claims: &Claims) -> Option<[(HeaderName, HeaderValue); 8]> {
    let scopes = claims.scope.as_deref().unwrap_or_default();
    let scopes = match scopes {
        [] => NONE,
        [one] => HeaderValue::from_str(one).ok()?,
        many => HeaderValue::try_from(many.join(" ")).ok()?,
    };
    let projects = match claims.projects.as_deref() {
        None => NONE,
        Some([]) => NO_PROJECT,
        Some(some) => {
            let numbers: Vec<String> = some.iter().map(u32::to_string).collect();
            HeaderValue::try_from(numbers.join(" ")).ok()?
        }
    };
    let team = claims.team.as_deref().map(HeaderValue::from_str);
    Some([
        (CACHE_CONTROL, NO_STORE),
        (SUBJECT, HeaderValue::from_str(&claims.subject).ok()?),
        (ORGANIZATION, claims.organization.map_or(Some(NONE), id)?),
        (TEAM, team.transpose().ok()?.unwrap_or(NONE)),
        (SCOPES, scopes),
        (PROJECTS, projects),
        // The number of the authority's record is not in the token.
        (TOKEN_ID, NONE),
        (JTI, id(claims.jti)?),
    ])
}

fn id(id: Uuid) -> Option<HeaderValue> {
    let mut text = Uuid::encode_buffer();
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).ok()
}
