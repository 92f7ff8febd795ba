//! The facts that the guards of frequent orders are about, read for all orders of a batch at once.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use futures_util::future::try_join_all;
use tokio::try_join;
use tokio_postgres::Row;

use crate::active::is_active;
use crate::connection::Connection;
use crate::cut_offs::issued_through;
use crate::failure::Failure;
use crate::values::{Bound, Column, Columns, get, params};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, UserId};
use jeton_core::token::{NewToken, TokenId};
use jeton_store::{Generation, Guard, Order, Realm};

/// What the guards of a batch are compared with. It stands while the lock is held.
pub(super) struct Facts {
    /// The version of the keys, the latest instant of an order, and the latest second that any cut-off covers.
    keys: Generation,
    pub(super) latest: Timestamp,
    cut_through: i64,
    /// The key that signs: its number, its id, and until when it is needed.
    pub(super) signing: Option<(i64, String, Timestamp)>,
    organizations: HashMap<OrganizationId, Generation>,
    people: HashMap<UserId, Generation>,
    /// The credentials that are active.
    active: HashSet<TokenId>,
}

impl Facts {
    /// Reads what the guards of these orders are about.
    pub(super) async fn read<'a>(
        connection: &Connection,
        orders: impl Iterator<Item = &'a Order>,
    ) -> Result<Self, Failure> {
        let (mut organizations, mut people, mut credentials) =
            (HashSet::new(), HashSet::new(), HashSet::new());
        let mut at = Timestamp::EPOCH;
        for guard in orders.flat_map(|order| &order.guards) {
            match guard {
                Guard::Unchanged(Realm::Organization(id), _) => {
                    organizations.insert(*id);
                }
                Guard::Unchanged(Realm::Person(id), _) => {
                    people.insert(id);
                }
                Guard::Active(token, instant) => {
                    credentials.insert(token.0);
                    at = at.max(*instant);
                }
                _ => {}
            }
        }
        let organizations = Bound::array(organizations);
        let people = Bound::array(people);
        let credentials = Bound::array(credentials);
        let (organizations, people, credentials) =
            (params![organizations], params![people], params![credentials, at]);
        // Sent together, and answered one after the other.
        let (head, organizations, people, unended) = try_join!(
            connection.row(
                "SELECT generation, latest_at,
                    (SELECT max(least(issued_through_seconds, effective_at / 1000)) FROM revocations
                     WHERE kind = 'cut_off'), keys.id, keys.kid, keys.needed_until
                 FROM meta LEFT JOIN keys ON keys.state = 'signing'",
                &[],
            ),
            connection.rows(
                "SELECT public_id, generation FROM organizations
                 WHERE public_id = ANY($1) AND deleted_at IS NULL",
                organizations,
            ),
            connection.rows(
                "SELECT public_id, generation FROM users WHERE public_id = ANY($1) AND deleted_at IS NULL",
                people,
            ),
            connection.rows(UNENDED, credentials),
        )?;
        let columns = &mut Columns::of(&head);
        let keys = Generation(columns.take()?);
        let latest = columns.take()?;
        let cut_through = columns.take::<Option<i64>>()?.unwrap_or(i64::MIN);
        let mut active = HashSet::new();
        let mut old = Vec::new();
        for row in &unended {
            let (token, issued) = (TokenId(get(row, 0)?), get::<i64>(row, 1)?);
            if issued > cut_through {
                active.insert(token);
            } else {
                old.push(token);
            }
        }
        // Each is asked for apart, and all are sent together: a query for all of them would be planned anew each time,
        // which takes longer.
        let at = at.max(latest);
        let is_active = old.iter().map(|token| is_active(connection, *token, at));
        let is_active = try_join_all(is_active).await?;
        active.extend(
            old.iter()
                .zip(is_active)
                .filter(|(_, is)| *is)
                .map(|(token, _)| *token),
        );
        let (number, kid, needed_until): (Option<i64>, Option<String>, Option<Timestamp>) =
            (columns.take()?, columns.take()?, columns.take()?);
        Ok(Self {
            keys,
            latest,
            cut_through,
            signing: match (number, kid, needed_until) {
                (Some(number), Some(kid), Some(needed_until)) => Some((number, kid, needed_until)),
                _ => None,
            },
            organizations: versions(&organizations)?,
            people: versions(&people)?,
            active,
        })
    }

    /// Returns the first guard of an order that does not hold; those about other tokens are not among them.
    pub(super) async fn broken(
        &self,
        connection: &Connection,
        order: &Order,
        recorded: Option<&NewToken>,
    ) -> Result<Option<Guard>, Failure> {
        for guard in &order.guards {
            let holds = match guard {
                Guard::Unchanged(Realm::Keys, generation) => self.keys == *generation,
                Guard::Unchanged(Realm::Organization(id), generation) => {
                    self.organizations.get(id) == Some(generation)
                }
                Guard::Unchanged(Realm::Person(id), generation) => self.people.get(id) == Some(generation),
                Guard::Signs(kid) => self.signing.as_ref().is_some_and(|(_, signs, _)| signs == kid),
                Guard::AfterCutOffs => match recorded {
                    Some(token) if token.created_at.seconds() <= self.cut_through => {
                        issued_through(connection, token).await?.is_none()
                    }
                    Some(_) | None => true,
                },
                Guard::Active(token, _) => self.active.contains(token),
                _ => true,
            };
            if !holds {
                return Ok(Some(guard.clone()));
            }
        }
        Ok(None)
    }
}

fn versions<K: Column + Hash + Eq>(rows: &[Row]) -> Result<HashMap<K, Generation>, Failure> {
    rows.iter()
        .map(|row| Ok((get(row, 0)?, Generation(get(row, 1)?))))
        .collect()
}

/// Selects which of these tokens have neither expired nor been revoked, as of the latest instant of an order or of these
/// orders, and the second in which each was issued.
const UNENDED: &str = "SELECT id, created_at / 1000
     FROM tokens, (SELECT greatest(latest_at, $2) AS instant FROM meta) AS now
     WHERE id = ANY($1) AND (effective_at IS NULL OR effective_at > instant)
         AND (expires_at IS NULL OR expires_at / 1000 > instant / 1000)";
