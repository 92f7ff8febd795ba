//! The first start: creates the site administrator and prints the welcome text.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::Failure;
use crate::authority::password::{NewPassword, Password};
use crate::authority::{Authority, NewAccount};
use crate::config::Config;
use jeton_core::directory::{Email, Name};
use jeton_core::entropy::Entropy;

/// The e-mail address of the first administrator unless `JETON_ADMIN_EMAIL` is set.
const EMAIL: &str = "admin@example.com";
const ORGANIZATION: &str = "default";

/// The administrator created at this start.
pub(super) struct FirstAdministrator {
    email: Email,
    password: Shown,
}

impl FirstAdministrator {
    /// Returns the administrator's address if only the output of this command has the password.
    pub(super) fn with_generated_password(&self) -> Option<&Email> {
        matches!(self.password, Shown::Generated(_)).then_some(&self.email)
    }

    /// Returns the lines that name the administrator, with the password if it was generated.
    pub(super) fn introduced(&self) -> String {
        let Self { email, password } = self;
        match password {
            Shown::Generated(password) => {
                format!(
                    "\nfirst administrator: {email}\npassword, shown only once: {}",
                    **password
                )
            }
            Shown::Variable | Shown::File(_) => format!("\nfirst administrator: {email}"),
        }
    }
}

/// How the welcome text shows the password.
enum Shown {
    Generated(Zeroizing<String>),
    Variable,
    File(PathBuf),
}

/// Creates the first administrator and organization unless a site administrator exists.
pub(super) async fn create_administrator(
    authority: &Authority,
    config: &Config,
    entropy: &dyn Entropy,
) -> Result<Option<FirstAdministrator>, Failure> {
    let email = match &config.administrator.email {
        Some(email) => email.clone(),
        None => EMAIL.parse()?,
    };
    let organization: Name = ORGANIZATION
        .parse()
        .map_err(|_| Failure::InvalidOrganizationName(ORGANIZATION))?;
    let (password, shown) = match &config.administrator.password {
        Some(password) => {
            let file = config.administrator.password_file.clone();
            (password.copy(), file.map_or(Shown::Variable, Shown::File))
        }
        None => {
            let generated = Zeroizing::new(entropy.alphanumeric(20));
            (
                NewPassword::try_from(Password::new(generated.to_string()))?,
                Shown::Generated(generated),
            )
        }
    };
    let administrator = NewAccount {
        email: email.clone(),
        password,
        first_name: None,
        last_name: None,
        username: None,
        site_admin: true,
    };
    let founded = authority.found(administrator, organization).await?;
    Ok(founded.then_some(FirstAdministrator {
        email,
        password: shown,
    }))
}

/// Returns the welcome text for a server at a URL: where the API reference is, and a first request.
pub(super) fn welcome(url: &str, founded: Option<&FirstAdministrator>) -> String {
    let docs = format!("explore the API at {url}/docs");
    let Some(FirstAdministrator { email, password }) = founded else {
        return docs;
    };
    // The command never holds the password: a shell keeps what is typed in its history.
    let escaped = r#"sed 's/[\\"]/\\&/g'"#;
    let (shown, given) = match password {
        Shown::Generated(password) => (
            format!("password, shown only once: {}", **password),
            format!(
                "printf 'password: ' >&2; trap 'stty echo; exit 1' INT; stty -echo; IFS= read -r line; stty echo; \
                 echo >&2; printf %s \"$line\" | {escaped}"
            ),
        ),
        Shown::Variable => (
            "password: the value of JETON_ADMIN_PASSWORD".to_owned(),
            format!("printf %s \"$JETON_ADMIN_PASSWORD\" | {escaped}"),
        ),
        Shown::File(path) => {
            let path = path.display();
            let quoted = quoted(&path.to_string());
            (
                format!("password: the content of {path}"),
                format!("tr -d '\\r' < {quoted} | {escaped}"),
            )
        }
    };
    let token = r#"sed -n 's/.*"token":"\([^"]*\)".*/\1/p'"#;
    let post = "-H 'Content-Type: application/json'";
    let quoted = quoted(email.as_str());
    format!(
        "{docs}\n\
         first administrator: {email}\n\
         {shown}\n\
         to create a first token, run:\n\
         printf '{{\"email\":\"%s\",\"password\":\"%s\"}}' {quoted} \"$({given})\" | \
         curl -s {url}/api/v1/login {post} -d @- | {token} | \
         (IFS= read -r session; [ -n \"$session\" ] || {{ echo 'the login failed' >&2; exit 1; }}; \
         printf 'Authorization: Bearer %s' \"$session\" | curl -s {url}/api/v1/tokens -H @- {post} \
         -d '{{\"name\":\"first\",\"organization\":\"{ORGANIZATION}\"}}' | {token})"
    )
}

/// Returns a text as one word of a shell command.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
