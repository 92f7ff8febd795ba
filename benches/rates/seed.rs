//! Tokens by the hundred thousand, put into a database that nobody serves at the moment.

use std::path::Path;
use std::sync::Arc;

use crate::store::clerk::{RecordOrder, RecordOutcome, RevokeOrder};
use jeton::system::SystemEntropy;
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationReference;
use jeton_core::entropy::Entropy;
use jeton_core::token::{Actor, NewToken, Owner, Revocation, TokenId, TokenKind};
use jeton_store::rules::tokens::Naming;
use jeton_store::{Change, KeyState, Keys, LastToken, Observer, Organizations, Revocations, Tokens};
use jeton_store_sqlite::SqliteStore;
use tokio::task::JoinSet;

use crate::Outcome;

/// How many orders wait at once: what the writer commits together.
const TOGETHER: usize = 1024;

/// Each tenth token is revoked.
const REVOKED: usize = 10;

struct Nobody;

impl Observer for Nobody {
    fn committed(&self, _: &[Change]) {}
}

/// Records tokens of the organization `default` through the store itself, as if they had been made by an
/// instant, for a year each, and revokes a tenth of them. Gives the numbers of ten thousand, spread over
/// all.
pub(crate) async fn seed(database: &Path, count: usize, made_by: Timestamp) -> Outcome<Vec<String>> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let store = Arc::new(SqliteStore::open(
        database,
        Arc::clone(&entropy),
        Arc::new(Nobody),
    )?);
    let reference = OrganizationReference::Name("default".to_owned());
    let organization = store.organization(reference).await?.ok_or("no organization")?;
    let keys = store.keys().await?;
    let key = keys.into_iter().find(|key| key.state == KeyState::Signing);
    let kid: Arc<str> = key.ok_or("no signing key")?.key.kid.into();
    let judged_at = store
        .changes_after(u64::MAX, jeton_store::Generation(0))
        .await?
        .generation;
    let mut ids = Vec::new();
    for begin in (0..count).step_by(TOGETHER) {
        let mut orders = JoinSet::new();
        for number in begin..count.min(begin + TOGETHER) {
            // A millisecond apart.
            let age = i64::try_from(count - number)?;
            let created_at = Timestamp::from_millis(made_by.millis() - age).ok_or("before 1970")?;
            let token = token(organization.id, Arc::clone(&kid), &*entropy, created_at);
            let store = Arc::clone(&store);
            orders.spawn(async move { record(&store, token, judged_at, number, made_by).await });
        }
        while let Some(recorded) = orders.join_next().await {
            let (number, id) = recorded??;
            if number % (count / 10_000).max(1) == 1 % (count / 10_000).max(1) && number % REVOKED != 0 {
                ids.push(id.to_string());
            }
        }
    }
    Ok(ids)
}

async fn record(
    store: &SqliteStore,
    token: NewToken,
    judged_at: jeton_store::Generation,
    number: usize,
    made_by: Timestamp,
) -> Outcome<(usize, TokenId)> {
    let place = store.reserve(&token).await?;
    let order = RecordOrder {
        token,
        judged_at,
        limits: Vec::new(),
        naming: Naming::Free,
        rotation: None,
    };
    let RecordOutcome::Recorded(recorded) = store.record(order, place).await? else {
        return Err("a token was not recorded".into());
    };
    let id = recorded.into_record().id;
    if number.is_multiple_of(REVOKED) {
        let revocation = Revocation {
            revoked_at: made_by,
            effective_at: made_by,
            revoked_by: operator(),
            reason: None,
        };
        let order = RevokeOrder {
            token: id,
            revocation,
            last_token: LastToken::MayGo,
        };
        store.revoke(order).await?;
    }
    Ok((number, id))
}

fn token(
    organization: jeton_core::directory::OrganizationId,
    kid: Arc<str>,
    entropy: &dyn Entropy,
    created_at: Timestamp,
) -> NewToken {
    NewToken {
        jti: entropy.uuid_v7(created_at),
        kind: TokenKind::Api,
        name: "seeded".to_owned(),
        description: Some("one of very many".to_owned()),
        slot: None,
        owner: Owner::Organization(organization),
        scopes: ["projects:read", "content:read", "content:write"]
            .into_iter()
            .filter_map(|scope| scope.parse().ok())
            .collect(),
        preset: None,
        projects: None,
        audience: vec!["http://127.0.0.1".to_owned()],
        prefix: String::new(),
        kid,
        created_at,
        created_by: operator(),
        expires_at: Some(created_at.plus_seconds(365 * 86_400)),
    }
}

fn operator() -> Actor {
    Actor {
        name: "operator".to_owned(),
        user: None,
    }
}
