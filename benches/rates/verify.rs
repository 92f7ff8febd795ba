//! Rows of the crate's verifier and of the guard: what verifying costs a service.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_verifier::event::Position;
use jeton_verifier::feed::{ListSnapshot, SnapshotClaims, feed_url};
use jeton_verifier::{
    Algorithm, CompressedList, Header, KeySet, Known, STATUS_LIST_CAPACITY, Statement, TokenType, Unverified,
    UnverifiedStatement, Verifier, assemble, statement_signing_input, strip_prefix,
};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::Outcome;
use crate::client::Ask;
use crate::issue::Created;
use crate::load::Load;
use crate::pace::Measured;
use crate::process::{Server, round};
use crate::report::{Bound, Pair, Quantity, Row, Target};
use crate::rows::Bench;
use crate::subject::{JETON, Jeton, TOKENS, json};
use crate::tokens::{Lines, Tokens};

const FIRST: Row = Row {
    name: "crate: first sight of a token",
    baseline: "its signature alone",
    target: Target::RateAtLeast(1.0 / 1.10),
};
const SEEN: Row = Row {
    name: "crate: seen before, 100k tokens by Zipf",
    baseline: "a hit of a bare cache",
    target: Target::RateAtLeast(1.0 / 3.0),
};
const GUARD: Row = Row {
    name: "guard: forward-auth, 10k tokens",
    baseline: "bare answer",
    target: Target::RateAtLeast(0.80),
};
const START: Bound = Bound {
    name: "crate: start from a snapshot of 1M revoked tokens",
    at_most: Quantity::Time(Duration::from_secs(1)),
};

const SEEN_TOKENS: usize = 100_000;
const GUARD_TOKENS: usize = 10_000;

/// The verifications of a round of seen tokens.
const VERIFICATIONS: usize = 1_000_000;

/// 96 lists are those of 100,000,000 tokens.
const LISTS: u32 = 96;

const AUDIENCE: &str = "https://api.example.com";

/// What the verifier's process is to measure.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Verify {
    address: SocketAddr,
    follower: String,
    tokens: Tokens,
    first: usize,
    verifications: usize,
    pairs: usize,
}

/// The pairs of both rows, the baseline first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Verified {
    first: Vec<(Measured, Measured)>,
    seen: Vec<(Measured, Measured)>,
}

pub(crate) async fn rows(bench: &Bench<'_>) -> Outcome<()> {
    let report = bench.report;
    if report.wants(START.name) {
        let (took, bytes) = tokio::task::spawn_blocking(start).await??;
        let detail = format!("{:.2} MB signed, {LISTS} lists", bytes as f64 / 1e6);
        report.bound(&START, Quantity::Time(took), &detail);
    }
    if !report.wants_any(&[FIRST.name, SEEN.name, GUARD.name]) {
        return Ok(());
    }
    let jeton = Jeton::start("verified", bench.folder).await?;
    let order = r#"{"name":"follows","owner":"deployment","scopes":["revocations:read"]}"#;
    let follower: Created = jeton
        .read(TOKENS, &Ask::post(&jeton.session, json(order)))
        .await?;
    let order = format!(
        r#"{{"name":"n","organization":"default","owner":"team","team":"bench","audience":"{AUDIENCE}","scopes":["projects:read"]}}"#
    );
    let count = bench.size.count(SEEN_TOKENS);
    let ask = Ask::post(&jeton.session, json(&order));
    let tokens = bench.tokens_of(&jeton, "for-verifiers", ask, count).await?;
    if report.wants_any(&[FIRST.name, SEEN.name]) {
        let verify = Verify {
            address: jeton.server.address,
            follower: follower.token.clone(),
            first: count.min(20_000),
            tokens: tokens.clone(),
            verifications: bench.size.count(VERIFICATIONS),
            pairs: bench.size.pairs,
        };
        let verified: Verified = round("verify", &verify).await?;
        for (row, pairs) in [(&FIRST, verified.first), (&SEEN, verified.seen)] {
            let pairs = pairs
                .into_iter()
                .map(|(baseline, subject)| Pair { baseline, subject });
            if report.wants(row.name) {
                report.row(row, &pairs.collect::<Vec<_>>());
            }
        }
    }
    if report.wants(GUARD.name) {
        guard(bench, &jeton, &follower.token, tokens).await?;
    }
    jeton.server.stop().await
}

