//! Lists of tokens, filtered and sorted in Rust.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, TeamId};
use jeton_core::token::filter::Breach;
use jeton_core::token::{
    Actor, CountTotal, Cursor, Direction, End, Filter, Listing, Order, Page, Record, ReportingAudience,
    SortBy, SortValue, Start, Status, StatusAt, TokenId, TokenKind, Visibility, WantedStatus,
};

use super::data::Data;
use crate::rules::usage;

impl Data {
    /// Returns the tokens that match, in the order of their numbers.
    pub(super) fn matching<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a Record> {
        let matching = self.matching_in_any_status(filter);
        matching.filter(|record| self.is_in(record, filter.status))
    }

    pub(super) fn matching_in_any_status<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> impl Iterator<Item = &'a Record> {
        let breach = filter.breaks.as_ref().zip(filter.organization);
        let beyond = breach.map(|(breach, organization)| self.beyond_limit(breach, organization));
        self.records().filter(move |record| {
            record.token.kind == TokenKind::Api
                && self.is_visible(record, &filter.visibility)
                && is_of(record, filter)
                && self.reads(record, filter)
                && self.is_used(record, filter)
                && (breach.is_none_or(|(breach, _)| breaks(record, breach))
                    || beyond.as_ref().is_some_and(|beyond| beyond.contains(&record.id)))
        })
    }

    pub(super) fn is_in(&self, record: &Record, status: Option<StatusAt>) -> bool {
        let Some(StatusAt { wanted, at }) = status else {
            return true;
        };
        let is_revoked = record.is_revoked(at) || self.is_cut_off(record, Some(at));
        match wanted {
            WantedStatus::Unrevoked => !is_revoked,
            WantedStatus::Only(Status::Revoked) => is_revoked,
            WantedStatus::Only(Status::Expired) => !is_revoked && record.is_expired(at),
            WantedStatus::Only(Status::Active) => !is_revoked && !record.is_expired(at),
        }
    }

    fn is_visible(&self, record: &Record, visibility: &Visibility) -> bool {
        let Visibility::Own { user, teams } = visibility else {
            return true;
        };
        let owner = &record.token.owner;
        let own = owner.user().filter(|owner| user.as_ref() == Some(owner));
        own.is_some_and(|user| self.belongs(user, owner.organization()))
            || owner.team().is_some_and(|team| teams.contains(team))
    }

    /// Returns whether the texts of a token match the filter.
    fn reads(&self, record: &Record, filter: &Filter) -> bool {
        let token = &record.token;
        let (text, team_name) = (filter.text.as_deref(), filter.team_name.as_deref());
        let team = token.owner.team().and_then(|team| self.team_name(team));
        (has(Some(&token.name), text) || has(token.description.as_deref(), text) || has(team, text))
            && has(team, team_name)
            && wants(filter.slot.as_ref(), token.slot.as_ref())
            && wants(filter.preset.as_ref(), token.preset.as_ref())
            && (filter.scope.iter()).all(|scope| token.scopes.contains(scope))
            && (filter.created_by.iter()).all(|name| self.is_made_by(&token.created_by, name))
            && filter.except != Some(record.id)
            && wants(filter.only, Some(record.id))
            && (filter.ends.is_empty() || filter.ends.iter().any(|end| ends_so(token.expires_at, *end)))
            && (filter.created_after).is_none_or(|from| from <= token.created_at)
            && (filter.created_before).is_none_or(|until| token.created_at < until)
            && (filter.project)
                .is_none_or(|project| token.projects.iter().flatten().any(|one| *one == project))
            && (filter.kid.as_deref()).is_none_or(|kid| *token.kid == *kid)
            && !(filter.for_others
                && token.owner.user().is_some()
                && token.owner.user() == token.created_by.user.as_ref())
    }

    fn is_made_by(&self, maker: &Actor, name: &str) -> bool {
        let person = maker.user.as_ref().and_then(|user| self.people.get(user));
        maker.name.eq_ignore_ascii_case(name)
            || person.is_some_and(|kept| kept.value.person.email.as_str() == name.to_ascii_lowercase())
    }

    fn team_name(&self, team: &TeamId) -> Option<&str> {
        self.teams.get(team).map(|kept| kept.value.name.as_str())
    }

    fn is_used(&self, record: &Record, filter: &Filter) -> bool {
        let (created_at, seen) = (record.token.created_at, record.last_used_at);
        let since = match filter.unused_since {
            Some(instant) if !filter.never_used => instant.max(created_at),
            _ => created_at,
        };
        let reports = |audience: &String, now| {
            let reporting = self.reporting.get(audience);
            reporting.is_some_and(|reporting| usage::reports(reporting, since, now))
        };
        (filter.unused_since).is_none_or(|instant| seen.unwrap_or(created_at) < instant)
            && (!filter.never_used || seen.is_none())
            && (filter.used_since).is_none_or(|instant| seen.is_some_and(|seen| instant <= seen))
            && (filter.reporting_at.iter()).all(|now| {
                record
                    .token
                    .audience
                    .iter()
                    .all(|audience| reports(audience, *now))
            })
    }

    /// Returns the tokens that exceed the organization's limit, which allows only each owner's newest.
    fn beyond_limit(&self, breach: &Breach, organization: OrganizationId) -> BTreeSet<TokenId> {
        let most = breach.policy.max_active_tokens_per_owner;
        let most = most.map_or(usize::MAX, |most| most as usize);
        let mut counted: Vec<&Record> = self.records().rev().collect();
        counted.retain(|record| {
            record.token.owner.organization() == Some(organization) && self.is_counted(record, breach.at)
        });
        let is_beyond = |(place, record): &(usize, &&Record)| {
            let newer = counted.iter().take(*place);
            newer
                .filter(|other| other.token.owner == record.token.owner)
                .count()
                >= most
        };
        let beyond = counted.iter().enumerate().filter(is_beyond);
        beyond.map(|(_, record)| record.id).collect()
    }
}

