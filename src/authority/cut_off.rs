//! Cut-offs: revokes all tokens of an organization, a team, a user, a project or a key with one event.

use crate::authority::policy::{self, Rank};
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, FieldFault, Result};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, OrganizationReference, TeamReference, UserId};
use jeton_core::token::{Actor, CutOff, Reach, TokenKind};
use jeton_store::{Effect, Order, PersonReference};

/// The tokens to revoke: those that match every field that is set.
#[derive(Debug, Clone, Default)]
pub struct CutOffOrder {
    /// Of this organization. `None` requires a site administrator.
    pub organization: Option<OrganizationReference>,
    /// Of this team of the organization.
    pub team: Option<TeamReference>,
    /// Of this user.
    pub user: Option<PersonReference>,
    /// Restricted to this project of the organization, deleted or not.
    pub project: Option<u32>,
    /// Signed by this key.
    pub key: Option<String>,
    /// Issued before this instant; `None` is now.
    pub issued_before: Option<Timestamp>,
    /// The caller's reason.
    pub reason: Option<String>,
}

/// A cut-off that is durably recorded.
#[derive(Debug, Clone)]
pub struct CutOffRecord {
    /// The sequence number of its event in the revocation feed.
    pub sequence: u64,
    /// The tokens it covers.
    pub cut_off: CutOff,
    /// The caller who ordered it.
    pub ordered_by: Actor,
    /// The caller's reason.
    pub reason: Option<String>,
}

impl Authority {
    /// Revokes all tokens in reach issued before the instant, with one event however many they are.
    ///
    /// Within an organization, its admins may do this and sessions are not ended. Across organizations and by
    /// key, only site administrators may, and sessions end too.
    pub async fn cut_off(&self, caller: &Caller, order: &CutOffOrder) -> Result<CutOffRecord> {
        let (cut_off, position) = self
            .attempt_for(caller, move |caller, view| {
                Box::pin(async move {
                    let now = self.clock.now();
                    let cut_off = self.cut_off_of(&view, &caller, order, now).await?;
                    let cause = caller.cause(now).because(order.reason.clone());
                    let effect = Effect::CutOff(cut_off.clone());
                    let committed = self.commit(&view, Order::new(cause).effect(effect)).await?;
                    Ok(committed.map(|committed| (cut_off, committed.position)))
                })
            })
            .await?;
        let (ordered_by, reason) = (caller.actor(), order.reason.clone());
        tracing::info!(by = ordered_by.name, reach = %cut_off.reach, "revocation created");
        Ok(CutOffRecord {
            sequence: position.ok_or(Error::Busy)?.sequence,
            cut_off,
            ordered_by,
            reason,
        })
    }

    /// Returns the cut-off of an order, if the caller may give it.
    pub(super) async fn cut_off_of(
        &self,
        view: &View<'_>,
        caller: &Caller,
        order: &CutOffOrder,
        now: Timestamp,
    ) -> Result<CutOff> {
        Ok(CutOff {
            reach: self.reach(view, caller, order).await?,
            issued_through: issued_through(order.issued_before, now)?,
            effective_at: now,
        })
    }

    async fn reach(&self, view: &View<'_>, caller: &Caller, order: &CutOffOrder) -> Result<Reach> {
        let mut reach = Reach {
            project: order.project,
            ..Reach::default()
        };
        let rank = match &order.organization {
            Some(reference) => {
                let (organization, rank) = view.visible(caller, reference).await?;
                policy::manage_organization(&rank)?;
                // No session belongs to an organization; the field tells this to clients that follow the feed.
                reach.kind = Some(TokenKind::Api);
                reach.organization = Some(organization.value.id);
                if let Some(team) = &order.team {
                    reach.team = Some(view.team(organization.value.id, team).await?.id.clone());
                }
                self.check_project(order.project).await?;
                rank
            }
            None => policy::rank_everywhere(caller),
        };
        if reach.organization.is_none() || order.key.is_some() {
            policy::govern_deployment(&rank)?;
        }
        if let Some(user) = &order.user {
            reach.user = Some(
                self.person_in_reach(view, &rank, user, reach.organization)
                    .await?,
            );
        }
        if let Some(key) = &order.key {
            reach.kid = Some(self.known_key(key).await?);
        }
        Ok(reach)
    }

    /// Refuses a project number that was never given, which must be a mistake. The organization of a deleted
    /// project is not recorded.
    async fn check_project(&self, project: Option<u32>) -> Result<()> {
        match project {
            Some(number) if number > self.store.newest_project().await? => {
                let message = "no project ever had this number";
                Err(Error::Invalid(vec![FieldFault::new("project", message)]))
            }
            _ => Ok(()),
        }
    }

    /// Returns the user to cut off. An organization's admins must not learn whether a user exists outside of
    /// it.
    async fn person_in_reach(
        &self,
        view: &View<'_>,
        rank: &Rank,
        reference: &PersonReference,
        organization: Option<OrganizationId>,
    ) -> Result<UserId> {
        let person = view.person(reference).await?.ok_or(Error::Absent)?;
        let belongs = match organization {
            Some(organization) => view.standing(&person.id, organization).await?.role.is_some(),
            None => true,
        };
        if belongs || *rank == Rank::Site {
            Ok(person.id)
        } else {
            Err(Error::Absent)
        }
    }

    async fn known_key(&self, kid: &str) -> Result<String> {
        let keys = self.store.keys().await?;
        match keys.value.row(kid) {
            Some(row) => Ok(row.key.kid.clone()),
            None => Err(Error::Invalid(vec![FieldFault::new(
                "key",
                "unknown key; `jeton keys list` lists all keys",
            )])),
        }
    }
}

/// Returns the last whole second to cover, since verifiers see `iat` in whole seconds. An instant within a
/// second covers that whole second, so that no token escapes.
fn issued_through(issued_before: Option<Timestamp>, now: Timestamp) -> Result<i64> {
    match issued_before {
        None => Ok(now.seconds()),
        Some(instant) if instant > now => Err(Error::Invalid(vec![FieldFault::new(
            "issued_before",
            "`issued_before` must not be in the future",
        )])),
        Some(instant) => Ok((instant.millis() - 1).div_euclid(1000)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_cut_off_covers_whole_seconds_and_nothing_of_the_future() {
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let now = at(10_500);
        for (before, through) in [
            (None, 10),
            (Some(at(10_500)), 10),
            (Some(at(10_001)), 10),
            (Some(at(10_000)), 9),
            (Some(at(9_999)), 9),
            (Some(at(0)), -1),
        ] {
            assert_eq!(issued_through(before, now).unwrap(), through, "{before:?}");
        }
        assert!(matches!(
            issued_through(Some(at(10_501)), now),
            Err(Error::Invalid(_))
        ));
    }
}
