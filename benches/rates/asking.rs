//! Rows of read-only requests, against responses of the same size.

use crate::Outcome;
use crate::client::{Ask, Body, Caller};
use crate::load::Load;
use crate::report::{Row, Target};
use crate::rows::{Bench, drive};
use crate::subject::{AUTHORIZE_REQUEST, CURRENT, INTROSPECT, Jeton};

const GET: Row = row("get one token by id", 0.50);
const AUTHENTICATE: Row = row("authenticate (tokens/current)", 0.70);
const INTROSPECTION: Row = row("introspect 10k tokens in turn", 0.70);
const FORWARD_AUTH: Row = row("forward-auth 10k tokens in turn", 0.70);

const fn row(name: &'static str, least: f64) -> Row {
    Row {
        name,
        baseline: "bare answer",
        target: Target::RateAtLeast(least),
    }
}

/// The number of tokens that services present in turn.
const IN_TURN: usize = 10_000;

pub(crate) async fn rows(bench: &Bench<'_>) -> Outcome<()> {
    let report = bench.report;
    if !report.wants_any(&[GET.name, AUTHENTICATE.name, INTROSPECTION.name, FORWARD_AUTH.name]) {
        return Ok(());
    }
    let jeton = Jeton::start("asking", bench.folder).await?;
    let by_id = jeton.path(&jeton.token.token_info.id);
    let get = Ask::get(&jeton.session);
    let authenticate = Ask::get(&jeton.token.token);
    let introspector = jeton.introspector().await?;
    let about_one = Ask::introspect(&introspector, Body::About(jeton.token.token.clone()));
    let sizes = [
        jeton.ask(&by_id, &get).await?.len(),
        jeton.ask(CURRENT, &authenticate).await?.len(),
        jeton.ask(INTROSPECT, &about_one).await?.len(),
    ];
    let bare = bench.bare("bare-asking", &sizes, None).await?;
    let [by_id_size, current_size, about_size] = sizes;
    let json = |size| format!("/json/{size}");

    bench
        .compare(
            &GET,
            &bench.load(&bare, get.clone(), &json(by_id_size))?,
            &bench.load(&jeton.server, get, &by_id)?,
        )
        .await?;
    bench
        .compare(
            &AUTHENTICATE,
            &bench.load(&bare, authenticate.clone(), &json(current_size))?,
            &bench.load(&jeton.server, authenticate, CURRENT)?,
        )
        .await?;
    if report.wants_any(&[INTROSPECTION.name, FORWARD_AUTH.name]) {
        let tokens = bench.tokens(&jeton, "in-turn", bench.size.count(IN_TURN)).await?;
        let load = |server, ask: &Ask, path: &str| -> Outcome<Load> {
            Ok(Load {
                tokens: Some(tokens.clone()),
                ..bench.load(server, ask.clone(), path)?
            })
        };
        let introspect = Ask::introspect(&introspector, Body::AboutInTurn);
        let load_introspect = load(&jeton.server, &introspect, INTROSPECT)?;
        // Fills the cache, so that no round includes first uses.
        drive(&load_introspect.clone().numbered(tokens.count)).await?;
        let form = format!("/form/{about_size}");
        bench
            .compare(
                &INTROSPECTION,
                &load(&bare, &introspect, &form)?,
                &load_introspect,
            )
            .await?;
        let forward = Ask {
            caller: Caller::InTurn,
            ..Ask::get("")
        };
        bench
            .compare(
                &FORWARD_AUTH,
                &load(&bare, &forward, "/empty")?,
                &load(&jeton.server, &forward, AUTHORIZE_REQUEST)?,
            )
            .await?;
    }
    jeton.server.stop().await
}
