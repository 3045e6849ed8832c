//! E3's formats, signatures, trust rules and session state machine.
//!
//! No I/O, no clock, no async: the crate takes bytes, state and the time, and returns values. The
//! daemon, the hub and the owner's command carry them out.
//!
//! | where | what |
//! |---|---|
//! | [`digest`], [`key`], [`name`], [`time`] | the small words: what documents are made of |
//! | [`limits`] | every size bound (rule 3) |
//! | [`envelope`] | the one way in: DSSE, verified before it is read (rules 1 to 3) |
//! | [`document`] | what is signed |
//! | [`trust`] | what counts, what is current, what may run here (rules 4 to 12) |
//! | [`session`] | the life of a session as a state machine, preflight, blame, verdict |
//! | [`update`] | how an agent replaces itself, as a state machine |
//! | [`mesh`] | what the parties meet on: plan, addresses, keys |
//! | [`degraded`] | why a party takes no new session (rule 11) |
//! | [`checkup`] | what somebody found who looked for what is wrong with a machine |
//! | [`pack`] | programs as bytes |
//! | [`bucket`] | how often somebody may do something |
//! | [`text`] | texts of strangers, fit for a terminal |
//! | [`schema`] | JSON schemas of all documents |
//! | [`journal`] | the hash chain of accepts and refusals (rule 13) |
//!
//! ## Attacks
//!
//! Each attack, the rule that stops it (the numbers are those of the trust rules, also beside the
//! code; "preflight" is the comparison before the barrier), where the rule is kept, and the tests in
//! `agent/core/tests/attacks` that try it. Where the TUF specification has a name for the attack or
//! for its countermeasure, it stands in the second column: E3 keeps those rules, in formats of its
//! own, and is no implementation of TUF. `cargo test -p e3-core --test attacks` fails if a test is
//! missing here, or named here and missing there.
//!
//! | attack | in the TUF specification | rule | code | tests |
//! |---|---|---|---|---|
//! | a forged document | arbitrary installation | 1 | [`envelope::Envelope::verify`] | `signatures::a_forged_document_is_refused` `signatures::every_flipped_bit_of_a_signature_is_noticed` |
//! | a wrong key | wrong key: arbitrary installation | 1 | [`envelope::Envelope::signers`] | `signatures::a_wrong_key_does_not_count` |
//! | a duplicate key counted twice | key compromise (thresholds of unique keys) | 1 | [`envelope::Envelope::signers`] | `signatures::a_key_that_signs_twice_counts_once` `signatures::a_key_listed_twice_makes_no_threshold` |
//! | key ids that lie | key compromise | 1 | [`envelope::Envelope::signers`] | `signatures::key_ids_that_lie_decide_nothing` |
//! | a threshold of zero | key compromise | 1 | [`envelope::Envelope::verify`] | `signatures::a_threshold_of_zero_is_never_reached` |
//! | a malleable signature | – | 1 | [`key::PublicKey::verify`] | `signatures::a_malleable_signature_is_refused` |
//! | a weak key | – | 1 | [`key::PublicKey::from_bytes`] | `signatures::a_weak_key_is_no_key` |
//! | a second base64 spelling | – | 1, 6 | [`envelope::Envelope::parse`] | `signatures::a_second_spelling_of_the_same_base64_is_no_second_document` |
//! | a wrong payload type | – | 2 | [`envelope::Envelope::verify`] | `signatures::a_document_of_another_type_is_refused` `signatures::one_signature_does_not_fit_two_kinds_of_document` |
//! | endless data | endless data | 3 | [`limits`] | `sizes::endless_data_is_refused_before_it_is_parsed` `sizes::nested_data_does_not_exhaust_the_stack` `sizes::a_flood_of_signatures_is_refused` `sizes::a_long_key_text_is_refused_before_it_is_decoded` `sizes::too_many_keys_parties_and_sessions_are_refused` |
//! | truncated data | – | 3 | [`envelope::Envelope::parse`] | `sizes::a_truncated_document_is_refused_at_every_length` |
//! | an endless root chain | endless data | 3, 4 | [`trust::Trust::missing_roots`] | `sizes::a_hub_cannot_make_a_party_fetch_roots_for_ever` |
//! | a first root of somebody else | root chain: trusted root metadata | 4 | [`trust::chain::first`] | `chain::the_first_root_is_the_pinned_one_or_none` |
//! | a gap in the root chain, an older root | root chain: rollback | 4 | [`trust::chain::next`] | `chain::a_gap_in_the_root_chain_is_refused` |
//! | a root that only the old keys signed | root chain: arbitrary installation | 4 | [`trust::chain::next`] | `chain::a_root_that_only_the_old_keys_signed_is_refused` |
//! | a root that only the new keys signed | root chain: arbitrary installation | 4 | [`trust::chain::next`] | `chain::a_root_that_only_the_new_keys_signed_is_refused` |
//! | a root of another fleet | wrong software installation | 4 | [`trust::chain::next`] | `chain::a_root_of_another_fleet_is_refused` |
//! | a root that locks everybody out | – | 4 | [`document::Root`] | `chain::a_root_that_locks_everybody_out_is_refused` |
//! | an epoch used again | fast-forward recovery | 4, 5 | [`trust::chain::next`] | `chain::an_epoch_never_goes_back_and_never_jumps` |
//! | fast-forward, then recovery by a new root | fast-forward recovery | 4, 5 | [`trust::Trust::accept_root`] | `chain::a_fast_forward_is_undone_by_a_new_root` `chain::a_clock_run_forward_is_undone_by_a_new_root` `chain::a_new_root_without_a_new_epoch_keeps_the_floor` |
//! | rollback | rollback | 5 | [`trust::Trust::accept_head`] | `current::a_rollback_is_refused` `current::a_refused_document_changes_nothing` |
//! | equivocation: same counter, other digest | rollback (of the same version) | 5 | [`trust::Trust::accept_head`] | `current::an_equivocation_is_refused_and_told_from_a_repetition` `current::a_head_on_a_twin_of_the_root_is_an_equivocation` |
//! | freeze | indefinite freeze | 5, 11 | [`trust::Trust::head_is_fresh`] | `current::a_frozen_head_starts_nothing_new` |
//! | a head of an older root, epoch or fleet | rollback, mix-and-match | 5 | [`trust::Trust::accept_head`] | `current::a_head_of_an_older_root_is_refused` `current::a_head_of_a_newer_root_waits_for_the_chain` `current::a_head_of_another_epoch_is_refused` `current::a_head_of_another_fleet_is_refused` |
//! | mix-and-match | mix-and-match | 6 | [`trust::Trust::open_session`] | `current::a_mix_of_old_and_new_documents_is_refused` |
//! | consent missing one party | – | 7 | [`trust::Policy::judge`] | `policy::consent_missing_one_party_is_refused` `policy::an_owner_who_asks_for_consent_gets_no_session_without` |
//! | an owner named falsely | – | 7 | [`trust::Policy::judge`] | `policy::an_owner_named_falsely_stops_the_session` |
//! | a signer whom this owner does not trust | – | 7 | [`trust::Policy::judge`] | `policy::a_signer_whom_the_owner_does_not_trust_counts_nothing` `policy::a_signer_listed_twice_in_a_policy_counts_once` `policy::a_policy_with_a_threshold_of_zero_still_wants_a_signature` |
//! | a key that the root has dropped | key compromise (revocation by a new root) | 4, 7 | [`trust::Trust::open_session`] | `sessions::a_session_signed_with_a_key_that_the_root_has_dropped_is_refused` |
//! | a session among others | – | 7 | [`trust::Policy::judge`] | `policy::a_stranger_to_the_session_takes_no_part` |
//! | a program, version, input, output or limit that the owner has not allowed | – | 7 | [`trust::Policy::judge`] | `policy::programs_and_versions_that_the_owner_has_not_listed_are_refused` `policy::an_input_is_given_only_to_what_the_owner_named` `policy::output_is_published_only_with_the_owners_word` `policy::a_session_over_the_owners_caps_is_refused` |
//! | a replayed session | rollback | 8 | [`trust::session_counter`] | `sessions::a_replayed_session_is_refused` |
//! | a revoked session | – | 8 | [`trust::Trust::revokes`] | `sessions::a_revoked_session_is_refused` |
//! | a session of another epoch or fleet | rollback | 8 | [`trust::Trust::open_session`] | `sessions::a_session_of_an_older_epoch_is_refused` `sessions::a_session_of_another_fleet_is_refused` |
//! | a session too early or too late | indefinite freeze | 8 | [`trust::Policy::judge`] | `sessions::a_session_runs_only_in_its_time` |
//! | a release key signing a session, any role for another | key compromise (separation of roles) | 9 | [`trust::Trust::open_session`] | `signatures::a_release_key_signs_no_session_and_no_role_stands_in_for_another` `signatures::a_root_that_makes_one_key_release_and_session_key_is_refused` |
//! | expired, under a clock set back | indefinite freeze | 10 | [`trust::Trust::now`] | `current::a_clock_set_back_revives_nothing` `current::a_machine_without_a_clock_is_at_least_at_its_image` |
//! | a head from the future | fast-forward | 10 | [`trust::Trust::accept_head`] | `current::a_head_from_the_future_is_refused` |
//! | an expired head shown to a board without a clock | freeze | 10 | [`trust::Trust::accept_head`] | `current::a_board_without_a_clock_follows_heads_of_any_age_but_never_expired_ones` |
//! | a presence counter that is run up until there is no higher one | fast-forward | – | [`trust::PresenceCounter`] | `state::a_hub_cannot_run_up_a_partys_presence_counter` `state::a_clock_that_was_ahead_does_not_silence_a_party` |
//! | missing trust state | rollback | 12 | [`trust::floor::found`] | `state::missing_trust_state_is_no_first_boot` `state::trust_state_survives_a_restart_unchanged` |
//! | an edited journal | – | 13 | [`journal::Tail::verify`] | `state::a_journal_that_was_edited_does_not_verify` |
//! | unknown or doubled fields, numbers out of range | – | 2, 3 | [`document::Document::check`] | `documents::unknown_fields_in_a_payload_are_refused` `documents::a_field_that_occurs_twice_is_refused` `documents::integers_out_of_range_are_refused` |
//! | something that is newer than its reader | – | 2, 11 | [`document`] | `documents::what_is_new_and_not_used_is_not_written` `documents::a_head_that_uses_something_new_is_refused_whole_and_the_one_without_it_is_taken` |
//! | texts that act on an owner's terminal | – | 3 | [`text`] | `documents::texts_that_act_on_a_terminal_are_refused_in_documents` `documents::a_failure_in_another_partys_words_is_shown_on_one_line` `documents::an_error_about_a_strangers_document_does_not_repeat_its_control_characters` `documents::a_failure_too_long_or_of_nobody_is_refused_in_documents` |
//! | a program outside its folder | – | 3 | [`document::file_name_is_safe`] | `documents::a_program_cannot_leave_its_folder` |
//! | a party that votes twice | – | 1 | [`document::Session`] | `documents::a_party_named_twice_is_refused` |
//! | a party with another program, MPyC, module or clock | wrong software installation | preflight | [`session::barrier::check`] | `readiness::a_party_that_differs_is_named_with_what_it_has` `readiness::a_ready_that_differs_fails_the_session_before_anybody_is_armed` `readiness::word_sizes_must_fit_unless_the_manifest_mixes_them` `readiness::a_clock_that_is_plainly_wrong_is_named` |
//! | a proof of readiness replayed or stolen | – | preflight | [`session::barrier::check`] | `readiness::a_ready_for_another_session_or_place_is_refused` `readiness::two_parties_cannot_claim_one_endpoint` |
//! | a party that says different things to different parties | – | preflight | [`session::step`] | `readiness::a_party_that_shows_different_proofs_to_different_parties_opens_nothing` |
//! | a false accusation of nobody | – | preflight | [`session::step`] | `readiness::a_false_accusation_of_nobody_or_of_the_accuser_itself_does_no_harm` `readiness::a_refusal_names_its_rule_in_scripts_and_in_words` |
//! | a mesh certificate that the fleet has not signed, or of somebody else | arbitrary installation | 9 | [`mesh::MeshGrant::open`] | `mesh::a_certificate_that_the_fleet_has_not_signed_is_refused` `mesh::a_certificate_needs_as_many_keys_as_a_head_each_counted_once` `mesh::a_certificate_of_another_party_backend_or_fleet_is_refused` `mesh::a_certificate_lists_no_more_of_its_predecessors_than_can_be_revoked` |
//! | the mesh address of another party | – | – | [`mesh::Prefix::party`] | `mesh::a_machine_cannot_choose_the_address_of_another_one` |
//! | two meshes whose daemons would be in each other's way | – | – | [`document::Document::check`] | `mesh::two_meshes_that_need_the_same_daemon_are_not_asked_of_a_machine` |
//! | a request for a key to the mesh in another party's name, of another fleet, or of another time | replay | 2, 10 | [`mesh::MeshKeyRequest::open`] | `mesh::a_key_to_the_mesh_is_asked_for_by_the_party_itself_and_now` |
//! | settings for a mesh's daemon inside endpoints, keys or certificates | – | 3 | [`document::Document::check`] | `mesh::nothing_of_a_mesh_becomes_a_setting_of_its_daemon` |
//! | a request to a machine repeated, exchanged, of another time or fleet, or to another machine | replay | 8, 10 | [`trust::Asked::judge`] | `requests::a_request_is_answered_once` `requests::a_request_to_another_machine_or_of_another_fleet_is_not_answered` `requests::a_request_of_another_time_gets_nothing_but_the_time` |
//! | a question from somebody whom the machine's owner has not named | – | 7, 9 | [`trust::Asked::judge`] | `requests::a_machine_answers_its_own_owner_and_whom_its_owner_names` `requests::a_stranger_and_a_key_that_the_root_has_dropped_get_no_answer` |
//! | a flood of questions, or an endless one | endless data | 3 | [`trust::Asked::judge`] | `requests::a_flood_of_requests_is_answered_slowly_and_takes_nothing_from_others` `requests::an_endless_request_or_answer_is_refused` |
//! | an agent that was never checked | arbitrary installation | 9 | [`update::step`] | `update::a_binary_is_not_run_before_it_was_checked` `update::a_binary_that_fails_its_self_check_is_not_started_once` |
//! | an agent that does not start, released again | – | 9 | [`update::step`] | `update::a_binary_that_does_not_start_is_taken_back_and_never_tried_again` `update::a_binary_that_cannot_reach_its_hub_is_not_committed` `update::a_binary_that_worked_once_and_has_failed_since_is_never_run_again` `update::what_was_wrong_is_over_when_the_newest_release_is_what_runs` `update::a_reboot_or_a_release_that_is_taken_back_is_no_failure` |
//! | an older agent | rollback | 5, 9 | [`trust::Trust::accept_release`] | `update::an_older_release_is_not_tried` `update::what_an_older_release_has_brought_is_not_tried_after_a_newer_one` `update::the_owners_own_newer_agent_is_not_replaced_by_an_older_release` |
//! | an agent that has expired | indefinite freeze | 10 | [`update::step`] | `update::an_expired_release_is_not_tried` |
//! | an agent changed on the disk | arbitrary installation | 6, 9 | [`update::step`] | `update::a_binary_that_was_changed_on_the_disk_is_fetched_again` |
//! | an agent for another machine | wrong software installation | 9 | [`update::Image::of`] | `update::a_binary_for_another_machine_is_not_taken` |
//! | an agent signed with keys that the root has dropped | key compromise (revocation by a new root) | 4, 9 | [`trust::open_release`] | `update::a_release_of_dropped_keys_is_not_run_any_more` |
//! | an endless agent | endless data | 3 | [`document::Release`] | `update::a_release_without_a_version_or_with_an_endless_binary_is_refused` |
//!
//! Histories that nobody thought of are generated in `agent/core/tests/properties.rs`, whole fleets in
//! which agents, programs and links die in `agent/testkit/src/sim`.

pub mod bucket;
pub mod checkup;
pub mod degraded;
pub mod digest;
pub mod document;
pub mod envelope;
pub mod journal;
pub mod key;
pub mod limits;
pub mod mesh;
pub mod name;
pub mod pack;
mod reasons;
pub mod schema;
pub mod session;
pub mod text;
pub mod time;
pub mod trust;
pub mod update;

/// Gives a type that is written as a text its JSON schema.
macro_rules! text_schema {
    ($type:ty, $name:literal, $pattern:expr, $description:literal) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    };
}
pub(crate) use text_schema;
