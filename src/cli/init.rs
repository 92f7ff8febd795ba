//! `jeton init`: asks for what a deployment needs, creates it with its administrator, and writes its configuration file.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::deployment::Deployment;
use super::first_start::command;
use super::serve::pinned_issuer;
use super::user::first_line;
use super::{Failure, first_start, output, signals};
use crate::authority::password::{NewPassword, Password};
use crate::backend::{self, sync_folder};
use crate::config::{Config, Flags, Issuer};
use crate::tls::{self, Tls};
use jeton_core::directory::Email;

/// The most bytes of an answer.
const LONGEST_ANSWER: u64 = 4096;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The issuer of every token, an http or https URL. It can never be changed [env: JETON_ISSUER]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The IP address and port to listen on [env: JETON_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The folder of the database, its journal and the keys [default: the present one]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The certificate chain of the server in PEM, for TLS without a proxy [env: JETON_TLS_CERTIFICATE]
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// The private key of the certificate in PEM [env: JETON_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The e-mail address of the first administrator [env: JETON_ADMIN_EMAIL]
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Read the administrator's password from the first line of standard input instead of the file that
    /// JETON_ADMIN_PASSWORD_FILE names. Without either it is asked for, or generated and printed once
    #[arg(long)]
    password_stdin: bool,
    /// The user that the server runs as, who owns the files; only root can give them away
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

/// The user and the configuration file of jeton.service.
const UNIT_USER: &str = "jeton";
const UNIT_CONFIG: &str = "/etc/jeton/jeton.toml";

/// What is asked, with an explanation.
struct Question {
    text: &'static str,
    /// The flag that answers it.
    flag: &'static str,
}

const ISSUER: Question = Question {
    text: "The issuer is the URL under which clients reach this server, such as https://tokens.example.com.\n\
           It is in every token and can never be changed.\nIssuer",
    flag: "--issuer",
};
const LISTEN: Question = Question {
    text: "The IP address and port to listen on.\nListen on",
    flag: "--listen",
};
const FOLDER: Question = Question {
    text: "The folder of the database, its journal and the signing keys.\nFolder",
    flag: "--folder",
};
const EMAIL: Question = Question {
    text: "The first administrator manages users and organizations.\nE-mail address",
    flag: "--email",
};

/// The answers, checked.
struct Answers {
    config: Config,
    /// The content of the configuration file.
    text: String,
    file: PathBuf,
    owner: Option<Owner>,
}

/// The user that the server runs as.
struct Owner {
    name: String,
    user: u32,
    group: u32,
}

pub(super) fn run(arguments: Arguments, flags: Flags) -> Result<(), Failure> {
    let runtime = super::runtime()?;
    let terminal = Terminal::of_input();
    let interrupted = match &terminal {
        Some(terminal) => {
            let settings = terminal.settings.clone();
            let mut interrupts = {
                let _context = runtime.enter();
                signal(SignalKind::interrupt()).map_err(Failure::Runtime)?
            };
            Some(runtime.spawn(async move {
                if interrupts.recv().await.is_some() {
                    // A password was perhaps being typed.
                    restore(&settings);
                    std::process::exit(130);
                }
            }))
        }
        None => None,
    };
    let answers = answers(arguments, flags, terminal.as_ref())?;
    runtime.block_on(async {
        // Half of a deployment would stay. It is whole within a second.
        signals::ignore_interrupts().map_err(Failure::Runtime)?;
        if let Some(interrupted) = interrupted {
            interrupted.abort();
        }
        create(answers).await
    })
}

fn answers(
    Arguments {
        issuer,
        listen,
        folder,
        tls_certificate,
        tls_key,
        email,
        password_stdin,
        user,
    }: Arguments,
    flags: Flags,
    terminal: Option<&Terminal>,
) -> Result<Answers, Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let file = flags
        .config
        .clone()
        .or_else(|| variable("JETON_CONFIG").map(PathBuf::from));
    let file = absolute(file.as_deref().unwrap_or(Path::new("jeton.toml")))?;
    if fs::symlink_metadata(&file).is_ok() {
        return Err(Failure::FileExists(file));
    }
    let unfinished = Unfinished::path(&file);
    if fs::symlink_metadata(&unfinished).is_ok() {
        return Err(Failure::Interrupted(unfinished));
    }
    let owner = user.map(|user| owner(&user)).transpose()?;
    let asks_listen = listen.is_none() && variable("JETON_LISTEN").is_none();
    let database = flags
        .database
        .clone()
        .or_else(|| variable("JETON_DATABASE").map(PathBuf::from));
    let keys = flags
        .keys
        .clone()
        .or_else(|| variable("JETON_KEYS").map(PathBuf::from));
    let sealed_by = flags.key_encryption_key.clone();
    let sealed_by = sealed_by.or_else(|| variable("JETON_KEY_ENCRYPTION_KEY_FILE").map(PathBuf::from));
    let flags = Flags {
        issuer,
        listen,
        tls_certificate,
        tls_key,
        email,
        config: None,
        ..flags
    };
    // Every mistake in flags and variables at once.
    let given = Config::of_text(&file, "", flags, &|name| std::env::var_os(name))?;
    super::file(
        &given,
        "`jeton init`",
        "write `issuer`, `database` and `key_encryption_key_file` in `[keys]` into jeton.toml; the first `jeton serve` \
         creates the tables",
    )?;
    super::keys::check_key_encryption_key(&given, &given.database)?;

    let issuer = match given.issuer {
        Some(issuer) => issuer,
        None => ask(terminal, &ISSUER, None, |text| text.parse::<Issuer>())?,
    };
    let listen = match asks_listen {
        true => ask(terminal, &LISTEN, Some("127.0.0.1:8080"), |text| {
            let address = text.parse::<SocketAddr>();
            address.map_err(|_| "must be an IP address and a port such as 127.0.0.1:8080")
        })?,
        false => given.listen,
    };
    let folder = match folder {
        Some(folder) => checked_folder(folder).map_err(Failure::Folder)?,
        None if database.is_some() && keys.is_some() => PathBuf::new(),
        None => ask(terminal, &FOLDER, Some("."), |text| checked_folder(text.into()))?,
    };
    let database = absolute(&database.unwrap_or_else(|| folder.join("jeton.db")))?;
    if fs::symlink_metadata(&database).is_ok() {
        return Err(Failure::DatabaseExists(database));
    }
    let keys = absolute(&keys.unwrap_or_else(|| folder.join("keys")))?;
    if exists_and_has_files(&keys)? {
        return Err(Failure::KeysExist(keys));
    }
    if let Some(owner) = &owner {
        owner.check_folder(database.parent().unwrap_or(Path::new("/")))?;
        owner.check_folder(&keys)?;
    }
    let email: Email = match given.administrator.email {
        Some(email) => email,
        None => ask(terminal, &EMAIL, None, |text| text.parse::<Email>())?,
    };
    let password = match (password_stdin, given.administrator.password, terminal) {
        (true, _, _) => Some(first_line(io::stdin().lock())?.try_into()?),
        (false, Some(password), _) => Some(password),
        (false, None, Some(terminal)) => terminal.new_password()?,
        (false, None, None) => None,
    };
    let sealed_by = sealed_by.as_deref().map(absolute).transpose()?;
    let tls = given.tls.as_ref();
    // The first start reads the files; so a wrong one is noticed before anything is created.
    tls.map(Tls::open).transpose()?;
    let text = file_text(&issuer, listen, &database, &keys, sealed_by.as_deref(), tls)?;
    let mut config = Config::of_text(&file, &text, Flags::default(), &|_| None)?;
    config.administrator.email = Some(email);
    config.administrator.password = password;
    Ok(Answers {
        config,
        text,
        file,
        owner,
    })
}

