//! Rows of introspecting and issuing while other organizations and users change.

use crate::Outcome;
use crate::client::{Ask, Body};
use crate::load::{Load, Pace};
use crate::report::{Pair, Row, Target};
use crate::rows::{Bench, drive};
use crate::subject::{INTROSPECT, Jeton, LOGIN, TOKENS, json, login};

/// The rows of one kind of change.
struct Rows {
    introspect: Row,
    issue: Row,
    issue_p99: Row,
}

const MEMBERS: Rows = Rows {
    introspect: Row {
        name: "introspect 5k while others' members change",
        baseline: "no changes",
        target: Target::RateAtLeast(0.95),
    },
    issue: Row {
        name: "issue while others' members change",
        baseline: "no changes",
        target: Target::RateAtLeast(0.95),
    },
    issue_p99: Row {
        name: "p99 of issue while others' members change",
        baseline: "no changes",
        target: Target::P99AtMost(1.3),
    },
};

const PASSWORDS: Rows = Rows {
    introspect: Row {
        name: "introspect 5k while others' passwords change",
        baseline: "others log in",
        target: Target::RateAtLeast(0.95),
    },
    issue: Row {
        name: "issue while others' passwords change",
        baseline: "others log in",
        target: Target::RateAtLeast(0.95),
    },
    issue_p99: Row {
        name: "p99 of issue while others' passwords change",
        baseline: "others log in",
        target: Target::P99AtMost(1.3),
    },
};

const TOKENS_IN_TURN: usize = 5_000;

/// Changes a second.
const PER_SECOND: f64 = 50.0;

/// The number of other users, organizations and so on.
const OTHERS: usize = 20;

const PASSWORD: &str = "a long enough passphrase";

impl Rows {
    const fn names(&self) -> [&'static str; 3] {
        [self.introspect.name, self.issue.name, self.issue_p99.name]
    }
}

pub(crate) async fn rows(bench: &Bench<'_>) -> Outcome<()> {
    let wants_members = bench.report.wants_any(&MEMBERS.names());
    let wants_passwords = bench.report.wants_any(&PASSWORDS.names());
    if !wants_members && !wants_passwords {
        return Ok(());
    }
    let jeton = Jeton::start("disturbed", bench.folder).await?;
    let own = Own::of(bench, &jeton).await?;
    if wants_members {
        jeton.create_organization("other").await?;
        let others = create_people(&jeton, "member").await?;
        own.measure(bench, &MEMBERS, None, &members(bench, &jeton, &others)?)
            .await?;
    }
    if wants_passwords {
        // Two groups, since a new password also revokes the sessions of logins.
        let (logging_in, changing) = (
            create_people(&jeton, "login").await?,
            create_people(&jeton, "password").await?,
        );
        let logins = logins(bench, &jeton, &logging_in)?;
        let changes = passwords(bench, &jeton, &changing)?;
        own.measure(bench, &PASSWORDS, Some(&logins), &changes).await?;
    }
    jeton.server.stop().await
}

/// The measured operations.
struct Own {
    introspect: Load,
    issue: Load,
}

impl Own {
    async fn of(bench: &Bench<'_>, jeton: &Jeton) -> Outcome<Self> {
        let introspector = jeton.introspector().await?;
        let tokens = bench
            .tokens(jeton, "undisturbed", bench.size.count(TOKENS_IN_TURN))
            .await?;
        let ask = Ask::introspect(&introspector, Body::AboutInTurn);
        Ok(Self {
            introspect: Load {
                tokens: Some(tokens),
                ..bench.load(&jeton.server, ask, INTROSPECT)?
            },
            issue: bench.load(&jeton.server, jeton.issue(), TOKENS)?,
        })
    }

    /// Measures both operations next to `calm`, which changes nothing, and next to `changes`.
    async fn measure(
        &self,
        bench: &Bench<'_>,
        rows: &Rows,
        calm: Option<&Load>,
        changes: &Load,
    ) -> Outcome<()> {
        let report = bench.report;
        let pairs = async |own: &Load| -> Outcome<Vec<Pair>> {
            let mut pairs = Vec::new();
            for _ in 0..bench.size.pairs {
                let baseline = match calm {
                    None => drive(own).await?,
                    Some(calm) => tokio::try_join!(drive(own), drive(calm))?.0,
                };
                let (subject, _) = tokio::try_join!(drive(own), drive(changes))?;
                pairs.push(Pair { baseline, subject });
            }
            Ok(pairs)
        };
        if report.wants(rows.introspect.name) {
            report.row(&rows.introspect, &pairs(&self.introspect).await?);
        }
        if report.wants_any(&[rows.issue.name, rows.issue_p99.name]) {
            let pairs = pairs(&self.issue).await?;
            report.row(&rows.issue, &pairs);
            report.row(&rows.issue_p99, &pairs);
        }
        Ok(())
    }
}

/// Creates users and returns their e-mail addresses.
async fn create_people(jeton: &Jeton, name: &str) -> Outcome<Vec<String>> {
    let mut addresses = Vec::new();
    for number in 0..OTHERS {
        let address = format!("{name}-{number}@example.com");
        let body = format!(r#"{{"email":"{address}","password":"{PASSWORD}"}}"#);
        jeton
            .ask("/api/v1/users", &Ask::post(&jeton.session, json(&body)))
            .await?;
        addresses.push(address);
    }
    Ok(addresses)
}

/// Returns the load of requests at [`PER_SECOND`], with few enough connections that the password hasher
/// never refuses one.
fn beside(bench: &Bench<'_>, jeton: &Jeton, asks: Vec<Ask>, paths: Vec<String>) -> Outcome<Load> {
    Ok(Load {
        connections: 4,
        pace: Pace::Open(PER_SECOND),
        asks,
        paths,
        ..bench.load(&jeton.server, Ask::get(""), "")?
    })
}

/// Returns the load that sets roles in another organization, a different one each time.
pub(crate) fn members(bench: &Bench<'_>, jeton: &Jeton, people: &[String]) -> Outcome<Load> {
    let mut asks = Vec::new();
    for role in ["member", "viewer"] {
        let ask = Ask {
            method: "PUT".to_owned(),
            expected: 204,
            ..Ask::post(&jeton.session, json(&format!(r#"{{"role":"{role}"}}"#)))
        };
        asks.extend(vec![ask; people.len()]);
    }
    let path = |address| format!("/api/v1/organizations/other/members/{address}");
    let changes = beside(bench, jeton, asks, people.iter().map(path).collect())?;
    // Sequential: concurrent directory changes are re-evaluated, and finally refused.
    Ok(Load {
        connections: 1,
        ..changes
    })
}

/// Returns the load that sets new passwords as the administrator.
fn passwords(bench: &Bench<'_>, jeton: &Jeton, people: &[String]) -> Outcome<Load> {
    let ask = Ask {
        method: "PATCH".to_owned(),
        expected: 200,
        ..Ask::post(
            &jeton.session,
            json(&format!(r#"{{"password":"{PASSWORD}, a new one"}}"#)),
        )
    };
    let path = |address| format!("/api/v1/users/{address}");
    beside(bench, jeton, vec![ask], people.iter().map(path).collect())
}

/// Returns the load of logins, which hash a password like a password change.
fn logins(bench: &Bench<'_>, jeton: &Jeton, people: &[String]) -> Outcome<Load> {
    let asks = people.iter().map(|address| login(address, PASSWORD)).collect();
    beside(bench, jeton, asks, vec![LOGIN.to_owned()])
}
