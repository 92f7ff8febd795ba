//! The conformance suite: test cases that every backend must pass.
//!
//! A backend's test file implements [`Backend`] and calls [`contract!`](crate::contract), which makes a test of
//! each case. Backends list no cases: a case that is missing here is dead code, which fails the build.

mod audit;
mod bulk;
pub mod clerk;
mod consent;
mod counts;
mod directory;
mod finding;
mod idempotency;
mod keys;
mod limits;
mod lists;
mod model;
mod names;
mod orders;
mod policies;
mod quotas;
mod replacement;
mod retention;
mod revocation;
mod statistics;
mod tokens;
pub mod world;

pub use counts::counts_are_never_too_low;
use jeton_core::clock::Timestamp;
pub use model::the_model_agrees;
pub use orders::pages_joined_are_sorted;
pub use retention::{ending, round};
pub use world::{Backend, World};

/// Passes all cases, by module, to a macro.
#[doc(hidden)]
#[macro_export]
macro_rules! every_case {
    ([$($then:tt)+] $($arguments:tt)*) => {
        $($then)+! { [$($arguments)*]
            tokens {
                what_was_recorded_is_read_back
                numbers_ascend_and_places_differ
                a_full_list_is_followed_by_another
                a_list_takes_tokens_for_a_while
                a_refused_token_uses_no_place_up
                an_unrecorded_reservation_is_given_again
                who_leaves_uses_no_places_up
                a_stale_judgement_writes_nothing
                an_order_needs_an_active_credential
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
                a_cut_off_is_noted_on_the_tokens_that_it_ended
                a_forked_history_is_no_continuation
                a_snapshot_holds_what_was_revoked
                a_cut_off_finds_its_tokens
                many_tokens_come_in_portions
                two_processes_share_one_truth
                two_processes_write_one_feed
                the_issuer_is_pinned_once
            }
            replacement {
                a_successor_and_an_end_are_one
                only_active_tokens_are_rotated
                one_of_a_hundred_rotates
                rotating_again_ends_the_grace_before
                a_slot_holds_one_token
                a_slot_is_taken_over_whole_or_not_at_all
                a_slot_holds_no_token_that_is_to_end
                refusals_add_up
            }
            bulk {
                many_are_revoked_in_portions_across_a_crash
                two_carry_out_one_order
                a_portion_is_carried_out_once
                rotating_is_no_way_to_outrun_an_order
                a_successor_that_keeps_to_the_policy_stays
                a_successor_that_is_the_last_one_stays
                a_portion_that_has_changed_is_refused
                what_a_token_has_made_ends_with_it
                ten_thousand_descendants_end_in_portions
                a_portion_that_ends_among_children_loses_none
                what_is_made_while_an_order_runs_ends_too
                a_descendant_in_two_ways_is_one
                a_descendant_that_is_the_last_one_stays
            }
            limits {
                a_hundred_issuers_leave_no_more_than_allowed
                only_active_tokens_count
                a_grace_gives_room_only_while_the_successor_lives
                a_successor_that_is_cut_off_alone_gives_no_room
                a_count_notices_what_is_issued_without_a_limit
                what_is_good_everywhere_counts_everywhere
                issuing_within_a_cut_off_waits
                a_cut_off_is_remembered
            }
            names {
                a_name_is_unique_where_that_is_asked
                a_name_is_free_once_its_token_has_ended
                a_name_is_handed_on
                one_of_a_hundred_gets_a_name
                a_name_that_was_taken_meanwhile_is_refused
            }
            directory {
                a_deployment_is_founded_once
                names_are_unique_while_they_live
                a_name_that_was_given_up_is_reserved
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
            consent {
                a_role_that_waits_gives_nothing
                accepting_makes_all_memberships
                an_invitation_is_told_alike_for_every_address
                what_has_changed_is_not_accepted_as_it_was
                who_belongs_is_not_asked
                who_is_made_later_is_asked_unless_that_is_waived
                invitations_go_with_their_person_team_and_organization
                invitations_are_listed_for_their_address
                invitations_are_listed_for_their_organization
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
                a_change_of_keys_refuses_earlier_decisions
            }
            retention {
                only_what_has_expired_is_purged
                a_round_goes_over_every_record
                the_feed_is_pruned_from_its_beginning
                a_cut_off_stays_while_it_covers_a_record
                a_list_retires_with_its_last_token
                a_retired_list_takes_no_token
                two_purge_the_same_portion
            }
            idempotency {
                one_of_twenty_with_a_key_is_carried_out
                a_key_tells_what_its_order_made
                a_refused_order_records_no_key
                an_order_that_changes_nothing_records_no_key
                old_keys_are_deleted_and_the_rest_counted
            }
            quotas {
                what_belongs_to_an_organization_is_counted
                sessions_are_counted_while_they_last
                sessions_are_listed_while_they_last
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
                what_a_token_made_is_found_once_by_its_name
                a_status_is_that_of_the_instant
                every_token_is_tallied_once
                a_summary_agrees_with_lists
                reports_move_the_last_use
                disuse_is_known_where_all_audiences_report
            }
            audit {
                every_effect_leaves_exactly_one_line
                members_who_come_and_go_with_their_account_have_lines
                what_did_not_happen_has_no_line
                a_backlog_is_sealed_in_order
                lines_are_found_by_what_they_concern
                lists_between_two_instants_are_complete
                sessions_and_rotations_have_actions_of_their_own
                lines_outlive_their_records
                old_lines_are_pruned
                checkpoints_are_heads_of_the_chain
            }
            statistics {
                a_token_is_counted_on_the_days_of_its_issue_and_its_end
                an_end_that_is_brought_forward_moves_the_count
                a_rotation_counts_at_the_end_of_the_grace
                a_cut_off_counts_for_the_tokens_that_it_ends
                cut_offs_and_revocations_of_one_token_count_once
                a_large_cut_off_is_counted_in_portions
                two_processes_count_once
                counts_outlive_their_records
                what_is_not_counted_is_not_deleted
                refusals_are_counted_by_day
            }
            policies {
                what_breaks_a_policy_is_found
                the_last_token_of_an_owner_stays
                a_hundred_at_once_leave_the_last
                many_end_at_an_instant_that_lies_ahead
                a_policy_and_what_ends_its_breakers_are_one
            }
        }
    };
}

macro_rules! public {
    ([] $($module:ident { $($case:ident)* })*) => {
        /// The cases, for [`contract!`](crate::contract).
        pub mod cases {$(
            pub mod $module {
                use super::super::World;

                $(
                    pub async fn $case(world: World) {
                        super::super::$module::$case(world).await;
                    }
                )*
            }
        )*}
    };
}
every_case!([public]);

#[doc(hidden)]
#[macro_export]
macro_rules! contract_tests {
    ([$backend:ident] $($module:ident { $($case:ident)* })*) => {
        $(
            mod $module {
                use super::$backend;

                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        let backend = <$backend as $crate::suite::Backend>::create();
                        let world = $crate::suite::World::new(backend).await;
                        $crate::suite::cases::$module::$case(world).await;
                    }
                )*
            }
        )*

        #[test]
        fn the_model_agrees() {
            $crate::suite::the_model_agrees::<$backend>();
        }

        #[test]
        fn counts_are_never_too_low() {
            $crate::suite::counts_are_never_too_low::<$backend>();
        }

        #[test]
        fn pages_joined_are_sorted() {
            $crate::suite::pages_joined_are_sorted::<$backend>();
        }
    };
}

/// Makes a test of each case, for the [`Backend`] with this name. Call it at the root of a test crate, which
/// needs tokio with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! contract {
    ($backend:ident) => {
        $crate::every_case!([$crate::contract_tests] $backend);
    };
}

/// Returns the instant this number of seconds after noon of the first day.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_767_355_200 + seconds).unwrap()
}

/// Runs a property with 48 random inputs, each in a single-threaded runtime.
fn holds<S: proptest::strategy::Strategy>(inputs: &S, case: impl AsyncFn(S::Value)) {
    let config = proptest::test_runner::Config {
        cases: 48,
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    };
    let held = proptest::test_runner::TestRunner::new(config).run(inputs, |input| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(case(input));
        Ok(())
    });
    if let Err(failure) = held {
        panic!("{failure}");
    }
}
