//! Tests of query plans: SQLite reads by indexes, in order, and only rows of the right owner.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::values::get;
use rusqlite::Connection;
use uuid::Uuid;

use super::scan::Stretch;
use super::*;
use crate::active::{self, OwnerNumbers};
use crate::bulk::{CHILDREN, MEMBERS, PARENTS, SUCCESSORS, UNFINISHED};
use crate::chance::SystemEntropy;
use crate::counts;
use crate::covered::Among;
use crate::open;
use crate::statistics;
use crate::tokens::{COUNT_SESSIONS, IN_SLOT, SESSIONS};
use crate::{records, revocable};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, TeamId, UserId};
use jeton_core::token::{
    Cursor, End, Order, OwnerKind, Sort, SortBy, SortValue, Status, StatusAt, TokenId, Visibility,
    WantedStatus,
};

/// Returns SQLite's query plan, one line a step.
fn plan(connection: &Connection, statement: &str) -> Vec<String> {
    let mut query = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        .unwrap();
    let steps = query.raw_query().mapped(|row| get(row, 3));
    steps.collect::<rusqlite::Result<_>>().unwrap()
}

/// Returns the steps that scan rows or sort them.
fn slow(plan: &[String]) -> Vec<&String> {
    plan.iter()
        .filter(|step| {
            let scans = [
                "SCAN tokens",
                "SCAN owner_counts",
                "SCAN successor",
                "SCAN revocations",
                "SCAN cut ",
                "SCAN keys",
            ];
            step.contains("TEMP B-TREE") || scans.iter().any(|scan| step.starts_with(scan))
        })
        .collect()
}

#[test]
fn every_list_reads_its_own_index_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open::writer(&folder.path().join("jeton.db"), &SystemEntropy).unwrap();
    let everything = Filter {
        status: Some(StatusAt {
            wanted: WantedStatus::Unrevoked,
            at: Timestamp::from_seconds(1).unwrap(),
        }),
        ..Filter::of(Visibility::Everything)
    };
    let teams: Vec<TeamId> = (0..3).map(|_| TeamId::random(&SystemEntropy)).collect();
    let own = Visibility::Own {
        user: Some(UserId::random(&SystemEntropy)),
        teams: teams.clone(),
    };
    let organization = Some(OrganizationId(Uuid::from_u128(1)));
    let filters = [
        (everything.clone(), "INTEGER PRIMARY KEY"),
        (
            Filter {
                organization,
                owner: Some(OwnerKind::Organization),
                text: Some("text".to_owned()),
                ..everything.clone()
            },
            "tokens_by_organization (organization=? AND rowid",
        ),
        (
            Filter {
                organization,
                created_by: Some("ada@example.org".to_owned()),
                created_after: Some(Timestamp::EPOCH),
                created_before: Some(Timestamp::LAST),
                project: Some(1),
                kid: Some("kid".to_owned()),
                used_since: Some(Timestamp::EPOCH),
                for_others: true,
                ..everything.clone()
            },
            "tokens_by_organization (organization=? AND rowid",
        ),
        (
            Filter {
                organization,
                or_everywhere_of: Some(UserId::random(&SystemEntropy)),
                created_by: Some("token 412".to_owned()),
                ..everything.clone()
            },
            "tokens_by_maker (created_by_token=? AND rowid",
        ),
        (
            Filter {
                organization,
                or_everywhere_of: Some(UserId::random(&SystemEntropy)),
                ends: vec![End::Never, End::Between(Timestamp::EPOCH, Some(Timestamp::LAST))],
                ..everything.clone()
            },
            "tokens_by_user (user=? AND rowid",
        ),
        (
            Filter {
                organization,
                team: teams.first().cloned(),
                ..everything.clone()
            },
            "tokens_by_team (team=? AND rowid",
        ),
        (
            Filter {
                visibility: own.clone(),
                organization,
                ..everything.clone()
            },
            "tokens_by_user (user=? AND rowid",
        ),
        (
            Filter {
                visibility: own,
                ..everything
            },
            "tokens_by_team (team=? AND rowid",
        ),
    ];
    for (filter, index) in filters {
        let selection = Selection::new(&connection, &filter).unwrap();
        let scan = Scan::new(&connection, &selection, Sort::default());
        let cursor = Cursor {
            value: None,
            token: TokenId(1),
        };
        for direction in [Direction::Next, Direction::Previous] {
            let (statement, _) = scan
                .statement(Stretch::Valueless, From::Beyond(&cursor), direction)
                .unwrap();
            let plan = plan(&connection, &statement);
            assert_eq!(slow(&plan), Vec::<&String>::new(), "{plan:#?}");
            assert!(plan.iter().any(|step| step.contains(index)), "{plan:#?}");
        }
    }
}

