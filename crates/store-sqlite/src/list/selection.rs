//! The translation of a filter into SQL.

use crate::values::{Parameter, get, params};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::active;
use crate::cut_offs::uncut_in_scan;
use crate::failure::Failure;
use crate::tokens::json;
use crate::usage::reporting;
use jeton_core::directory::TeamId;
use jeton_core::token::filter::Breach;
use jeton_core::token::{End, Filter, OwnerKind, Status, StatusAt, TokenId, Visibility, WantedStatus};
use jeton_store::{Summary, SummaryInstants};

/// The tokens that a filter matches: sources, each read by an index of its own, and a condition on each row.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// The disjoint sets whose union is the list.
    sources: Vec<String>,
    condition: String,
    parameters: Vec<Value>,
    /// Whether only tokens that expire match.
    pub(super) expires: bool,
}

impl Selection {
    pub(crate) fn new(connection: &Connection, filter: &Filter) -> Result<Self, Failure> {
        let mut selection = Self::of_any_status(connection, filter)?;
        if let Some(status) = &filter.status {
            let status = selection.status(status);
            selection.condition.push_str(&format!(" AND {status}"));
        }
        Ok(selection)
    }

    /// Returns the tokens that matched when a token was the last one, as far as later rows show it: a token
    /// whose successor has a higher number was active then, regardless of the rotating process's clock.
    pub(crate) fn when_last_was(
        connection: &Connection,
        filter: &Filter,
        TokenId(last): TokenId,
    ) -> Result<Self, Failure> {
        let mut selection = Self::of_any_status(connection, filter)?;
        if let Some(status) = &filter.status {
            let (status, last) = (selection.status(status), selection.bind(last));
            selection.condition.push_str(&format!(
                " AND (({status}) OR EXISTS (SELECT 1 FROM tokens AS successor
                     WHERE successor.rotated_from = tokens.id AND successor.id > {last}))"
            ));
        }
        Ok(selection)
    }

    fn of_any_status(connection: &Connection, filter: &Filter) -> Result<Self, Failure> {
        let mut selection = Self::default();
        selection.read_from(connection, filter)?;
        selection.ask_of_owner(connection, filter)?;
        selection.ask_of_token(filter);
        selection.ask_of_use(filter);
        if let (Some(breach), Some(organization)) = (&filter.breaks, &filter.organization) {
            let organization = number(connection, "organizations", organization)?;
            selection.ask_of_policy(breach, organization)?;
        }
        Ok(selection)
    }

    /// Returns an unsorted query of an expression over the matching rows of `tokens` that meet a further
    /// condition. The condition numbers its parameters from [`Selection::next_parameter`] on. `None` if there
    /// is nothing to read.
    pub(crate) fn select(&self, columns: &str, further: &str) -> Option<String> {
        let condition = &self.condition;
        let terms: Vec<_> = self
            .sources
            .iter()
            .map(|source| {
                format!(
                    "SELECT {columns} FROM tokens {source} AND tokens.session = 0{condition} AND {further}"
                )
            })
            .collect();
        (!terms.is_empty()).then(|| terms.join(" UNION ALL "))
    }

    /// Returns the number of the first parameter after the selection's own.
    pub(crate) fn next_parameter(&self) -> usize {
        self.parameters.len() + 1
    }

    /// Returns the selection's parameters followed by further ones.
    pub(crate) fn parameters(&self, further: Vec<Value>) -> impl rusqlite::Params {
        params_from_iter(self.parameters.clone().into_iter().chain(further))
    }

    /// Returns the number of matching tokens.
    pub(crate) fn count(&self, connection: &Connection) -> Result<u64, Failure> {
        let Some(matching) = self.select("1", "TRUE") else {
            return Ok(0);
        };
        let statement = format!("SELECT count(*) FROM ({matching})");
        let mut query = connection.prepare_cached(&statement)?;
        Ok(query.query_row(self.parameters(Vec::new()), |row| get(row, 0))?)
    }

    /// Counts the matching tokens by their status. The selection is one of any status.
    pub(crate) fn summary(
        mut self,
        connection: &Connection,
        at: &SummaryInstants,
    ) -> Result<Summary, Failure> {
        let now = self.bind(at.now.millis());
        let expires_before = self.bind(at.expires_before.millis());
        let unused_since = self.bind(at.unused_since.millis());
        // One number for each token, so that nothing is computed twice: 0 is revoked, 1 expired, and active tokens have
        // the bits 4, 8 (expires soon) and 16 (unused).
        let status = format!(
            "CASE WHEN tokens.effective_at <= {now} OR NOT ({uncut}) THEN 0
                 WHEN tokens.expires_at / 1000 <= {now} / 1000 THEN 1
                 ELSE 4 + CASE WHEN tokens.expires_at < {expires_before} THEN 8 ELSE 0 END
                     + CASE WHEN coalesce(tokens.last_used_at, tokens.created_at) < {unused_since} THEN 16 ELSE 0 END
             END AS status",
            uncut = uncut_in_scan(&now)
        );
        let Some(matching) = self.select(&status, "TRUE") else {
            return Ok(Summary::default());
        };
        // With a limit, a subquery is not merged into the query around it.
        let statement = format!(
            "SELECT count(*) FILTER (WHERE status >= 4), count(*) FILTER (WHERE status = 1),
                 count(*) FILTER (WHERE status = 0), count(*) FILTER (WHERE status & 8),
                 count(*) FILTER (WHERE status & 16)
             FROM ({matching} LIMIT -1)"
        );
        let mut query = connection.prepare_cached(&statement)?;
        Ok(query.query_row(self.parameters(Vec::new()), |row| {
            Ok(Summary {
                active: get(row, 0)?,
                expired: get(row, 1)?,
                revoked: get(row, 2)?,
                expiring: get(row, 3)?,
                unused: get(row, 4)?,
            })
        })?)
    }

    /// Returns the first matching tokens after one and up to another, in the order of their numbers.
    pub(crate) fn between(
        &self,
        connection: &Connection,
        TokenId(after): TokenId,
        TokenId(through): TokenId,
        limit: usize,
    ) -> Result<Vec<TokenId>, Failure> {
        let (first, second, third) = {
            let next = self.next_parameter();
            (next, next + 1, next + 2)
        };
        let range = format!("tokens.id > ?{first} AND tokens.id <= ?{second}");
        let Some(matching) = self.select("tokens.id AS id", &range) else {
            return Ok(Vec::new());
        };
        let statement = format!("{matching} ORDER BY id LIMIT ?{third}");
        let further = [after, through, i64::try_from(limit).unwrap_or(i64::MAX)].map(Value::Integer);
        let mut query = connection.prepare_cached(&statement)?;
        let rows = query.query_map(self.parameters(further.to_vec()), |row| get(row, 0).map(TokenId))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Selects the indexes to read, by the narrowest owner that the filter names. Of other organizations it
    /// reads only a person's own rows, if the filter names that person.
    fn read_from(&mut self, connection: &Connection, filter: &Filter) -> Result<(), Failure> {
        let Visibility::Own { user, teams } = &filter.visibility else {
            let maker = filter.created_by.as_deref().and_then(TokenId::of_actor);
            let source = if let Some(TokenId(only)) = filter.only {
                let only = self.bind(only);
                format!("WHERE tokens.id = {only}")
            } else if let Some(TokenId(maker)) = maker {
                self.source("tokens_by_maker", "created_by_token", maker)
            } else if let Some(team) = &filter.team {
                self.source("tokens_by_team", "team", number(connection, "teams", team)?)
            } else if let Some(user) = &filter.user {
                self.source("tokens_by_user", "user", number(connection, "users", user)?)
            } else if let Some(organization) = &filter.organization {
                if let Some(user) = &filter.or_everywhere_of {
                    let user = number(connection, "users", user)?;
                    let everywhere = self.source("tokens_by_user", "user", user);
                    self.sources
                        .push(format!("{everywhere} AND +tokens.organization IS NULL"));
                }
                let organization = number(connection, "organizations", organization)?;
                self.source("tokens_by_organization", "organization", organization)
            } else {
                "WHERE TRUE".to_owned()
            };
            self.sources.push(source);
            return Ok(());
        };
        if let Some(user) = user {
            let user = number(connection, "users", user)?;
            let own = self.source("tokens_by_user", "user", user);
            self.sources.push(format!("{own} AND {BELONGS}"));
        }
        let teams = visible_teams(connection, filter, teams)?;
        if teams.len() <= MERGED {
            for team in teams {
                let source = self.source("tokens_by_team", "team", team);
                self.sources.push(source);
            }
        } else {
            let teams: Vec<_> = teams.into_iter().map(|team| self.bind(team)).collect();
            self.sources.push(format!(
                "INDEXED BY tokens_by_team WHERE tokens.team IN ({})",
                teams.join(", ")
            ));
        }
        Ok(())
    }

    fn source(&mut self, index: &str, column: &str, number: i64) -> String {
        let number = self.bind(number);
        format!("INDEXED BY {index} WHERE tokens.{column} = {number}")
    }

    /// Adds conditions on the owner. A leading `+` keeps SQLite from choosing an index for a condition.
    fn ask_of_owner(&mut self, connection: &Connection, filter: &Filter) -> Result<(), Failure> {
        if let Some(organization) = &filter.organization {
            let organization = number(connection, "organizations", organization)?;
            let organization = self.bind(organization);
            let everywhere = match &filter.or_everywhere_of {
                None => String::new(),
                Some(user) => {
                    let user = self.bind(number(connection, "users", user)?);
                    format!(" OR (+tokens.organization IS NULL AND +tokens.user = {user})")
                }
            };
            self.condition.push_str(&format!(
                " AND (+tokens.organization = {organization}{everywhere})"
            ));
        }
        if let Some(team) = &filter.team {
            let number = number(connection, "teams", team)?;
            self.ask("+tokens.team =", number);
        }
        if let Some(user) = &filter.user {
            let number = number(connection, "users", user)?;
            self.ask("+tokens.user =", number);
        }
        self.condition.push_str(match filter.owner {
            None => "",
            Some(OwnerKind::User) => " AND +tokens.user IS NOT NULL",
            Some(OwnerKind::Team) => " AND +tokens.team IS NOT NULL",
            Some(OwnerKind::Organization) => {
                " AND +tokens.organization IS NOT NULL AND +tokens.team IS NULL AND +tokens.user IS NULL"
            }
            Some(OwnerKind::Deployment) => {
                " AND +tokens.organization IS NULL AND +tokens.team IS NULL AND +tokens.user IS NULL"
            }
        });
        Ok(())
    }

    fn ask_of_token(&mut self, filter: &Filter) {
        if let Some(text) = &filter.text {
            let [name, description] =
                ["tokens.name", "tokens.description"].map(|column| self.contains(column, text));
            let team = self.team_contains(text);
            self.condition
                .push_str(&format!(" AND ({name} OR {description} OR {team})"));
        }
        if let Some(name) = &filter.team_name {
            let found = self.team_contains(name);
            self.condition.push_str(&format!(" AND {found}"));
        }
        if let Some(slot) = &filter.slot {
            self.ask("tokens.slot =", slot.as_str().to_owned());
        }
        if let Some(scope) = &filter.scope {
            self.ask(
                "0 < instr(' ' || tokens.scopes || ' ',",
                format!(" {} ", scope.as_str()),
            );
            self.condition.push(')');
        }
        if let Some(preset) = &filter.preset {
            self.ask("tokens.preset =", preset.clone());
        }
        if let Some(name) = &filter.created_by {
            // A change by a person's token records the token's name and the person. Removed people are still
            // found.
            let name = self.bind(name.to_ascii_lowercase());
            self.condition.push_str(&format!(
                " AND (lower(tokens.created_by) = {name}
                 OR +tokens.created_by_user IN (SELECT users.id FROM users WHERE users.email = {name}))"
            ));
        }
        if let Some(TokenId(except)) = filter.except {
            self.ask("tokens.id <>", except);
        }
        if let Some(TokenId(only)) = filter.only {
            self.ask("tokens.id =", only);
        }
        if !filter.ends.is_empty() {
            self.expires = !filter.ends.contains(&End::Never);
            let ends: Vec<String> = filter.ends.iter().map(|end| self.end(*end)).collect();
            self.condition.push_str(&format!(" AND ({})", ends.join(" OR ")));
        }
        if let Some(from) = filter.created_after {
            self.ask("tokens.created_at >=", from.millis());
        }
        if let Some(until) = filter.created_before {
            self.ask("tokens.created_at <", until.millis());
        }
        if let Some(project) = filter.project {
            let project = self.bind(project);
            self.condition.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM json_each(tokens.projects) WHERE value = {project})"
            ));
        }
        if let Some(kid) = &filter.kid {
            let kid = self.bind(kid.clone());
            self.condition.push_str(&format!(
                " AND +tokens.key = (SELECT id FROM keys WHERE kid = {kid})"
            ));
        }
        if filter.for_others {
            self.condition
                .push_str(" AND (tokens.user IS NULL OR tokens.user IS NOT tokens.created_by_user)");
        }
    }

    fn ask_of_use(&mut self, filter: &Filter) {
        if let Some(instant) = filter.unused_since {
            self.ask(
                "coalesce(tokens.last_used_at, tokens.created_at) <",
                instant.millis(),
            );
        }
        if filter.never_used {
            self.condition.push_str(" AND tokens.last_used_at IS NULL");
        }
        if let Some(instant) = filter.used_since {
            self.ask("tokens.last_used_at >=", instant.millis());
        }
        if let Some(now) = filter.reporting_at {
            let since = match filter.unused_since {
                // A token that was never used counts as unused since it was issued.
                Some(instant) if !filter.never_used => {
                    let instant = self.bind(instant.millis());
                    format!("max({instant}, tokens.created_at)")
                }
                _ => "tokens.created_at".to_owned(),
            };
            let now = self.bind(now.millis());
            self.condition
                .push_str(&format!(" AND {}", reporting(&since, &now)));
        }
    }

    fn status(&mut self, status: &StatusAt) -> String {
        let instant = self.bind(status.at.millis());
        let uncut = uncut_in_scan(&instant);
        let unrevoked =
            format!("(tokens.effective_at IS NULL OR tokens.effective_at > {instant}) AND {uncut}");
        // In whole seconds, as in `exp`.
        let ended = format!("tokens.expires_at / 1000 <= {instant} / 1000");
        match status.wanted {
            WantedStatus::Unrevoked => unrevoked,
            WantedStatus::Only(Status::Active) => format!("({ended}) IS NOT TRUE AND {unrevoked}"),
            WantedStatus::Only(Status::Expired) => format!("{ended} AND {unrevoked}"),
            WantedStatus::Only(Status::Revoked) => format!("NOT ({unrevoked})"),
        }
    }

    /// Adds the rules of a policy, so that lists are paged and counted by them. The same rules are in Rust for
    /// memory, and in `bounds.rs` for issuing.
    fn ask_of_policy(&mut self, breach: &Breach, organization: i64) -> Result<(), Failure> {
        let Breach { policy, at } = breach;
        let mut rules = Vec::new();
        if let Some(seconds) = policy.max_lifetime {
            let most = self.bind(i64::try_from(seconds).unwrap_or(i64::MAX / 1000) * 1000);
            rules.push(format!(
                "tokens.expires_at IS NULL OR tokens.expires_at - tokens.created_at > {most}"
            ));
        }
        if let Some(allowed) = &policy.allowed_scopes {
            let allowed = self.bind(json(allowed)?);
            // No scope has a character with a meaning in JSON.
            rules.push(format!(
                "tokens.scopes <> '' AND EXISTS (
                     SELECT 1 FROM json_each('[\"' || replace(tokens.scopes, ' ', '\",\"') || '\"]') AS held
                     WHERE held.value NOT IN (SELECT value FROM json_each({allowed})))"
            ));
        }
        if let Some(allowed) = &policy.allowed_presets {
            let allowed = self.bind(json(allowed)?);
            rules.push(format!(
                "tokens.preset NOT IN (SELECT value FROM json_each({allowed}))"
            ));
        }
        if let Some(most) = policy.max_active_tokens_per_owner {
            let (organization, most) = (self.bind(organization), self.bind(i64::from(most)));
            let (now, ever) = (self.bind(at.millis()), self.bind(active::EVER));
            let counted = active::counted(&now, &ever);
            rules.push(format!(
                "tokens.id IN (SELECT id FROM (
                     SELECT tokens.id AS id, row_number() OVER (PARTITION BY team, user ORDER BY id DESC) AS place
                     FROM tokens INDEXED BY tokens_by_organization
                     WHERE tokens.organization = {organization} AND {counted})
                 WHERE place > {most})"
            ));
        }
        // NULL if a rule does not apply, which is no breach.
        let broken = match rules.is_empty() {
            true => "FALSE".to_owned(),
            false => rules.join(") OR ("),
        };
        self.condition.push_str(&format!(" AND (({broken}))"));
        Ok(())
    }

    fn end(&mut self, end: End) -> String {
        match end {
            End::Never => "tokens.expires_at IS NULL".to_owned(),
            End::Between(from, until) => {
                let from = self.bind(from.millis());
                let until = until.map_or_else(String::new, |until| {
                    format!(" AND tokens.expires_at < {}", self.bind(until.millis()))
                });
                // NULL if the token never expires, which is no match.
                format!("(tokens.expires_at >= {from}{until})")
            }
        }
    }

    /// Returns a condition: a column contains a text, where the case of ASCII letters does not matter.
    fn contains(&mut self, column: &str, text: &str) -> String {
        // LIKE is twice as fast as instr(lower()), but stops at a NUL. No name has one.
        if text.contains('\0') {
            return "FALSE".to_owned();
        }
        let mut pattern = String::from("%");
        for character in text.chars() {
            if matches!(character, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern.push('%');
        format!("{column} LIKE {} ESCAPE '\\'", self.bind(pattern))
    }

    /// Returns the same condition for the name of the team. Most tokens have none, and need no look-up.
    fn team_contains(&mut self, text: &str) -> String {
        let found = self.contains("(SELECT name FROM teams WHERE teams.id = tokens.team)", text);
        format!("(tokens.team IS NOT NULL AND {found})")
    }

    /// Adds a condition that ends in a parameter.
    fn ask(&mut self, condition: &str, value: impl Into<Value>) {
        let parameter = self.bind(value);
        self.condition.push_str(&format!(" AND {condition} {parameter}"));
    }

    /// Adds a parameter and returns its name in the query.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.parameters.push(value.into());
        format!("?{}", self.parameters.len())
    }
}

