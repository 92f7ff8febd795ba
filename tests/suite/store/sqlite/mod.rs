//! SQLite: the contract, and what only a file can show.

mod doors;
mod files;
mod growth;
mod restore;

use std::path::PathBuf;
use std::sync::Arc;

use jeton_store::{Observer, SharedStore};
use jeton_store_sqlite::{OpenError, SqliteStore};
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
        a_full_list_is_followed_by_another
        a_list_takes_tokens_for_a_while
        a_refused_token_uses_no_place_up
        an_unrecorded_reservation_is_given_again
        who_leaves_uses_no_places_up
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
    replacement {
        a_successor_and_an_end_are_one
        only_active_tokens_are_rotated
        one_of_a_hundred_rotates
        rotating_again_ends_the_grace_before
        a_slot_holds_one_token
        a_slot_is_taken_over_whole_or_not_at_all
        refusals_add_up
    }
    bulk {
        many_are_revoked_in_portions_across_a_crash
        two_carry_out_one_order
        rotating_is_no_way_to_outrun_an_order
        a_successor_that_keeps_to_the_policy_stays
        a_successor_that_is_the_last_one_stays
    }
    limits {
        a_hundred_issuers_leave_no_more_than_allowed
        only_active_tokens_count
        a_grace_gives_room_only_while_the_successor_lives
        what_is_good_everywhere_counts_everywhere
        issuing_within_a_cut_off_waits
        a_cut_off_is_remembered
    }
    names {
        a_name_is_unique_where_that_is_asked
        a_name_is_free_once_its_token_has_ended
        a_name_is_handed_on
        one_of_a_hundred_gets_a_name
    }
    directory {
        a_deployment_is_founded_once
        names_are_unique_while_they_live
        a_team_is_renamed_and_found_by_its_id
        people_are_brought_in_together
        organizations_change
        lists_are_cut_into_slices
        lists_are_searched_page_by_page
        the_last_admin_stays
        two_admins_cannot_remove_each_other
        the_last_site_administrator_stays
        a_person_made_again_is_another
        a_role_waits_for_its_person
        a_viewer_brings_no_more_along
        people_are_found_by_a_part_of_their_names
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
    house {
        only_what_has_expired_is_forgotten
        a_round_goes_over_every_record
        the_feed_is_pruned_from_its_beginning
        a_cut_off_stays_while_it_covers_a_record
        a_list_retires_with_its_last_token
        a_retired_list_takes_no_token
    }
    lists {
        filters_match_what_they_name
        a_text_is_found_as_it_stands
        revoked_tokens_are_left_out
        pages_joined_are_the_whole
        no_page_skips_or_repeats_while_others_issue
        what_was_removed_is_still_listed
        what_is_good_everywhere_joins_an_organization
    }
    finding {
        every_filter_means_what_it_says
        a_status_is_that_of_the_instant
        reports_move_the_last_use
        disuse_is_known_where_all_audiences_report
    }
    policies {
        what_breaks_a_policy_is_found
        the_last_token_of_an_owner_stays
        a_hundred_at_once_leave_the_last
        many_end_at_an_instant_that_lies_ahead
        a_policy_and_what_ends_its_breakers_are_one
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

    #[test]
    fn pages_joined_are_sorted(
        first in super::orders::drafts(),
        later in super::orders::drafts(),
        asked in super::orders::asked(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(super::orders::join::<Sqlite>(first, later, asked));
    }
}