#[test]
fn every_other_order_sorts_its_own_rows_and_reads_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open::writer(&folder.path().join("jeton.db"), &SystemEntropy).unwrap();
    let filter = Filter {
        organization: Some(OrganizationId(Uuid::from_u128(1))),
        status: Some(StatusAt {
            wanted: WantedStatus::Only(Status::Active),
            at: Timestamp::LAST,
        }),
        unused_since: Some(Timestamp::LAST),
        reporting_at: Some(Timestamp::LAST),
        ..Filter::of(Visibility::Everything)
    };
    let selection = Selection::new(&connection, &filter).unwrap();
    let cursor = Cursor {
        value: Some(SortValue::Text("m".to_owned())),
        token: TokenId(1),
    };
    for by in [
        SortBy::ExpiresAt,
        SortBy::LastUsedAt,
        SortBy::Name,
        SortBy::Team,
        SortBy::CreatedBy,
    ] {
        let sort = Sort {
            by,
            order: Order::Ascending,
        };
        let scan = Scan::new(&connection, &selection, sort);
        for (stretch, is_sorted) in [(Stretch::Valued, true), (Stretch::Valueless, false)] {
            let (statement, _) = scan
                .statement(stretch, From::Beyond(&cursor), Direction::Next)
                .unwrap();
            let plan = plan(&connection, &statement);
            let index = "tokens_by_organization (organization=?";
            assert!(plan.iter().any(|step| step.contains(index)), "{plan:#?}");
            let slow = slow(&plan);
            assert!(slow.iter().all(|step| step.contains("TEMP B-TREE")), "{plan:#?}");
            assert_eq!(!slow.is_empty(), is_sorted, "{plan:#?}");
        }
    }
}

/// A page of teams: one API asks for the tokens of a hundred teams at a time.
#[test]
fn tokens_of_a_hundred_teams_are_merged_by_their_index() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open::writer(&folder.path().join("jeton.db"), &SystemEntropy).unwrap();
    for (count, is_sorted) in [(1, false), (100, false), (101, true)] {
        let filter = Filter {
            organization: Some(OrganizationId(Uuid::from_u128(1))),
            status: Some(StatusAt {
                wanted: WantedStatus::Only(Status::Active),
                at: Timestamp::LAST,
            }),
            ..Filter::of(Visibility::Own {
                user: None,
                teams: (0..count).map(|_| TeamId::random(&SystemEntropy)).collect(),
            })
        };
        let selection = Selection::new(&connection, &filter).unwrap();
        let scan = Scan::new(&connection, &selection, Sort::default());
        let (statement, _) = scan
            .statement(Stretch::Valueless, From::Whole, Direction::Next)
            .unwrap();
        let plan = plan(&connection, &statement);
        let tokens = |step: &&String| step.starts_with("SEARCH tokens") || step.starts_with("SCAN tokens");
        let by_team = |step: &String| step.contains("tokens_by_team (team=?");
        assert!(plan.iter().filter(tokens).all(by_team), "{plan:#?}");
        assert_eq!(!slow(&plan).is_empty(), is_sorted, "{count}: {plan:#?}");
    }
}

#[test]
fn look_ups_use_an_index_and_the_check_can_fail() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open::writer(&folder.path().join("jeton.db"), &SystemEntropy).unwrap();
    let mut statements = vec![
        records::BY_ID.clone(),
        records::BY_JTI.clone(),
        revocable::BY_ID.clone(),
        revocable::BY_JTI.clone(),
        "SELECT max(issued_through_seconds) FROM revocations WHERE kind = 'cut_off'".to_owned(),
        "SELECT 1 FROM revocations WHERE kind = 'cut_off' AND issued_through_seconds >= ?1".to_owned(),
        IN_SLOT.to_owned(),
        COUNT_SESSIONS.clone(),
        SESSIONS.clone(),
        UNFINISHED.to_owned(),
        SUCCESSORS.to_owned(),
        CHILDREN.to_owned(),
        PARENTS.to_owned(),
        MEMBERS.to_owned(),
        counts::BY_OWNER.to_owned(),
        counts::OF_TOKEN.to_owned(),
        counts::LAST_CUT_OFF.to_owned(),
        "DELETE FROM owner_counts WHERE organization = ?1".to_owned(),
        "DELETE FROM owner_counts WHERE user <> 0 AND user = ?1".to_owned(),
    ];
    statements.extend(counts::countables());
    statements.push(crate::guards::UNCUT.clone());
    let owner = |organization, team, user| OwnerNumbers {
        organization,
        team,
        user,
    };
    for owner in [
        owner(Some(1), None, None),
        owner(Some(1), Some(1), None),
        owner(Some(1), None, Some(1)),
        owner(None, None, Some(1)),
    ] {
        statements.push(active::count(owner));
        statements.push(active::other(owner));
        statements.push(active::active(owner));
        statements.push(active::named(owner));
        statements.push(active::named_since(owner));
    }
    for among in [Among::User, Among::Team, Among::Organization, Among::All] {
        statements.push(among.statement());
        // Events after a cut-off are grouped, which sorts them; tokens are not sorted.
        let covered = statistics::covered(among);
        let plan = plan(&connection, &covered);
        let is_sorted = plan
            .iter()
            .any(|step| step.contains("SCAN tokens") || step.contains("TEMP B-TREE FOR ORDER BY"));
        let is_searched = plan.iter().any(|step| {
            step.starts_with("SEARCH tokens USING INDEX tokens_by_")
                || among == Among::All && step.starts_with("SEARCH tokens USING INTEGER PRIMARY KEY (rowid>")
        });
        assert!(is_searched && !is_sorted, "{covered}: {plan:#?}");
    }
    statements.extend([statistics::TOKENS.clone(), statistics::REVOCATIONS.clone()]);
    for statement in statements {
        let plan = plan(&connection, &statement);
        assert_eq!(slow(&plan), Vec::<&String>::new(), "{statement}: {plan:#?}");
    }
    let by_version = plan(&connection, "SELECT active FROM owner_counts WHERE version = ?1");
    assert!(!slow(&by_version).is_empty());
    let by_name = plan(&connection, "SELECT id FROM tokens WHERE name = ?1 ORDER BY name");
    assert!(!slow(&by_name).is_empty());
    let sorted = plan(&connection, "SELECT id FROM tokens WHERE id > 0 ORDER BY name");
    assert!(!slow(&sorted).is_empty());
}
