//! Database files of each schema version, written by that version: `tests/schema/VERSION.db`.
//!
//! A migration with such a file must not be edited. `make schema` writes the file of a new version.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jeton_core::clock::Day;
use jeton_core::directory::{Consent, OrganizationReference, Role};
use jeton_core::token::{CutOff, Filter, Owner, Reach, TokenId, TokenReference, Visibility};
use jeton_store::suite::Backend;
use jeton_store::suite::clerk::Clerk;
use jeton_store::suite::world::{Seeded, Seen, World, actor, at, email, revocation, token};
use jeton_store::{BulkId, DayCounts, SharedStore};
use jeton_store_sqlite::{OpenError, begin_journal};
use rusqlite::{Connection, OpenFlags};
use std::sync::Arc;

use super::Sqlite;

/// The tokens of a file by id: an active one, a revoked one, and one that a cut-off covers.
const TOKENS: [TokenId; 3] = [TokenId(1), TokenId(2), TokenId(3)];

fn file(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/schema/{version}.db"))
}

/// Writes a database with data of every kind.
async fn write(sqlite: &Sqlite) {
    let world = World::new(sqlite.clone()).await;
    world.put_member("ada", Role::Member).await;
    let team = world.team(world.organization, "runners").await;
    let organization = world.organization;
    let of_team = Owner::Team {
        team: team.clone(),
        organization,
    };
    let [_, revoked, _] = TOKENS;
    for (id, owner) in TOKENS.into_iter().zip([world.owner(), world.owner(), of_team]) {
        assert_eq!(world.record(token(owner, 1)).await.id, id);
    }
    world.revoke(revoked, revocation(2, 0)).await;
    let reach = Reach {
        team: Some(team),
        organization: Some(organization),
        ..Reach::default()
    };
    let cut_off = CutOff {
        reach,
        issued_through: at(3).seconds(),
        effective_at: at(3),
    };
    let cut = world.store.cut_off(cut_off, actor("operator"), None, at(3));
    cut.await.unwrap();
    world.publish_key("second", 4).await;
}

