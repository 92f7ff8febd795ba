//! TLS for clients that reach the server without a proxy: the certificate and its private key are read from files,
//! checked, and replaced while connections go on.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use hyper_rustls::ConfigBuilderExt;
use jeton_core::clock::Timestamp;
use jeton_core::file_mode::{Exposed, Secret};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, InconsistentKeys, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

use crate::regular_file::RegularFile;

/// The largest accepted file: a chain of a few certificates has 10 kB.
const MAXIMUM_BYTES: usize = 1024 * 1024;

/// The files of a certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate of the server, followed by the intermediate ones.
    pub certificate: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// The reason why a certificate and a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the TLS {what} {} cannot be read", path.display())]
    Unreadable {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the TLS {what} {} must be a regular file of at most 1 MiB", path.display())]
    NotAFile { what: &'static str, path: PathBuf },
    #[error(transparent)]
    Exposed(#[from] Exposed),
    #[error("the TLS certificate {} has no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    #[error("the TLS certificate {} has one that cannot be parsed", path.display())]
    Unparsable {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "the TLS key {} has no private key in PEM that can be read: it must be PKCS#8, PKCS#1 or SEC1 and not \
         encrypted", .0.display()
    )]
    NoKey(PathBuf),
    #[error("the TLS key {} cannot be used", path.display())]
    Unusable { path: PathBuf, source: rustls::Error },
    #[error(
        "the TLS key {} is not that of the first certificate in {}: name the files of one certificate",
        key.display(), certificate.display()
    )]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("the TLS certificate {} is valid from {from} to {until}, and not now", path.display())]
    NotValid {
        path: PathBuf,
        from: Timestamp,
        until: Timestamp,
    },
    #[error(
        "the system has no certificates that can be trusted: install ca-certificates, or name a file of them"
    )]
    NothingTrusted(#[source] io::Error),
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// The TLS of a listening socket. Clones share the certificate.
#[derive(Debug, Clone)]
pub struct Tls {
    acceptor: Acceptor,
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

#[derive(Debug)]
struct Shared {
    files: Files,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    /// The state of the files when they were last read.
    read: Mutex<Stamps>,
    /// The end of the current certificate, in seconds since the Unix epoch.
    expires: Gauge,
    failed_handshakes: Counter,
}

/// The certificate for new connections, with its key.
#[derive(Debug)]
struct Current(ArcSwap<Pair>);

/// A certificate that fits its key.
#[derive(Debug)]
struct Pair {
    key: Arc<CertifiedKey>,
    valid_from: Timestamp,
    valid_until: Timestamp,
}

/// What changes when the files are replaced or written; `None` for a file that is missing.
type Stamps = [Option<Stamp>; 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Tls {
    /// Reads a certificate and its key. One that is not valid at this time is accepted: its clients see the reason,
    /// and the clock may be wrong.
    ///
    /// # Errors
    ///
    /// [`TlsError`] with the name of the file.
    pub fn open(files: &Files) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        // Before the files are read: a change in between is read again.
        let read = Mutex::new(stamps(files));
        let pair = Pair::read(files, &provider)?;
        let expires = Gauge::default();
        expires.set(pair.valid_until.seconds());
        let current = Arc::new(Current(ArcSwap::from_pointee(pair)));
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let mut config = builder
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: Acceptor(TlsAcceptor::from(Arc::new(config))),
            shared: Arc::new(Shared {
                files: files.clone(),
                provider,
                current,
                read,
                expires,
                failed_handshakes: Counter::default(),
            }),
        })
    }

    /// Shakes hands with a client.
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = self.acceptor.0.accept(stream).await;
        if accepted.is_err() {
            self.shared.failed_handshakes.inc();
        }
        accepted
    }

    /// Adds the metrics of TLS.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "jeton_tls_certificate_expires_seconds",
            "When the TLS certificate for new connections expires, in seconds since the Unix epoch",
            self.shared.expires.clone(),
        );
        registry.register(
            "jeton_tls_handshakes_failed",
            "TLS handshakes that failed, without those that took too long",
            self.shared.failed_handshakes.clone(),
        );
    }

    /// Returns the end of the certificate's validity.
    pub fn valid_until(&self) -> Timestamp {
        self.shared.current.0.load().valid_until
    }

    /// Fails if the certificate is not valid at this time.
    ///
    /// # Errors
    ///
    /// [`TlsError::NotValid`]
    pub fn check_valid(&self, now: Timestamp) -> Result<(), TlsError> {
        self.shared
            .current
            .0
            .load()
            .check_valid(&self.shared.files.certificate, now)
    }

    /// Returns whether the files have changed since they were last read.
    pub fn has_changed(&self) -> bool {
        *self.read() != stamps(&self.shared.files)
    }

    /// Reads the files again and uses them for new connections, if they can be used and are valid at this time.
    /// Otherwise the old certificate stays.
    ///
    /// # Errors
    ///
    /// [`TlsError`] with the name of the file.
    pub fn reload(&self, now: Timestamp) -> Result<(), TlsError> {
        let files = &self.shared.files;
        let stamps = stamps(files);
        *self.read() = stamps;
        let pair = Pair::read(files, &self.shared.provider)?;
        pair.check_valid(&files.certificate, now)?;
        self.shared.expires.set(pair.valid_until.seconds());
        self.shared.current.0.store(Arc::new(pair));
        Ok(())
    }

    fn read(&self) -> std::sync::MutexGuard<'_, Stamps> {
        self.shared.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().key))
    }
}

