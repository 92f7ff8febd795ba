//! The audit: actions, the chain of lines, and checkpoints.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use async_trait::async_trait;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, UserId};
use jeton_core::token::{Actor, TokenId};
use jeton_verifier::event::Ends;

use super::data::Data;
use super::{MemoryStore, failed};
use crate::rules::audit::{self, Action};
use crate::{
    Audit, AuditDetail, AuditEntry, AuditFilter, AuditHead, AuditLine, AuditListing, AuditOrder, AuditPage,
    AuditPosition, AuditRecord, AuditSince, AuditSource, AuditStatus, CHECKPOINTS_KEPT, Cause, Change,
    Checkpoint, Fields, Origin, PrunedLines, Result, Sealed, SealedThrough,
};

/// The number of lines in a portion.
const PORTION: usize = 250;

/// The audit, and what its records do not contain themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct AuditLog {
    tokens: HashMap<TokenId, Cause>,
    events: HashMap<u64, Cause>,
    actions: BTreeMap<i64, (Action, Cause)>,
    newest_action: i64,
    pub(super) sealed: SealedThrough,
    sealed_action: i64,
    lines: BTreeMap<u64, AuditLine>,
    head: AuditHead,
    pruned: AuditHead,
    checkpoints: BTreeMap<u64, Checkpoint>,
}

impl AuditLog {
    pub(super) fn note(&mut self, action: Action, cause: &Cause) {
        self.newest_action += 1;
        self.actions.insert(self.newest_action, (action, cause.clone()));
    }

    pub(super) fn note_token(&mut self, token: TokenId, cause: &Cause) {
        self.tokens.insert(token, cause.clone());
    }

    /// Returns where the request for a token came from.
    pub(super) fn origin_of_token(&self, token: TokenId) -> Option<&Origin> {
        self.tokens.get(&token).map(|cause| &cause.origin)
    }

    pub(super) fn note_event(&mut self, sequence: u64, cause: &Cause) {
        self.events.insert(sequence, cause.clone());
    }

    pub(super) fn forget_token(&mut self, token: TokenId) {
        self.tokens.remove(&token);
    }

    pub(super) fn forget_event(&mut self, sequence: u64) {
        self.events.remove(&sequence);
    }
}

impl Data {
    fn unsealed_tokens(&self) -> impl Iterator<Item = AuditRecord> {
        let after = (Bound::Excluded(self.audit.sealed.token), Bound::Unbounded);
        self.tokens.range(after).map(|(id, record)| {
            let token = &record.token;
            let mut content = Fields::of("token");
            content.text(&format!("{token:?} {:?}", record.lineage.rotated_from));
            let cause = self.audit.tokens.get(id);
            content.text(&format!("{:?}", cause.map(|cause| &cause.origin)));
            AuditRecord {
                at: token.created_at,
                action: audit::issued(token.kind, record.lineage.rotated_from.is_some()).into(),
                source: AuditSource::Token,
                number: id.0,
                organization: token.owner.organization(),
                actor: token.created_by.clone(),
                actor_token: token.created_by_token,
                token: Some(*id),
                content: content.hash(),
            }
        })
    }

    fn unsealed_events(&self) -> impl Iterator<Item = AuditRecord> {
        let later = self.feed.events.range(self.audit.sealed.event + 1..);
        later.map(|(sequence, event)| {
            let cause = self.audit.events.get(sequence);
            let mut content = Fields::of("event");
            content.text(&format!("{:?} {cause:?}", event.entry));
            let record = match &event.change {
                Change::Revoked { token, .. } => self.token(*token),
                Change::CutOff { .. } | Change::Directory { .. } | Change::Retired(_) => None,
            };
            let (action, organization) = match &event.change {
                Change::CutOff { cut_off, .. } => (audit::CUT_OFF, cut_off.reach.organization),
                Change::Revoked { .. } | Change::Directory { .. } | Change::Retired(_) => (
                    audit::revoked(record.map(|record| record.token.kind)),
                    record.and_then(|record| record.token.owner.organization()),
                ),
            };
            AuditRecord {
                at: Timestamp::from_millis(event.entry.event.recorded_at).unwrap_or(Timestamp::EPOCH),
                action: action.into(),
                source: AuditSource::Event,
                number: i64::try_from(*sequence).unwrap_or(i64::MAX),
                organization,
                actor: Actor {
                    name: event.by.clone(),
                    user: cause.and_then(|cause| cause.by.user.clone()),
                },
                actor_token: cause.and_then(|cause| cause.token),
                token: match &event.change {
                    Change::Revoked { token, .. } => Some(*token),
                    Change::CutOff { .. } | Change::Directory { .. } | Change::Retired(_) => None,
                },
                content: content.hash(),
            }
        })
    }