/// Returns the binary of the guard beside that of the server: another package's, which `make bench` builds.
fn guard_binary() -> Outcome<PathBuf> {
    let path = Path::new(JETON).with_file_name("jeton-guard");
    match path.exists() {
        true => Ok(path),
        false => Err(format!(
            "no {}: cargo build --release --locked -p jeton-guard",
            path.display()
        )
        .into()),
    }
}

async fn guard(bench: &Bench<'_>, jeton: &Jeton, follower: &str, tokens: Tokens) -> Outcome<()> {
    let token_file = bench.folder.join("guard-token");
    std::fs::write(&token_file, follower)?;
    let mut command = Command::new(guard_binary()?);
    command
        .args(["--issuer", &format!("http://{}", jeton.server.address)])
        .args([
            "--audience",
            AUDIENCE,
            "--max-staleness",
            "60s",
            "--listen",
            "127.0.0.1:0",
        ])
        .arg("--token-file")
        .arg(&token_file)
        .args(["--rule", "read=projects:read"]);
    let guard = Server::start("guard", command, bench.folder).await?;
    let bare = bench.bare("bare-guard", &[], None).await?;
    let ready = Ask::get_as_nobody();
    let mut client = crate::client::Client::connect(guard.address).await?;
    let begun = Instant::now();
    while client.ask("/readyz", &ready, "").await.is_err() {
        if begun.elapsed() > Duration::from_secs(10) {
            return Err("the guard is not ready".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        client = crate::client::Client::connect(guard.address).await?;
    }
    let ask = Ask {
        caller: crate::client::Caller::InTurn,
        ..Ask::get("")
    };
    let count = bench.size.count(GUARD_TOKENS).min(tokens.count);
    let tokens = Some(Tokens { count, ..tokens });
    let baseline = Load {
        tokens: tokens.clone(),
        ..bench.load(&bare, ask.clone(), "/empty")?
    };
    let subject = Load {
        tokens,
        ..bench.load(&guard, ask, "/check/read")?
    };
    bench.compare(&GUARD, &baseline, &subject).await?;
    guard.stop().await
}

/// Measures the verifier, as standard input describes.
pub(crate) fn run() -> Outcome<()> {
    let verify: Verify = serde_json::from_reader(std::io::stdin().lock())?;
    let verified = verify.run()?;
    serde_json::to_writer(std::io::stdout().lock(), &verified)?;
    Ok(())
}

impl Verify {
    /// Returns a verifier that is ready, and has seen no token.
    fn verifier(&self) -> Outcome<Verifier> {
        Ok(Verifier::builder(format!("http://{}", self.address), AUDIENCE)
            .token(self.follower.as_str())
            .max_staleness(Duration::from_secs(600))
            .cache(self.tokens.count * 2, 1 << 30)
            .build()?)
    }

    fn run(&self) -> Outcome<Verified> {
        // The background task has a thread of its own; the verifications run on this one.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let _runtime = runtime.enter();
        let tokens = Lines::read(&self.tokens)?;
        let key = runtime.block_on(async {
            let mut client = crate::client::Client::connect(self.address).await?;
            let text = client
                .ask("/.well-known/jwks.json", &Ask::get_as_nobody(), "")
                .await?;
            let keys = KeySet::from_json(std::str::from_utf8(&text)?)?;
            let unverified = Unverified::parse(tokens.nth(0))?;
            let key = keys.find(&unverified.header().kid).cloned();
            Outcome::Ok(key.ok_or("the key of the tokens is not published")?)
        })?;
        let mut signed = Vec::new();
        for number in 0..self.first {
            let token = strip_prefix(tokens.nth(number));
            let (message, signature) = token.rsplit_once('.').ok_or("no token")?;
            signed.push((message, URL_SAFE_NO_PAD.decode(signature)?));
        }
        let mut verified = Verified::default();
        for _ in 0..self.pairs {
            let alone = measure(&signed, |(message, signature)| {
                key.verify(message.as_bytes(), signature)
            })?;
            let verifier = self.verifier()?;
            runtime.block_on(verifier.ready());
            let numbers: Vec<usize> = (0..self.first).collect();
            let first = measure(&numbers, |number| verifier.verify(tokens.nth(*number)).is_ok())?;
            verified.first.push((alone, first));
        }
        let verifier = self.verifier()?;
        runtime.block_on(verifier.ready());
        let cache = Cache::new(self.tokens.count * 2);
        for number in 0..self.tokens.count {
            let token = tokens.nth(number);
            let claims = verifier.verify(token)?;
            cache.insert(sha256(token), claims);
        }
        let order = zipf(self.tokens.count, self.verifications);
        for _ in 0..self.pairs {
            let hit = measure(&order, |number| cache.get(&sha256(tokens.nth(*number))).is_some())?;
            let seen = measure(&order, |number| verifier.verify(tokens.nth(*number)).is_ok())?;
            verified.seen.push((hit, seen));
        }
        Ok(verified)
    }
}

/// The digest by which the crate's cache finds a token.
fn sha256(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, strip_prefix(token).as_bytes()).as_ref());
    bytes
}

