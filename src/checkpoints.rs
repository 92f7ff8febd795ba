//! The second place of the audit's checkpoints: a file, or an address that keeps what it is sent.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::causes::error_chain;

/// The file in a folder.
const FILE: &str = "jeton-audit-checkpoints";

/// How long a delivery may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read.
const LONGEST_ANSWER: usize = 16 * 1024;

/// Where checkpoints are written beside the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file, or a folder with the file `jeton-audit-checkpoints`.
    File(PathBuf),
    /// An https address; http only on this machine.
    Address(Uri),
}

/// The reason why a text is not a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the path of a file or folder, or an https URL without a user (http only for this machine)")]
pub struct NotAPlace;

/// The reason why a checkpoint was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The file cannot be written.
    #[error("{} cannot be written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The address did not take it.
    #[error("{address} did not take it: {why}")]
    Address {
        /// The host of the address: its path may contain a secret.
        address: String,
        /// The reason.
        why: String,
    },
}

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        if !text.contains("://") {
            return match text.trim().is_empty() || text.contains('\0') {
                true => Err(NotAPlace),
                false => Ok(Self::File(text.into())),
            };
        }
        let address: Uri = text.parse().map_err(|_| NotAPlace)?;
        let authority = address.authority().ok_or(NotAPlace)?;
        let host = authority.host().trim_matches(['[', ']']);
        let is_local = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        let is_safe = match address.scheme_str() {
            Some("https") => true,
            Some("http") => is_local,
            _ => false,
        };
        match is_safe && !authority.as_str().contains('@') {
            true => Ok(Self::Address(address)),
            false => Err(NotAPlace),
        }
    }
}

/// The delivery of checkpoints to a place.
#[derive(Debug)]
pub struct Delivery {
    place: Place,
    files: FileThread,
}

impl Delivery {
    /// Delivers to a place.
    pub fn to(place: Place) -> Self {
        Self {
            place,
            files: FileThread::default(),
        }
    }

    /// Writes a checkpoint to the place, within a bounded time.
    ///
    /// # Errors
    ///
    /// Returns [`DeliveryError`] if it is not known to be there.
    pub async fn deliver(&mut self, note: &str) -> Result<(), DeliveryError> {
        match &self.place {
            Place::File(path) => {
                let (file, text) = (path.clone(), note.to_owned());
                let written = self.files.run(move || append(&file, &text)).await;
                written.map_err(|source| DeliveryError::File {
                    path: path.clone(),
                    source,
                })
            }
            Place::Address(address) => {
                let sent = timeout(PATIENCE, post(address, note)).await;
                let sent = sent.unwrap_or_else(|_| Err("no answer in time".to_owned()));
                sent.map_err(|why| DeliveryError::Address {
                    address: address.host().unwrap_or_default().to_owned(),
                    why,
                })
            }
        }
    }
}

/// Work on a file system that may hang, one piece at a time, each in a thread of its own. Not a blocking task of the
/// runtime: these are limited, and the end of the process waits for them.
#[derive(Debug, Default)]
struct FileThread {
    /// The result of a piece that was not done in time. No other is begun before it has ended.
    pending: Option<oneshot::Receiver<io::Result<()>>>,
}

impl FileThread {
    /// Carries out a piece of work after the one before.
    ///
    /// # Errors
    ///
    /// Fails if the work does, and with [`io::ErrorKind::TimedOut`] if this or the piece before takes too long.
    async fn run(&mut self, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
        // Its result was given up.
        let _ = self.end().await?;
        let (ends, ended) = oneshot::channel();
        thread::Builder::new()
            .name("jeton-checkpoint".to_owned())
            .spawn(move || {
                // The receiver is dropped with the server.
                let _ = ends.send(work());
            })?;
        self.pending = Some(ended);
        self.end().await?
    }

    /// Waits for the end of the piece that is pending. Returns its result.
    async fn end(&mut self) -> io::Result<io::Result<()>> {
        let Some(pending) = &mut self.pending else {
            return Ok(Ok(()));
        };
        let ended = timeout(PATIENCE, pending).await;
        let ended = ended.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        self.pending = None;
        // An error is a panic of the thread.
        Ok(ended.map_err(io::Error::other).flatten())
    }
}

/// Returns the file of checkpoints at a configured path.
pub fn file(path: &Path) -> PathBuf {
    match path.is_dir() {
        true => path.join(FILE),
        false => path.to_owned(),
    }
}