/// Returns whether a value is the wanted one, or none is wanted.
fn wants<T: PartialEq>(wanted: Option<T>, has: Option<T>) -> bool {
    wanted.is_none() || wanted == has
}

/// Returns whether a text contains a part, or no part is wanted.
fn has(text: Option<&str>, part: Option<&str>) -> bool {
    part.is_none_or(|part| {
        text.is_some_and(|text| text.to_ascii_lowercase().contains(&part.to_ascii_lowercase()))
    })
}

fn is_of(record: &Record, filter: &Filter) -> bool {
    let owner = &record.token.owner;
    let is_everywhere = owner.organization().is_none() && owner.user().is_some();
    (wants(filter.organization, owner.organization())
        || is_everywhere && filter.or_everywhere_of.as_ref() == owner.user())
        && wants(filter.team.as_ref(), owner.team())
        && wants(filter.user.as_ref(), owner.user())
        && wants(filter.owner, Some(owner.kind()))
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
    let is_too_long = |seconds: u64| {
        let end = token.expires_at.map(Timestamp::millis);
        let most = i64::try_from(seconds).unwrap_or(i64::MAX / 1000) * 1000;
        end.is_none_or(|end| end - token.created_at.millis() > most)
    };
    policy.max_lifetime.is_some_and(is_too_long)
        || token.scopes.iter().any(|scope| !policy.allows_scope(scope))
        || (token.preset.iter()).any(|preset| !policy.allows_preset(preset))
}

/// Returns the position of a token in a list that is sorted by a value.
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
            SortBy::Team => (token.owner.team())
                .and_then(|team| data.team_name(team))
                .and_then(text),
            SortBy::CreatedBy => text(&token.created_by.name),
        },
    }
}

/// Compares positions. Tokens without a value come last in both directions.
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

/// Returns one page.
pub(super) fn page(data: &Data, filter: &Filter, page: &Page) -> Listing {
    let mut all: Vec<(Cursor, &Record)> = data
        .matching(filter)
        .map(|record| (position(data, record, page.sort.by), record))
        .collect();
    let total = all.len() as u64;
    let is_next = page.direction == Direction::Next;
    // The previous page is the next page of the reversed list.
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
    let items: Vec<Record> = found.iter().map(|(_, record)| Record::clone(record)).collect();
    let audiences = items.iter().flat_map(|record| &record.token.audience);
    let edges = found.first().zip(found.last());
    Listing {
        reporting_audiences: reporting_audiences(data, audiences),
        edges: edges.map(|((first, _), (last, _))| (first.clone(), last.clone())),
        items,
        total: (page.count == CountTotal::Yes).then_some(total),
        has_next: if is_next { goes_on } else { comes_back },
        has_previous: if is_next { comes_back } else { goes_on },
    }
}

/// Returns those of these audiences that have ever reported, in the order of their names.
pub(super) fn reporting_audiences<'a>(
    data: &Data,
    audiences: impl Iterator<Item = &'a String>,
) -> Vec<ReportingAudience> {
    let audiences: BTreeSet<&String> = audiences.collect();
    let reporting = audiences
        .into_iter()
        .filter_map(|audience| data.reporting.get(audience));
    reporting.cloned().collect()
}