async fn create(answers: Answers) -> Result<(), Failure> {
    let Answers {
        config,
        text,
        file,
        owner,
    } = answers;
    let listener = TcpListener::bind(config.listen).map_err(|source| Failure::Listen {
        address: config.listen,
        source,
    })?;
    drop(listener);
    // Before anything else is created: two calls do not meet, and a folder that cannot be written is noticed.
    let written = Unfinished::create(&file, &text, owner.as_ref())?;
    let database = super::file(&config, "`jeton init`", "name a file")?;
    let folder = database.parent().unwrap_or(Path::new("/"));
    let mut created = missing(folder);
    created.extend(missing(&config.keys.folder));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(cannot("create", folder))?;
    let before: HashSet<OsString> = names(folder)?.into_iter().collect();

    let founded = {
        let _lock = backend::lock(&config.database)?;
        let deployment = Deployment::open(&config).await?;
        let issuer = pinned_issuer(&config, &deployment, config.listen, config.tls.is_some()).await?;
        let authority = deployment.authority(&config, issuer)?;
        let email = first_start::email(&config)?;
        let (password, generated) = match &config.administrator.password {
            Some(password) => (password.copy(), None),
            None => {
                let generated = Zeroizing::new(deployment.entropy.alphanumeric(20));
                let password = NewPassword::try_from(Password::new(generated.to_string()))?;
                (password, Some(generated))
            }
        };
        first_start::found(&authority, email.clone(), password)
            .await?
            .then_some((email, generated))
    };
    backend::sync(&config.database).map_err(Failure::FolderNotSynced)?;
    if let Some(owner) = &owner {
        for path in &created {
            owner.give(path)?;
        }
        // The folder was empty or did not exist.
        for name in names(&config.keys.folder)? {
            owner.give_all(&config.keys.folder.join(name))?;
        }
        let prefix = database.file_name().unwrap_or_default();
        let mut lock = prefix.to_owned();
        lock.push(".lock");
        for name in names(folder)? {
            let is_of_database = name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes());
            // A call that failed leaves the lock.
            if is_of_database && (name == lock || !before.contains(&name)) {
                owner.give_all(&folder.join(name))?;
            }
        }
    }
    let finished = written.finish();
    // Whatever has failed: nothing shows a generated password again.
    introduce(&file, founded, owner.as_ref())?;
    finished
}

