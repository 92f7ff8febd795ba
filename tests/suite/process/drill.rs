//! `jeton restore --drill`: a restore that is tried beside a running server.

use std::fs;
use std::path::PathBuf;

use axum::http::StatusCode;

use super::backups::{DAILY, another, create};
use super::home::{Home, SOON, Server, eventually};
use super::metrics::{ANY_PORT, value};
use super::restore::{issue, revoke, stop};

/// A running server with a scheduled backup, and two revocations since.
struct Deployment {
    home: Home,
    server: Server,
    backup: PathBuf,
}

impl Deployment {
    fn new() -> Self {
        let home = Home::new();
        let server = home.serve();
        let mut client = server.administrator();
        let [one, two] = ["one", "two"].map(|name| issue(&mut client, name).0);
        stop(server);
        create(&home);
        home.configure(&format!("{ANY_PORT}{DAILY}"));
        let server = home.serve();
        let backup = home.path("backups").join(another(&home, &server, &[]));
        let mut client = server.administrator();
        revoke(&mut client, &one);
        revoke(&mut client, &two);
        let (lost, _) = issue(&mut client, "lost");
        revoke(&mut client, &lost);
        Self { home, server, backup }
    }

    /// Runs a drill that finds something, and returns what it prints.
    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> String {
        let before = self.names();
        let failed = self.home.run(&[&["restore", "--drill"], arguments].concat());
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert_eq!(self.names(), before, "something is left");
        failed.stdout + &failed.stderr
    }

    /// Returns the paths of all files, without the content that a server changes.
    fn names(&self) -> Vec<PathBuf> {
        self.home.files().into_iter().map(|(path, _)| path).collect()
    }

