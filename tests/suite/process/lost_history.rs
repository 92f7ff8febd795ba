//! A PostgreSQL database that has lost history: servers notice it and stop, and `jeton reconcile` begins a new epoch that
//! has what their journals know.

use std::path::Path;

use axum::http::StatusCode;
use jeton_store_postgres::cluster::{Cluster, Replication};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::home::{Finished, SOON, Server, eventually};
use super::two_nodes::{Deployment, block_on, id, issue, refused, revoke, succeeded, text, waits_for};

/// Two servers with journals. They are on one machine here, and differ in their configuration.
struct Journaled {
    deployment: Deployment,
    /// The database as it was once.
    copy: Option<String>,
}

/// A token with its number, and the answer that contains both.
struct Issued {
    number: i64,
    token: String,
    answer: Value,
}

const CONFIGURATIONS: [&str; 2] = ["one.toml", "two.toml"];
const JOURNALS: [&str; 2] = ["one.journal", "two.journal"];

impl Journaled {
    fn new() -> Self {
        Self::on(Cluster::start().unwrap(), &[])
    }

    fn on(cluster: Cluster, standbys: &[&Cluster]) -> Self {
        // Longer than the copy of a database and a renewal that it lets fail.
        let deployment = Deployment::on(cluster, standbys, &[("postgresql.stale_after", "4s")]);
        let home = &deployment.home;
        let common = std::fs::read_to_string(home.path("jeton.toml")).unwrap();
        for (name, journal) in CONFIGURATIONS.into_iter().zip(JOURNALS) {
            let text = format!("{common}postgresql.journal = '{journal}'\n");
            std::fs::write(home.path(name), text).unwrap();
        }
        Self {
            deployment,
            copy: None,
        }
    }

    fn serve(&self, server: usize) -> Server {
        self.try_serve(server)
            .unwrap_or_else(|finished| panic!("it did not start: {finished:?}"))
    }

    fn try_serve(&self, server: usize) -> Result<Server, Finished> {
        let home = &self.deployment.home;
        home.try_serve_with(&["--config", CONFIGURATIONS[server]])
    }

    /// Copies the database, as a dump does, and waits until the servers go on, whose connections that ends.
    #[track_caller]
    fn back_up<const N: usize>(&mut self, clients: [&mut Client; N]) {
        self.copy = Some(self.deployment.copy());
        for client in clients {
            waits_for(&200, || client.get("/readyz").status);
        }
    }

    /// Puts the copy in the place of the database while servers run.
    fn lose(&self) {
        self.deployment.replace_by(self.copy.as_deref().unwrap());
    }

    fn reconcile(&self, more: &[&str]) -> Finished {
        let arguments = [&["--config", CONFIGURATIONS[0], "reconcile"], more].concat();
        self.deployment.home.run(&arguments)
    }

    /// Reconciles once no server holds a lease any more.
    #[track_caller]
    fn reconcile_soon(&self, more: &[&str]) -> Finished {
        let mut last = None;
        let done = eventually(SOON, || {
            let finished = self.reconcile(more);
            let is_running = finished.stderr.contains("servers are running on the database");
            last = Some(finished);
            (!is_running).then_some(())
        });
        assert!(done.is_some(), "{last:?}");
        last.unwrap()
    }

    fn epoch(&self) -> String {
        self.deployment.sql("SELECT epoch::text FROM meta")
    }
}

fn issued(client: &mut Client) -> Issued {
    let answer = issue(client);
    Issued {
        number: id(&answer).parse().unwrap(),
        token: text(&answer, "token"),
        answer,
    }
}

/// Waits until a server has ended because of lost history, and returns its log. Until then it accepts no revoked token.
#[track_caller]
fn notices(server: Server, client: &mut Client, revoked: &str) -> String {
    ends(server, || {
        // It answers from its own memory until it notices, and not at all after its end.
        let status = client.try_current(revoked);
        assert!(!matches!(status, Ok(200)), "a revoked token is alive");
    })
}

/// Waits until a server has ended, and returns its log.
#[track_caller]
fn ends(mut server: Server, mut meanwhile: impl FnMut()) -> String {
    let ended = eventually(SOON, || {
        meanwhile();
        server.ended_yet()
    });
    let code = ended
        .unwrap_or_else(|| panic!("it goes on: {}", server.stderr()))
        .code();
    assert_eq!(code, Some(1), "{}", server.stderr());
    server.stderr()
}

