//! The first start: creates the site administrator, or prints a code that does, and the welcome text.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Failure;
use crate::authority::password::NewPassword;
use crate::authority::{Authority, NewAccount};
use crate::config::Config;
use jeton_core::directory::{Email, Name};

/// The e-mail address of the first administrator unless `JETON_ADMIN_EMAIL` is set.
const EMAIL: &str = "admin@example.com";
const ORGANIZATION: &str = "default";

/// What a first start has done about the site administrator.
pub(super) struct FirstStart {
    email: Email,
    administrator: Administrator,
}

enum Administrator {
    /// Created, with the password in the variable, or in the file.
    Created(Option<PathBuf>),
    /// Created by whoever sends this code.
    AwaitedWith(Zeroizing<String>),
}

/// Creates the first administrator and organization if the settings have a password, and otherwise draws a code that does.
/// Does nothing if there is a site administrator.
pub(super) async fn begin(authority: &Authority, config: &Config) -> Result<Option<FirstStart>, Failure> {
    let email = email(config)?;
    let administrator = match &config.administrator.password {
        Some(password) => found(authority, email.clone(), password.copy())
            .await?
            .then(|| Administrator::Created(config.administrator.password_file.clone())),
        None => authority.begin_setup().await?.map(Administrator::AwaitedWith),
    };
    Ok(administrator.map(|administrator| FirstStart { email, administrator }))
}

/// Returns the e-mail address of the first administrator.
pub(super) fn email(config: &Config) -> Result<Email, Failure> {
    match &config.administrator.email {
        Some(email) => Ok(email.clone()),
        None => Ok(EMAIL.parse()?),
    }
}

/// Creates the first administrator and organization. Returns `false` if there is a site administrator.
pub(super) async fn found(
    authority: &Authority,
    email: Email,
    password: NewPassword,
) -> Result<bool, Failure> {
    let organization: Name = ORGANIZATION
        .parse()
        .map_err(|_| Failure::InvalidOrganizationName(ORGANIZATION))?;
    let administrator = NewAccount::site_administrator(email, password);
    Ok(authority.found(administrator, organization).await?)
}

/// Returns the welcome text for a server at a URL: where the console and the API reference are, and a first request.
pub(super) fn welcome(url: &str, first: Option<&FirstStart>) -> String {
    let docs = format!("explore the API at {url}/docs");
    let Some(FirstStart { email, administrator }) = first else {
        return format!("manage tokens at {url}/console\n{docs}");
    };
    // The command never holds the password: a shell keeps what is typed in its history.
    let escaped = r#"sed 's/[\\"]/\\&/g'"#;
    let (begin, fields, path, given) = match administrator {
        Administrator::AwaitedWith(code) => (
            format!(
                "set up the first administrator at {url}/console/setup within 30 minutes\n\
                 the code, for one use: {}\n{docs}\n\
                 to do so as {email} in a terminal, and create a first token, run:\n",
                code.as_str()
            ),
            format!(r#""organization":"{ORGANIZATION}","code":"{}","#, code.as_str()),
            "setup",
            format!(
                "printf 'new password: ' >&2; trap 'stty echo; exit 1' INT; stty -echo; IFS= read -r line; stty echo; \
                 echo >&2; printf %s \"$line\" | {escaped}"
            ),
        ),
        Administrator::Created(None) => (
            format!(
                "sign in at {url}/console\n{docs}\nfirst administrator: {email}\n\
                 password: the value of JETON_ADMIN_PASSWORD\nto create a first token, run:\n"
            ),
            String::new(),
            "login",
            format!("printf %s \"$JETON_ADMIN_PASSWORD\" | {escaped}"),
        ),
        Administrator::Created(Some(path)) => {
            let path = path.display();
            let file = quoted(&path.to_string());
            (
                format!(
                    "sign in at {url}/console\n{docs}\nfirst administrator: {email}\n\
                     password: the content of {path}\nto create a first token, run:\n"
                ),
                String::new(),
                "login",
                format!("tr -d '\\r' < {file} | {escaped}"),
            )
        }
    };
    let token = r#"sed -n 's/.*"token":"\([^"]*\)".*/\1/p'"#;
    let post = "-H 'Content-Type: application/json'";
    let quoted = quoted(email.as_str());
    format!(
        "{begin}\
         printf '{{{fields}\"email\":\"%s\",\"password\":\"%s\"}}' {quoted} \"$({given})\" | \
         curl -s {url}/api/v1/{path} {post} -d @- | {token} | \
         (IFS= read -r session; [ -n \"$session\" ] || {{ echo 'the {path} failed' >&2; exit 1; }}; \
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
