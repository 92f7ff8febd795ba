//! Lists of tokens, filtered and sorted.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use jeton_core::clock::Timestamp;
use jeton_core::directory::TeamId;
use jeton_core::token::filter::Breach;
use jeton_core::token::{
    CountTotal, Cursor, Direction, End, Filter, Listing, Order, Page, Record, SortBy, SortValue, Start,
    Status, StatusAt, TokenId, TokenKind, Visibility, WantedStatus,
};

use super::data::Data;

impl Data {
    /// The tokens that match, in the order of their numbers.
    pub(super) fn matching<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a Record> {
        let matching = self.matching_in_any_status(filter);
        matching.filter(|record| {
            filter
                .status
                .as_ref()
                .is_none_or(|status| self.is_in(record, status))
        })
    }

    pub(super) fn matching_in_any_status<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> impl Iterator<Item = &'a Record> {
        let beyond = self.beyond_limit(filter);
        self.tokens.values().map(Arc::as_ref).filter(move |record| {
            record.token.kind == TokenKind::Api
                && self.is_visible(record, &filter.visibility)
                && is_of(record, filter)
                && self.reads(record, filter)
                && self.is_used(record, filter)
                && match &filter.breaks {
                    Some(breach) if filter.organization.is_some() => {
                        breaks(record, breach) || beyond.contains(&record.id)
                    }
                    _ => true,
                }
        })
    }

    pub(super) fn is_in(&self, record: &Record, status: &StatusAt) -> bool {
        let is_revoked = record.is_revoked(status.at) || self.is_cut_off(record, Some(status.at));
        let is = match (is_revoked, record.is_expired(status.at)) {
            (true, _) => Status::Revoked,
            (false, true) => Status::Expired,
            (false, false) => Status::Active,
        };
        match status.wanted {
            WantedStatus::Only(wanted) => is == wanted,
            WantedStatus::Unrevoked => is != Status::Revoked,
        }
    }

    fn is_visible(&self, record: &Record, visibility: &Visibility) -> bool {
        let owner = &record.token.owner;
        match visibility {
            Visibility::Everything => true,
            Visibility::Own { user, teams } => {
                owner.team().is_some_and(|team| teams.contains(team))
                    || owner
                        .user()
                        .filter(|owner| user.as_ref() == Some(owner))
                        .is_some_and(|user| self.belongs(user, owner.organization()))
            }
        }
    }

    /// What people read about a token.
    fn reads(&self, record: &Record, filter: &Filter) -> bool {
        let token = &record.token;
        let has = |text: &str, part: &str| text.to_ascii_lowercase().contains(&part.to_ascii_lowercase());
        let team = token.owner.team().and_then(|team| self.team_name(team));
        filter.text.as_ref().is_none_or(|part| {
            has(&token.name, part)
                || token.description.as_ref().is_some_and(|text| has(text, part))
                || team.is_some_and(|team| has(team, part))
        }) && filter
            .team_name
            .as_ref()
            .is_none_or(|part| team.is_some_and(|team| has(team, part)))
            && filter
                .slot
                .as_ref()
                .is_none_or(|slot| token.slot.as_ref() == Some(slot))
            && filter
                .scope
                .as_ref()
                .is_none_or(|scope| token.scopes.contains(scope))
            && filter
                .preset
                .as_ref()
                .is_none_or(|preset| token.preset.as_ref() == Some(preset))
            && filter.created_by.as_ref().is_none_or(|name| {
                let of_person = |kept: &super::data::Kept<super::data::Account>| {
                    kept.value.person.email.as_str() == name.to_ascii_lowercase()
                };
                let maker = &token.created_by;
                maker.name.eq_ignore_ascii_case(name)
                    || maker
                        .user
                        .as_ref()
                        .and_then(|user| self.people.get(user))
                        .is_some_and(of_person)
            })
            && filter.except != Some(record.id)
            && (filter.ends.is_empty() || filter.ends.iter().any(|end| ends_so(token.expires_at, *end)))
    }

    fn team_name(&self, team: &TeamId) -> Option<&str> {
        self.teams.get(team).map(|kept| kept.value.name.as_str())
    }

    fn is_used(&self, record: &Record, filter: &Filter) -> bool {
        let (created_at, seen) = (record.token.created_at, record.last_used_at);
        filter
            .unused_since
            .is_none_or(|instant| seen.unwrap_or(created_at) < instant)
            && (!filter.never_used || seen.is_none())
            && filter.reporting_at.is_none_or(|now| {
                let since = match filter.unused_since {
                    Some(instant) if !filter.never_used => instant.max(created_at),
                    _ => created_at,
                };
                record.token.audience.iter().all(|audience| {
                    self.reporting
                        .get(audience)
                        .is_some_and(|reporting| crate::rules::usage::reports(reporting, since, now))
                })
            })
    }

    /// Those that the organization's limit does not allow their owners beside their newest.
    fn beyond_limit(&self, filter: &Filter) -> BTreeSet<TokenId> {
        let mut beyond = BTreeSet::new();
        let (Some(breach), Some(organization)) = (&filter.breaks, filter.organization) else {
            return beyond;
        };
        let Some(most) = breach.policy.max_active_tokens_per_owner else {
            return beyond;
        };
        let mut newer: Vec<&Record> = Vec::new();
        for record in self.tokens.values().rev().map(Arc::as_ref) {
            let owner = &record.token.owner;
            if owner.organization() != Some(organization) || !self.is_counted(record, breach.at) {
                continue;
            }
            if newer.iter().filter(|other| other.token.owner == *owner).count() >= most as usize {
                beyond.insert(record.id);
            }
            newer.push(record);
        }
        beyond
    }
}