/// More numbers than are given out until history is lost.
const LEAP: i64 = 60_000_000;

const SAYS: &str = "the database has lost history that this server has followed: stop all servers, and run `jeton reconcile`";

#[test]
fn a_database_that_has_lost_revocations_is_noticed_and_reconciled_from_the_journals() {
    let mut journaled = Journaled::new();
    let one = journaled.serve(0);
    let two = journaled.serve(1);
    let (mut at_one, mut at_two) = (one.administrator(), two.administrator());
    let [kept, by_one, by_two, before] = [(); 4].map(|()| issued(&mut at_one));
    revoke(&mut at_one, &before.answer);
    journaled.back_up([&mut at_one, &mut at_two]);
    let epoch = journaled.epoch();
    revoke(&mut at_one, &by_one.answer);
    revoke(&mut at_two, &by_two.answer);
    let lost = issued(&mut at_two);
    revoke(&mut at_two, &lost.answer);
    let unrevoked = issued(&mut at_one);
    waits_for(&401, || at_one.current(&by_two.token));

    journaled.lose();
    // A server may have learned of the other's revocation from the record, which is lost, before it follows the feed.
    for (server, client, own) in [(one, &mut at_one, &by_one), (two, &mut at_two, &by_two)] {
        let said = notices(server, client, &own.token);
        assert!(said.contains(SAYS), "{said}");
    }
    // Nor does one begin.
    for server in 0..2 {
        let refusing = journaled.try_serve(server).err().unwrap();
        assert!(
            refused(&refusing).contains("its history was lost"),
            "{refusing:?}"
        );
    }
    assert_eq!(journaled.epoch(), epoch, "nothing reconciles by itself");

    let reconciled =
        succeeded(journaled.reconcile_soon(&["--journal", JOURNALS[0], "--journal", JOURNALS[1]]));
    assert!(
        reconciled.starts_with(
            "reconciled; revocations that the database had lost, repeated: 3 tokens, 0 cut-offs, 0 keys\n"
        ),
        "{reconciled}"
    );
    // The other one may have missed the last event: a server follows the others four times a second.
    let end = format!("the journal {} ends with the event 4 of ", JOURNALS[1]);
    assert!(reconciled.contains(&end), "{reconciled}");
    assert_ne!(journaled.epoch(), epoch);

    let servers = [journaled.serve(0), journaled.serve(1)];
    for server in &servers {
        let mut client = server.administrator();
        assert_eq!(client.current(&kept.token), 200);
        for revoked in [&by_one, &by_two, &before, &lost] {
            assert_eq!(client.current(&revoked.token), 401, "{}", revoked.number);
        }
        assert_eq!(client.current(&unrevoked.token), 401, "it has no record");
        let new = issued(&mut client);
        assert!(new.number > unrevoked.number + LEAP, "a number is given twice");
        assert_eq!(client.current(&new.token), 200);
    }
    let lists = format!(
        "SELECT (min(status_list) > 4000)::text FROM tokens WHERE id > {}",
        unrevoked.number
    );
    assert_eq!(journaled.deployment.sql(&lists), "true");
    // The bits of tokens without a record are in the lists that services fetch.
    let places = "SELECT count(*)::text FROM lost_tokens";
    assert_eq!(journaled.deployment.sql(places), "1");
    let twice = "SELECT count(*)::text FROM (SELECT 1 FROM tokens GROUP BY status_list, status_index HAVING count(*) > 1) AS t";
    assert_eq!(journaled.deployment.sql(twice), "0");
    // The journals go on: what is reconciled is not lost again.
    revoke(&mut servers[0].administrator(), &kept.answer);
    drop(servers);
    let server = journaled.serve(1);
    assert_eq!(server.client().current(&kept.token), 401);
    assert!(
        journaled
            .reconcile(&["--journal", JOURNALS[0]])
            .stderr
            .contains("servers are running")
    );
}

/// The control: a database that no server saw before its history was lost. Without the mark that a server leaves, it would
/// be served, with a revoked token alive.
#[test]
fn what_no_journal_knows_is_alive_again_if_nobody_has_noticed() {
    let mut journaled = Journaled::new();
    let home = &journaled.deployment.home;
    let mut server = home.serve();
    let said = "this server keeps no journal of revocations";
    assert!(server.stderr().contains(said), "{}", server.stderr());
    let mut client = server.administrator();
    let revoked = issued(&mut client);
    journaled.back_up([&mut client]);
    revoke(&mut client, &revoked.answer);
    server.kill();
    journaled.lose();
    let server = journaled.deployment.home.serve();
    assert_eq!(
        server.client().current(&revoked.token),
        200,
        "the control is none"
    );
}