/// A condition on `tokens`: the person is still a member of the token's organization, or a site administrator
/// (a member of all).
const BELONGS: &str = "(tokens.organization IS NULL OR EXISTS (SELECT 1 FROM memberships \
     WHERE memberships.organization = tokens.organization AND memberships.user = tokens.user) \
     OR EXISTS (SELECT 1 FROM users WHERE users.id = tokens.user AND users.site_admin = 1))";

/// The most teams that are merged one by one. SQLite refuses more than 500 parts; tokens of more teams than
/// this are sorted instead.
const MERGED: usize = 100;

/// Returns the teams whose tokens the caller sees and the filter includes.
fn visible_teams(connection: &Connection, filter: &Filter, teams: &[TeamId]) -> Result<Vec<i64>, Failure> {
    teams
        .iter()
        .filter(|team| filter.team.as_ref().is_none_or(|wanted| wanted == *team))
        .map(|team| number(connection, "teams", team))
        .collect()
}

/// Returns a row's number, or a number that no row has.
pub(crate) fn number(
    connection: &Connection,
    table: &'static str,
    id: &dyn Parameter,
) -> Result<i64, Failure> {
    let query = format!("SELECT coalesce((SELECT id FROM {table} WHERE public_id = ?1), -1)");
    Ok(connection
        .prepare_cached(&query)?
        .query_row(params![id], |row| get(row, 0))?)
}
