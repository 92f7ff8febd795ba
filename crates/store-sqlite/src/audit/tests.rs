//! Query plans of the audit: each list reads an index or the chain itself in order, and sorts nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rusqlite::Connection;

use super::{STATUS, entries, rows};
use crate::chance::SystemEntropy;
use crate::open;
use crate::values::get;
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationId;
use jeton_core::token::TokenId;
use jeton_store::{AuditFilter, AuditOrder, AuditPage, AuditSource};
use uuid::Uuid;

/// Returns SQLite's query plan, one line a step.
fn plan(connection: &Connection, statement: &str) -> Vec<String> {
    let mut query = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        .unwrap();
    let steps = query.raw_query().mapped(|row| get(row, 3));
    steps.collect::<rusqlite::Result<_>>().unwrap()
}

fn database() -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let connection = open::writer(&folder.path().join("jeton.db"), &SystemEntropy).unwrap();
    (folder, connection)
}

#[test]
fn lists_of_lines_read_an_index_in_order() {
    let (_folder, connection) = database();
    let of_organization = AuditFilter {
        organization: Some(OrganizationId(Uuid::nil())),
        ..AuditFilter::default()
    };
    let of_token = AuditFilter {
        token: Some(TokenId(1)),
        ..AuditFilter::default()
    };
    let of_text = AuditFilter {
        text: Some("x".to_owned()),
        actor: Some("y".to_owned()),
        action: Some("z".to_owned()),
        ..of_organization.clone()
    };
    let of_time = AuditFilter {
        after: Some(Timestamp::EPOCH),
        ..AuditFilter::default()
    };
    let of_trail = AuditFilter {
        after: Some(Timestamp::EPOCH),
        ..of_organization.clone()
    };
    for order in [AuditOrder::NewestFirst, AuditOrder::OldestFirst] {
        for after in [None, Some(7)] {
            let page = AuditPage {
                order,
                after,
                skip: 0,
                limit: 10,
            };
            let of_all = if after.is_some() {
                "SEARCH line USING INTEGER PRIMARY KEY"
            } else {
                "SCAN line"
            };
            for (filter, step) in [
                (
                    &of_organization,
                    "SEARCH line USING INDEX audit_by_organization (organization=?",
                ),
                (
                    &of_text,
                    "SEARCH line USING INDEX audit_by_organization (organization=?",
                ),
                (&of_token, "SEARCH line USING INDEX audit_by_token (token=?"),
                (
                    &of_time,
                    "SEARCH line USING INTEGER PRIMARY KEY (rowid>? AND rowid<?",
                ),
                (
                    &of_trail,
                    "SEARCH line USING INDEX audit_by_organization (organization=? AND rowid>? AND rowid<?",
                ),
                (&AuditFilter::default(), of_all),
            ] {
                let mut statements = vec![entries::statement(filter, page).0];
                if filter != &AuditFilter::default() {
                    statements.push(entries::counting(filter).0);
                }
                for statement in statements {
                    let plan = plan(&connection, &statement);
                    assert!(
                        plan.iter().any(|one| one.starts_with(step)),
                        "{filter:?}: {plan:#?}"
                    );
                    let sorts = |one: &String| one.contains("TEMP B-TREE") || one.starts_with("SCAN tokens");
                    assert!(!plan.iter().any(sorts), "{filter:?}: {plan:#?}");
                }
            }
        }
    }
}

#[test]
fn the_sequencer_reads_each_table_from_its_last_line_on() {
    let (_folder, connection) = database();
    let mut statements: Vec<String> = AuditSource::ALL.into_iter().map(rows::later).collect();
    statements.push(STATUS.to_owned());
    statements.push(entries::later());
    let scans = |plan: &[String]| {
        plan.iter()
            .any(|one| one.starts_with("SCAN ") && one != "SCAN meta")
    };
    for statement in statements {
        let plan = plan(&connection, &statement);
        assert!(!scans(&plan), "{statement}: {plan:#?}");
        assert!(!plan.iter().any(|one| one.contains("TEMP B-TREE")), "{plan:#?}");
    }
    // The check can fail.
    assert!(scans(&plan(&connection, "SELECT id FROM actions ORDER BY at")));
}
