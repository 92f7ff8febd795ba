//! The rows about status lists, of a server of their own: a list of 2^20 places of which 1% are revoked.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::Outcome;
use crate::client::Ask;
use crate::load::{Keep, Load, Pace, Paths};
use crate::rows::{Bench, drive, load};
use crate::subject::{Jeton, TOKENS};
use crate::table::{Pair, Row, Target};

/// 1% of 2^20.
const REVOKED: usize = 10_486;

/// Revocations a second, while others fetch the list.
const PER_SECOND: f64 = 100.0;

pub(crate) async fn rows(bench: &Bench<'_>, folder: &Path) -> Outcome<[Row; 2]> {
    let jeton = Jeton::start("lists", folder, None).await?;
    let lists = Lists {
        bench,
        path: path(&jeton.token.token)?,
        jeton: &jeton,
    };
    let revoked = lists.issue(REVOKED).await?;
    drive(&lists.revoke(revoked, Pace::Closed)).await?;
    let rows = [lists.quiet().await?, lists.while_revoking().await?];
    jeton.server.stop().await?;
    Ok(rows)
}

/// Where the list is that the token names.
fn path(token: &str) -> Outcome<String> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        status_list: StatusList,
    }
    #[derive(Deserialize)]
    struct StatusList {
        uri: String,
    }
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let path = claims
        .status
        .status_list
        .uri
        .strip_prefix(&claims.iss)
        .map(str::to_owned);
    path.ok_or_else(|| "the list is elsewhere".into())
}

struct Lists<'a> {
    bench: &'a Bench<'a>,
    path: String,
    jeton: &'a Jeton,
}

impl Lists<'_> {
    async fn quiet(&self) -> Outcome<Row> {
        let mut pairs = Vec::new();
        for _ in 0..self.bench.size.pairs {
            let (bare, list) = self.loads().await?;
            pairs.push(Pair {
                baseline: drive(&bare).await?,
                jeton: drive(&list).await?,
            });
        }
        Ok(Row {
            what: "status list of 2^20, 1% revoked",
            target: Target::RateAtLeast(0.80),
            against: "bare bytes",
            pairs,
        })
    }

    async fn while_revoking(&self) -> Outcome<Row> {
        let size = self.bench.size;
        let seconds = (size.warm_up + size.time).as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few hundred"
        )]
        let tokens = (PER_SECOND * seconds) as usize;
        let mut pairs = Vec::new();
        for _ in 0..size.pairs {
            let ids = self.issue(tokens).await?;
            let (bare, list) = self.loads().await?;
            let baseline = drive(&bare).await?;
            let revoke = self.revoke(ids, Pace::Open(PER_SECOND));
            let (jeton, revoked) = tokio::join!(drive(&list), drive(&revoke));
            revoked?;
            pairs.push(Pair {
                baseline,
                jeton: jeton?,
            });
        }
        Ok(Row {
            what: "the same while 100 revocations/s arrive",
            target: Target::RateAtLeast(0.80),
            against: "bare bytes",
            pairs,
        })
    }

    /// The bare answer and the list of the same size.
    async fn loads(&self) -> Outcome<(Load, Load)> {
        // Without a credential, which neither looks at.
        let ask = Ask {
            token: None,
            ..Ask::get("")
        };
        let size = self.jeton.ask(&self.path, &ask).await?.len();
        // 1% of the places say more than nothing: less would not be the list that is meant.
        if size < 20_000 {
            return Err(format!("the list has {size} bytes only").into());
        }
        let round = |server, path| Load {
            asks: vec![ask.clone()],
            ..load(self.bench.size, server, Paths::Round(vec![path]))
        };
        let bare = round(self.bench.ceiling, format!("/bytes/{size}"));
        let list = round(&self.jeton.server, self.path.clone());
        Ok((bare, list))
    }

    async fn issue(&self, tokens: usize) -> Outcome<Vec<String>> {
        let issue = Load {
            warm_up: Duration::ZERO,
            time: Duration::from_secs(60),
            keep: Keep::Ids,
            asks: vec![self.jeton.issue()],
            ..load(
                self.bench.size,
                &self.jeton.server,
                Paths::Once(vec![TOKENS.to_owned(); tokens]),
            )
        };
        Ok(drive(&issue).await?.kept)
    }

    fn revoke(&self, ids: Vec<String>, pace: Pace) -> Load {
        let paths = ids
            .iter()
            .map(|id| format!("{}/revoke", self.jeton.path(id)))
            .collect();
        let ask = Ask::post(&self.jeton.session, None);
        let revoke = Load {
            asks: vec![ask],
            ..load(self.bench.size, &self.jeton.server, Paths::Once(paths))
        };
        match pace {
            Pace::Closed => Load {
                warm_up: Duration::ZERO,
                time: Duration::from_secs(60),
                ..revoke
            },
            Pace::Open(_) => Load {
                connections: 4,
                pace,
                ..revoke
            },
        }
    }
}
