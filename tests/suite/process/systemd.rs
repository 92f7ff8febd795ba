//! The server under a service manager: a socket that outlives it, its messages, the watchdog, and the units.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::client::{Broken, Client};
use super::disk::{Disk, Fault, WAL};
use super::home::{EMAIL, Home, PASSWORD, SOON, Server, eventually, finish_with};

/// Returns the command as systemd starts it: with sockets from descriptor 3 on. The shell gets them as its standard
/// input and passes them on.
fn activated(command: &Command, sockets: usize) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("exec 3<&0 4<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS={sockets} exec \"$@\"");
    shell.args(["-c", &script, "sh"]).arg(command.get_program());
    shell.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell
}

fn serve_on(home: &Home, socket: &TcpListener) -> Server {
    let socket = OwnedFd::from(socket.try_clone().unwrap());
    home.start_with(activated(&home.serve_command(), 1), Stdio::from(socket))
}

#[test]
fn a_restart_on_an_inherited_socket_refuses_no_connection() {
    let home = Home::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut server = serve_on(&home, &socket);
    assert_eq!(server.address, address, "not the address of --listen");
    let session = server.client().login(EMAIL, PASSWORD).unwrap();
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let fresh: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        issue(&mut Client::new(address).with_token(&session)).unwrap();
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let kept = scope.spawn(|| {
            let mut client = Client::new(address).with_token(&session);
            while !stop.load(Ordering::Relaxed) {
                match issue(&mut client) {
                    Ok(()) => {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    // Refused is what it must not be, and reset neither.
                    Err(broken) => panic!("{broken:?}"),
                }
            }
        });
        for _ in 0..3 {
            let before = answered.load(Ordering::Relaxed);
            eventually(SOON, || {
                (answered.load(Ordering::Relaxed) > before + 20).then_some(())
            })
            .unwrap();
            server.signal(Signal::TERM);
            assert_eq!(server.ended(SOON).unwrap().code(), Some(0), "{}", server.stderr());
            // Nobody serves now, and a connection waits.
            let mut waiting = TcpStream::connect(address).unwrap();
            waiting.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
            server = serve_on(&home, &socket);
            waiting.set_read_timeout(Some(SOON)).unwrap();
            let mut answer = String::new();
            waiting.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
        }
        stop.store(true, Ordering::Relaxed);
        for worker in fresh {
            worker.join().unwrap();
        }
        kept.join().unwrap();
    });
}

fn issue(client: &mut Client) -> Result<(), Broken> {
    let body = json!({"name": "load", "organization": "default"}).to_string();
    let answer = client.ask("POST", "/api/v1/tokens", Some(body))?;
    assert_eq!(answer.status, 201, "{answer:?}");
    Ok(())
}

#[test]
fn what_is_no_listening_tcp_socket_is_refused() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let unix = UnixListener::bind(home.path("socket")).unwrap();
    let file = fs::File::create(home.path("file")).unwrap();
    for (given, sockets, problem) in [
        (OwnedFd::from(unix), 1, "not a valid tcp socket"),
        (OwnedFd::from(connection), 1, "does not listen"),
        (OwnedFd::from(file), 1, "not a socket"),
        (OwnedFd::from(listener), 2, "2 sockets"),
    ] {
        let command = activated(&home.serve_command(), sockets);
        let refused = finish_with(command, Stdio::from(given));
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(problem), "{refused:?}");
    }
    assert!(!home.path("jeton.db").exists());
}

/// A service manager's end of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        Self::of(UnixDatagram::bind(path).unwrap())
    }

    fn of(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self(socket)
    }

    /// Waits for the next message.
    fn hears(&self) -> String {
        let mut message = [0; 4096];
        let count = self.0.recv(&mut message).unwrap();
        String::from_utf8(message[..count].to_vec()).unwrap()
    }

    /// Returns whether a message comes within a time.
    fn hears_within(&self, time: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(time)).unwrap();
        let mut message = [0; 4096];
        let count = self.0.recv(&mut message).ok();
        self.0.set_read_timeout(Some(SOON)).unwrap();
        Some(String::from_utf8(message[..count?].to_vec()).unwrap())
    }
}

#[test]
fn a_server_says_that_it_is_ready_when_it_serves_and_that_it_stops() {
    let home = Home::new();
    let socket = home.path("notify");
    let name = format!("jeton-test-{}", std::process::id());
    let of_name = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    for (manager, variable) in [
        (Manager::at(&socket), socket.display().to_string()),
        (
            Manager::of(UnixDatagram::bind_addr(&of_name).unwrap()),
            format!("@{name}"),
        ),
    ] {
        home.configure("[limits]\ndrain_deadline = \"20s\"\n");
        let mut command = home.serve_command();
        command.env("NOTIFY_SOCKET", &variable);
        let mut server = None;
        thread::scope(|scope| {
            let starting = scope.spawn(|| home.start(command));
            let ready = manager.hears();
            let url = ready.strip_prefix("READY=1\nSTATUS=serving http://").unwrap();
            // Before the harness has seen its first line.
            let address: SocketAddr = url.parse().unwrap();
            assert_eq!(Client::new(address).get("/readyz").status, 200);
            server = Some(starting.join().unwrap());
        });
        let mut server = server.unwrap();
        server.signal(Signal::TERM);
        let stopping = manager.hears();
        assert!(stopping.starts_with("STOPPING=1\n"), "{stopping}");
        // The drain and what comes with it: the unit allows 15 seconds by itself.
        assert!(stopping.ends_with("\nEXTEND_TIMEOUT_USEC=27000000"), "{stopping}");
        assert_eq!(server.ended(SOON).unwrap().code(), Some(0));
    }
    let mut command = home.serve_command();
    command.env("NOTIFY_SOCKET", "vsock:2:1234");
    let refused = finish_with(command, Stdio::null());
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("NOTIFY_SOCKET"), "{refused:?}");
}

