//! The fourth migration: brings addresses and names that earlier versions wrote into their canonical form.
//!
//! Only what is not ASCII can be in another form: addresses were in lower case already.

use std::collections::HashMap;

use jeton_core::directory::{Email, NotAnEmail};
use jeton_core::text::{self, NotReadable};
use rusqlite::{OptionalExtension, Transaction};
use rusqlite_migration::HookResult;

/// Matches a text with a character that is not printable ASCII.
const FOREIGN: &str = "GLOB '*[^ -~]*'";

pub(super) fn migrate(transaction: &Transaction<'_>) -> HookResult {
    let addresses = accounts(transaction)?;
    filters(transaction, &addresses)?;
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
/// nobody can have, by which a site administrator finds and deletes them. Returns the new addresses by those before.
fn accounts(transaction: &Transaction<'_>) -> rusqlite::Result<HashMap<String, String>> {
    let mut addresses = HashMap::new();
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
        let placeholder = |cause: &str| {
            let email = format!("{}@invalid", user.to_lowercase());
            tracing::warn!(
                user,
                email,
                "the address of a user {cause}: the user has a placeholder now; GET /users/search?q=@invalid lists all \
                 placeholders"
            );
            email
        };
        let email = match canonical(&stored) {
            Some(email) if is_taken(&email)? => placeholder("was another spelling of that of another user"),
            Some(email) => email.to_string(),
            None => placeholder("has no form in ASCII that is short enough for an address"),
        };
        transaction.execute("UPDATE users SET email = ?2 WHERE id = ?1", (id, &email))?;
        addresses.insert(stored, email);
    }
    Ok(addresses)
}

/// Filters of bulk revocations that are not finished. They must match the same tokens as before: `created_by` follows
/// the account to its new address, even a placeholder, and stays as it is if it is nobody's: records of tokens have it.
fn filters(transaction: &Transaction<'_>, addresses: &HashMap<String, String>) -> rusqlite::Result<()> {
    let query = format!(
        "SELECT id, filter ->> 'text', filter ->> 'created_by' FROM bulk_revocations
         WHERE finished_at IS NULL AND filter {FOREIGN}"
    );
    let mut query = transaction.prepare(&query)?;
    let filters = query.query_map((), |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, Option<String>>(1)?,
            row.get::<_, Option<String>>(2)?,
        ))
    })?;
    for (id, text, creator) in filters.collect::<rusqlite::Result<Vec<_>>>()? {
        let text = text.as_deref().map(text::composed);
        let creator = creator.map(|name| match addresses.get(&name.to_ascii_lowercase()) {
            Some(address) => address.clone(),
            None => name,
        });
        transaction.execute(
            "UPDATE bulk_revocations SET filter = json_set(filter, '$.text', ?2, '$.created_by', ?3) WHERE id = ?1",
            (id, text, creator),
        )?;
    }
    Ok(())
}

/// Of two invitations of one mailbox to the same place, the one in canonical form stays, and a member needs none,
/// neither to the organization nor to its teams.
fn invitations(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let query = format!("SELECT DISTINCT email FROM invitations WHERE email {FOREIGN} ORDER BY email");
    let mut query = transaction.prepare(&query)?;
    let addresses = query.query_map((), |row| row.get(0))?;
    for stored in addresses.collect::<rusqlite::Result<Vec<String>>>()? {
        if let Some(email) = canonical(&stored) {
            let rename = "UPDATE OR IGNORE invitations SET email = ?2 WHERE email = ?1";
            transaction.execute(rename, (&stored, email.as_str()))?;
        }
        transaction.execute("DELETE FROM invitations WHERE email = ?1", [&stored])?;
    }
    // Those in ASCII too: the member may have had the other spelling.
    let superfluous = "DELETE FROM invitations WHERE EXISTS (
        SELECT 1 FROM users JOIN memberships ON memberships.user = users.id
        WHERE users.email = invitations.email AND users.deleted_at IS NULL
            AND memberships.organization = invitations.organization)";
    transaction.execute(superfluous, ())?;
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
