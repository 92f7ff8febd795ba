//! The translation of a filter into SQL.

use crate::active;
use crate::connection::Connection;
use crate::cut_offs::{cut, uncut};
use crate::failure::Failure;
use crate::list::Parameters;
use crate::usage::reporting;
use crate::values::{Bound, Columns, Parameter, Sought, get};
use jeton_core::directory::{OrganizationId, UserId};
use jeton_core::token::filter::Breach;
use jeton_core::token::{End, Filter, OwnerKind, Scope, Status, StatusAt, TokenId, Visibility, WantedStatus};
use jeton_store::{Summary, SummaryInstants};

/// The tokens that a filter matches: sources, and a condition on each row.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// The disjoint sets whose union is the list, each read by an index of its own.
    sources: Vec<Source>,
    condition: String,
    parameters: Parameters,
}

/// A set of tokens.
#[derive(Debug)]
enum Source {
    /// Those that meet a condition.
    Where(String),
    /// Those of the teams whose public ids are in a parameter.
    OfTeams(String),
}

impl Selection {
    pub(crate) fn new(filter: &Filter) -> Self {
        let mut selection = Self::of_any_status(filter);
        if let Some(status) = &filter.status {
            let status = selection.status(status);
            selection.ask(&status);
        }
        selection
    }

