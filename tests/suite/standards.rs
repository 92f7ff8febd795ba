//! `docs/standards.md` names the tests that show what it says, and each of them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every function of the Rust and Python sources below a folder.
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

/// What stands in backquotes in the last column of a table.
fn named(document: &str) -> BTreeSet<&str> {
    let rows = document.lines().filter(|line| line.starts_with('|'));
    let last = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    last.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let document = fs::read_to_string(Path::new(ROOT).join("docs/standards.md")).unwrap();
    let mut existing = BTreeSet::new();
    for folder in ["src", "tests", "verifier"] {
        functions(&Path::new(ROOT).join(folder), &mut existing);
    }
    let named = named(&document);
    assert!(named.len() > 50, "only {} were found", named.len());
    let missing: Vec<&&str> = named.iter().filter(|name| !existing.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_test_that_does_not_exist_is_found() {
    let document = "| what | test |\n|---|---|\n| `code` | `no_such_test`, `another` |\n`outside`";
    assert_eq!(named(document), BTreeSet::from(["no_such_test", "another"]));
}