/// Prints what was created and how to start the server.
fn introduce(
    file: &Path,
    founded: Option<(Email, Option<Zeroizing<String>>)>,
    owner: Option<&Owner>,
) -> Result<(), Failure> {
    let user = owner.map(|owner| owner.name.as_str());
    let is_default = absolute(Path::new("jeton.toml")).is_ok_and(|default| default == file);
    let command = command(user, (!is_default || user.is_some()).then_some(file));
    if let Some((email, Some(password))) = founded {
        let shown = format!(
            "first administrator: {email}\npassword, shown only once: {}",
            password.as_str()
        );
        output::write(&shown).map_err(|source| Failure::PasswordNotShown {
            email,
            command: command.clone(),
            source,
        })?;
    }
    let mut said = format!("the configuration is in {}\nstart the server: ", file.display());
    match user {
        Some(UNIT_USER) if file == Path::new(UNIT_CONFIG) && has_units() => {
            said.push_str("systemctl enable --now jeton.socket jeton.service");
        }
        _ => said.push_str(&format!("{command} serve")),
    }
    output::print(&said)
}

/// Returns whether the units of the package are installed.
fn has_units() -> bool {
    let folders = [
        "/etc/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ];
    let is_installed = |unit: &str| folders.iter().any(|folder| Path::new(folder).join(unit).exists());
    is_installed("jeton.socket") && is_installed("jeton.service")
}

/// Returns the configuration file.
fn file_text(
    issuer: &Issuer,
    listen: SocketAddr,
    database: &Path,
    keys: &Path,
    sealed_by: Option<&Path>,
    tls: Option<&tls::Files>,
) -> Result<String, Failure> {
    let quoted = |path: &Path| {
        let text = path.to_str().ok_or_else(|| Failure::NotUtf8(path.to_owned()))?;
        Ok::<_, Failure>(toml::Value::from(text).to_string())
    };
    let sealed_by = match sealed_by {
        Some(path) => format!("key_encryption_key_file = {}", quoted(path)?),
        None => "# key_encryption_key_file = \"/etc/jeton/key-encryption-key\"".to_owned(),
    };
    let tls = match tls {
        Some(files) => format!(
            "[tls]\ncertificate = {}\nkey = {}",
            quoted(&absolute(&files.certificate)?)?,
            quoted(&absolute(&files.key)?)?
        ),
        None => "# TLS without a proxy; the files are read again when they change.\n# [tls]\n\
                 # certificate = \"/etc/jeton/tls.crt\"\n# key = \"/etc/jeton/tls.key\""
            .to_owned(),
    };
    Ok(format!(
        "# The configuration of jeton. docs/operations.md describes all settings.\n\
         # `jeton serve --check-config` checks this file; SIGHUP reloads it.\n\n\
         # In every token. It is stored in the database at its creation and can never be changed.\n\
         issuer = {issuer}\n\
         listen = {listen}\n\
         database = {database}\n\n\
         # The addresses of proxies whose X-Forwarded-For is believed; nobody by default.\n\
         # trusted_proxies = [\"127.0.0.1/32\"]\n\n\
         [keys]\n\
         folder = {keys}\n\
         # How old a signing key becomes before its successor is published; never by default.\n\
         rotate_every = \"30d\"\n\
         # Seals the private keys: a file of 32 random bytes in base64 (`openssl rand -base64 32`).\n\
         {sealed_by}\n\n\
         {tls}\n\n\
         # Metrics for Prometheus, on an address of their own.\n\
         # [metrics]\n\
         # listen = \"127.0.0.1:9464\"\n\n\
         # No rate limits by default.\n\
         # [rate_limits]\n\
         # per_caller = {{ per_second = 50, burst = 100 }}\n\
         # per_address = {{ per_second = 100 }}\n",
        issuer = toml::Value::from(issuer.as_str()),
        listen = toml::Value::from(listen.to_string()),
        database = quoted(database)?,
        keys = quoted(keys)?,
    ))
}

/// Asks until the answer passes the check. Without a terminal, the default is taken, or the flag is missing.
fn ask<T, E: Display>(
    terminal: Option<&Terminal>,
    question: &Question,
    default: Option<&str>,
    check: impl Fn(&str) -> Result<T, E>,
) -> Result<T, Failure> {
    if terminal.is_none() {
        return default
            .and_then(|default| check(default).ok())
            .ok_or(Failure::Unanswered(question.flag));
    }
    let prompt = match default {
        Some(default) => format!("\n{} [{default}]: ", question.text),
        None => format!("\n{}: ", question.text),
    };
    loop {
        let line = line(&prompt)?.ok_or(Failure::InputEnded)?;
        let answer = match (line.trim(), default) {
            ("", Some(default)) => default,
            (answer, _) => answer,
        };
        match check(answer) {
            Ok(answer) => return Ok(answer),
            Err(problem) => say(&format!("{answer:?} is refused: {problem}\n"))?,
        }
    }
}

/// Returns a line of the terminal; `None` at its end.
fn line(prompt: &str) -> Result<Option<String>, Failure> {
    say(prompt)?;
    let mut line = String::new();
    let read = io::stdin().lock().take(LONGEST_ANSWER).read_line(&mut line);
    match read.map_err(Failure::Answer)? {
        0 => Ok(None),
        _ => Ok(Some(line)),
    }
}

/// Writes to standard error: standard output has only the result.
fn say(text: &str) -> Result<(), Failure> {
    io::stderr()
        .lock()
        .write_all(text.as_bytes())
        .map_err(Failure::Answer)
}

/// The terminal on standard input.
struct Terminal {
    settings: Termios,
}

impl Terminal {
    fn of_input() -> Option<Self> {
        let stdin = io::stdin();
        let settings = stdin.is_terminal().then(|| tcgetattr(&stdin).ok())??;
        Some(Self { settings })
    }

    /// Asks for a password twice, without echo; `None` for an empty one, which is then generated.
    fn new_password(&self) -> Result<Option<NewPassword>, Failure> {
        loop {
            let first = self.password("\nPassword (empty: one is generated): ")?;
            if first.is_empty() {
                return Ok(None);
            }
            let second = self.password("The same again: ")?;
            if !first.is_repeated_by(&second) {
                say("the two passwords differ\n")?;
                continue;
            }
            match NewPassword::try_from(first) {
                Ok(password) => return Ok(Some(password)),
                Err(problem) => say(&format!("the password is refused: {problem}\n"))?,
            }
        }
    }

    fn password(&self, prompt: &str) -> Result<Password, Failure> {
        let mut quiet = self.settings.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        quiet.local_modes.insert(LocalModes::ECHONL);
        // Before the question: what is typed at once is neither shown nor discarded.
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)
            .map_err(|error| Failure::Answer(error.into()))?;
        let password = say(prompt).and_then(|()| quiet_line());
        restore(&self.settings);
        password
    }
}