    fn segment(&self) -> PathBuf {
        let mut segments: Vec<_> = fs::read_dir(self.home.path("jeton.db.revocations"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        segments.sort();
        segments.pop().unwrap()
    }
}

#[test]
fn a_drill_reports_what_a_restore_would_do_and_leaves_nothing() {
    let deployment = Deployment::new();
    let Deployment { home, server, backup } = &deployment;
    let before = deployment.names();
    let copy = fs::read(backup).unwrap();
    let drill = home.run(&["restore", "--drill"]);
    assert_eq!((drill.code, &*drill.stderr), (Some(0), ""), "{drill:?}");
    let lines: Vec<&str> = drill.stdout.lines().collect();
    let name = backup.file_name().unwrap().to_str().unwrap();
    assert!(
        lines[0].starts_with(&format!("backups/{name} can be restored, in ")),
        "{drill:?}"
    );
    let ends = "since the backup: 3 tokens, 0 cut-offs, 0 keys";
    assert!(
        lines[1].contains("private keys: 1; revocations of the journal, all in force: 3; ")
            && lines[1].ends_with(ends),
        "{drill:?}"
    );
    assert!(
        lines[2].starts_with("the journal ends with the event 3 of "),
        "{drill:?}"
    );
    assert!(
        lines[3].starts_with("a restore now would lose all changes of the last "),
        "{drill:?}"
    );
    assert!(fs::read(backup).unwrap() == copy, "the backup was changed");
    let noted = home.path("backups/last-drill");
    let after: Vec<_> = deployment
        .names()
        .into_iter()
        .filter(|path| *path != noted)
        .collect();
    assert_eq!(after, before);
    let known = || value(server, "jeton_backup_last_drill_seconds") > 1.7e9;
    eventually(SOON, || known().then_some(())).unwrap();
    server.client().get("/readyz").expect(StatusCode::OK);

    // What a drill that was killed has left does not hinder the next one.
    fs::create_dir_all(home.path("jeton.db.drill/jeton.db.revocations")).unwrap();
    fs::write(home.path("jeton.db.drill/jeton.db"), "half").unwrap();
    let again = home.run(&["restore", "--drill", backup.to_str().unwrap()]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(!home.path("jeton.db.drill").exists());
}

#[test]
fn a_drill_finds_a_damaged_backup() {
    let deployment = Deployment::new();
    let mut bytes = fs::read(&deployment.backup).unwrap();
    let damaged = deployment.home.path("damaged.db");
    fs::copy(&deployment.backup, &damaged).unwrap();
    let undamaged = deployment.home.run(&["restore", "--drill", "damaged.db"]);
    assert_eq!(undamaged.code, Some(0), "{undamaged:?}");
    // A whole page of records: nothing that is read when the file is opened.
    let at = bytes.windows(3).rposition(|bytes| bytes == b"two").unwrap();
    let page = at / 4096 * 4096;
    bytes[page..page + 4096].fill(0xff);
    fs::write(&damaged, bytes).unwrap();
    let said = deployment.fails(&["damaged.db"]);
    assert!(said.contains("damaged.db") && said.contains("damaged"), "{said}");
}

#[test]
fn a_drill_finds_a_missing_private_key() {
    let deployment = Deployment::new();
    let key = fs::read_dir(deployment.home.path("keys"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "pem"))
        .unwrap();
    fs::rename(&key, key.with_extension("away")).unwrap();
    let said = deployment.fails(&[]);
    let kid = key.file_stem().unwrap().to_str().unwrap();
    assert!(
        said.contains(&format!("the private key {kid} is missing in the folder keys")),
        "{said}"
    );
    // It is damaged.
    let text = fs::read(key.with_extension("away")).unwrap();
    fs::rename(key.with_extension("away"), &key).unwrap();
    fs::write(&key, &text[..text.len() / 2]).unwrap();
    let said = deployment.fails(&[]);
    assert!(
        said.contains(&format!("the private key {kid} cannot be used: ")) && said.contains("1 flaws"),
        "{said}"
    );
}

/// As after a power failure: the copy is what there is, so the drill must be able to try it.
#[test]
fn a_drill_accepts_a_torn_copy_of_the_journal_on_demand() {
    let deployment = Deployment::new();
    let segment = deployment.segment();
    let text = fs::read(&segment).unwrap();
    fs::create_dir(deployment.home.path("torn")).unwrap();
    let other = deployment.home.path("torn").join(segment.file_name().unwrap());
    fs::copy(&segment, &other).unwrap();
    fs::write(&other, &text[..text.len() - 9]).unwrap();
    let said = deployment.fails(&["--journal", "torn"]);
    assert!(said.contains("--accept-torn-journal"), "{said}");
    let arguments = ["restore", "--drill", "--journal", "torn", "--accept-torn-journal"];
    let accepted = deployment.home.run(&arguments);
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
}

#[test]
fn a_drill_finds_a_journal_with_a_gap() {
    let deployment = Deployment::new();
    let segment = deployment.segment();
    let text = fs::read_to_string(&segment).unwrap();
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let gap = lines.iter().position(|line| line.contains("\"jti\"")).unwrap();
    lines.remove(gap);
    fs::create_dir(deployment.home.path("gap")).unwrap();
    let other = deployment.home.path("gap").join(segment.file_name().unwrap());
    fs::copy(&segment, &other).unwrap();
    fs::write(&other, lines.concat()).unwrap();
    let said = deployment.fails(&["--journal", "gap"]);
    assert!(said.contains("does not have all revocations since"), "{said}");
    let newest = deployment.fails(&["--newest-event", "9"]);
    assert!(newest.contains("before the event 9"), "{newest}");
}

#[test]
fn a_drill_without_a_backup_says_so() {
    let home = Home::new();
    let none = home.run(&["restore", "--drill"]);
    assert_eq!(
        (none.code, &*none.stderr),
        (
            Some(1),
            "error: no backup: name its file, or set `[backup]` in the configuration\n"
        )
    );
    home.configure(DAILY);
    create(&home);
    let none = home.run(&["restore", "--drill"]);
    assert_eq!(
        (none.code, &*none.stderr),
        (
            Some(1),
            "error: there is no backup in backups: make one, or name a backup file\n"
        )
    );
}