    fn unsealed_actions(&self) -> impl Iterator<Item = AuditRecord> {
        let later = self.audit.actions.range(self.audit.sealed_action + 1..);
        later.map(|(number, (action, cause))| {
            let mut content = Fields::of("action");
            content.text(&format!("{action:?} {cause:?}"));
            AuditRecord {
                at: cause.at,
                action: action.action.into(),
                source: AuditSource::Action,
                number: *number,
                organization: action.organization,
                actor: cause.by.clone(),
                actor_token: cause.token,
                token: action.token,
                content: content.hash(),
            }
        })
    }

    fn detail(&self, line: &AuditLine) -> Option<AuditDetail> {
        let record = &line.record;
        match record.source {
            AuditSource::Token => {
                let token = &self.token(TokenId(record.number))?.token;
                let scopes = token.scopes.iter().map(|scope| scope.as_str());
                let cause = self.audit.tokens.get(&TokenId(record.number))?;
                Some(AuditDetail {
                    target: Some(token.name.clone()),
                    after: Some(audit::issue_values(&token.name, scopes, token.expires_at)),
                    reason: None,
                    ..caused(cause)
                })
            }
            AuditSource::Event => {
                let sequence = u64::try_from(record.number).ok()?;
                let event = self.feed.events.get(&sequence)?;
                let (target, after) = match (&event.change, &event.entry.event.ends) {
                    (Change::CutOff { cut_off, .. }, _) => (None, audit::cut_off_values(cut_off)),
                    (Change::Revoked { effective_at, .. }, Ends::Token(token)) => (
                        Some(token.jti.to_string()),
                        audit::revocation_values(*effective_at),
                    ),
                    _ => return None,
                };
                Some(AuditDetail {
                    target,
                    after: Some(after),
                    reason: event.reason.clone(),
                    ..caused(self.audit.events.get(&sequence)?)
                })
            }
            AuditSource::Action => {
                let (action, cause) = self.audit.actions.get(&record.number)?;
                Some(AuditDetail {
                    target: action.target.clone(),
                    before: action.before.clone(),
                    after: action.after.clone(),
                    reason: action.reason.clone().or_else(|| cause.reason.clone()),
                    ..caused(cause)
                })
            }
        }
    }

    fn entry(&self, line: &AuditLine) -> AuditEntry {
        AuditEntry {
            line: line.clone(),
            detail: self.detail(line),
        }
    }

    fn matches(&self, line: &AuditLine, filter: &AuditFilter) -> bool {
        let record = &line.record;
        let is_actor = |actor: &String| {
            record.actor.name == *actor || record.actor.user.as_ref().map(UserId::as_str) == Some(actor)
        };
        let concerns = |organization: &OrganizationId| record.organization == Some(*organization);
        let contains = |text: &String| {
            let detail = self.detail(line).unwrap_or_default();
            // A `jti` is not searched.
            let target = detail.target.filter(|_| record.source != AuditSource::Event);
            let texts = [
                Some(record.action.as_ref()),
                Some(record.actor.name.as_str()),
                target.as_deref(),
                detail.reason.as_deref(),
            ];
            let text = text.to_ascii_lowercase();
            texts
                .into_iter()
                .flatten()
                .any(|one| one.to_ascii_lowercase().contains(&text))
        };
        filter.organization.as_ref().is_none_or(concerns)
            && filter.actor.as_ref().is_none_or(is_actor)
            && filter.token.is_none_or(|token| record.token == Some(token))
            && filter
                .action
                .as_ref()
                .is_none_or(|action| record.action == *action)
            && filter.after.is_none_or(|after| record.at >= after)
            && filter.before.is_none_or(|before| record.at < before)
            && filter.text.as_ref().is_none_or(contains)
    }
}

fn caused(cause: &Cause) -> AuditDetail {
    AuditDetail {
        surface: Some(cause.origin.surface),
        address: cause.origin.address,
        request_id: cause.origin.request_id.clone(),
        on_behalf_of: cause.origin.on_behalf_of.clone(),
        ..AuditDetail::default()
    }
}

#[async_trait]
impl Audit for MemoryStore {
    async fn audit_status(&self) -> Result<AuditStatus> {
        let data = self.data();
        let first = [
            data.unsealed_tokens().next(),
            data.unsealed_events().next(),
            data.unsealed_actions().next(),
        ];
        Ok(AuditStatus {
            head: data.audit.head,
            pruned: data.audit.pruned,
            unsealed_since: first.into_iter().flatten().map(|record| record.at).min(),
            has_uncounted: false,
        })
    }

    async fn seal(&self) -> Result<Sealed> {
        self.write(|batch| {
            let data = &mut *batch.data;
            let sources = [
                data.unsealed_tokens().take(PORTION).collect(),
                data.unsealed_events().take(PORTION).collect(),
                data.unsealed_actions().take(PORTION).collect(),
            ];
            let log = &mut data.audit;
            let mut lines = 0;
            for record in audit::in_order(sources, PORTION, |record| record.at) {
                match record.source {
                    AuditSource::Token => log.sealed.token = TokenId(record.number),
                    AuditSource::Event => log.sealed.event = u64::try_from(record.number).unwrap_or(0),
                    AuditSource::Action => log.sealed_action = record.number,
                }
                let line = record.after(log.head);
                log.head = line.head();
                log.lines.insert(line.sequence, line);
                lines += 1;
            }
            Ok(Sealed {
                head: log.head,
                lines,
                has_more: lines as usize == PORTION,
            })
        })
        .await
    }

