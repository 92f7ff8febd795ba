//! TLS as operators and clients see it: OpenSSL, curl, and a certificate that is replaced in a running server.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::{Broken, Client};
use super::home::{EMAIL, Home, PASSWORD, SOON, Server, eventually, finish};

/// A certificate authority with an intermediate one, both with their certificates in files.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    root: PathBuf,
}

/// What clients call the server, apart from 127.0.0.1.
const NAME: &str = "jeton.example.org";

impl Authority {
    pub(super) fn new(home: &Home) -> Self {
        let params = |constraint| {
            let mut params = CertificateParams::new([]).unwrap();
            params.is_ca = IsCa::Ca(constraint);
            params
        };
        let named = |mut params: CertificateParams, name: &str| {
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params
        };
        let root = named(params(BasicConstraints::Unconstrained), "root");
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        let path = home.path("root.pem");
        fs::write(&path, root.pem()).unwrap();
        let issuer = named(params(BasicConstraints::Constrained(0)), "intermediate");
        let issuer = CertifiedIssuer::signed_by(issuer, KeyPair::generate().unwrap(), &root).unwrap();
        Self { issuer, root: path }
    }

    /// Returns a new chain and its key, valid until the start of a year.
    pub(super) fn issue(&self, until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([NAME.to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        (certificate + &self.issuer.pem(), key.serialize_pem())
    }

    /// Writes a new chain and its key to the files that [`serve`] uses.
    pub(super) fn install(&self, home: &Home, until: i32) {
        let (chain, key) = self.issue(until);
        fs::write(home.path("chain.pem"), chain).unwrap();
        fs::write(home.path("tls.pem"), key).unwrap();
        fs::set_permissions(home.path("tls.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Returns a client's configuration that trusts the root.
    pub(super) fn trusted(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&self.root).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }

    fn client(&self, server: &Server) -> Client {
        Client::new(server.address).with_tls(self.trusted())
    }

    /// Opens a connection and sends a text.
    fn saying(&self, server: &Server, text: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::from(server.address.ip());
        let connection = ClientConnection::new(self.trusted(), name).unwrap();
        let stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    /// Returns the certificate that the server presents to a new connection.
    fn presented(&self, server: &Server) -> Vec<u8> {
        let mut stream = self.saying(server, "GET /healthz HTTP/1.0\r\n\r\n");
        stream.read_exact(&mut [0; 4]).unwrap();
        stream.conn.peer_certificates().unwrap()[0].to_vec()
    }
}

/// Returns the certificate in the file.
fn in_file(home: &Home) -> Vec<u8> {
    CertificateDer::from_pem_file(home.path("chain.pem"))
        .unwrap()
        .to_vec()
}

pub(super) const FLAGS: [&str; 4] = ["--tls-certificate", "chain.pem", "--tls-key", "tls.pem"];

fn serve(home: &Home) -> Server {
    let mut command = home.serve_command();
    command.args(FLAGS);
    home.start(command)
}

fn openssl(server: &Server, authority: &Authority, arguments: &[&str]) -> Output {
    Command::new("openssl")
        .args(["s_client", "-connect", &server.address.to_string(), "-showcerts"])
        .args(["-verify_return_error", "-verify_hostname", NAME, "-CAfile"])
        .arg(&authority.root)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn openssl_and_curl_verify_the_chain_and_old_versions_are_refused() {
    let home = Home::new();
    let authority = Authority::new(&home);
    authority.install(&home, 2120);
    let server = serve(&home);
    assert!(server.stdout().starts_with("listening on https://127.0.0.1:"));

    for version in ["-tls1_2", "-tls1_3"] {
        let shown = openssl(&server, &authority, &[version, "-alpn", "h2,http/1.1"]);
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.status.success(), "{version}: {text}");
        assert_eq!(text.matches("-----BEGIN CERTIFICATE-----").count(), 2, "{text}");
        assert!(text.contains("ALPN protocol: http/1.1"), "{text}");
        assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let refused = openssl(&server, &authority, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{version}");
        // What the server says: OpenSSL itself has offered the version.
        assert!(text.contains("SSL alert number"), "{text}");
    }

    let url = format!("https://{NAME}:{}", server.address.port());
    let metadata = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "20",
            "--cacert",
        ])
        .arg(&authority.root)
        .args([
            "--resolve",
            &format!("{NAME}:{}:127.0.0.1", server.address.port()),
        ])
        .arg(format!("{url}/.well-known/oauth-authorization-server"))
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{metadata:?}");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    // Of the address, since no issuer is configured.
    assert_eq!(metadata["issuer"], format!("https://{}", server.address));
}

#[test]
fn a_certificate_that_cannot_be_used_is_an_error_that_names_the_file() {
    let home = Home::new();
    let authority = Authority::new(&home);
    authority.install(&home, 2120);
    let refused = |problem: &str| {
        for check in [&["--check-config"][..], &[]] {
            let mut command = home.serve_command();
            command.args(FLAGS).args(check);
            let refused = finish(command, "");
            assert_eq!(refused.code, Some(1), "{refused:?}");
            assert!(refused.stderr.contains(problem), "{refused:?}");
            assert!(!home.path("jeton.db").exists(), "nothing is created");
        }
    };
    let (_, other_key) = authority.issue(2120);
    let (key, kept) = (home.path("tls.pem"), fs::read(home.path("tls.pem")).unwrap());
    fs::write(&key, other_key).unwrap();
    refused("the TLS key tls.pem is not that of the first certificate in chain.pem");
    fs::write(&key, kept).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused("tls.pem is readable by other users (mode 0644)");
    fs::remove_file(&key).unwrap();
    refused("the TLS key tls.pem cannot be read: No such file");

    // Half a setting, wherever it stands.
    home.configure("[tls]\ncertificate = \"chain.pem\"\n");
    let half = home.run(&["serve", "--check-config"]);
    assert_eq!(half.code, Some(1));
    assert!(
        half.stderr
            .contains("`tls.certificate` in `jeton.toml` (line 2) needs its private key too"),
        "{half:?}"
    );
    // Another command does not read the files.
    home.configure("[tls]\ncertificate = \"chain.pem\"\nkey = \"/nowhere\"\n");
    let other = home.run(&["keys", "list"]);
    assert!(other.stderr.contains("there is no database"), "{other:?}");
}

#[test]
fn a_renewed_certificate_is_used_while_connections_go_on() {
    let home = Home::new();
    let authority = Authority::new(&home);
    authority.install(&home, 2120);
    let server = serve(&home);
    let first = in_file(&home);
    assert_eq!(authority.presented(&server), first);
    let mut client = authority.client(&server);
    let session = client.login(EMAIL, PASSWORD).unwrap();

    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let kept = scope.spawn(|| {
            let mut client = authority.client(&server).with_token(&session);
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.get("/api/v1/me").status, 200);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        let fresh = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let mut client = authority.client(&server).with_token(&session);
                assert_eq!(client.get("/api/v1/me").status, 200);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        authority.install(&home, 2119);
        let second = in_file(&home);
        server.signal(Signal::HUP);
        eventually(SOON, || (authority.presented(&server) == second).then_some(())).unwrap();

        // The files of two certificates.
        let (chain, _) = authority.issue(2118);
        fs::write(home.path("chain.pem"), chain).unwrap();
        server.signal(Signal::HUP);
        let logged = "the TLS certificate cannot be replaced, and the old one stays in use";
        eventually(SOON, || server.stderr().contains(logged).then_some(())).unwrap();
        assert_eq!(authority.presented(&server), second);

        // Without a signal, and not while only one of two files is written.
        authority.install(&home, 2117);
        let third = in_file(&home);
        let renewed = eventually(Duration::from_secs(40), || {
            (authority.presented(&server) == third).then_some(())
        });
        renewed.unwrap();
        assert_eq!(server.stderr().matches(logged).count(), 1, "{}", server.stderr());
        stop.store(true, Ordering::Relaxed);
        kept.join().unwrap();
        fresh.join().unwrap();
    });
    assert!(asked.into_inner() > 50);
}

#[test]
fn metrics_say_when_the_certificate_expires_and_strangers_fill_no_log() {
    let home = Home::new();
    let authority = Authority::new(&home);
    authority.install(&home, 2100);
    home.configure("[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let server = serve(&home);
    eventually(SOON, || server.stderr().contains("serving version").then_some(())).unwrap();
    let logged = server.stderr();
    let metrics = metrics_address(&logged).unwrap();
    for _ in 0..20 {
        let mut stranger = TcpStream::connect(server.address).unwrap();
        stranger.set_read_timeout(Some(SOON)).unwrap();
        stranger
            .write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            .unwrap();
        // The error is a reset: the request stays unread.
        let _ = stranger.read_to_end(&mut Vec::new());
    }
    let metrics = || {
        let text = Client::new(metrics).get("/metrics");
        String::from_utf8(text.body.to_vec()).unwrap()
    };
    let text = metrics();
    assert!(
        text.contains("\njeton_tls_certificate_expires_seconds 4102444800\n"),
        "{text}"
    );
    // A client sees the end of its connection before it is counted.
    let counted = || {
        metrics()
            .contains("\njeton_tls_handshakes_failed_total 20\n")
            .then_some(())
    };
    eventually(SOON, counted).unwrap();
    assert_eq!(server.stderr(), logged);
}

fn metrics_address(log: &str) -> Option<std::net::SocketAddr> {
    let line = log.lines().find(|line| line.contains("serving metrics"))?;
    line.split("listen=")
        .nth(1)?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[test]
fn a_certificate_that_has_ended_is_served_and_logged() {
    let home = Home::new();
    let authority = Authority::new(&home);
    authority.install(&home, 2021);
    let server = serve(&home);
    let logged = || {
        server
            .stderr()
            .contains("clients cannot trust this server")
            .then_some(())
    };
    eventually(SOON, logged).unwrap();
    let Err(Broken::Unsent) = authority.client(&server).ask("GET", "/healthz", None) else {
        panic!("it was trusted");
    };
}

#[test]
fn a_stop_finishes_requests_over_tls() {
    let home = Home::new();
    let authority = Authority::new(&home);
    authority.install(&home, 2120);
    let mut server = serve(&home);
    let head = "POST /api/v1/login HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{";
    let mut begun = authority.saying(&server, head);
    let mut idle = authority.client(&server);
    assert_eq!(idle.get("/healthz").status, 200);
    let asked = Instant::now();
    server.signal(Signal::TERM);
    eventually(SOON, || TcpStream::connect(server.address).is_err().then_some(())).unwrap();
    begun.write_all(b"}").unwrap();
    let mut answer = String::new();
    // To the end, which TLS marks.
    begun.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 422 "), "{answer}");
    assert_eq!(server.ended(SOON).unwrap().code(), Some(0), "{}", server.stderr());
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
}
