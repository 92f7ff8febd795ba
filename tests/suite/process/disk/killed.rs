//! Killed between the journal's line and the commit: the orders of that line were never answered, and
//! the next start carries them out.

use std::os::unix::process::ExitStatusExt;

use axum::http::StatusCode;
use rusqlite::Connection;
use rustix::process::Signal;

use super::super::client::{Broken, Client};
use super::super::home::{Home, SOON, Server, finish};
use super::{Disk, Fault, JOURNAL, Token, WAL, assert_active, back_up, epoch, restored};

/// A server that was killed while it revoked a token.
struct Killed {
    home: Home,
    disk: Disk,
    /// Revoked before the backup.
    ended: Token,
    /// The token whose revocation was not answered.
    unknown: Token,
    live: Token,
    epoch: Vec<u8>,
}

impl Killed {
    fn by(fault: Fault, end: &str) -> Self {
        let home = Home::new();
        let disk = Disk::new();
        let mut server = disk.serve(&home);
        let mut client = server.administrator();
        let [ended, unknown, live] = Token::several(&mut client);
        ended.revoke(&mut client).expect(StatusCode::CREATED);
        back_up(&home);
        let epoch = epoch(&home);
        disk.plan(fault, end);
        let path = format!("/api/v1/tokens/{}/revoke", unknown.id);
        let answer = client.ask("POST", &path, Some("{}".to_owned()));
        assert!(matches!(answer, Err(Broken::Unanswered(_))), "{answer:?}");
        let status = server.ended(SOON).unwrap();
        assert_eq!(
            status.signal(),
            Some(Signal::KILL.as_raw()),
            "{}",
            server.stderr()
        );
        assert_eq!(disk.heal(fault, end), 1);
        Self {
            home,
            disk,
            ended,
            unknown,
            live,
            epoch,
        }
    }

    /// Checks everything documented about the next start, before and after the revocation is repeated,
    /// and after a restore of the backup.
    fn judge(self) {
        let mut server = self.home.serve();
        let mut client = server.administrator();
        self.assert_carried_out(&mut client);
        self.unknown.revoke(&mut client).expect(StatusCode::CREATED);
        self.assert_carried_out(&mut client);
        assert_eq!(events(&self.home), 2, "one for each token");
        assert_eq!(epoch(&self.home), self.epoch, "it was taken for an older copy");
        let mut again = self.start_again(&mut server);
        self.assert_carried_out(&mut again.administrator());
        again.kill();
        assert_eq!(
            restored(&self.home),
            "restored; revocations since the backup, repeated: 1 tokens, 0 cut-offs, 0 keys"
        );
        self.assert_carried_out(&mut self.home.serve().administrator());
    }

    fn assert_carried_out(&self, client: &mut Client) {
        for (token, is_active) in [(&self.ended, false), (&self.unknown, false), (&self.live, true)] {
            assert_active(client, token, is_active);
        }
    }

    fn start_again(&self, server: &mut Server) -> Server {
        server.kill();
        self.home.serve()
    }
}

/// Returns how many tokens the feed names.
fn events(home: &Home) -> u32 {
    let database = Connection::open(home.path("jeton.db")).unwrap();
    database
        .query_row(
            "SELECT count(*) FROM revocations WHERE kind = 'token'",
            (),
            |row| row.get(0),
        )
        .unwrap()
}

#[test]
fn a_revocation_that_stands_in_the_journal_alone_is_carried_out() {
    for fault in [Fault::KilledBefore, Fault::KilledAfter] {
        let killed = Killed::by(fault, JOURNAL);
        assert_eq!(events(&killed.home), 1, "the commit came before the journal");
        killed.judge();
    }
}

#[test]
fn a_revocation_whose_commit_was_written_is_carried_out() {
    for fault in [Fault::KilledBefore, Fault::KilledAfter] {
        Killed::by(fault, WAL).judge();
    }
}

/// The start that carries it out also writes a line before its commit.
#[test]
fn a_start_that_is_killed_over_it_can_be_repeated() {
    let killed = Killed::by(Fault::KilledAfter, JOURNAL);
    for _ in 0..2 {
        killed.disk.plan(Fault::KilledAfter, JOURNAL);
        let start = finish(killed.disk.under(killed.home.serve_command()), "");
        assert_eq!(start.code, None, "{start:?}");
        assert_eq!(killed.disk.heal(Fault::KilledAfter, JOURNAL), 1);
        assert_eq!(events(&killed.home), 1);
    }
    killed.judge();
}
