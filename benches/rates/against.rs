//! Rows of this build's server against that of another commit: processor time per operation.
//!
//! Each server has its own database and is driven by HTTP alone, since the other commit's store and
//! crates may differ.

use std::path::Path;

use crate::Outcome;
use crate::client::{Ask, Body, Caller};
use crate::disturbed;
use crate::load::{Load, Pace};
use crate::pace::Measured;
use crate::report::{Pair, Row, Target};
use crate::rows::{Bench, drive};
use crate::subject::{AUTHORIZE_REQUEST, CURRENT, INTROSPECT, JETON, Jeton, TOKENS};
use crate::tokens::Tokens;

const ROUNDS: usize = 10;

/// Enough requests to make the resolution of the kernel's processor time, a hundredth of a second,
/// negligible.
const WRITES: usize = 40_000;
const READS: usize = 60_000;
const PAGES: usize = 4_000;
const CHANGES: usize = 5_000;

/// The number of tokens that services present in turn.
const IN_TURN: usize = 1_000;

#[derive(Debug, Clone, Copy)]
enum Operation {
    Issue,
    Revoke,
    Get,
    Authenticate,
    Introspect,
    ForwardAuth,
    List,
    Members,
}

const OPERATIONS: [(Operation, &str); 8] = [
    (Operation::Issue, "issue"),
    (Operation::Revoke, "revoke"),
    (Operation::Get, "get one token by id"),
    (Operation::Authenticate, "authenticate (tokens/current)"),
    (Operation::Introspect, "introspect 1k tokens in turn"),
    (Operation::ForwardAuth, "forward-auth 1k tokens in turn"),
    (Operation::List, "page of a list"),
    (Operation::Members, "change of a member"),
];

pub(crate) async fn rows(bench: &Bench<'_>, other: &Path) -> Outcome<()> {
    let other = Build::start(bench, "other", other).await?;
    let own = Build::start(bench, "own", JETON.as_ref()).await?;
    for (operation, name) in OPERATIONS {
        if !bench.report.wants(name) {
            continue;
        }
        let mut pairs = Vec::new();
        for round in 0..ROUNDS {
            // The order of the builds alternates.
            let (baseline, subject) = if round.is_multiple_of(2) {
                let baseline = other.round(bench, operation).await?;
                (baseline, own.round(bench, operation).await?)
            } else {
                let subject = own.round(bench, operation).await?;
                (other.round(bench, operation).await?, subject)
            };
            pairs.push(Pair { baseline, subject });
        }
        let row = Row {
            name,
            baseline: "that commit",
            target: Target::ProcessorAtMost(1.03),
        };
        bench.report.row(&row, &pairs);
    }
    own.jeton.server.stop().await?;
    other.jeton.server.stop().await
}

/// A server and its clients.
struct Build {
    jeton: Jeton,
    introspector: String,
    tokens: Tokens,
}

impl Build {
    async fn start(bench: &Bench<'_>, name: &'static str, binary: &Path) -> Outcome<Self> {
        let jeton = Jeton::start_with(name, bench.folder, binary, None).await?;
        jeton.create_organization("other").await?;
        let tokens = bench.tokens(&jeton, &format!("{name}-tokens"), IN_TURN).await?;
        Ok(Self {
            introspector: jeton.introspector().await?,
            tokens,
            jeton,
        })
    }

    /// Runs one round of an operation.
    async fn round(&self, bench: &Bench<'_>, operation: Operation) -> Outcome<Measured> {
        let jeton = &self.jeton;
        let load = |ask, path: &str, count| -> Outcome<Load> {
            let load = Load {
                tokens: Some(self.tokens.clone()),
                ..bench.load(&jeton.server, ask, path)?
            };
            Ok(load.numbered(bench.size.count(count)))
        };
        let own = || Ask::get(&jeton.session);
        let load = match operation {
            Operation::Issue => load(jeton.issue(), TOKENS, WRITES)?,
            Operation::Revoke => {
                let count = bench.size.count(WRITES);
                let ids = bench.ids(jeton, jeton.issue(), count).await?;
                bench.revoke(jeton, &ids)?
            }
            Operation::Get => load(own(), &jeton.path(&jeton.token.token_info.id), READS)?,
            Operation::Authenticate => load(Ask::get(&jeton.token.token), CURRENT, READS)?,
            Operation::Introspect => {
                let ask = Ask::introspect(&self.introspector, Body::AboutInTurn);
                load(ask, INTROSPECT, READS)?
            }
            Operation::ForwardAuth => {
                let ask = Ask {
                    caller: Caller::InTurn,
                    ..own()
                };
                load(ask, AUTHORIZE_REQUEST, READS)?
            }
            Operation::List => load(own(), &format!("{TOKENS}?organization=default&limit=100"), PAGES)?,
            Operation::Members => {
                let people: Vec<String> = (0..20).map(|n| format!("member-{n}@example.com")).collect();
                let changes = Load {
                    pace: Pace::Closed,
                    ..disturbed::members(bench, jeton, &people)?
                };
                changes.numbered(bench.size.count(CHANGES))
            }
        };
        drive(&load).await
    }
}
