//! The command `jeton-guard`.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::harness::{TOKEN, running_authority};

fn guard() -> Command {
    Command::new(env!("CARGO_BIN_EXE_jeton-guard"))
}

fn check(file: &Path) -> Output {
    guard().arg("--check").arg(file).output().unwrap()
}

fn written(folder: &Path, more: &str) -> std::path::PathBuf {
    std::fs::write(folder.join("token"), TOKEN).unwrap();
    let file = folder.join("guard.toml");
    let text = format!(
        "issuer = 'http://127.0.0.1:1'\naudience = 'a'\ntoken_file = '{}/token'\nmax_staleness = '10s'\nlisten = '127.0.0.1:0'\n{more}",
        folder.display()
    );
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_check_names_every_mistake_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let good = check(&written(folder.path(), "[rules.a]\n"));
    assert!(good.status.success());
    assert_eq!(
        String::from_utf8(good.stdout).unwrap(),
        "The configuration is good.\n"
    );

    let bad = check(&written(folder.path(), "log = 'loud'\n[rules.a]\nscope = 'x'\n"));
    assert_eq!(bad.status.code(), Some(2));
    let mistakes = String::from_utf8(bad.stderr).unwrap();
    assert_eq!(mistakes.lines().count(), 2, "{mistakes}");

    let absent = check(&folder.path().join("absent"));
    assert_eq!(absent.status.code(), Some(2));
}

#[test]
fn the_help_names_the_exit_code_of_a_check_and_needs_no_file() {
    let help = String::from_utf8(guard().arg("--help").output().unwrap().stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("or with 2 if there are mistakes"), "{help}");
    assert!(help.contains("[FILE] The configuration file"), "{help}");
    assert!(help.contains("may be absent"), "{help}");
}

#[test]
fn the_manual_page_and_the_completions_need_no_configuration() {
    let man = guard().arg("--man").output().unwrap();
    assert!(man.status.success());
    let man = String::from_utf8(man.stdout).unwrap();
    assert!(man.contains(".TH jeton-guard 1"), "{man}");
    for shell in ["bash", "zsh", "fish"] {
        let script = guard().args(["--completions", shell]).output().unwrap();
        assert!(script.status.success());
        let script = String::from_utf8(script.stdout).unwrap();
        assert!(script.contains("max-staleness"), "{script}");
    }
    let both = guard().args(["--man", "--check"]).output().unwrap();
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn sigterm_stops_it_and_no_token_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = guard()
        .arg(written(folder.path(), "log = 'trace'\n[rules.a]\n"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(running.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(
        &mut stream,
        b"GET /check/a HTTP/1.1\r\nhost: a\r\nauthorization: Bearer eyJ.SECRET.AA\r\n\r\n",
    )
    .unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();

    let began = Instant::now();
    let kill = Command::new("kill")
        .arg(running.id().to_string())
        .status()
        .unwrap();
    assert!(kill.success());
    assert!(running.wait().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(5));
    let mut log = String::new();
    running.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("stopping"), "{log}");
    assert!(!log.contains("SECRET") && !log.contains("c2VjcmV0"), "{log}");
}

#[tokio::test]
async fn it_logs_once_that_it_refuses_tokens_and_once_that_it_is_ready_again() {
    let authority = running_authority().await;
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "[rules.a]\n");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("http://127.0.0.1:1'", &format!("{}'", authority.issuer()));
    std::fs::write(&file, text.replace("'10s'", "'7s'")).unwrap();
    std::fs::write(folder.path().join("token"), authority.own_token()).unwrap();
    let log = folder.path().join("log");
    let mut running = guard()
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    // Of each, how often it is in the log.
    let logged = || {
        let log = std::fs::read_to_string(&log).unwrap();
        [": ready\n", "refusing tokens: "].map(|text| log.matches(text).count())
    };
    let until = async |expected: [usize; 2]| {
        for _ in 0..800 {
            if logged() == expected {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(logged(), expected, "{}", std::fs::read_to_string(&log).unwrap());
    };
    until([1, 0]).await;
    authority.stop().await;
    until([1, 1]).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(logged(), [1, 1]);
    authority.start_again().await;
    until([2, 1]).await;
    running.kill().unwrap();
    running.wait().unwrap();
    let log = std::fs::read_to_string(&log).unwrap();
    let refuses = log
        .lines()
        .find(|line| line.contains("refusing tokens: "))
        .unwrap();
    assert!(
        refuses.contains("WARN") && refuses.contains("the bound is 7 s"),
        "{refuses}"
    );
}