/// A server that does not know what is lost cannot notice it: the one that does stops all.
#[test]
fn one_server_that_notices_stops_those_that_cannot() {
    let mut journaled = Journaled::new();
    let knowing = journaled.serve(0);
    let ignorant = journaled.deployment.home.serve();
    let mut client = knowing.administrator();
    let revoked = issued(&mut client);
    journaled.back_up([&mut client, &mut ignorant.client()]);
    // It is behind when history is lost.
    ignorant.signal(Signal::STOP);
    revoke(&mut client, &revoked.answer);
    journaled.lose();
    ignorant.signal(Signal::CONT);
    notices(knowing, &mut client, &revoked.token);
    let mut behind = ignorant.client();
    let said = ends(ignorant, || _ = behind.try_current(&revoked.token));
    assert!(said.contains(SAYS), "{said}");
    // Nor does one begin that has no journal, or a new one.
    let refusing = journaled.deployment.home.try_serve().err().unwrap();
    assert!(refused(&refusing).contains(SAYS), "{refusing:?}");
    let refusing = journaled.try_serve(1).err().unwrap();
    let said = "the database has lost history that another server has";
    assert!(refused(&refusing).contains(said), "{refusing:?}");
    succeeded(journaled.reconcile_soon(&["--journal", JOURNALS[0]]));
    for server in [
        journaled.deployment.home.serve(),
        journaled.serve(0),
        journaled.serve(1),
    ] {
        assert_eq!(server.client().current(&revoked.token), 401);
    }
}

#[test]
fn reconciling_is_refused_while_servers_hold_leases_and_without_all_journals() {
    let mut journaled = Journaled::new();
    let server = journaled.serve(0);
    let mut client = server.administrator();
    let kept = issued(&mut client);
    journaled.back_up([&mut client]);
    let epoch = journaled.epoch();
    // The second server is added in the history that is lost.
    let revoked_before = issued(&mut client);
    revoke(&mut client, &revoked_before.answer);
    let added = journaled.serve(1);
    let mut at_added = added.administrator();
    let revoked = issued(&mut at_added);
    revoke(&mut at_added, &revoked.answer);
    waits_for(&401, || client.current(&revoked.token));
    for more in [&["--journal", JOURNALS[0]][..], &["--cut-off-missing"]] {
        let running = journaled.reconcile(more);
        assert!(
            refused(&running).contains("servers are running on the database"),
            "{running:?}"
        );
    }
    journaled.lose();
    notices(server, &mut client, &revoked_before.token);
    notices(added, &mut at_added, &revoked.token);

    let none = journaled.reconcile(&[]);
    assert_eq!(none.code, Some(2), "{none:?}");
    let absent = journaled.reconcile_soon(&["--journal", "absent"]);
    assert!(
        refused(&absent).contains("there is no journal in absent"),
        "{absent:?}"
    );
    let incomplete = journaled.reconcile(&["--journal", JOURNALS[1]]);
    assert!(
        refused(&incomplete).contains("does not have everything since"),
        "{incomplete:?}"
    );
    damage(&journaled.deployment.home.path(JOURNALS[0]), || {
        let damaged = journaled.reconcile(&["--journal", JOURNALS[0]]);
        assert!(refused(&damaged).contains("is damaged"), "{damaged:?}");
    });
    assert_eq!(journaled.epoch(), epoch);

    // Only what the first one has leads to the beginning of the second.
    let both = ["--journal", JOURNALS[1], "--journal", JOURNALS[0]];
    let reconciled = succeeded(journaled.reconcile(&both));
    assert!(reconciled.contains("repeated: 2 tokens"), "{reconciled}");
    let server = journaled.serve(1);
    let mut client = server.client();
    assert_eq!(client.current(&kept.token), 200);
    for revoked in [&revoked, &revoked_before] {
        assert_eq!(client.current(&revoked.token), 401);
    }
}

/// Flips a bit in the middle of the first segment of a journal meanwhile.
fn damage(journal: &Path, meanwhile: impl FnOnce()) {
    let path = journal.join("00000001.log");
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    meanwhile();
    std::fs::write(&path, whole).unwrap();
}

