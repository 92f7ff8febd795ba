//! The tests named in `docs/security.md`, `docs/standards.md`, `docs/testing.md` and the pages of `docs/migrating` exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Collects every function of the Rust and Python sources below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "py") {
            let text = fs::read_to_string(&path).unwrap();
            for keyword in ["fn ", "def "] {
                let names = text
                    .split(keyword)
                    .skip(1)
                    .filter_map(|rest| rest.split('(').next());
                found.extend(names.map(str::to_owned));
            }
        }
    }
}

/// Returns the names in backquotes in the last column of every table of tests.
fn named(document: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut last_column = None;
    for line in document.lines() {
        let Some(row) = line.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
            last_column = None;
            continue;
        };
        let last = row.rsplit('|').next().unwrap_or_default();
        if *last_column.get_or_insert(last.trim()) == "test" {
            found.extend(last.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// Returns the pages that name tests, each with a minimum number.
fn pages() -> Vec<(String, usize)> {
    let folder = Path::new(ROOT).join("docs/migrating");
    let migrating = fs::read_dir(folder).unwrap().map(|entry| {
        let name = entry.unwrap().file_name();
        (format!("docs/migrating/{}", name.to_str().unwrap()), 10)
    });
    let others = [
        ("docs/standards.md", 50),
        ("docs/security.md", 40),
        ("docs/testing.md", 80),
    ];
    migrating
        .chain(others.map(|(page, least)| (page.to_owned(), least)))
        .collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let mut existing = BTreeSet::new();
    for folder in ["src", "crates", "guard", "tests", "verifier"] {
        functions(&Path::new(ROOT).join(folder), &mut existing);
    }
    for (page, at_least) in pages() {
        let document = fs::read_to_string(Path::new(ROOT).join(&page)).unwrap();
        let named = named(&document);
        assert!(named.len() >= at_least, "{page}: only {} were found", named.len());
        let missing: Vec<&&str> = named.iter().filter(|name| !existing.contains(**name)).collect();
        assert!(missing.is_empty(), "{page}: {missing:#?}");
    }
}

#[test]
fn a_test_that_does_not_exist_is_found() {
    let document = "| what | test |\n|---|---|\n| `code` | `no_such_test`, `another` |\n`outside`\n\
                    | what | why |\n|---|---|\n| `code` | `code` |";
    assert_eq!(named(document), BTreeSet::from(["no_such_test", "another"]));
}
