//! Killed at any point: acknowledged orders are durable, and refused ones have had no effect.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::client::{Answer, Broken, Client};
use super::home::{EMAIL, Home, PASSWORD, SOON, Server, eventually};

const ROUNDS: u64 = 50;
const THREADS: u64 = 4;
const READY_WITHIN: Duration = Duration::from_secs(2);

/// What the clients know, stored outside of the killed process.
#[derive(Debug, Clone, Default)]
struct Log {
    /// By name, which is unique.
    tokens: BTreeMap<String, Token>,
    teams: BTreeMap<String, Outcome>,
    /// By organization.
    addresses: BTreeMap<String, Text>,
}

/// The outcome of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Acknowledged,
    Refused,
    /// No response arrived.
    Unknown,
}

#[derive(Debug, Clone)]
struct Token {
    issued: Outcome,
    /// Set only for acknowledged tokens.
    id: String,
    secret: String,
    /// `None`: no revocation was requested.
    revoked: Option<Outcome>,
    description: Text,
}

/// A text that changes from time to time.
#[derive(Debug, Clone, Default)]
struct Text {
    acknowledged: Option<String>,
    /// Sent after the acknowledged one, without a response.
    unknown: Option<String>,
}

impl Text {
    fn order(&mut self, text: String, outcome: Outcome) {
        match outcome {
            Outcome::Acknowledged => {
                *self = Self {
                    acknowledged: Some(text),
                    unknown: None,
                }
            }
            Outcome::Unknown => self.unknown = Some(text),
            Outcome::Refused => {}
        }
    }

    fn allows(&self, found: &Option<String>) -> bool {
        *found == self.acknowledged || (self.unknown.is_some() && *found == self.unknown)
    }
}

/// What the server reports after a restart.
#[derive(Debug, Default)]
struct Seen {
    /// By name, as listed; several with one name mean a partial order.
    tokens: BTreeMap<String, Vec<Value>>,
    /// By name, for tokens with a known secret: whether the authority accepts it.
    accepted: BTreeMap<String, bool>,
    teams: Vec<String>,
    addresses: BTreeMap<String, Option<String>>,
}

/// Returns all contradictions between the server and its clients' knowledge.
fn contradictions(log: &Log, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    let mut ids = BTreeMap::new();
    for (name, token) in &log.tokens {
        let listed = seen.tokens.get(name).map_or(&[][..], Vec::as_slice);
        match (token.issued, listed) {
            (Outcome::Acknowledged, [_]) | (Outcome::Unknown, [] | [_]) | (Outcome::Refused, []) => {}
            (issued, _) => found.push(format!("{name}: {issued:?}, and listed as {listed:?}")),
        }
        for info in listed {
            judge_token(name, token, info, seen, &mut found);
            if let Some(other) = ids.insert(info["id"].to_string(), name) {
                found.push(format!("{name} has the id of {other}"));
            }
        }
    }
    for (name, outcome) in &log.teams {
        let count = seen.teams.iter().filter(|team| *team == name).count();
        match (outcome, count) {
            (Outcome::Acknowledged, 1) | (Outcome::Unknown, 0 | 1) | (Outcome::Refused, 0) => {}
            _ => found.push(format!("team {name}: {outcome:?}, and {count} of it")),
        }
    }
    for (organization, address) in &log.addresses {
        let has = seen.addresses.get(organization).cloned().flatten();
        if !address.allows(&has) {
            found.push(format!("{organization}: {address:?}, and it has {has:?}"));
        }
    }
    found
}

fn judge_token(name: &str, token: &Token, info: &Value, seen: &Seen, found: &mut Vec<String>) {
    let mut wrong = |what: &str| {
        found.push(format!(
            "{name}: {what}; {token:?}; {info}; {:?}",
            seen.accepted.get(name)
        ))
    };
    let is_revoked = info["status"] == "revoked";
    let marks = [!info["revoked_at"].is_null(), !info["revoked_by"].is_null()];
    if marks != [is_revoked, is_revoked] || info["revocation_reason"].is_null() == is_revoked {
        wrong("half of a revocation");
    }
    if info["scopes"].as_array().is_none_or(Vec::is_empty) || info["created_by"] != EMAIL {
        wrong("half of a token");
    }
    match token.revoked {
        None | Some(Outcome::Refused) if is_revoked => wrong("revoked, which was not requested"),
        Some(Outcome::Acknowledged) if !is_revoked => wrong("its revocation is lost"),
        _ => {}
    }
    if !token
        .description
        .allows(&info["description"].as_str().map(str::to_owned))
    {
        wrong("another description");
    }
    if token.issued == Outcome::Acknowledged {
        if info["id"] != token.id.as_str() {
            wrong("another id");
        }
        match seen.accepted.get(name) {
            Some(accepted) if *accepted != is_revoked => {}
            _ => wrong("listed as one thing and treated as another"),
        }
    }
}