/// Returns name, table and SQL text of everything in a schema.
fn schema(connection: &Connection) -> Vec<(String, String, String)> {
    let mut query = connection
        .prepare("SELECT name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")
        .unwrap();
    let rows = query.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

fn version(connection: &Connection) -> u32 {
    let version = connection.query_row("PRAGMA user_version", (), |row| row.get(0));
    version.unwrap()
}

fn open(sqlite: &Sqlite) -> SharedStore {
    sqlite.open(Arc::new(Seen::default()))
}

#[tokio::test]
async fn a_file_of_every_schema_version_is_migrated_and_read() {
    let fresh = Sqlite::create();
    drop(open(&fresh));
    let current = version(&fresh.raw());
    for number in 1..=current {
        let sqlite = Sqlite::create();
        let kept = file(number);
        assert!(kept.exists(), "no file of schema {number}: run `make schema`");
        fs::copy(kept, sqlite.path()).unwrap();
        fs::set_permissions(sqlite.path(), Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(sqlite.try_open(), Err(OpenError::JournalMissing { .. })));
        assert!(begin_journal(&sqlite.path(), &Seeded).unwrap());
        let store = open(&sqlite);
        let [lives, revoked, _] = TOKENS;
        for id in TOKENS {
            let record = store.token(TokenReference::Id(id)).await.unwrap().unwrap();
            assert_eq!(record.is_revoked(at(5)), id == revoked, "{id:?}");
            assert_eq!(store.is_standing(id, at(5)).await.unwrap(), id == lives, "{id:?}");
        }
        let record = store.token(TokenReference::Id(lives)).await.unwrap().unwrap();
        assert!(store.presented(record.token.jti).await.unwrap().is_some());
        let snapshot = store.snapshot().await.unwrap();
        assert_eq!(snapshot.revoked.len(), 1);
        assert_eq!(snapshot.cut_offs.len(), 1);
        let name = OrganizationReference::Name("default".parse().unwrap());
        let organization = store.organization(name).await.unwrap().unwrap().value;
        let slice = jeton_store::Slice {
            after: None,
            limit: 10,
        };
        assert_eq!(
            store.teams(organization.id, slice.clone()).await.unwrap().len(),
            1
        );
        assert!(!store.members(organization.id, slice).await.unwrap().is_empty());
        let invited = store
            .invited(email("ada"), organization.id)
            .await
            .unwrap()
            .unwrap();
        let consent = match number {
            // Before consent was recorded: an invited person is asked.
            1 | 2 => Consent::Required,
            _ => Consent::Waived,
        };
        assert_eq!(
            (invited.role, invited.consent),
            (Role::Member, consent),
            "{number}"
        );
        assert_eq!(store.keys().await.unwrap().value.rows.len(), 2);
        while store.seal().await.unwrap().has_more {}
        let day = Day::of(at(0));
        let counts = store.statistics(Some(organization.id), day, day).await.unwrap();
        let expected = DayCounts {
            day,
            issued: 3,
            revoked: 2,
            expired: 0,
            active: 1,
            refused: 0,
        };
        assert_eq!(counts, [expected], "schema {number}");
        assert_eq!(store.statistics(None, day, day).await.unwrap(), [expected]);
        drop(store);
        let names = |connection| -> Vec<_> {
            let schema = schema(connection).into_iter();
            schema.map(|(name, table, _)| (name, table)).collect()
        };
        assert_eq!(
            names(&sqlite.raw()),
            names(&fresh.raw()),
            "schema {number}, migrated"
        );
    }
}

#[test]
fn the_migrations_of_a_kept_file_are_not_edited() {
    let fresh = Sqlite::create();
    drop(open(&fresh));
    let current = version(&fresh.raw());
    let kept = Connection::open_with_flags(file(current), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    assert_eq!(version(&kept), current);
    for (now, then) in schema(&fresh.raw()).into_iter().zip(schema(&kept)) {
        assert_eq!(now, then, "add a migration, and leave those before as they are");
    }
}

/// Run by `make schema`.
#[tokio::test]
#[ignore = "writes the file of the present schema"]
async fn write_the_file_of_the_present_schema() {
    let sqlite = Sqlite::create();
    write(&sqlite).await;
    let raw = sqlite.raw();
    raw.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE; VACUUM")
        .unwrap();
    let kept = file(version(&raw));
    drop(raw);
    assert!(!kept.exists(), "{} is kept as it is", kept.display());
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    fs::copy(sqlite.path(), kept).unwrap();
}

/// Writes what earlier versions accepted: three accounts of one mailbox, invitations, and names.
const EARLIER: &str = "
    INSERT INTO users (public_id, email, password_hash, site_admin, created_at, deleted_at, first_name) VALUES
        ('user-000000000000000A', 'eve@bu\u{308}cher.example', 'decomposed', 0, 0, NULL, 'Zoe\u{308}'),
        ('user-000000000000000B', 'eve@b\u{fc}cher.example', 'composed', 0, 0, NULL, NULL),
        ('user-000000000000000C', 'eve@xn--bcher-kva.example', 'ascii', 0, 0, NULL, NULL),
        ('user-000000000000000D', 'old@b\u{fc}cher.example', 'deleted', 0, 0, 1, NULL),
        ('user-000000000000000E', 'kim@exam\u{ad}ple.org', 'hidden', 0, 0, NULL, NULL),
        ('user-000000000000000F', 'joe@b\u{fc}cher.example', 'member', 0, 0, NULL, NULL),
        ('user-000000000000000G', 'lou@' || replace(hex(zeroblob(31)), '0', '\u{fc}') || '.example', 'long', 0, 0, NULL,
            NULL),
        ('user-000000000000000H', 'amy@b\u{fc}cher.example', 'member', 0, 0, NULL, NULL);
    INSERT INTO memberships (organization, user, role)
        SELECT 1, id, 'member' FROM users WHERE password_hash = 'member';
    INSERT INTO invitations (organization, team, email, role) VALUES
        (1, 0, 'max@bu\u{308}cher.example', 'admin'), (1, 0, 'max@b\u{fc}cher.example', 'viewer'),
        (1, 0, 'joe@bu\u{308}cher.example', 'admin'), (1, 0, 'kim@exam\u{ad}ple.org', 'member'),
        (1, 0, 'amy@xn--bcher-kva.example', 'admin'), (1, 1, 'amy@xn--bcher-kva.example', 'admin');
    UPDATE tokens SET name = 'cafe\u{301}', description = 'e\u{301}\n' WHERE id = 1;
    UPDATE tokens SET name = 'a\nb\u{202e}' WHERE id = 2;
";

#[tokio::test]
async fn addresses_and_names_of_earlier_versions_are_found_in_canonical_form() {
    let sqlite = Sqlite::create();
    fs::copy(file(3), sqlite.path()).unwrap();
    fs::set_permissions(sqlite.path(), Permissions::from_mode(0o600)).unwrap();
    sqlite.raw().execute_batch(EARLIER).unwrap();
    assert!(begin_journal(&sqlite.path(), &Seeded).unwrap());
    let store = open(&sqlite);
    // The account in ASCII had its address already; each other one is found by the address that it shows.
    for (address, hash) in [
        ("eve@b\u{fc}cher.example", "ascii"),
        ("eve@bu\u{308}cher.example", "ascii"),
        ("user-000000000000000a@invalid", "decomposed"),
        ("user-000000000000000b@invalid", "composed"),
        ("kim@example.org", "hidden"),
        ("joe@b\u{fc}cher.example", "member"),
        ("user-000000000000000g@invalid", "long"),
    ] {
        let found = store
            .credentials(address.parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.password_hash, hash, "{address}");
    }
    let all = jeton_store::Slice {
        after: None,
        limit: 100,
    };
    for person in store.people(all.clone()).await.unwrap() {
        let found = store.credentials(person.email.clone()).await.unwrap().unwrap();
        assert_eq!(found.person, person);
    }
    let everybody = jeton_store::OrganizationsOf::Everybody;
    for (text, count) in [("Zo\u{eb}", 1), ("@invalid", 3)] {
        let found = store.find_people(text.to_owned(), everybody.clone(), all.clone());
        assert_eq!(found.await.unwrap().len(), count, "{text}");
    }

    let name = OrganizationReference::Name("default".parse().unwrap());
    let organization = store.organization(name).await.unwrap().unwrap().value;
    for (address, role) in [
        ("max@b\u{fc}cher.example", Some(Role::Admin)),
        ("joe@b\u{fc}cher.example", None),
        ("amy@b\u{fc}cher.example", None),
        ("kim@example.org", Some(Role::Member)),
    ] {
        let invited = store
            .invited(address.parse().unwrap(), organization.id)
            .await
            .unwrap();
        assert_eq!(invited.map(|invited| invited.role), role, "{address}");
    }
    let count = "SELECT count(*) FROM invitations WHERE email NOT LIKE 'ada@%'";
    let left: u32 = sqlite.raw().query_row(count, (), |row| row.get(0)).unwrap();
    assert_eq!(left, 2, "to teams, too, no member is invited");
    let members = store.members(organization.id, all).await.unwrap();
    let mut addresses: Vec<String> = members.iter().map(|one| one.email().to_string()).collect();
    let listed = addresses.len();
    addresses.dedup();
    assert_eq!(addresses.len(), listed, "{addresses:?}");
    assert!(
        addresses.iter().all(|address| address.is_ascii()),
        "{addresses:?}"
    );

    let token = async |id| store.token(TokenReference::Id(id)).await.unwrap().unwrap();
    let named = token(TOKENS[0]).await.token;
    assert_eq!(
        (named.name.as_str(), named.description.as_deref()),
        ("caf\u{e9}", Some("\u{e9}\n"))
    );
    // What is not written any more is still read.
    assert_eq!(token(TOKENS[1]).await.token.name, "a\nb\u{202e}");
}

/// Writes tokens that the accounts of [`EARLIER`] made by tokens of theirs, when they had another address.
const MADE: &str = "
    INSERT INTO tokens (jti, session, name, organization, user, scopes, audience, prefix, key, status_list,
        status_index, created_at, created_by, created_by_user)
    SELECT randomblob(16), 0, users.public_id, organization, tokens.user, scopes, audience, prefix, key, status_list,
        status_index + users.id, tokens.created_at, 'past@b\u{fc}cher.example', users.id
    FROM tokens, users WHERE tokens.id = 1 AND users.public_id IN
        ('user-000000000000000B', 'user-000000000000000C', 'user-000000000000000F') ORDER BY users.id";

#[tokio::test]
async fn an_unfinished_bulk_revocation_of_an_earlier_version_matches_the_same_tokens() {
    let sqlite = Sqlite::create();
    fs::copy(file(3), sqlite.path()).unwrap();
    fs::set_permissions(sqlite.path(), Permissions::from_mode(0o600)).unwrap();
    sqlite.raw().execute_batch(EARLIER).unwrap();
    sqlite.raw().execute_batch(MADE).unwrap();
    let text = |text: &str| Filter {
        text: Some(text.to_owned()),
        ..Filter::of(Visibility::Everything)
    };
    let created_by = |name: &str| Filter {
        created_by: Some(name.to_owned()),
        ..Filter::of(Visibility::Everything)
    };
    let of_accounts = [TokenId(4), TokenId(5), TokenId(6)];
    let orders = [
        (text("cafe\u{301}"), &TOKENS[..1]),
        (created_by("Joe@b\u{fc}cher.example"), &of_accounts[2..]),
        // Not the tokens of the account that has the mailbox's canonical address.
        (created_by("eve@b\u{fc}cher.example"), &of_accounts[..1]),
        (created_by("eve@xn--bcher-kva.example"), &of_accounts[1..2]),
        // In the record as it was written.
        (created_by("past@b\u{fc}cher.example"), &of_accounts),
    ];
    for (id, (filter, _)) in (1..).zip(&orders) {
        let filter = serde_json::to_string(filter).unwrap();
        let insert = "INSERT INTO bulk_revocations
            (id, filter, through, position, matched, revoked, ordered_at, actor, last_may_go)
            VALUES (?1, ?2, 6, 0, 1, 0, 0, 'operator', 1)";
        sqlite.raw().execute(insert, (id, filter)).unwrap();
    }
    assert!(begin_journal(&sqlite.path(), &Seeded).unwrap());
    let store = open(&sqlite);
    for (id, (filter, expected)) in (1..).zip(orders) {
        let portion = store.bulk_portion(BulkId(id), 10, at(5)).await.unwrap().unwrap();
        let matched: Vec<TokenId> = portion.tokens.iter().map(|token| token.id).collect();
        assert_eq!(matched, expected, "{filter:?}");
    }
}