impl Pair {
    fn read(files: &Files, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let Files { certificate, key } = files;
        let chain = chain(certificate)?;
        let unparsable = |source| TlsError::Unparsable {
            path: certificate.clone(),
            source,
        };
        let (valid_from, valid_until) = validity(&chain).map_err(unparsable)?;
        let private = private_key(key)?;
        let pair = CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
                certificate: certificate.clone(),
                key: key.clone(),
            },
            error @ rustls::Error::InvalidCertificate(_) => unparsable(error.into()),
            source => TlsError::Unusable {
                path: key.clone(),
                source,
            },
        })?;
        Ok(Self {
            key: Arc::new(pair),
            valid_from,
            valid_until,
        })
    }

    fn check_valid(&self, path: &Path, now: Timestamp) -> Result<(), TlsError> {
        match (self.valid_from..=self.valid_until).contains(&now) {
            true => Ok(()),
            false => Err(TlsError::NotValid {
                path: path.to_owned(),
                from: self.valid_from,
                until: self.valid_until,
            }),
        }
    }
}

/// Returns the first certificate in a file, if there is one.
pub(crate) fn first_certificate(path: &Path) -> Option<CertificateDer<'static>> {
    chain(path).ok()?.into_iter().next()
}

/// Returns the TLS with which a command asks the server of its own machine, which accepts every certificate: a name
/// does not match an address, and what is asked is not secret.
pub(crate) fn client_of_itself() -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Itself(algorithms)))
        .with_no_client_auth())
}

/// Returns the TLS with which a client asks a server: the certificates that it trusts, those of the system if no file is
/// named, and its own, if it has one.
pub(crate) fn client(ca: Option<&Path>, own: Option<&Files>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = match ca {
        Some(path) => {
            let mut trusted = RootCertStore::empty();
            for certificate in chain(path)? {
                trusted.add(certificate).map_err(|error| TlsError::Unparsable {
                    path: path.to_owned(),
                    source: error.into(),
                })?;
            }
            builder.with_root_certificates(trusted)
        }
        None => builder.with_native_roots().map_err(TlsError::NothingTrusted)?,
    };
    let Some(Files { certificate, key }) = own else {
        return Ok(builder.with_no_client_auth());
    };
    let config = builder.with_client_auth_cert(chain(certificate)?, private_key(key)?);
    config.map_err(|source| TlsError::Unusable {
        path: key.clone(),
        source,
    })
}

#[derive(Debug)]
struct Itself(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Itself {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Reads the certificates of a file, at least one.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read("certificate", path, |_| Ok(()))?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| TlsError::NoCertificate(path.to_owned()))?;
    match chain.is_empty() {
        false => Ok(chain),
        true => Err(TlsError::NoCertificate(path.to_owned())),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read("key", path, |mode| Secret::TlsKey.check_file(path, mode))?;
    // The parser's error would show a line of the file.
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::NoKey(path.to_owned()))
}

/// Reads a whole file if its mode passes the check.
fn read(
    what: &'static str,
    path: &Path,
    check: impl FnOnce(u32) -> Result<(), Exposed>,
) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    };
    let refused = || TlsError::NotAFile {
        what,
        path: path.to_owned(),
    };
    let file = RegularFile::open(path).map_err(unreadable)?.ok_or_else(refused)?;
    check(file.mode())?;
    file.read(MAXIMUM_BYTES).map_err(unreadable)?.ok_or_else(refused)
}