#[test]
fn what_was_answered_survives_fifty_kills() {
    let home = Home::new();
    let mut server = home.serve();
    let session = server.client().login(EMAIL, PASSWORD).unwrap();
    let log = Mutex::new(Log::default());
    for thread in 0..THREADS {
        let organization = format!("storm{thread}");
        let mut client = server.client().with_token(&session);
        let body = json!({"name": organization, "email": "begin@example.com"});
        client
            .post("/api/v1/organizations", body)
            .expect(StatusCode::CREATED);
        log.lock()
            .unwrap()
            .addresses
            .entry(organization)
            .or_default()
            .order("begin@example.com".to_owned(), Outcome::Acknowledged);
    }

    let mut chance = Chance(20_260_102);
    for round in 0..ROUNDS {
        storm(&mut server, &session, &log, round, &mut chance);
        server = home.serve();
        let begun = Instant::now();
        let mut client = server.client().with_token(&session);
        eventually(SOON, || (client.get("/readyz").status == 200).then_some(())).unwrap();
        let ready = server.started_within + begun.elapsed();
        assert!(ready < READY_WITHIN, "round {round}: ready after {ready:?}");

        let mut log = log.lock().unwrap();
        // At the end all secrets of all rounds, until then only those of this round.
        let prefix = if round + 1 == ROUNDS {
            String::new()
        } else {
            format!("r{round}-")
        };
        let of_this_round = select(&log, &prefix);
        let seen = read_back(&mut client, &of_this_round);
        assert_eq!(
            contradictions(&of_this_round, &seen),
            Vec::<String>::new(),
            "round {round}"
        );
        settle(&mut log, &seen);
    }

    // The control: the check finds false logs.
    let log = log.into_inner().unwrap();
    let seen = read_back(&mut server.client().with_token(&session), &log);
    assert_eq!(contradictions(&log, &seen), Vec::<String>::new());
    assert!(log.tokens.len() > 500, "only {} tokens", log.tokens.len());
    for (what, lie) in false_logs(&log) {
        assert!(!contradictions(&lie, &seen).is_empty(), "believed: {what}");
    }
}

/// Records what the server reports for unknown outcomes, which must not change from then on.
fn settle(log: &mut Log, seen: &Seen) {
    for (organization, address) in &mut log.addresses {
        *address = Text {
            acknowledged: seen.addresses.get(organization).cloned().flatten(),
            unknown: None,
        };
    }
    for (name, outcome) in &mut log.teams {
        if *outcome == Outcome::Unknown {
            *outcome = if seen.teams.contains(name) {
                Outcome::Acknowledged
            } else {
                Outcome::Refused
            };
        }
    }
    for (name, token) in &mut log.tokens {
        if let (Some(Outcome::Unknown), Some(accepted)) = (token.revoked, seen.accepted.get(name)) {
            token.revoked = Some(if *accepted {
                Outcome::Refused
            } else {
                Outcome::Acknowledged
            });
        }
    }
}

/// Returns logs with false claims.
fn false_logs(log: &Log) -> Vec<(&'static str, Log)> {
    let alive = |token: &Token| token.issued == Outcome::Acknowledged && token.revoked.is_none();
    let ended = |token: &Token| token.revoked == Some(Outcome::Acknowledged);
    let name =
        |is: &dyn Fn(&Token) -> bool| log.tokens.iter().find(|(_, token)| is(token)).unwrap().0.clone();
    let changed = |name: &str, change: &dyn Fn(&mut Token)| {
        let mut lie = log.clone();
        change(lie.tokens.get_mut(name).unwrap());
        lie
    };
    let (living, dead) = (name(&alive), name(&ended));
    let mut invented = log.clone();
    let token = log.tokens[&living].clone();
    invented.tokens.insert("invented".to_owned(), token);
    let mut team = log.clone();
    team.teams.insert("invented".to_owned(), Outcome::Acknowledged);
    vec![
        (
            "a revocation that was not requested",
            changed(&living, &|token| token.revoked = Some(Outcome::Acknowledged)),
        ),
        (
            "an unknown revocation",
            changed(&dead, &|token| token.revoked = None),
        ),
        (
            "a refusal of what was done",
            changed(&living, &|token| token.issued = Outcome::Refused),
        ),
        (
            "another description",
            changed(&living, &|token| {
                token.description = Text {
                    acknowledged: Some("other".to_owned()),
                    unknown: None,
                }
            }),
        ),
        ("a token that was never issued", invented),
        ("a team that was never made", team),
    ]
}