fn is_of(record: &Record, filter: &Filter) -> bool {
    let owner = &record.token.owner;
    let is_everywhere_of = |user| owner.organization().is_none() && owner.user() == Some(user);
    filter.organization.is_none_or(|organization| {
        owner.organization() == Some(organization)
            || filter.or_everywhere_of.as_ref().is_some_and(is_everywhere_of)
    }) && filter.team.as_ref().is_none_or(|team| owner.team() == Some(team))
        && filter.user.as_ref().is_none_or(|user| owner.user() == Some(user))
        && filter.owner.is_none_or(|kind| owner.kind() == kind)
}

fn ends_so(expires_at: Option<Timestamp>, end: End) -> bool {
    match (expires_at, end) {
        (None, End::Never) => true,
        (Some(at), End::Between(from, until)) => from <= at && until.is_none_or(|until| at < until),
        (None, End::Between(..)) | (Some(_), End::Never) => false,
    }
}

fn breaks(record: &Record, Breach { policy, .. }: &Breach) -> bool {
    let token = &record.token;
    let lives_too_long = policy.max_lifetime.is_some_and(|seconds| {
        let most = i64::try_from(seconds).unwrap_or(i64::MAX / 1000) * 1000;
        token
            .expires_at
            .is_none_or(|end| end.millis() - token.created_at.millis() > most)
    });
    lives_too_long
        || token.scopes.iter().any(|scope| !policy.allows_scope(scope))
        || token
            .preset
            .as_ref()
            .is_some_and(|preset| !policy.allows_preset(preset))
}

/// The position of a token in a list that is sorted by something.
fn position(data: &Data, record: &Record, by: SortBy) -> Cursor {
    let token = &record.token;
    let text = |text: &str| Some(SortValue::Text(text.to_ascii_lowercase()));
    Cursor {
        token: record.id,
        value: match by {
            SortBy::CreatedAt => None,
            SortBy::ExpiresAt => token.expires_at.map(SortValue::Instant),
            SortBy::LastUsedAt => record.last_used_at.map(SortValue::Instant),
            SortBy::Name => text(&token.name),
            SortBy::Team => token
                .owner
                .team()
                .and_then(|team| data.team_name(team))
                .and_then(text),
            SortBy::CreatedBy => text(&token.created_by.name),
        },
    }
}

/// What has no value is last, either way.
fn compare(one: &Cursor, other: &Cursor, order: Order) -> Ordering {
    let values = match (&one.value, &other.value) {
        (Some(SortValue::Instant(one)), Some(SortValue::Instant(other))) => one.cmp(other),
        (Some(SortValue::Text(one)), Some(SortValue::Text(other))) => one.cmp(other),
        (Some(_), None) => return Ordering::Less,
        (None, Some(_)) => return Ordering::Greater,
        (None, None) | (Some(_), Some(_)) => Ordering::Equal,
    };
    let ascending = values.then(one.token.cmp(&other.token));
    match order {
        Order::Ascending => ascending,
        Order::Descending => ascending.reverse(),
    }
}

/// One page.
pub(super) fn page(data: &Data, filter: &Filter, page: &Page) -> Listing {
    let mut all: Vec<(Cursor, &Record)> = data
        .matching(filter)
        .map(|record| (position(data, record, page.sort.by), record))
        .collect();
    let total = all.len() as u64;
    let is_next = page.direction == Direction::Next;
    // Going back is going forth in the list turned round.
    let along = |one: &Cursor, other: &Cursor| match is_next {
        true => compare(one, other, page.sort.order),
        false => compare(other, one, page.sort.order),
    };
    all.sort_by(|(one, _), (other, _)| along(one, other));
    let passed = match &page.start {
        Start::Beginning => 0,
        Start::Offset(offset) => usize::try_from(*offset).unwrap_or(usize::MAX).min(all.len()),
        Start::Cursor(cursor) => all.partition_point(|(one, _)| along(one, cursor).is_le()),
    };
    let comes_back = match &page.start {
        Start::Beginning | Start::Offset(0) => false,
        Start::Offset(_) => !all.is_empty(),
        Start::Cursor(_) => passed > 0,
    };
    let mut found = all.split_off(passed);
    let goes_on = found.len() > page.limit as usize;
    found.truncate(page.limit as usize);
    if !is_next {
        found.reverse();
    }
    let audiences: BTreeSet<&String> = found
        .iter()
        .flat_map(|(_, record)| &record.token.audience)
        .collect();
    Listing {
        reporting_audiences: audiences
            .into_iter()
            .filter_map(|audience| data.reporting.get(audience).cloned())
            .collect(),
        edges: found
            .first()
            .zip(found.last())
            .map(|((first, _), (last, _))| (first.clone(), last.clone())),
        items: found.iter().map(|(_, record)| Record::clone(record)).collect(),
        total: (page.count == CountTotal::Yes).then_some(total),
        has_next: if is_next { goes_on } else { comes_back },
        has_previous: if is_next { comes_back } else { goes_on },
    }
}
