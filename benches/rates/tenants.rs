//! Rows of what others notice while one tenant does its worst on 64 connections, next to the same connections that
//! get one token.

use serde::Deserialize;

use crate::Outcome;
use crate::client::{ANY, Ask, Body, Caller};
use crate::load::{Load, Pace};
use crate::pace::Measured;
use crate::report::{Pair, Row, Target};
use crate::rows::{Bench, drive};
use crate::subject::{Jeton, LOGIN, TOKENS, json, login};
use crate::tokens::Tokens;

/// One way to disturb others, and the rows of what they notice.
struct Worst {
    revoke: Row,
    issue: Row,
    list: Row,
    ready: Row,
    request: fn(&Tenants) -> (Ask, String),
}

const LISTS: Worst = Worst {
    revoke: row("p99 of others' revoke beside long lists"),
    issue: row("p99 of others' issue beside long lists"),
    list: row("p99 of others' list beside long lists"),
    ready: row("p99 of others' readyz beside long lists"),
    request: |tenants| (get(&tenants.member), LONG_LIST.to_owned()),
};

const WHOLE: Worst = Worst {
    revoke: row("p99 of others' revoke beside whole lists"),
    issue: row("p99 of others' issue beside whole lists"),
    list: row("p99 of others' list beside whole lists"),
    ready: row("p99 of others' readyz beside whole lists"),
    request: |tenants| (get(&tenants.member), WHOLE_LIST.to_owned()),
};

const NAMES: Worst = Worst {
    revoke: row("p99 of others' revoke beside unique names"),
    issue: row("p99 of others' issue beside unique names"),
    list: row("p99 of others' list beside unique names"),
    ready: row("p99 of others' readyz beside unique names"),
    request: |tenants| {
        (
            tenants.same_name(),
            format!("/api/v2/teams/{}/authentication-tokens", tenants.team),
        )
    },
};

const REFUSED: Worst = Worst {
    revoke: row("p99 of others' revoke beside refused tokens"),
    issue: row("p99 of others' issue beside refused tokens"),
    list: row("p99 of others' list beside refused tokens"),
    ready: row("p99 of others' readyz beside refused tokens"),
    request: |tenants| {
        (
            Ask {
                caller: Caller::InTurn,
                ..get("")
            },
            format!("{TOKENS}/{}", tenants.id),
        )
    },
};

const fn row(name: &'static str) -> Row {
    Row {
        name,
        baseline: "beside get by id",
        target: Target::P99AtMost(3.0),
    }
}

/// The tokens of the tenant's team.
const OWN: usize = 60_000;

/// How many revoked tokens are presented in turn.
const REVOKED: usize = 3_000;

/// Requests of others a second, and their connections.
const PER_SECOND: f64 = 50.0;
const CONNECTIONS: usize = 4;

const MEMBER: &str = "member@example.com";
const PASSWORD: &str = "a long enough passphrase";
const OF_OTHER: &str = r#"{"name":"other","organization":"other","owner":"organization"}"#;
const LONG_LIST: &str = "/api/v1/tokens?organization=default&sort_by=name&include_total_count=true&q=zzz";
const WHOLE_LIST: &str = "/organizations/default/teams/bench/tokens";
const OTHERS_LIST: &str = "/api/v1/tokens?organization=other&limit=20";

/// A member of one organization with many tokens, and another organization.
struct Tenants {
    jeton: Jeton,
    /// The session of an ordinary member, who manages the team.
    member: String,
    /// The team's id.
    team: String,
    /// The id of a token of the team.
    id: String,
    /// Tokens of the team that are revoked.
    revoked: Tokens,
}

pub(crate) async fn rows(bench: &Bench<'_>) -> Outcome<()> {
    let all = [LISTS, WHOLE, NAMES, REFUSED];
    let wants = |worst: &&Worst| {
        let Worst {
            revoke,
            issue,
            list,
            ready,
            ..
        } = worst;
        bench
            .report
            .wants_any(&[revoke.name, issue.name, list.name, ready.name])
    };
    let wanted: Vec<_> = all.iter().filter(wants).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let tenants = Tenants::settle(bench).await?;
    for worst in wanted {
        tenants.measure(bench, worst).await?;
    }
    tenants.jeton.server.stop().await
}