/// Returns the part of a log whose tokens have a name prefix.
fn select(log: &Log, prefix: &str) -> Log {
    let of = |name: &String| name.starts_with(prefix);
    Log {
        tokens: log
            .tokens
            .iter()
            .filter(|(name, _)| of(name))
            .map(|(name, token)| (name.clone(), token.clone()))
            .collect(),
        ..log.clone()
    }
}

/// Sends requests from several threads until the process is killed.
fn storm(server: &mut Server, session: &str, log: &Mutex<Log>, round: u64, chance: &mut Chance) {
    let answered = AtomicUsize::new(0);
    let seeds: Vec<u64> = (0..THREADS).map(|_| chance.next()).collect();
    let enough = 1 + usize::try_from(chance.below(90)).unwrap();
    let address = server.address;
    thread::scope(|scope| {
        for (thread, seed) in (0..).zip(seeds) {
            let answered = &answered;
            scope.spawn(move || {
                let client = Client::new(address).with_token(session);
                let name = format!("r{round}-t{thread}");
                let mut worker = Worker {
                    client,
                    log,
                    name,
                    organization: format!("storm{thread}"),
                    mine: Vec::new(),
                    chance: Chance(seed),
                    count: 0,
                };
                while worker.step().is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        eventually(SOON, || {
            (answered.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .unwrap();
        server.kill();
    });
}

struct Worker<'a> {
    client: Client,
    log: &'a Mutex<Log>,
    name: String,
    organization: String,
    /// Names of tokens that are active as far as this worker knows.
    mine: Vec<String>,
    chance: Chance,
    count: u32,
}

/// The error after the server was killed.
struct ServerKilled;

impl Worker<'_> {
    fn step(&mut self) -> Result<(), ServerKilled> {
        self.count += 1;
        let name = format!("{}-{}", self.name, self.count);
        match (self.chance.below(20), self.mine.is_empty()) {
            (0..=3, false) => self.revoke(),
            (4..=6, false) => self.describe(name),
            (7, false) => self.revoke_for_too_long_a_reason(),
            (8..=9, _) => self.found_team(name),
            (10..=11, _) => self.change_organization(&name),
            (12, _) => self.issue(name, json!(["no:such-scope"])),
            _ => self.issue(name, json!(["projects:read", "content:write"])),
        }
    }

    fn issue(&mut self, name: String, scopes: Value) -> Result<(), ServerKilled> {
        let body = json!({"name": name, "organization": self.organization, "scopes": scopes, "description": "first"});
        let (outcome, answer) = self.order("POST", "/api/v1/tokens", body);
        let (mut id, mut secret) = (String::new(), String::new());
        if let (Outcome::Acknowledged, Some(answer)) = (outcome, &answer) {
            let answer = answer.json();
            id = answer["token_info"]["id"].as_str().unwrap().to_owned();
            secret = answer["token"].as_str().unwrap().to_owned();
            self.mine.push(name.clone());
        }
        let description = Text {
            acknowledged: Some("first".to_owned()),
            unknown: None,
        };
        let token = Token {
            issued: outcome,
            id,
            secret,
            revoked: None,
            description,
        };
        self.log.lock().unwrap().tokens.insert(name, token);
        require_answer(answer)
    }

    fn revoke(&mut self) -> Result<(), ServerKilled> {
        let index = self.chance.index(self.mine.len());
        let name = self.mine.swap_remove(index);
        let path = format!("/api/v1/tokens/{}/revoke", self.id(&name));
        let (outcome, answer) = self.order("POST", &path, json!({"reason": "storm"}));
        self.change(&name, |token| token.revoked = Some(outcome));
        require_answer(answer)
    }

    fn revoke_for_too_long_a_reason(&mut self) -> Result<(), ServerKilled> {
        let name = self.mine[self.chance.index(self.mine.len())].clone();
        let path = format!("/api/v1/tokens/{}/revoke", self.id(&name));
        let (_, answer) = self.order("POST", &path, json!({"reason": "x".repeat(1001)}));
        assert!(
            answer.as_ref().is_none_or(|answer| answer.status == 422),
            "{answer:?}"
        );
        require_answer(answer)
    }

    fn describe(&mut self, text: String) -> Result<(), ServerKilled> {
        let name = self.mine[self.chance.index(self.mine.len())].clone();
        let path = format!("/api/v1/tokens/{}", self.id(&name));
        let (outcome, answer) = self.order("PATCH", &path, json!({"description": text}));
        self.change(&name, |token| token.description.order(text, outcome));
        require_answer(answer)
    }

    fn found_team(&mut self, name: String) -> Result<(), ServerKilled> {
        let path = format!("/api/v1/organizations/{}/teams", self.organization);
        let (outcome, answer) = self.order("POST", &path, json!({"name": name}));
        self.log.lock().unwrap().teams.insert(name, outcome);
        require_answer(answer)
    }

    fn change_organization(&mut self, text: &str) -> Result<(), ServerKilled> {
        let text = format!("{text}@example.com");
        let path = format!("/api/v1/organizations/{}", self.organization);
        let (outcome, answer) = self.order("PATCH", &path, json!({"email": text}));
        let mut log = self.log.lock().unwrap();
        log.addresses
            .get_mut(&self.organization)
            .unwrap()
            .order(text, outcome);
        drop(log);
        require_answer(answer)
    }

    fn order(&mut self, method: &str, path: &str, body: Value) -> (Outcome, Option<Answer>) {
        match self.client.ask(method, path, Some(body.to_string())) {
            Ok(answer) if answer.status < 300 => (Outcome::Acknowledged, Some(answer)),
            Ok(answer) if answer.status == 422 => (Outcome::Refused, Some(answer)),
            Ok(answer) => panic!("{method} {path}: {answer:?}"),
            Err(Broken::Unsent) => (Outcome::Refused, None),
            Err(Broken::Unanswered(_)) => (Outcome::Unknown, None),
        }
    }

    fn id(&self, name: &str) -> String {
        self.log.lock().unwrap().tokens[name].id.clone()
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Token)) {
        change(self.log.lock().unwrap().tokens.get_mut(name).unwrap());
    }
}

fn require_answer(answer: Option<Answer>) -> Result<(), ServerKilled> {
    answer.map(drop).ok_or(ServerKilled)
}

/// Reads everything in the log from the server.
fn read_back(client: &mut Client, log: &Log) -> Seen {
    let mut seen = Seen::default();
    for organization in log.addresses.keys() {
        let path = format!("/api/v1/tokens?organization={organization}&include_revoked=true&limit=1000");
        for info in all(client, &path) {
            let name = info["name"].as_str().unwrap().to_owned();
            seen.tokens.entry(name).or_default().push(info);
        }
        let path = format!("/api/v1/organizations/{organization}/teams?limit=1000");
        let teams = all(client, &path);
        seen.teams
            .extend(teams.iter().map(|team| team["name"].as_str().unwrap().to_owned()));
        let shown = client
            .get(&format!("/api/v1/organizations/{organization}"))
            .expect(StatusCode::OK)
            .json();
        let address = shown["email"].as_str().map(str::to_owned);
        seen.addresses.insert(organization.clone(), address);
    }
    for (name, token) in log
        .tokens
        .iter()
        .filter(|(_, token)| token.issued == Outcome::Acknowledged)
    {
        let accepted = match client.current(&token.secret) {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        };
        seen.accepted.insert(name.clone(), accepted);
    }
    seen
}

/// Returns every page of a list.
fn all(client: &mut Client, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut next = path.to_owned();
    loop {
        let mut page = client.get(&next).expect(StatusCode::OK).json();
        items.append(page["items"].as_array_mut().unwrap());
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => return items,
        }
    }
}

/// A first start that is killed at any point can be repeated, and ends with one administrator who can
/// log in.
#[test]
fn a_first_start_can_be_killed_at_any_point() {
    let whole = Home::new().serve().started_within;
    for part in 0..12 {
        let home = Home::new();
        let mut child = home
            .serve_command()
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        eventually(SOON, || (begun.elapsed() >= whole * part / 10).then_some(())).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();

        let server = home.serve();
        let mut client = server.administrator();
        let body = json!({"name": "first", "organization": "default"});
        let made = client
            .post("/api/v1/tokens", body)
            .expect(StatusCode::CREATED)
            .json();
        assert_eq!(
            client.current(made["token"].as_str().unwrap()),
            200,
            "killed at {part} of 10"
        );
        assert_eq!(all(&mut client, "/api/v1/users?limit=10").len(), 1);
        assert_eq!(all(&mut client, "/api/v1/organizations?limit=10").len(), 1);
    }
}

/// A seeded random generator.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// Returns the next number (splitmix64).
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length.try_into().unwrap())).unwrap()
    }
}
