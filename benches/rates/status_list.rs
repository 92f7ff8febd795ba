//! Rows of status lists, on a server of their own: a list of 2^20 indexes of which 1% are revoked.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::Outcome;
use crate::client::Ask;
use crate::load::{Load, Pace};
use crate::process::Server;
use crate::report::{Pair, Row, Target};
use crate::rows::{Bench, drive};
use crate::subject::Jeton;

const QUIET: Row = Row {
    name: "status list of 2^20, 1% revoked",
    baseline: "bare bytes",
    target: Target::RateAtLeast(0.75),
};
const WHILE_REVOKING: Row = Row {
    name: "status list while 100 revocations/s arrive",
    baseline: "bare bytes",
    target: Target::RateAtLeast(0.65),
};

/// 1% of 2^20.
const REVOKED: usize = 10_486;

/// Revocations per second while other clients fetch the list.
const PER_SECOND: f64 = 100.0;

pub(crate) async fn rows(bench: &Bench<'_>) -> Outcome<()> {
    if !bench.report.wants_any(&[QUIET.name, WHILE_REVOKING.name]) {
        return Ok(());
    }
    let jeton = Jeton::start("lists", bench.folder).await?;
    let lists = Lists {
        bench,
        path: path(&jeton.token.token)?,
        jeton: &jeton,
        bare: bench.bare("bare-lists", &[], None).await?,
    };
    // All of them in a quick run too: fewer would be a different list.
    let revoked = bench.ids(&jeton, jeton.issue(), REVOKED).await?;
    drive(&bench.revoke(&jeton, &revoked)?).await?;
    if bench.report.wants(QUIET.name) {
        let (bare, list) = lists.loads().await?;
        bench.report.row(&QUIET, &bench.pairs(&bare, &list).await?);
    }
    if bench.report.wants(WHILE_REVOKING.name) {
        bench.report.row(&WHILE_REVOKING, &lists.while_revoking().await?);
    }
    jeton.server.stop().await
}

/// Returns the path of the status list that the token names.
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
    bare: Server,
}

impl Lists<'_> {
    async fn while_revoking(&self) -> Outcome<Vec<Pair>> {
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
            let ids = self.bench.ids(self.jeton, self.jeton.issue(), tokens).await?;
            let (bare, list) = self.loads().await?;
            let baseline = drive(&bare).await?;
            let revoke = Load {
                connections: 4,
                pace: Pace::Open(PER_SECOND),
                warm_up: size.warm_up,
                ..self.bench.revoke(self.jeton, &ids)?
            };
            let (subject, _) = tokio::try_join!(drive(&list), drive(&revoke))?;
            pairs.push(Pair { baseline, subject });
        }
        Ok(pairs)
    }

    /// Returns the loads of the bare response and of the list, which have the same size.
    async fn loads(&self) -> Outcome<(Load, Load)> {
        let ask = Ask::get_as_nobody();
        let size = self.jeton.ask(&self.path, &ask).await?.len();
        // The minimum size of a list with 1% of its bits set.
        if size < 20_000 {
            return Err(format!("the list has {size} bytes only").into());
        }
        let bare = self
            .bench
            .load(&self.bare, ask.clone(), &format!("/bytes/{size}"))?;
        let list = self.bench.load(&self.jeton.server, ask, &self.path)?;
        Ok((bare, list))
    }
}
