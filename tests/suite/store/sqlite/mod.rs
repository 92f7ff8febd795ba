//! SQLite: the contract, and what only a file can show.

mod doors;
mod files;

use std::path::PathBuf;
use std::sync::Arc;

use jeton::store::sqlite::{OpenError, SqliteStore};
use jeton::store::{Observer, SharedStore};
use tempfile::TempDir;

use super::Backend;
use super::world::{Seeded, Seen};

/// A file in a folder of its own.
#[derive(Clone)]
pub(crate) struct Sqlite {
    folder: Arc<TempDir>,
}

impl Sqlite {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("jeton.db")
    }

    /// A connection of its own, as somebody with a shell on the machine has it.
    pub(crate) fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<SqliteStore, OpenError> {
        SqliteStore::open(&self.path(), Arc::new(Seeded), Arc::new(Seen::default()))
    }
}

impl Backend for Sqlite {
    fn create() -> Self {
        Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    fn open(&self, observer: Arc<dyn Observer>) -> SharedStore {
        Arc::new(SqliteStore::open(&self.path(), Arc::new(Seeded), observer).unwrap())
    }
}

super::contract!(Sqlite:
    tokens {
        what_was_recorded_is_read_back
        numbers_ascend_and_places_differ
        a_stale_judgement_writes_nothing
        no_token_survives_its_parent
        describing_changes_what_people_read
        a_session_is_nobodys_list
        last_use_never_moves_back
        a_caller_that_goes_away_takes_nothing_with_it
        a_failing_order_harms_no_neighbour
    }
    revocation {
        the_first_revocation_wins
        one_of_a_hundred_revokes
        the_feed_has_no_gap
        a_snapshot_holds_what_was_revoked
        a_cut_off_finds_its_tokens
        many_tokens_come_in_portions
        two_processes_share_one_truth
        the_issuer_is_pinned_once
    }
    limits {
        a_hundred_issuers_leave_no_more_than_allowed
        only_active_tokens_count
        issuing_within_a_cut_off_waits
        a_cut_off_is_remembered
    }
    directory {
        a_deployment_is_founded_once
        names_are_unique_while_they_live
        organizations_change
        lists_are_cut_into_slices
        the_last_admin_stays
        two_admins_cannot_remove_each_other
        the_last_site_administrator_stays
        a_person_made_again_is_another
        a_role_waits_for_its_person
        leaving_ends_the_tokens_of_one_organization
        passwords_and_disabling_end_what_they_should
        what_is_removed_ends_its_tokens
        project_numbers_are_used_once
        a_site_administrator_belongs_everywhere
    }
    keys {
        the_first_key_signs_at_once
        a_key_waits_for_every_copy
        a_key_stays_while_something_needs_it
        what_a_key_signs_keeps_it
        only_the_key_that_signs_is_recorded
        a_withdrawn_key_ends_what_it_signed
        steps_that_are_not_due_do_nothing
        live_tokens_are_counted
    }
    lists {
        filters_match_what_they_name
        a_text_is_found_as_it_stands
        revoked_tokens_are_left_out
        pages_joined_are_the_whole
        no_page_skips_or_repeats_while_others_issue
        what_was_removed_is_still_listed
    }
);

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 48,
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    })]

    #[test]
    fn the_model_agrees(steps in super::model::steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(super::model::follow::<Sqlite>(steps));
    }
}
