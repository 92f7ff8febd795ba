//! The same with few tokens and with very many, side by side.

use std::path::Path;
use std::time::{Duration, Instant};

use jeton::system::SystemClock;
use jeton_core::clock::Clock;

use crate::Outcome;
use crate::bounds::{self, Bound};
use crate::client::Ask;
use crate::load::{Load, Paths};
use crate::rows::{Size, drive, load};
use crate::seed::seed;
use crate::subject::{CURRENT, Jeton, TOKENS};
use crate::table::{Pair, Row, Target};

/// What must be as fast with a million tokens as with ten thousand.
const RATIO: f64 = 0.90;

/// How many tokens another organization has, whose list is read.
const OTHERS: usize = 100;

const OTHERS_LIST: &str = "/api/v1/tokens?organization=other&limit=100";

/// Bounds of the server with very many tokens.
const MOST_MEMORY: u64 = 100_000_000;
const READY_WITHIN: Duration = Duration::from_secs(2);

/// A server and what is asked of it.
struct Crowd {
    jeton: Jeton,
    tokens: usize,
    ids: Vec<String>,
    ready: Duration,
}

/// The rows, and what has a bound of its own.
pub(crate) async fn rows(size: Size, folder: &Path) -> Outcome<(Vec<Row>, Vec<Bound>)> {
    let [few, many] = size.crowds;
    let few = Crowd::gather("few", folder, few).await?;
    let many = Crowd::gather("many", folder, many).await?;
    // Before the rounds, which make it many more.
    let lists = bounds::lists(size, &few.jeton, few.tokens).await?;
    let pair = async |what, of: &dyn Fn(&Crowd) -> Load| -> Outcome<Row> {
        let mut pairs = Vec::new();
        for _ in 0..size.pairs {
            pairs.push(Pair {
                baseline: drive(&of(&few)).await?,
                jeton: drive(&of(&many)).await?,
            });
        }
        Ok(Row {
            what,
            target: Target::RateAtLeast(RATIO),
            against: "with few tokens",
            pairs,
        })
    };
    let read = |crowd: &Crowd, token: &str, paths| Load {
        asks: vec![Ask::get(token)],
        ..load(size, &crowd.jeton.server, Paths::Round(paths))
    };
    let rows = vec![
        pair("with very many tokens: issue", &|crowd| {
            let paths = Paths::Round(vec![TOKENS.to_owned()]);
            Load {
                asks: vec![crowd.jeton.issue()],
                ..load(size, &crowd.jeton.server, paths)
            }
        })
        .await?,
        pair("with very many tokens: authenticate", &|crowd| {
            read(crowd, &crowd.jeton.token.token, vec![CURRENT.to_owned()])
        })
        .await?,
        pair("with very many tokens: get one by id", &|crowd| {
            let paths = crowd.ids.iter().map(|id| crowd.jeton.path(id)).collect();
            read(crowd, &crowd.jeton.session, paths)
        })
        .await?,
        pair("with very many: list of another organization", &|crowd| {
            read(crowd, &crowd.jeton.session, vec![OTHERS_LIST.to_owned()])
        })
        .await?,
    ];
    let mut bounds = few.bounds()?;
    bounds.extend(many.bounds()?);
    bounds.push(lists);
    bounds.push(bounds::writes_beside_a_bulk_revocation(size, &many.jeton).await?);
    few.jeton.server.stop().await?;
    many.jeton.server.stop().await?;
    Ok((rows, bounds))
}

impl Crowd {
    async fn gather(name: &'static str, folder: &Path, tokens: usize) -> Outcome<Self> {
        let jeton = Jeton::start(name, folder, None).await?;
        let organization = Ask::post(&jeton.session, Some(r#"{"name":"other"}"#));
        jeton.ask("/api/v1/organizations", &organization).await?;
        for _ in 0..OTHERS {
            let body = r#"{"name":"one of few","organization":"other"}"#;
            jeton.ask(TOKENS, &Ask::post(&jeton.session, Some(body))).await?;
        }
        let mut ids = Vec::new();
        let mut begun = Instant::now();
        let jeton = jeton
            .restart_after(async |database: &Path| {
                ids = seed(database, tokens, SystemClock.now()).await?;
                println!("{tokens} tokens were recorded in {:.1?}", begun.elapsed());
                begun = Instant::now();
                Ok(())
            })
            .await?;
        let ready = Ask {
            method: "GET".to_owned(),
            token: None,
            body: None,
            expected: 200,
        };
        jeton.ask("/readyz", &ready).await?;
        Ok(Self {
            jeton,
            tokens,
            ids,
            ready: begun.elapsed(),
        })
    }

    /// How soon it was ready, and how large it is now.
    fn bounds(&self) -> Outcome<Vec<Bound>> {
        let of = format!("of {} tokens, a tenth of them revoked", self.tokens);
        Ok(vec![
            Bound::time(
                format!("ready to serve the database {of}"),
                self.ready,
                READY_WITHIN,
            ),
            Bound::megabytes(
                format!("memory after the rounds, with a database {of}"),
                self.jeton.server.memory()?,
                MOST_MEMORY,
            ),
        ])
    }
}
