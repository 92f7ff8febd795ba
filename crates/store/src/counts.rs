//! Counts of the active tokens of limited owners, and their renewal.

use jeton_core::clock::Timestamp;
use jeton_core::token::Owner;

use crate::rules::limits::{self, Next};
use crate::{Cause, Guard, Order, Refused, Result, Store, Versions};

/// The count of an owner's active tokens: an upper bound, updated by every order about the owner's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerCount {
    /// The version, raised by every change of the count.
    pub version: u64,
    /// The upper bound at [`OwnerCount::as_of`] and later; `None` until the tokens are counted.
    pub active: Option<u32>,
    /// The latest instant of a change.
    pub as_of: Timestamp,
    /// When the tokens were counted.
    pub counted_at: Timestamp,
    /// The feed's last event when the tokens were counted.
    pub sequence: u64,
    /// When the first counted token expires or its grace period ends; [`Timestamp::LAST`] if none does.
    pub first_end: Timestamp,
}

/// The stored facts about the active tokens of an owner, without counting them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountFacts {
    /// The count, if the owner has one.
    pub count: Option<OwnerCount>,
    /// The feed's last event that is a cut-off; 0 if there is none.
    pub last_cut_off: u64,
}

/// The active tokens of an owner, counted one by one in one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recount {
    /// The version of the owner's count in the snapshot; `None` if the owner has none.
    pub version: Option<u64>,
    /// How many tokens count.
    pub active: u32,
    /// As in [`OwnerCount::first_end`].
    pub first_end: Timestamp,
    /// The feed's last event in the snapshot.
    pub sequence: u64,
}

/// Renews the counts of owners where [`limits::next`] requires it, and returns their sum. Tokens are counted at
/// the instant of `cause`.
///
/// Returns the refused guard if a fact has changed meanwhile: [`Guard::CountUnmoved`] if an owner's tokens
/// changed.
///
/// # Errors
///
/// Returns an error if the store fails.
pub async fn renew_counts(
    store: &dyn Store,
    cause: &Cause,
    owners: &[Owner],
    versions: &Versions,
) -> Result<std::result::Result<u64, Refused>> {
    let commit = async |order: Order| store.commit(order.versions(versions.clone())).await;
    let mut sum = 0;
    for owner in owners {
        let active = loop {
            let facts = store.owner_count(owner.clone()).await?;
            match limits::next(&facts, cause.at) {
                Next::Known(active) => break active,
                Next::Begin => match commit(limits::begin(cause.clone(), owner.clone())).await? {
                    // Another process may have begun it.
                    Ok(_) | Err(Refused(Guard::CountUnmoved(..))) => {}
                    Err(refused) => return Ok(Err(refused)),
                },
                Next::Recount => {
                    let recount = store.count_tokens(owner.clone(), cause.at).await?;
                    let order = limits::recounted(cause.clone(), owner.clone(), &recount);
                    match commit(order).await? {
                        Ok(_) => break recount.active,
                        Err(refused) => return Ok(Err(refused)),
                    }
                }
            }
        };
        sum += u64::from(active);
    }
    Ok(Ok(sum))
}