#[test]
fn a_server_that_still_opens_its_database_is_not_ready() {
    let (home, disk) = (Home::new(), Disk::new());
    let manager = Manager::at(&home.path("notify"));
    let mut command = disk.under(home.serve_command());
    command.env("NOTIFY_SOCKET", home.path("notify"));
    disk.plan(Fault::Stuck, WAL);
    thread::scope(|scope| {
        let starting = scope.spawn(|| home.start(command));
        eventually(SOON, || (disk.calls(Fault::Stuck, WAL) > 0).then_some(())).unwrap();
        assert_eq!(manager.hears_within(Duration::from_millis(500)), None);
        disk.heal(Fault::Stuck, WAL);
        assert!(manager.hears().starts_with("READY=1"));
        starting.join().unwrap();
    });
}

/// Starts a server on a disk that a test controls, with a watchdog of one second.
fn watched(home: &Home, disk: &Disk) -> (Server, Manager) {
    let manager = Manager::at(&home.path("notify"));
    let mut command = disk.under(home.serve_command());
    command
        .env("NOTIFY_SOCKET", home.path("notify"))
        .env("WATCHDOG_USEC", "1000000");
    let server = home.start(command);
    assert!(manager.hears().starts_with("READY=1"));
    (server, manager)
}

#[test]
fn the_watchdog_is_fed_while_writes_are_answered_and_not_while_one_hangs() {
    let (home, disk) = (Home::new(), Disk::new());
    let (server, manager) = watched(&home, &disk);
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(manager.hears(), "WATCHDOG=1");
    }
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());

    // A full disk refuses every write, and answers.
    let mut client = server.administrator();
    disk.plan(Fault::Full, WAL);
    let refused = client.post("/api/v1/tokens", json!({"name": "x", "organization": "default"}));
    assert_eq!(refused.status, 503);
    while manager.hears_within(Duration::from_millis(1)).is_some() {}
    for _ in 0..4 {
        assert_eq!(manager.hears(), "WATCHDOG=1");
    }
    assert!(disk.heal(Fault::Full, WAL) > 0);

    disk.plan(Fault::Stuck, WAL);
    thread::scope(|scope| {
        let hanging =
            scope.spawn(|| client.post("/api/v1/tokens", json!({"name": "y", "organization": "default"})));
        eventually(SOON, || (disk.calls(Fault::Stuck, WAL) > 0).then_some(())).unwrap();
        while manager.hears_within(Duration::from_millis(1)).is_some() {}
        // The control is above: three beats would come.
        assert_eq!(manager.hears_within(Duration::from_millis(1600)), None);
        // Reads go on meanwhile.
        assert_eq!(server.client().get("/.well-known/jwks.json").status, 200);
        disk.heal(Fault::Stuck, WAL);
        assert_eq!(hanging.join().unwrap().status, 201);
    });
    assert_eq!(manager.hears(), "WATCHDOG=1");
}

/// The watchdog of the process that started this one, as of a shell in a service.
#[test]
fn the_watchdog_of_another_process_is_not_fed() {
    let home = Home::new();
    let manager = Manager::at(&home.path("notify"));
    let mut command = home.serve_command();
    command
        .env("NOTIFY_SOCKET", home.path("notify"))
        .env("WATCHDOG_USEC", "200000")
        .env("WATCHDOG_PID", "1");
    let _server = home.start(command);
    assert!(manager.hears().starts_with("READY=1"));
    assert_eq!(manager.hears_within(Duration::from_millis(600)), None);
}

/// Copies the units into a folder, with a program that exists here.
fn units(folder: &Path) -> [std::path::PathBuf; 2] {
    ["jeton.service", "jeton.socket"].map(|name| {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name);
        let text = fs::read_to_string(unit).unwrap();
        let copy = folder.join(name);
        fs::write(&copy, text.replace("/usr/bin/jeton", "/bin/true")).unwrap();
        copy
    })
}

/// Runs `systemd-analyze`, or says that it is missing and returns `None`.
fn systemd_analyze(arguments: &[&str]) -> Option<String> {
    match Command::new("systemd-analyze").args(arguments).output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{text}");
            Some(text.into_owned())
        }
        Err(error) => {
            eprintln!("skipped: systemd-analyze cannot be run: {error}");
            None
        }
    }
}

#[test]
fn the_units_are_valid_and_the_service_is_hardened() {
    let folder = tempfile::tempdir().unwrap();
    let [service, socket] = units(folder.path());
    let (service, socket) = (service.to_str().unwrap(), socket.to_str().unwrap());
    let Some(said) = systemd_analyze(&["verify", service, socket]) else {
        return;
    };
    assert_eq!(said, "");
    let said = systemd_analyze(&["security", "--offline=true", service]).unwrap();
    let exposure = said.split("Overall exposure level for jeton.service: ").nth(1);
    let exposure: f64 = exposure
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(exposure <= 1.5, "{said}");
}