impl Tenants {
    async fn settle(bench: &Bench<'_>) -> Outcome<Self> {
        #[derive(Deserialize)]
        struct Team {
            id: String,
        }
        #[derive(Deserialize)]
        struct Session {
            token: String,
        }
        let jeton = Jeton::start("tenants", bench.folder).await?;
        jeton.create_organization("other").await?;
        let person = format!(r#"{{"email":"{MEMBER}","password":"{PASSWORD}"}}"#);
        jeton
            .ask("/api/v1/users", &Ask::post(&jeton.session, json(&person)))
            .await?;
        let team = "/api/v1/organizations/default/teams/bench";
        for (path, role) in [
            (
                format!("/api/v1/organizations/default/members/{MEMBER}"),
                "member",
            ),
            (format!("{team}/members/{MEMBER}"), "admin"),
        ] {
            let ask = Ask {
                method: "PUT".to_owned(),
                expected: 204,
                ..Ask::post(&jeton.session, json(&format!(r#"{{"role":"{role}"}}"#)))
            };
            jeton.ask(&path, &ask).await?;
        }
        let team: Team = jeton.read(team, &Ask::get(&jeton.session)).await?;
        let session: Session = jeton.read(LOGIN, &login(MEMBER, PASSWORD)).await?;
        let revoked = bench.tokens(&jeton, "revoked", bench.size.count(REVOKED)).await?;
        let all = format!("{TOKENS}/revoke");
        let end = Ask {
            expected: ANY,
            ..Ask::post(
                &jeton.session,
                json(r#"{"organization":"default","team":"bench"}"#),
            )
        };
        jeton.ask(&all, &end).await?;
        let ids = bench.ids(&jeton, jeton.issue(), bench.size.count(OWN)).await?;
        Ok(Self {
            member: session.token,
            team: team.id,
            id: ids.into_iter().next().ok_or("no token")?,
            revoked,
            jeton,
        })
    }

    /// Returns the request for a token with a name that is taken.
    fn same_name(&self) -> Ask {
        let body = r#"{"data":{"type":"authentication-tokens","attributes":{"description":"bench"}}}"#;
        Ask {
            expected: ANY,
            ..Ask::post(&self.member, Body::JsonApi(body.to_owned()))
        }
    }

    async fn measure(&self, bench: &Bench<'_>, worst: &Worst) -> Outcome<()> {
        let jeton = &self.jeton;
        let (ask, path) = (worst.request)(self);
        // Ended with the round of the others, which is shorter.
        let beside = |ask, path: &str| {
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Load {
                tokens: Some(self.revoked.clone()),
                time: bench.size.time * 10,
                ..bench.load(&jeton.server, ask, path)?
            })
        };
        let tenant = beside(ask, &path)?;
        let calm = beside(get(&self.member), &jeton.path(&self.id))?;
        let others = |ask, path: &str| {
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Load {
                connections: CONNECTIONS,
                pace: Pace::Open(PER_SECOND),
                ..bench.load(&jeton.server, ask, path)?
            })
        };
        let of_other = Ask::post(&jeton.session, json(OF_OTHER));
        let issue = others(of_other.clone(), TOKENS)?;
        let list = others(Ask::get(&jeton.session), OTHERS_LIST)?;
        let ready = others(Ask::get_as_nobody(), "/readyz")?;
        for (row, own) in [
            (&worst.revoke, None),
            (&worst.issue, Some(issue)),
            (&worst.list, Some(list)),
            (&worst.ready, Some(ready)),
        ] {
            if !bench.report.wants(row.name) {
                continue;
            }
            let own = async || match &own {
                Some(own) => Ok(own.clone()),
                // Each round revokes tokens of its own.
                None => {
                    let time = bench.size.warm_up + bench.size.time;
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "a few hundred"
                    )]
                    let count = (time.as_secs_f64() * PER_SECOND * 1.5) as usize;
                    let ids = bench.ids(jeton, of_other.clone(), count).await?;
                    let paths = ids.iter().map(|id| format!("{}/revoke", jeton.path(id)));
                    let ask = Ask::post(&jeton.session, Body::Empty);
                    Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Load {
                        paths: paths.collect(),
                        ..others(ask, "")?
                    })
                }
            };
            let mut pairs = Vec::new();
            for _ in 0..bench.size.pairs {
                let (beside_calm, beside_worst) = (own().await?, own().await?);
                pairs.push(Pair {
                    baseline: drive_beside(&beside_calm, &calm).await?,
                    subject: drive_beside(&beside_worst, &tenant).await?,
                });
            }
            bench.report.row(row, &pairs);
        }
        Ok(())
    }
}

/// Runs one round beside another load, which is cut off at its end.
async fn drive_beside(own: &Load, other: &Load) -> Outcome<Measured> {
    tokio::select! {
        measured = drive(own) => measured,
        ended = drive(other) => Err(format!("the load beside has ended: {:?}", ended.map(drop)).into()),
    }
}

/// Returns a request that may be refused.
fn get(token: &str) -> Ask {
    Ask {
        expected: ANY,
        ..Ask::get(token)
    }
}