    /// Returns the tokens that matched when a token was the last one, as far as later rows show it: a token
    /// whose successor has a higher number was active then, regardless of the rotating process's clock.
    pub(crate) fn when_last_was(filter: &Filter, TokenId(last): TokenId) -> Self {
        let mut selection = Self::of_any_status(filter);
        if let Some(status) = &filter.status {
            let (status, last) = (selection.status(status), selection.bind(last));
            selection.ask(&format!(
                "(({status}) OR EXISTS (SELECT 1 FROM tokens AS successor
                     WHERE successor.rotated_from = tokens.id AND successor.id > {last}))"
            ));
        }
        selection
    }

    fn of_any_status(filter: &Filter) -> Self {
        let mut selection = Self::default();
        selection.read_from(filter);
        selection.ask_of_owner(filter);
        selection.ask_of_token(filter);
        selection.ask_of_use(filter);
        if let (Some(breach), Some(organization)) = (&filter.breaks, &filter.organization) {
            selection.ask_of_policy(breach, organization);
        }
        selection
    }

    /// Returns a query of columns of the matching rows of `tokens` and `token_use` that meet a further condition. The
    /// order, with its limit, applies to each source: only so does an index give the rows in order. Condition and order
    /// can have more parameters than the selection ([`parameters`](Self::parameters)). `None` if there is nothing to
    /// read.
    pub(crate) fn select(&self, columns: &str, further: &str, order: &str) -> Option<String> {
        let condition = &self.condition;
        let terms: Vec<_> = self
            .sources
            .iter()
            .map(|source| {
                let rows = |of_source: &str| {
                    format!(
                        "(SELECT {columns} FROM tokens LEFT JOIN token_use ON token_use.token = tokens.id
                         WHERE {of_source} AND NOT tokens.session{condition} AND {further} {order})"
                    )
                };
                match source {
                    Source::Where(of_source) => rows(of_source),
                    // Team by team: for all at once PostgreSQL scans the tokens of all teams there are.
                    Source::OfTeams(teams) => format!(
                        "(SELECT of_team.* FROM teams AS managed CROSS JOIN LATERAL {} AS of_team
                         WHERE managed.public_id = ANY ({teams}))",
                        rows("tokens.team = managed.id")
                    ),
                }
            })
            .collect();
        (!terms.is_empty()).then(|| terms.join(" UNION ALL "))
    }

    /// Returns the selection's parameters, to which those of the rest of a query are added.
    pub(crate) fn parameters(&self) -> Parameters {
        self.parameters.clone()
    }

    /// Returns the number of matching tokens.
    pub(crate) async fn count(&self, connection: &Connection) -> Result<u64, Failure> {
        let Some(matching) = self.select("1", "TRUE", "") else {
            return Ok(0);
        };
        let statement = format!("SELECT count(*) FROM ({matching}) AS matching");
        get(
            &connection.row_once(&statement, self.parameters.values()).await?,
            0,
        )
    }

    /// Counts the matching tokens by their status. The selection is one of any status.
    pub(crate) async fn summary(
        mut self,
        connection: &Connection,
        at: &SummaryInstants,
    ) -> Result<Summary, Failure> {
        let now = self.bind(at.now);
        let (expires_before, unused_since) = (self.bind(at.expires_before), self.bind(at.unused_since));
        let columns =
            "tokens.id, tokens.organization, tokens.team, tokens.person, tokens.session, tokens.projects,
            tokens.key, tokens.created_at, tokens.expires_at, tokens.effective_at, token_use.last_used_at";
        let Some(matching) = self.select(columns, "TRUE", "") else {
            return Ok(Summary::default());
        };
        // The matching tokens take the place of the table.
        let statement = format!(
            "WITH tokens AS MATERIALIZED ({matching}), cut AS ({cut}),
             counted AS (
                 SELECT (tokens.effective_at <= {now}) IS TRUE OR cut.id IS NOT NULL AS is_revoked,
                     (tokens.expires_at / 1000 <= {now} / 1000) IS TRUE AS is_expired,
                     tokens.expires_at < {expires_before} AS is_expiring,
                     coalesce(tokens.last_used_at, tokens.created_at) < {unused_since} AS is_unused
                 FROM tokens LEFT JOIN cut ON cut.id = tokens.id)
             SELECT count(*) FILTER (WHERE NOT is_revoked AND NOT is_expired),
                 count(*) FILTER (WHERE NOT is_revoked AND is_expired),
                 count(*) FILTER (WHERE is_revoked),
                 count(*) FILTER (WHERE NOT is_revoked AND NOT is_expired AND is_expiring),
                 count(*) FILTER (WHERE NOT is_revoked AND NOT is_expired AND is_unused)
             FROM counted",
            cut = cut(&now)
        );
        let row = connection.row_once(&statement, self.parameters.values()).await?;
        let columns = &mut Columns::of(&row);
        Ok(Summary {
            active: columns.take()?,
            expired: columns.take()?,
            revoked: columns.take()?,
            expiring: columns.take()?,
            unused: columns.take()?,
        })
    }

    /// Returns the first matching tokens after one and up to another, in the order of their numbers.
    pub(crate) async fn between(
        &self,
        connection: &Connection,
        TokenId(after): TokenId,
        TokenId(through): TokenId,
        limit: usize,
    ) -> Result<Vec<TokenId>, Failure> {
        let mut parameters = self.parameters();
        let (after, through) = (parameters.bind(after), parameters.bind(through));
        let range = format!("tokens.id > {after} AND tokens.id <= {through}");
        let order = format!("ORDER BY id LIMIT {}", parameters.bind(limit));
        let Some(matching) = self.select("tokens.id AS id", &range, &order) else {
            return Ok(Vec::new());
        };
        let statement = format!("SELECT id FROM ({matching}) AS matching {order}");
        let rows = connection.rows_once(&statement, parameters.values()).await?;
        rows.iter().map(|row| get(row, 0).map(TokenId)).collect()
    }

    /// Selects the sets to read. Of other organizations it reads only a person's own rows, if the filter names that
    /// person.
    fn read_from(&mut self, filter: &Filter) {
        let Visibility::Own { user, teams } = &filter.visibility else {
            match both(filter) {
                Some((organization, user)) => {
                    let organization = self.number("organizations", organization);
                    let user = self.number("users", user);
                    self.read_where(format!("tokens.organization = {organization}"));
                    self.read_where(format!("tokens.person = {user} AND tokens.organization IS NULL"));
                }
                None => self.read_where("TRUE".to_owned()),
            }
            return;
        };
        if let Some(user) = user {
            let user = self.number("users", user);
            self.read_where(format!("tokens.person = {user} AND {BELONGS}"));
        }
        if !teams.is_empty() {
            let teams = self.bind(Bound::array(teams));
            self.sources.push(Source::OfTeams(teams));
        }
    }

    fn read_where(&mut self, condition: String) {
        self.sources.push(Source::Where(condition));
    }

    fn ask_of_owner(&mut self, filter: &Filter) {
        if let Some(organization) = &filter.organization
            && both(filter).is_none()
        {
            let organization = self.number("organizations", organization);
            let everywhere = match &filter.or_everywhere_of {
                None => String::new(),
                Some(user) => {
                    let user = self.number("users", user);
                    format!(" OR (tokens.organization IS NULL AND tokens.person = {user})")
                }
            };
            self.ask(&format!("(tokens.organization = {organization}{everywhere})"));
        }
        if let Some(team) = &filter.team {
            let team = self.number("teams", team);
            self.ask(&format!("tokens.team = {team}"));
        }
        if let Some(user) = &filter.user {
            let user = self.number("users", user);
            self.ask(&format!("tokens.person = {user}"));
        }
        match filter.owner {
            None => {}
            Some(OwnerKind::User) => self.ask("tokens.person IS NOT NULL"),
            Some(OwnerKind::Team) => self.ask("tokens.team IS NOT NULL"),
            Some(OwnerKind::Organization) => {
                self.ask("tokens.organization IS NOT NULL AND tokens.team IS NULL AND tokens.person IS NULL")
            }
            Some(OwnerKind::Deployment) => {
                self.ask("tokens.organization IS NULL AND tokens.team IS NULL AND tokens.person IS NULL")
            }
        }
    }

    fn ask_of_token(&mut self, filter: &Filter) {
        if let Some(text) = &filter.text {
            // ASCII only, as lower() of texts with the collation "C".
            let text = self.bind(Sought(&text.to_ascii_lowercase()));
            self.ask(&format!(
                "(strpos(lower(tokens.name), {text}) > 0 OR strpos(lower(tokens.description), {text}) > 0
                 OR strpos(lower((SELECT name FROM teams WHERE teams.id = tokens.team)), {text}) > 0)"
            ));
        }
        if let Some(name) = &filter.team_name {
            let name = self.bind(Sought(&name.to_ascii_lowercase()));
            self.ask(&format!(
                "strpos(lower((SELECT name FROM teams WHERE teams.id = tokens.team)), {name}) > 0"
            ));
        }
        if let Some(slot) = &filter.slot {
            let slot = self.bind(slot);
            self.ask(&format!("tokens.slot = {slot}"));
        }
        if let Some(scope) = &filter.scope {
            let scope = self.bind(scope.as_str());
            self.ask(&format!("{scope} = ANY (string_to_array(tokens.scopes, ' '))"));
        }
        if let Some(preset) = &filter.preset {
            let preset = self.bind(Sought(preset));
            self.ask(&format!("tokens.preset = {preset}"));
        }
        if let Some(name) = &filter.created_by {
            // A change by a person's token records the token's name and the person. Removed people are still
            // found.
            let name = self.bind(Sought(&name.to_ascii_lowercase()));
            self.ask(&format!(
                "(lower(tokens.created_by) = {name}
                 OR tokens.created_by_user IN (SELECT users.id FROM users WHERE users.email = {name}))"
            ));
        }
        // What follows from its name, and has an index.
        if let Some(TokenId(maker)) = filter.created_by.as_deref().and_then(TokenId::of_actor) {
            let maker = self.bind(maker);
            self.ask(&format!("tokens.created_by_token = {maker}"));
        }
        if let Some(TokenId(except)) = filter.except {
            let except = self.bind(except);
            self.ask(&format!("tokens.id <> {except}"));
        }
        if let Some(TokenId(only)) = filter.only {
            let only = self.bind(only);
            self.ask(&format!("tokens.id = {only}"));
        }
        if !filter.ends.is_empty() {
            let ends: Vec<String> = filter.ends.iter().map(|end| self.end(*end)).collect();
            self.ask(&format!("({})", ends.join(" OR ")));
        }
        if let Some(from) = filter.created_after {
            let from = self.bind(from);
            self.ask(&format!("tokens.created_at >= {from}"));
        }
        if let Some(until) = filter.created_before {
            let until = self.bind(until);
            self.ask(&format!("tokens.created_at < {until}"));
        }
        if let Some(project) = filter.project {
            let project = self.bind(i64::from(project));
            self.ask(&format!("tokens.projects::jsonb @> to_jsonb({project})"));
        }
        if let Some(kid) = &filter.kid {
            let kid = self.bind(Sought(kid));
            self.ask(&format!("tokens.key = (SELECT id FROM keys WHERE kid = {kid})"));
        }
        if filter.for_others {
            self.ask("(tokens.person IS NULL OR tokens.person IS DISTINCT FROM tokens.created_by_user)");
        }
    }

    fn ask_of_use(&mut self, filter: &Filter) {
        if let Some(instant) = filter.unused_since {
            let instant = self.bind(instant);
            self.ask(&format!(
                "coalesce(token_use.last_used_at, tokens.created_at) < {instant}"
            ));
        }
        if filter.never_used {
            self.ask("token_use.last_used_at IS NULL");
        }
        if let Some(instant) = filter.used_since {
            let instant = self.bind(instant);
            self.ask(&format!("token_use.last_used_at >= {instant}"));
        }
        if let Some(now) = filter.reporting_at {
            let since = match filter.unused_since {
                // A token that was never used counts as unused since it was issued.
                Some(instant) if !filter.never_used => {
                    let instant = self.bind(instant);
                    format!("greatest({instant}, tokens.created_at)")
                }
                _ => "tokens.created_at".to_owned(),
            };
            let now = self.bind(now);
            self.ask(&reporting(&since, &now));
        }
    }

    fn status(&mut self, status: &StatusAt) -> String {
        let instant = self.bind(status.at);
        let uncut = uncut(&instant);
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
    fn ask_of_policy(&mut self, breach: &Breach, organization: &OrganizationId) {
        let Breach { policy, at } = breach;
        let mut rules = Vec::new();
        if let Some(seconds) = policy.max_lifetime {
            let most = self.bind(i64::try_from(seconds).unwrap_or(i64::MAX / 1000) * 1000);
            rules.push(format!(
                "tokens.expires_at IS NULL OR tokens.expires_at - tokens.created_at > {most}"
            ));
        }
        if let Some(allowed) = &policy.allowed_scopes {
            let allowed = self.bind(Bound::array(allowed.iter().map(Scope::as_str)));
            rules.push(format!("NOT string_to_array(tokens.scopes, ' ') <@ {allowed}"));
        }
        if let Some(allowed) = &policy.allowed_presets {
            let allowed = self.bind(Bound::array(allowed));
            rules.push(format!(
                "tokens.preset IS NOT NULL AND tokens.preset <> ALL ({allowed})"
            ));
        }
        if let Some(most) = policy.max_active_tokens_per_owner {
            let (organization, most) = (self.number("organizations", organization), self.bind(most));
            let (now, ever) = (self.bind(at), self.bind(active::EVER));
            let counted = active::counted(&now, &ever);
            rules.push(format!(
                "tokens.id IN (SELECT id FROM (
                     SELECT tokens.id, row_number() OVER (PARTITION BY team, person ORDER BY tokens.id DESC) AS place
                     FROM tokens WHERE tokens.organization = {organization} AND {counted}) AS counted
                 WHERE place > {most})"
            ));
        }
        // NULL if a rule does not apply, which is no breach.
        let broken = match rules.is_empty() {
            true => "FALSE".to_owned(),
            false => rules.join(") OR ("),
        };
        self.ask(&format!("(({broken}))"));
    }

    fn end(&mut self, end: End) -> String {
        match end {
            End::Never => "tokens.expires_at IS NULL".to_owned(),
            End::Between(from, until) => {
                let from = self.bind(from);
                let until = until.map_or_else(String::new, |until| {
                    format!(" AND tokens.expires_at < {}", self.bind(until))
                });
                // NULL if the token never expires, which is no match.
                format!("(tokens.expires_at >= {from}{until})")
            }
        }
    }

    /// Adds a condition.
    fn ask(&mut self, condition: &str) {
        self.condition.push_str(" AND ");
        self.condition.push_str(condition);
    }

    /// Adds a parameter and returns its name in the query.
    fn bind(&mut self, value: impl Parameter) -> String {
        self.parameters.bind(value)
    }

    /// Returns the SQL of a row's number by its public id: NULL, which matches nothing, if there is no such row.
    fn number(&mut self, table: &'static str, id: impl Parameter) -> String {
        let id = self.bind(id);
        format!("(SELECT id FROM {table} WHERE public_id = {id})")
    }
}

/// Returns the organization and the person whose sets are sources of their own. The condition for both together would
/// be read without the order of an index.
fn both(filter: &Filter) -> Option<(&OrganizationId, &UserId)> {
    match filter {
        Filter {
            visibility: Visibility::Everything,
            organization: Some(organization),
            or_everywhere_of: Some(user),
            team: None,
            user: None,
            ..
        } => Some((organization, user)),
        _ => None,
    }
}

/// A condition on `tokens`: the person is still a member of the token's organization, or a site administrator
/// (a member of all).
const BELONGS: &str = "(tokens.organization IS NULL OR EXISTS (SELECT 1 FROM memberships \
     WHERE memberships.organization = tokens.organization AND memberships.person = tokens.person) \
     OR EXISTS (SELECT 1 FROM users WHERE users.id = tokens.person AND users.site_admin))";