/// Returns the first and the last instant at which the first certificate is valid.
fn validity(
    chain: &[CertificateDer<'_>],
) -> Result<(Timestamp, Timestamp), Box<dyn std::error::Error + Send + Sync>> {
    let first = chain.first().ok_or("it is missing")?;
    let certificate = x509_cert::Certificate::from_der(first)?;
    // rustls takes no other, and its error does not say so.
    if certificate.tbs_certificate().version() != x509_cert::Version::V3 {
        return Err("it must be an X.509 certificate of version 3".into());
    }
    let validity = certificate.tbs_certificate().validity();
    let instant = |time: &x509_cert::time::Time| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok();
        seconds
            .and_then(Timestamp::from_seconds)
            .ok_or("its validity cannot be represented")
    };
    Ok((instant(&validity.not_before)?, instant(&validity.not_after)?))
}

fn stamps(files: &Files) -> Stamps {
    [&files.certificate, &files.key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    })
}

/// Certificates for tests, and clients that trust them.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(crate) mod testing {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::OnceLock;

    use jeton_core::clock::Clock;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use rustls::{RootCertStore, SupportedProtocolVersion};
    use tempfile::TempDir;

    use super::*;
    use crate::system::SystemClock;

    /// The name in every certificate.
    pub(crate) const NAME: &str = "jeton.example.org";

    /// A certificate and its key in PEM.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct Pem {
        pub(crate) certificate: String,
        pub(crate) key: String,
    }

    impl Pem {
        pub(crate) fn new() -> Self {
            Self::valid(2020, 2120)
        }

        /// A certificate that is valid from the start of a year to that of another.
        pub(crate) fn valid(from: i32, until: i32) -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(until, 1, 1);
            Self {
                certificate: params.self_signed(&key).unwrap().pem(),
                key: key.serialize_pem(),
            }
        }
    }

    /// A folder with a certificate and its key.
    pub(crate) struct Files {
        _folder: TempDir,
        pub(crate) paths: super::Files,
    }

    impl Files {
        pub(crate) fn new() -> Self {
            Self::of(&Pem::new())
        }

        pub(crate) fn of(pem: &Pem) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let files = Self {
                paths: super::Files {
                    certificate: folder.path().join("certificate.pem"),
                    key: folder.path().join("key.pem"),
                },
                _folder: folder,
            };
            files.write(pem);
            files
        }

        pub(crate) fn write(&self, pem: &Pem) {
            fs::write(&self.paths.certificate, &pem.certificate).unwrap();
            fs::write(&self.paths.key, &pem.key).unwrap();
            fs::set_permissions(&self.paths.key, fs::Permissions::from_mode(0o600)).unwrap();
        }

        /// Writes another certificate and its key.
        pub(crate) fn replace(&self) {
            self.write(&Pem::new());
        }

        pub(crate) fn open(&self) -> Tls {
            Tls::open(&self.paths).unwrap()
        }

        /// Returns the certificate in the file.
        pub(crate) fn certificate(&self) -> Vec<u8> {
            CertificateDer::from_pem_file(&self.paths.certificate)
                .unwrap()
                .to_vec()
        }
    }

    fn shared() -> &'static Pem {
        static SHARED: OnceLock<Pem> = OnceLock::new();
        SHARED.get_or_init(Pem::new)
    }

    pub(crate) fn now() -> Timestamp {
        SystemClock.now()
    }

    /// Returns TLS with the certificate that [`client`] trusts.
    pub(crate) fn tls() -> Tls {
        Files::of(shared()).open()
    }

    pub(crate) fn client() -> ClientConfig {
        client_of(&[&rustls::version::TLS13])
    }

    pub(crate) fn client_of(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(shared().certificate.as_bytes());
        roots.add(certificate.unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::testing::{Files, Pem, now};
    use super::*;

    /// A certificate as `openssl x509 -req` makes it without a file of extensions.
    const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBGDCBvwIUURA7ipKGvJ0iYCMVluy/kV6msCgwCgYIKoZIzj0EAwIwDjEMMAoG\n\
A1UEAwwDb2xkMCAXDTI2MTIwMTIzNTUxMloYDzIxMjYxMTA3MjM1NTEyWjAOMQww\n\
CgYDVQQDDANvbGQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQW86Sb4ULipbIA\n\
apKr0jMNdwZmfBiEizSNvuEf94IGQevz17DObVJi+s/MwLs3+7e+4+1Pn8CC2EzS\n\
jlKzcb8tMAoGCCqGSM49BAMCA0gAMEUCIBLol1BeVHY0NfNGf4nqyMkDgst9yfSW\n\
RlmbRzTeCLLEAiEA1uZ2dpLlKoj/VIlSZi/Rug6PWKFYOrW4NbG5kmQslOA=\n\
-----END CERTIFICATE-----\n";

    fn error_of(files: &Files) -> String {
        crate::causes::error_chain(&Tls::open(&files.paths).unwrap_err())
    }

    #[test]
    fn a_certificate_that_cannot_be_used_is_refused_with_the_name_of_its_file() {
        let files = Files::new();
        let (certificate, key) = (files.paths.certificate.clone(), files.paths.key.clone());
        let pem = Pem::new();
        for (contents, problem) in [
            ("", "has no certificate in PEM"),
            (&*pem.key, "has no certificate in PEM"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "cannot be parsed",
            ),
            ("-----BEGIN CERTIFICATE-----\nA", "has no certificate in PEM"),
            (
                VERSION_1,
                "has one that cannot be parsed: it must be an X.509 certificate of version 3",
            ),
            (&*pem.certificate, "is not that of the first certificate"),
            (&*"x".repeat(1024 * 1024 + 1), "at most 1 MiB"),
        ] {
            fs::write(&certificate, contents).unwrap();
            let error = error_of(&files);
            assert!(error.contains(problem), "{error}");
            assert!(error.contains(certificate.to_str().unwrap()), "{error}");
        }
        fs::remove_file(&certificate).unwrap();
        assert!(error_of(&files).contains("cannot be read: No such file"));
        symlink("/dev/zero", &certificate).unwrap();
        assert!(error_of(&files).contains("must be a regular file"));
        fs::remove_file(&certificate).unwrap();

        fs::write(&certificate, &pem.certificate).unwrap();
        let secret = "c2VjcmV0";
        for (contents, problem) in [
            ("", "has no private key in PEM"),
            (secret, "has no private key in PEM"),
            (
                &*format!("-----BEGIN PRIVATE KEY-----\n{secret}\n"),
                "has no private key in PEM",
            ),
            (
                &*format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"),
                "cannot be used",
            ),
            (
                &*format!(
                    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{secret}\n-----END ENCRYPTED PRIVATE KEY-----\n"
                ),
                "not encrypted",
            ),
        ] {
            fs::write(&key, contents).unwrap();
            let error = error_of(&files);
            assert!(error.contains(problem), "{error}");
            assert!(
                error.contains(key.to_str().unwrap()) && !error.contains(secret),
                "{error}"
            );
        }
        fs::write(&key, &pem.key).unwrap();
        Tls::open(&files.paths).unwrap();
    }

    #[test]
    fn a_key_that_other_users_can_read_is_refused() {
        let files = Files::new();
        for (mode, is_fine) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false)] {
            fs::set_permissions(&files.paths.key, fs::Permissions::from_mode(mode)).unwrap();
            let opened = Tls::open(&files.paths);
            assert_eq!(opened.is_ok(), is_fine, "{mode:o}");
        }
        fs::set_permissions(&files.paths.key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = error_of(&files);
        let path = files.paths.key.display();
        assert_eq!(
            error,
            format!(
                "{path} is readable by other users (mode 0644): run `chmod o=,g-wx {path}`, and replace the certificate \
                 and its key if others may have read it"
            )
        );
    }

    #[test]
    fn a_reload_refuses_what_cannot_be_used_and_what_is_not_valid_now() {
        let files = Files::new();
        let tls = files.open();
        let old = tls.valid_until();
        for pem in [
            Pem::valid(2020, 2021),
            Pem::valid(2119, 2120),
            Pem {
                key: Pem::new().key,
                ..Pem::new()
            },
        ] {
            files.write(&pem);
            assert!(tls.has_changed());
            let error = tls.reload(now()).unwrap_err().to_string();
            assert!(error.contains("certificate.pem"), "{error}");
            assert_eq!(tls.valid_until(), old);
            assert!(!tls.has_changed(), "it is read once");
            tls.check_valid(now()).unwrap();
        }
        files.write(&Pem::valid(2020, 2100));
        tls.reload(now()).unwrap();
        assert_eq!(tls.valid_until().to_string(), "2100-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_start_accepts_a_certificate_that_has_ended() {
        let files = Files::of(&Pem::valid(2020, 2021));
        let tls = files.open();
        let error = tls.check_valid(now()).unwrap_err().to_string();
        assert!(error.contains("2021-01-01"), "{error}");
    }

    /// How certbot and Kubernetes replace files.
    #[test]
    fn another_target_of_a_link_is_a_change() {
        let files = Files::new();
        let other = files.paths.certificate.with_file_name("other.pem");
        fs::write(&other, &Pem::new().certificate).unwrap();
        let first = files.paths.certificate.with_file_name("first.pem");
        fs::rename(&files.paths.certificate, &first).unwrap();
        symlink(&first, &files.paths.certificate).unwrap();
        let tls = files.open();
        assert!(!tls.has_changed());
        let link = files.paths.certificate.with_file_name("link");
        symlink(&other, &link).unwrap();
        fs::rename(&link, &files.paths.certificate).unwrap();
        assert!(tls.has_changed());
    }
}