#[test]
fn without_the_journals_everything_is_revoked() {
    let mut journaled = Journaled::new();
    let server = journaled.serve(0);
    let mut client = server.administrator();
    let kept = issued(&mut client);
    journaled.back_up([&mut client]);
    let revoked = issued(&mut client);
    revoke(&mut client, &revoked.answer);
    journaled.lose();
    notices(server, &mut client, &revoked.token);
    let reconciled = succeeded(journaled.reconcile_soon(&["--cut-off-missing"]));
    assert!(
        reconciled.contains("repeated: 0 tokens, 1 cut-offs, 1 keys"),
        "{reconciled}"
    );
    // What its journal has is made up for.
    let server = journaled.serve(0);
    let mut client = server.client();
    for token in [&kept, &revoked] {
        assert_eq!(client.current(&token.token), 401);
    }
    let new = issued(&mut server.administrator());
    assert_eq!(client.current(&new.token), 200);
}

/// Nothing but an issue is lost: the last event is the same.
#[test]
fn a_database_that_has_lost_an_issue_alone_is_noticed() {
    let mut journaled = Journaled::new();
    let server = journaled.serve(0);
    let mut client = server.administrator();
    let revoked = issued(&mut client);
    revoke(&mut client, &revoked.answer);
    journaled.back_up([&mut client]);
    let lost = issued(&mut client);
    journaled.lose();
    let said = notices(server, &mut client, &revoked.token);
    assert!(said.contains(SAYS), "{said}");
    succeeded(journaled.reconcile_soon(&["--journal", JOURNALS[0]]));
    let server = journaled.serve(0);
    let new = issued(&mut server.administrator());
    assert!(new.number > lost.number + LEAP, "a number is given twice");
    assert_eq!(server.client().current(&lost.token), 401, "it has no record");
}

/// Servers of a role that may not call functions of timelines say so.
#[test]
fn readiness_says_how_lost_history_is_noticed() {
    let journaled = Journaled::new();
    let server = journaled.serve(0);
    let checked = |server: &Server| {
        let ready = server.client().get("/readyz");
        text(&ready.expect(StatusCode::OK).json(), "history_check")
    };
    assert_eq!(checked(&server), "timeline_position_and_hash");
    journaled
        .deployment
        .sql("ALTER FUNCTION pg_catalog.pg_control_system() RENAME TO pg_control_system_of_another_service");
    let another = journaled.serve(1);
    assert_eq!(checked(&another), "position_and_hash");
    let mut client = another.administrator();
    let issued = issued(&mut client);
    assert_eq!(client.current(&issued.token), 200);
}

/// What was removed in lost history is revoked again, although the database does not know that it was ever there.
#[test]
fn cut_offs_and_withdrawn_keys_are_repeated() {
    let mut journaled = Journaled::new();
    let server = journaled.serve(0);
    let mut client = server.administrator();
    let signed = issued(&mut client);
    let (signing, _) = signing_key(&journaled);
    journaled.back_up([&mut client]);
    let created = |answer: Answer| text(&answer.expect(StatusCode::CREATED).json(), "id");
    let organization = created(client.post("/api/v1/organizations", json!({"name": "acme"})));
    let organization_path = format!("/api/v1/organizations/{organization}");
    let team = created(client.post(&format!("{organization_path}/teams"), json!({"name": "ops"})));
    let ada = json!({"email": "ada@example.org", "password": "the first password"});
    let user = created(client.post("/api/v1/users", ada));
    for path in [
        format!("{organization_path}/teams/{team}"),
        organization_path,
        "/api/v1/users/ada@example.org".to_owned(),
    ] {
        let answer = client.ask("DELETE", &path, None).unwrap();
        assert!(answer.status < 300, "{answer:?}");
    }
    // A command has no journal: the server follows it.
    succeeded(
        journaled
            .deployment
            .home
            .run(&["keys", "revoke", &signing, "--reason", "leaked"]),
    );
    let journal = journaled.deployment.home.path(JOURNALS[0]).join("00000001.log");
    waits_for(&true, || {
        std::fs::read_to_string(&journal)
            .unwrap()
            .contains("\"withdrawn\"")
    });
    waits_for(&401, || client.current(&signed.token));
    journaled.lose();
    notices(server, &mut client, &signed.token);

    let reconciled = succeeded(journaled.reconcile_soon(&["--journal", JOURNALS[0]]));
    assert!(
        reconciled.contains("repeated: 0 tokens, 4 cut-offs, 1 keys\n"),
        "{reconciled}"
    );
    for removed in [
        format!("cut off: organization {organization}, team {team}\n"),
        format!("cut off: organization {organization}\n"),
        format!("cut off: user {user}\n"),
        format!("cut off: key {signing}\n"),
    ] {
        assert!(reconciled.contains(&removed), "{removed} is not in {reconciled}");
    }
    let (key, state) = signing_key(&journaled);
    assert_eq!((&key, state.as_str()), (&signing, "withdrawn"));
    let server = journaled.serve(0);
    assert_eq!(server.client().current(&signed.token), 401);
    let new = issued(&mut server.administrator());
    assert_eq!(server.client().current(&new.token), 200);
}