/// Runs something for each item, which must succeed.
fn measure<T>(items: &[T], mut does: impl FnMut(&T) -> bool) -> Outcome<Measured> {
    let begun = Instant::now();
    for item in items {
        if !does(item) {
            return Err("a token was refused, or not found".into());
        }
    }
    let took = begun.elapsed();
    let each = took / u32::try_from(items.len())?;
    Ok(Measured {
        rate: items.len() as f64 / took.as_secs_f64(),
        processor: each,
        ..Measured::default()
    })
}

/// Returns numbers below `count`: of the n-th, 1/n as many as of the first (Zipf).
fn zipf(count: usize, length: usize) -> Vec<usize> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=count)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..length)
        .map(|_| {
            let wanted = next() * sum;
            sums.partition_point(|sum| *sum < wanted).min(count - 1)
        })
        .collect()
}

/// Signs a snapshot, and measures what a follower does with it. Returns its size too.
fn start() -> Outcome<(Duration, usize)> {
    use std::io::Write;

    const ISSUER: &str = "https://tokens.example.com";
    let (key, _) = jeton::keys::SigningKey::generate(Algorithm::Es256)?;
    let mut state = 1_u64;
    let mut lists = Vec::new();
    for id in 0..LISTS {
        let mut bytes = vec![0_u8; STATUS_LIST_CAPACITY as usize / 8];
        for _ in 0..1_000_000 / LISTS {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let bit = (state >> 44) as usize;
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&bytes)?;
        lists.push(ListSnapshot {
            id,
            list: CompressedList(encoder.finish()?),
            scheduled: Vec::new(),
        });
    }
    let claims = SnapshotClaims {
        issuer: feed_url(ISSUER),
        audience: feed_url(ISSUER),
        issued_at: 1_767_323_105,
        taken_at: 1_767_323_105_678,
        position: Position::default(),
        status_lists: lists,
        cut_offs: Vec::new(),
    };
    let header = Header {
        algorithm: key.algorithm(),
        kid: key.kid().clone(),
        token_type: TokenType::Snapshot,
    };
    let message = statement_signing_input(&header.encode(), &claims)?;
    let signature = key.sign(message.as_bytes())?;
    let text = assemble(message, &signature);
    assert!(text.len() < SnapshotClaims::MAX_BYTES);
    let keys = KeySet::from_json(&format!(
        r#"{{"keys":[{}]}}"#,
        serde_json::to_string(key.public_jwk())?
    ))?;
    let mut times = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        let verified = keys.verify_statement(UnverifiedStatement::<SnapshotClaims>::parse(&text)?)?;
        let known = Arc::new(Known::from_snapshot(ISSUER, &verified.judge(ISSUER)?)?);
        times.push(begun.elapsed());
        drop(known);
    }
    times.sort_unstable();
    Ok((times.get(1).copied().unwrap_or_default(), text.len()))
}
