//! The fourth migration: brings addresses and names that earlier versions wrote into their canonical form.
//!
//! Only what is not ASCII can be in another form: addresses were in lower case already.

use jeton_core::directory::{Email, NotAnEmail};
use jeton_core::text::{self, NotReadable};
use rusqlite::{OptionalExtension, Transaction};
use rusqlite_migration::HookResult;

/// Matches a text with a character that is not printable ASCII.
const FOREIGN: &str = "GLOB '*[^ -~]*'";

pub(super) fn migrate(transaction: &Transaction<'_>) -> HookResult {
    accounts(transaction)?;
    invitations(transaction)?;
    for (table, column) in [
        ("users", "first_name"),
        ("users", "last_name"),
        ("users", "username"),
        ("tokens", "name"),
        ("tokens", "description"),
    ] {
        compose(transaction, table, column)?;
    }
    Ok(())
}

/// Returns the canonical form of an address that an earlier version accepted: it ignored characters that are refused
/// now. `None` if it has become too long.
fn canonical(stored: &str) -> Option<Email> {
    let mut text = stored.to_owned();
    loop {
        match text.parse() {
            Ok(email) => return Some(email),
            Err(NotAnEmail::Unreadable(NotReadable::Hidden(hidden))) => text = text.replace(hidden, ""),
            Err(_) => return None,
        }
    }
}

/// The oldest account of a mailbox keeps its address. Others, which the mailbox had in other spellings, get one that
/// nobody can have, by which a site administrator finds and deletes them.
fn accounts(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let query = format!(
        "SELECT id, public_id, email, deleted_at IS NULL FROM users WHERE email {FOREIGN} ORDER BY id"
    );
    let mut query = transaction.prepare(&query)?;
    let accounts = query.query_map((), |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, bool>(3)?,
        ))
    })?;
    for (id, user, stored, is_live) in accounts.collect::<rusqlite::Result<Vec<_>>>()? {
        let is_taken = |email: &Email| -> rusqlite::Result<bool> {
            let query = "SELECT 1 FROM users WHERE email = ?1 AND deleted_at IS NULL";
            let other = transaction
                .query_row(query, [email.as_str()], |_| Ok(()))
                .optional()?;
            Ok(is_live && other.is_some())
        };
        let email = match canonical(&stored) {
            Some(email) if !is_taken(&email)? => email.to_string(),
            _ => {
                let email = format!("{}@invalid", user.to_lowercase());
                tracing::warn!(
                    user,
                    email,
                    "the address of a user was another spelling of that of another user: the user has a placeholder now"
                );
                email
            }
        };
        transaction.execute("UPDATE users SET email = ?2 WHERE id = ?1", (id, email))?;
    }
    Ok(())
}

/// Of two invitations of one mailbox to the same place, the one in canonical form stays, and a member needs none.
fn invitations(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let query = format!("SELECT DISTINCT email FROM invitations WHERE email {FOREIGN} ORDER BY email");
    let mut query = transaction.prepare(&query)?;
    let addresses = query.query_map((), |row| row.get(0))?;
    for stored in addresses.collect::<rusqlite::Result<Vec<String>>>()? {
        if let Some(email) = canonical(&stored) {
            let rename = "UPDATE OR IGNORE invitations SET email = ?2 WHERE email = ?1";
            transaction.execute(rename, (&stored, email.as_str()))?;
            let superfluous = "DELETE FROM invitations WHERE email = ?1 AND organization IN (
                SELECT organization FROM memberships JOIN users ON users.id = memberships.user
                WHERE users.email = ?1 AND users.deleted_at IS NULL)";
            transaction.execute(superfluous, [email.as_str()])?;
        }
        transaction.execute("DELETE FROM invitations WHERE email = ?1", [&stored])?;
    }
    Ok(())
}

fn compose(transaction: &Transaction<'_>, table: &str, column: &str) -> rusqlite::Result<()> {
    let query = format!("SELECT id, {column} FROM {table} WHERE {column} {FOREIGN}");
    let mut query = transaction.prepare(&query)?;
    let mut changed: Vec<(i64, String)> = Vec::new();
    let mut rows = query.query(())?;
    while let Some(row) = rows.next()? {
        let stored = row.get_ref(1)?.as_str()?;
        let composed = text::composed(stored);
        if composed != stored {
            changed.push((row.get(0)?, composed.into_owned()));
        }
    }
    let mut update = transaction.prepare(&format!("UPDATE {table} SET {column} = ?2 WHERE id = ?1"))?;
    for (id, composed) in changed {
        update.execute((id, composed))?;
    }
    Ok(())
}