/// Appends a note to a file and syncs it, unless it is the last one there. What an interrupted write has left is ended
/// first.
fn append(path: &Path, note: &str) -> io::Result<()> {
    let file = file(path);
    // Opening a pipe would wait for its reader.
    if fs::metadata(&file).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    let mut opened = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(&file)?;
    // The note, and the end of the one before.
    let length = opened.metadata()?.len();
    let tail = length.min(note.len() as u64 + 1);
    opened.seek(SeekFrom::Start(length - tail))?;
    let mut last = Vec::new();
    opened.read_to_end(&mut last)?;
    let before = last.strip_suffix(note.as_bytes());
    if before.is_none_or(|before| !matches!(before, [] | [b'\n'])) {
        let end = if matches!(last.last(), None | Some(b'\n')) {
            ""
        } else {
            "\n"
        };
        opened.write_all(format!("{end}{note}").as_bytes())?;
    }
    opened.sync_all()?;
    // The entry of a file that was just created.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

async fn post(address: &Uri, note: &str) -> Result<(), String> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match address.scheme_str() {
        Some("https") => builder
            .with_native_roots()
            .map_err(|error| format!("the system's certificates cannot be read: {error}"))?
            .with_no_client_auth(),
        _ => builder
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth(),
    };
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let request = Request::post(address.clone())
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .header(USER_AGENT, concat!("jeton/", env!("CARGO_PKG_VERSION")))
        .body(Full::from(note.to_owned()))
        .map_err(|error| error.to_string())?;
    let response = client
        .request(request)
        .await
        .map_err(|error| error_chain(&error))?;
    let status: StatusCode = response.status();
    // Read, so that the other end is not cut off while it answers.
    let _ = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
    match status.is_success() {
        true => Ok(()),
        false => Err(format!("status {status}")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_place_is_a_path_or_a_safe_address() {
        for good in ["/var/lib/other/checkpoints", "checkpoints", "./a b"] {
            assert_eq!(good.parse(), Ok(Place::File(good.into())));
        }
        for good in [
            "https://logs.example.org/jeton",
            "http://127.0.0.1:9000/x",
            "http://[::1]/",
            "http://localhost/",
        ] {
            assert!(matches!(good.parse(), Ok(Place::Address(_))), "{good}");
        }
        for bad in [
            "",
            " ",
            "http://logs.example.org/",
            "ftp://logs.example.org/",
            "https://user:secret@logs.example.org/",
            "https://",
        ] {
            assert_eq!(bad.parse::<Place>(), Err(NotAPlace), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_file_system_that_hangs_keeps_one_thread() {
        let mut files = FileThread::default();
        let (answer, hangs) = std::sync::mpsc::channel::<()>();
        let begun = Arc::new(AtomicUsize::new(0));
        let work = |answer: Option<std::sync::mpsc::Receiver<()>>| {
            let begun = Arc::clone(&begun);
            move || {
                begun.fetch_add(1, Ordering::SeqCst);
                answer.map_or(Ok(()), |answer| answer.recv().map_err(io::Error::other))
            }
        };
        let mut first = Box::pin(files.run(work(Some(hangs))));
        // Given up, as when its time is over.
        while begun.load(Ordering::SeqCst) == 0 {
            let waited = timeout(Duration::from_millis(10), &mut first).await;
            assert!(waited.is_err());
        }
        drop(first);
        for _ in 0..3 {
            let further = timeout(Duration::from_millis(10), files.run(work(None))).await;
            assert!(further.is_err());
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        answer.send(()).unwrap();
        files.run(work(None)).await.unwrap();
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn notes_are_appended_to_a_file_and_after_what_was_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        append(folder.path(), "one\n").unwrap();
        append(folder.path(), "two\n").unwrap();
        // Once, as at each start of the server.
        append(folder.path(), "two\n").unwrap();
        append(folder.path(), "o\n").unwrap();
        append(folder.path(), "two\n").unwrap();
        let file = folder.path().join(FILE);
        assert_eq!(fs::read_to_string(&file).unwrap(), "one\ntwo\no\ntwo\n");
        fs::write(&file, "one\ntw").unwrap();
        append(&file, "three\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "one\ntw\nthree\n");
        let missing = folder.path().join("missing/file");
        assert_eq!(
            append(&missing, "x\n").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        let refused = append(Path::new("/dev/null"), "x\n").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
}