    async fn audit_entries(&self, filter: AuditFilter, page: AuditPage) -> Result<AuditListing> {
        let data = self.data();
        let lines = data.audit.lines.values();
        let matching = |line: &&AuditLine| data.matches(line, &filter);
        let limit = page.limit as usize;
        let skip = usize::try_from(page.skip).unwrap_or(usize::MAX);
        let mut found: Vec<AuditEntry> = match page.order {
            AuditOrder::NewestFirst => lines
                .rev()
                .filter(|line| page.after.is_none_or(|after| line.sequence < after))
                .filter(matching)
                .skip(skip)
                .take(limit + 1)
                .map(|line| data.entry(line))
                .collect(),
            AuditOrder::OldestFirst => lines
                .filter(|line| page.after.is_none_or(|after| line.sequence > after))
                .filter(matching)
                .skip(skip)
                .take(limit + 1)
                .map(|line| data.entry(line))
                .collect(),
        };
        let has_more = found.len() > limit;
        found.truncate(limit);
        Ok(AuditListing {
            entries: found,
            has_more,
        })
    }

    async fn audit_count(&self, filter: AuditFilter) -> Result<u64> {
        let data = self.data();
        let lines = data.audit.lines.values();
        Ok(lines.filter(|line| data.matches(line, &filter)).count() as u64)
    }

    async fn audit_after(
        &self,
        organization: Option<OrganizationId>,
        after: AuditPosition,
        most: u32,
    ) -> Result<AuditSince> {
        let data = self.data();
        if after.sequence < data.audit.pruned.sequence {
            return Ok(AuditSince::Pruned);
        }
        let line = data.audit.lines.get(&after.sequence).map(AuditLine::head);
        let known = line.or(Some(data.audit.pruned).filter(|last| last.sequence == after.sequence));
        if !known.is_some_and(|known| after.is(known)) {
            return Ok(AuditSince::Ahead);
        }
        let later = data.audit.lines.range(after.sequence + 1..).map(|(_, line)| line);
        let concerning =
            later.filter(|line| organization.is_none() || line.record.organization == organization);
        let entries: Vec<_> = concerning
            .take(most as usize)
            .map(|line| data.entry(line))
            .collect();
        Ok(AuditSince::of(entries, data.audit.head, most))
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>> {
        let data = self.data();
        Ok(data
            .audit
            .checkpoints
            .last_key_value()
            .map(|(_, last)| last.clone()))
    }

    async fn keep_checkpoint(&self, checkpoint: Checkpoint) -> Result<()> {
        self.write(|batch| {
            let log = &mut batch.data.audit;
            let line = log.lines.get(&checkpoint.head.sequence).map(AuditLine::head);
            let kept = line.or(Some(log.pruned).filter(|last| last.sequence == checkpoint.head.sequence));
            if kept != Some(checkpoint.head) {
                return Err(failed("a checkpoint is a head of the chain"));
            }
            log.checkpoints.insert(checkpoint.head.sequence, checkpoint);
            while log.checkpoints.len() > CHECKPOINTS_KEPT as usize {
                log.checkpoints.pop_first();
            }
            Ok(())
        })
        .await
    }

    async fn prune_audit(&self, made_by: Timestamp, now: Timestamp) -> Result<PrunedLines> {
        self.write(|batch| {
            let log = &mut batch.data.audit;
            let signed = log.checkpoints.last_key_value().map_or(0, |(size, _)| *size);
            let accepted = log
                .lines
                .values()
                .rev()
                .find(|line| line.record.action == audit::CLOCK_ACCEPTED && line.record.at <= made_by);
            let accepted = accepted.map_or(0, |line| line.sequence);
            let may_go = |line: &AuditLine| {
                line.sequence <= signed && (line.record.at <= made_by || line.sequence <= accepted)
            };
            let mut lines = 0;
            while lines < PORTION as u64
                && let Some(oldest) = log.lines.first_entry()
                && may_go(oldest.get())
            {
                let line = oldest.remove();
                log.pruned = line.head();
                if line.record.source == AuditSource::Action {
                    log.actions.remove(&line.record.number);
                }
                lines += 1;
            }
            let has_more = log.lines.first_key_value().is_some_and(|(_, line)| may_go(line));
            if lines > 0 && !has_more {
                log.note(audit::pruned(log.pruned.sequence, made_by), &Cause::server(now));
            }
            Ok(PrunedLines { lines, has_more })
        })
        .await
    }
}
