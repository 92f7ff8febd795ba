//! Tests of query plans: SQLite reads the directory's lists by an index, and only rows of the list's owner.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::chance::SystemEntropy;
use crate::{invitations, members, open, organizations, people, teams};
use jeton_core::directory::{MemberStatus, OrganizationId, UserId};
use jeton_store::OrganizationsOf;
use uuid::Uuid;

/// Returns SQLite's query plan, one line a step.
fn plan(connection: &Connection, statement: &str) -> Vec<String> {
    let mut query = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        .unwrap();
    let steps = query.raw_query().mapped(|row| get(row, 3));
    steps.collect::<rusqlite::Result<_>>().unwrap()
}

/// Returns the steps that scan a table or an index from its beginning, or all names or addresses in their
/// order.
fn everybodys(plan: &[String]) -> Vec<&String> {
    let tables = [
        "organizations",
        "teams",
        "users",
        "memberships",
        "team_memberships",
        "invitations",
    ];
    plan.iter()
        .filter(|step| {
            tables.iter().any(|table| {
                step.starts_with(&format!("SCAN {table} ")) || step.as_str() == format!("SCAN {table}")
            }) || step.contains("organizations_by_name (canonical_name>?)")
                || step.contains("users_by_email (email>?)")
        })
        .collect()
}

/// Returns the owners that a list can be restricted to.
fn owners() -> [OrganizationsOf; 2] {
    [
        OrganizationsOf::Person(UserId::random(&SystemEntropy)),
        OrganizationsOf::Only(OrganizationId(Uuid::from_u128(1))),
    ]
}

#[test]
fn a_numbered_page_reads_no_row_of_another_owner() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open::writer(&folder.path().join("jeton.db"), &SystemEntropy).unwrap();
    for keys in [None, Some(vec!["one".to_owned(), "two".to_owned()])] {
        for text in [None, Some("text".to_owned())] {
            let search = Search {
                text,
                keys: keys.clone(),
                ..Search::default()
            };
            let mut lists = vec![(teams::searched(1), "teams_by_name (organization=?")];
            let (of_members, of_invited) = match keys {
                None => (
                    "PRIMARY KEY (organization=?",
                    "PRIMARY KEY (organization=? AND team=?",
                ),
                Some(_) => ("users_by_email (email=?)", "email=?"),
            };
            for (status, index) in [
                (Some(MemberStatus::Active), of_members),
                (Some(MemberStatus::Invited), of_invited),
                (None, of_members),
                (None, of_invited),
            ] {
                lists.push((members::searched(1, status, &search), index));
            }
            let indexes = ["memberships_by_user (user=?)", "PRIMARY KEY (rowid=?)"];
            for (of, index) in owners().iter().zip(indexes) {
                lists.push((organizations::searched(of, Some(1)), index));
            }
            for (list, index) in lists {
                let Statements { page, count, .. } = list.statements(&search).unwrap();
                for statement in [page, count] {
                    let plan = plan(&connection, &statement);
                    assert_eq!(everybodys(&plan), Vec::<&String>::new(), "{statement}: {plan:#?}");
                    assert!(
                        plan.iter().any(|step| step.contains(index)),
                        "{statement}: {plan:#?}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_an_index_has_in_order_is_not_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open::writer(&folder.path().join("jeton.db"), &SystemEntropy).unwrap();
    for list in [
        teams::searched(1),
        organizations::searched(&OrganizationsOf::Everybody, None),
    ] {
        let statements = list.statements(&Search::default()).unwrap();
        let plan = plan(&connection, &statements.page);
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:#?}");
    }
}

#[test]
fn a_slice_reads_no_row_of_another_owner_and_the_check_can_fail() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open::writer(&folder.path().join("jeton.db"), &SystemEntropy).unwrap();
    let mut statements = vec![
        members::slice_of(&members::OF_ORGANIZATION),
        members::slice_of(&members::OF_TEAM),
        invitations::LIST.to_owned(),
        invitations::SENT.to_owned(),
    ];
    for of in owners() {
        statements.push(organizations::slice_of(&of));
        statements.push(people::found(&of));
    }
    for statement in statements {
        let plan = plan(&connection, &statement);
        assert_eq!(everybodys(&plan), Vec::<&String>::new(), "{statement}: {plan:#?}");
    }
    for statement in [
        organizations::slice_of(&OrganizationsOf::Everybody),
        people::found(&OrganizationsOf::Everybody),
    ] {
        let plan = plan(&connection, &statement);
        assert_ne!(everybodys(&plan), Vec::<&String>::new(), "{statement}: {plan:#?}");
    }
}
