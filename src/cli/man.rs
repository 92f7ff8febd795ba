//! `jeton man`: writes the manual pages of all commands.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::{Cli, Failure};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder of the pages: jeton.1, jeton-serve.1 and so on
    folder: PathBuf,
}

pub(super) fn run(Arguments { folder }: &Arguments) -> Result<(), Failure> {
    // The page of `help` and of its subcommands would say nothing that the others do not.
    let command = Cli::command().disable_help_subcommand(true);
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|source| Failure::Manual {
            folder: folder.clone(),
            source,
        })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        run(&Arguments {
            folder: folder.path().join("man1"),
        })
        .unwrap();
        let entries = fs::read_dir(folder.path().join("man1")).unwrap();
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        for name in ["jeton.1", "jeton-serve.1", "jeton-keys.1", "jeton-keys-rotate.1"] {
            assert!(names.contains(&name.into()), "{name} in {names:?}");
        }
        assert!(
            !names.iter().any(|name| name.to_string_lossy().contains("help")),
            "{names:?}"
        );
    }
}