/// Reads a password from the terminal.
fn quiet_line() -> Result<Password, Failure> {
    let mut input = io::stdin().lock();
    let is_ended = loop {
        match input.fill_buf().map(<[u8]>::is_empty) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            is_ended => break is_ended,
        }
    };
    match is_ended {
        Ok(false) => first_line(input),
        Ok(true) => Err(Failure::InputEnded),
        Err(error) => Err(Failure::Answer(error)),
    }
}

/// Sets the terminal as it was. A failure cannot be mended.
fn restore(settings: &Termios) {
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, settings);
}

/// A configuration file under another name, which is removed again unless it is finished: a server does not start with a
/// part of it, and not before everything else exists.
struct Unfinished {
    file: PathBuf,
    path: PathBuf,
    is_finished: bool,
}

impl Unfinished {
    /// Returns the other name.
    fn path(file: &Path) -> PathBuf {
        let mut path = file.as_os_str().to_owned();
        path.push(".unfinished");
        PathBuf::from(path)
    }

    /// Writes the content. A server of another user reads the file by its group, and cannot change it.
    fn create(file: &Path, text: &str, owner: Option<&Owner>) -> Result<Self, Failure> {
        let path = Self::path(file);
        let mut options = OpenOptions::new();
        let mut opened = match options.write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Failure::Interrupted(path));
            }
            opened => opened.map_err(cannot("create", &path))?,
        };
        let unfinished = Self {
            file: file.to_owned(),
            path,
            is_finished: false,
        };
        // Another call may have finished since the first look.
        if fs::symlink_metadata(file).is_ok() {
            return Err(Failure::FileExists(file.to_owned()));
        }
        let written = (|| {
            opened.write_all(text.as_bytes())?;
            if let Some(owner) = owner {
                fchown(&opened, None, Some(owner.group))?;
                opened.set_permissions(fs::Permissions::from_mode(0o640))?;
            }
            opened.sync_all()
        })();
        written.map_err(cannot("write", &unfinished.path))?;
        Ok(unfinished)
    }

    fn finish(mut self) -> Result<(), Failure> {
        fs::rename(&self.path, &self.file).map_err(cannot("create", &self.file))?;
        self.is_finished = true;
        sync_folder(&self.file).map_err(cannot("sync the folder of", &self.file))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // A failure leaves a file that the next call names.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Owner {
    /// Refuses an existing folder in which neither this user nor their group can create files.
    fn check_folder(&self, path: &Path) -> Result<(), Failure> {
        let Ok(metadata) = fs::metadata(path) else {
            return Ok(());
        };
        let is_of_group = metadata.gid() == self.group && metadata.mode() & 0o030 == 0o030;
        if metadata.uid() == self.user || is_of_group {
            return Ok(());
        }
        Err(Failure::FolderOfAnother {
            path: path.to_owned(),
            user: self.name.clone(),
        })
    }

    fn give(&self, path: &Path) -> Result<(), Failure> {
        lchown(path, Some(self.user), Some(self.group)).map_err(cannot("change the owner of", path))
    }

    /// Gives a file, or a folder with all files in it.
    fn give_all(&self, path: &Path) -> Result<(), Failure> {
        self.give(path)?;
        if fs::symlink_metadata(path).map_err(cannot("list", path))?.is_dir() {
            for name in names(path)? {
                self.give_all(&path.join(name))?;
            }
        }
        Ok(())
    }
}

