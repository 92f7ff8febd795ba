//! The first start: creates the site administrator and prints the welcome text.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Failure, output};
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
    /// Prints the password if it was generated: nothing shows it again. `command` sets another one, for the error.
    pub(super) fn show_password(&self, command: &str) -> Result<(), Failure> {
        let Self { email, password } = self;
        let Shown::Generated(password) = password else {
            return Ok(());
        };
        let password = &**password;
        let shown = format!("first administrator: {email}\npassword, shown only once: {password}");
        output::write(&shown).map_err(|source| Failure::PasswordNotShown {
            email: email.clone(),
            command: command.to_owned(),
            source,
        })
    }
}

/// How the password is shown.
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
    let (origin, given) = match password {
        // It was printed, with the address, as soon as it was valid.
        Shown::Generated(_) => (
            String::new(),
            format!(
                "printf 'password: ' >&2; trap 'stty echo; exit 1' INT; stty -echo; IFS= read -r line; stty echo; \
                 echo >&2; printf %s \"$line\" | {escaped}"
            ),
        ),
        Shown::Variable => (
            format!("first administrator: {email}\npassword: the value of JETON_ADMIN_PASSWORD\n"),
            format!("printf %s \"$JETON_ADMIN_PASSWORD\" | {escaped}"),
        ),
        Shown::File(path) => {
            let path = path.display();
            let quoted = quoted(&path.to_string());
            (
                format!("first administrator: {email}\npassword: the content of {path}\n"),
                format!("tr -d '\\r' < {quoted} | {escaped}"),
            )
        }
    };
    let token = r#"sed -n 's/.*"token":"\([^"]*\)".*/\1/p'"#;
    let post = "-H 'Content-Type: application/json'";
    let quoted = quoted(email.as_str());
    format!(
        "{docs}\n\
         {origin}to create a first token, run:\n\
         printf '{{\"email\":\"%s\",\"password\":\"%s\"}}' {quoted} \"$({given})\" | \
         curl -s {url}/api/v1/login {post} -d @- | {token} | \
         (IFS= read -r session; [ -n \"$session\" ] || {{ echo 'the login failed' >&2; exit 1; }}; \
         printf 'Authorization: Bearer %s' \"$session\" | curl -s {url}/api/v1/tokens -H @- {post} \
         -d '{{\"name\":\"first\",\"organization\":\"{ORGANIZATION}\"}}' | {token})"
    )
}

/// Returns the beginning of a command for a deployment, as its user.
pub(super) fn command(user: Option<&str>, config: Option<&Path>) -> String {
    let jeton = match user {
        Some(user) => format!("sudo -u {user} jeton"),
        None => "jeton".to_owned(),
    };
    let Some(path) = config else { return jeton };
    let path = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    match path.bytes().all(is_plain) {
        true => format!("{jeton} --config {path}"),
        false => format!("{jeton} --config {}", quoted(&path)),
    }
}

/// Returns a text as one word of a shell command.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_of_the_deployments_user_and_its_path_is_quoted_where_a_shell_needs_it() {
        let path = Some(Path::new("/etc/jeton/jeton.toml"));
        assert_eq!(command(None, None), "jeton");
        assert_eq!(command(None, path), "jeton --config /etc/jeton/jeton.toml");
        assert_eq!(
            command(Some("jeton"), path),
            "sudo -u jeton jeton --config /etc/jeton/jeton.toml"
        );
        assert_eq!(
            command(None, Some(Path::new("/it's here"))),
            r"jeton --config '/it'\''s here'"
        );
    }
}