/// Returns the name and the state of the first key.
fn signing_key(journaled: &Journaled) -> (String, String) {
    let keys = journaled.deployment.keys();
    let words: Vec<_> = keys[0].split_whitespace().map(str::to_owned).collect();
    (words[0].clone(), words[2].clone())
}

/// A primary with a standby that has fallen behind it if it can.
struct Replicated {
    journaled: Journaled,
    standby: Cluster,
}

impl Replicated {
    fn new(replication: Replication) -> Self {
        let primary = Cluster::start().unwrap();
        let standby = block_on(primary.standby(replication)).unwrap();
        Self {
            journaled: Journaled::on(primary, &[&standby]),
            standby,
        }
    }

    /// Waits until the standby has all events.
    #[track_caller]
    fn replicates(&self) {
        let Deployment {
            cluster, database, ..
        } = &self.journaled.deployment;
        let last = |cluster: &Cluster| {
            let (rows, _) = block_on(cluster.sql(database, "SELECT sequence FROM meta")).unwrap();
            rows[0][0].clone()
        };
        waits_for(&last(cluster), || last(&self.standby));
    }

    /// Cuts the power of the primary, and promotes the standby.
    fn fail_over(&self) {
        self.journaled.deployment.cluster.kill().unwrap();
        block_on(self.standby.promote()).unwrap();
    }
}

#[test]
fn servers_go_on_after_a_failover_that_has_lost_nothing() {
    let replicated = Replicated::new(Replication::Synchronous);
    let server = replicated.journaled.serve(0);
    let mut client = server.administrator();
    let (kept, revoked) = (issued(&mut client), issued(&mut client));
    revoke(&mut client, &revoked.answer);
    let epoch = replicated.journaled.epoch();
    replicated.fail_over();
    waits_for(&200, || client.current(&kept.token));
    waits_for(&200, || client.get("/readyz").status);
    let new = issued(&mut client);
    for (token, status) in [(&new, 200), (&revoked, 401)] {
        assert_eq!(client.current(&token.token), status);
    }
    waits_for(&true, || {
        server
            .stderr()
            .contains("PostgreSQL has failed over or was recovered")
    });
    let database = &replicated.journaled.deployment.database;
    let (rows, _) = block_on(replicated.standby.sql(database, "SELECT epoch::text FROM meta")).unwrap();
    assert_eq!(rows[0][0].as_deref(), Some(epoch.as_str()));
}

/// The standby is promoted although it has not received all of it: as a forced failover does.
#[test]
fn a_failover_to_a_standby_that_lacks_revocations_is_noticed_and_reconciled() {
    let replicated = Replicated::new(Replication::Asynchronous);
    let journaled = &replicated.journaled;
    let servers = [journaled.serve(0), journaled.serve(1)];
    let mut clients = servers.each_ref().map(Server::administrator);
    let [at_one, at_two] = &mut clients;
    let tokens = [(); 3].map(|()| issued(at_one));
    revoke(at_one, &tokens[0].answer);
    replicated.replicates();
    block_on(replicated.standby.pause()).unwrap();
    revoke(at_one, &tokens[1].answer);
    revoke(at_two, &tokens[2].answer);
    replicated.fail_over();
    for ((server, client), revoked) in servers.into_iter().zip(&mut clients).zip(&tokens[1..]) {
        let said = notices(server, client, &revoked.token);
        assert!(said.contains(SAYS), "{said}");
    }
    let reconciled = journaled.reconcile_soon(&["--journal", JOURNALS[0], "--journal", JOURNALS[1]]);
    assert!(succeeded(reconciled).contains("repeated: 2 tokens"));
    for server in 0..2 {
        let server = journaled.serve(server);
        for token in &tokens {
            assert_eq!(server.client().current(&token.token), 401);
        }
        issued(&mut server.administrator());
    }
}