/// Returns the names of all files in a folder.
fn names(folder: &Path) -> Result<Vec<OsString>, Failure> {
    let entries = fs::read_dir(folder).and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect()
    });
    entries.map_err(cannot("list", folder))
}

fn exists_and_has_files(folder: &Path) -> Result<bool, Failure> {
    Ok(folder.exists() && !names(folder)?.is_empty())
}

/// Refuses a folder that a user means to be below a home folder: nothing replaces the tilde of an answer.
fn checked_folder(folder: PathBuf) -> Result<PathBuf, &'static str> {
    match folder.as_os_str().as_encoded_bytes().starts_with(b"~") {
        true => Err("must not begin with ~, which only a shell replaces: give the whole path"),
        false => Ok(folder),
    }
}

/// Returns a user of this machine.
fn owner(name: &str) -> Result<Owner, Failure> {
    let path = Path::new("/etc/passwd");
    let users = fs::read_to_string(path).map_err(cannot("read", path))?;
    let ids = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_named = fields.next() == Some(name);
        let mut ids = fields.skip(1).map_while(|id| id.parse().ok());
        let owner = Owner {
            name: name.to_owned(),
            user: ids.next()?,
            group: ids.next()?,
        };
        is_named.then_some(owner)
    });
    ids.ok_or_else(|| Failure::NoSuchUser(name.to_owned()))
}

/// Returns the folders that must be created for a path, itself included.
fn missing(path: &Path) -> Vec<PathBuf> {
    let ancestors = path.ancestors().take_while(|ancestor| !ancestor.exists());
    ancestors.map(Path::to_owned).collect()
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(cannot("find", path))
}

fn cannot(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure + use<> {
    let path = path.to_owned();
    move |source| Failure::Init { action, path, source }
}
