"""The torture list: every case with its tier and the tests that hold it, or the reason why none does.

P runs in `make test` or `make test-long`; N and W behind `make torture`. A test stands as file::function below tests/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tier = Literal["P", "N", "W"]


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        tier: Where it runs at the latest.
        fault: What goes wrong.
        tests: That hold it.
        reason: Why nothing, or not all of it, can be held here.
    """

    tier: Tier
    fault: str
    tests: tuple[str, ...] = ()
    reason: str = ""


def _case(tier: Tier, fault: str, *tests: str, reason: str = "") -> Case:
    return Case(tier, fault, tests, reason)


_DEATH = "torture/test_death.py::test_"
_SIGNALS = "torture/test_signals.py::test_"
_DISK = "torture/test_disk.py::test_"
_CORRUPTION = "torture/test_corruption.py::test_"
_LOAD = "torture/test_load.py::test_"
_INPUTS = "torture/test_inputs.py::test_"
_TRAINING = "torture/test_training.py::test_"
_HOSTILE = "torture/test_hostile.py::test_"
_WORKERS = "test_workers.py::test_"
_SPEC = "test_spec.py::test_"
_GOLDEN = f"{_SPEC}a_fault_is_shown_at_its_place_with_the_cure"
_TABLE = "test_table.py::test_"
_REFUSED = f"{_TABLE}a_table_that_cannot_be_used_is_refused_with_its_place"
_MANY_KILLS = f"{_DEATH}a01_a02_a03_a04_two_hundred_kills_under_every_strategy"
_STRATEGIES = "contracts/test_strategies.py::test_"
_REAL_KILLS = "test_strategies_killed.py::test_a01_a02_a03_a04_a05_kills_of_real_training_change_no_byte"
_REAL_KILL = "test_strategies_killed.py::test_a_search_that_was_killed_ends_with_the_same_bytes"

CASES: dict[str, Case] = {
    "A01": _case(
        "P",
        "SIGKILL at random instants, random search",
        f"{_DEATH}a01_random_search_killed_at_random_instants_ends_as_the_undisturbed_one",
        _MANY_KILLS,
        _REAL_KILL,
        _REAL_KILLS,
    ),
    "A02": _case("N", "the same, grid", _MANY_KILLS, _REAL_KILL, _REAL_KILLS),
    "A03": _case("N", "the same, Hyperband", _MANY_KILLS, _REAL_KILL, _REAL_KILLS),
    "A04": _case("N", "the same, Bayesian", _MANY_KILLS, _REAL_KILL, _REAL_KILLS),
    "A05": _case(
        "P",
        "one to four kills a run, also in recovery",
        f"{_DEATH}a05_one_to_four_kills_also_in_recovery_change_nothing",
        f"{_STRATEGIES}any_kills_and_any_workers_end_in_the_same_ranking",
        _REAL_KILLS,
    ),
    "A06": _case(
        "P",
        "every operation on the disk, six kinds",
        f"{_DEATH}a06_every_operation_on_the_disk_fails_once",
        f"{_DEATH}a06_every_operation_on_the_disk_is_refused_once",
        f"{_DEATH}a06_some_operations_fail_under_every_strategy",
        f"{_DEATH}a06_every_sort_of_operation_fails_once_under_every_strategy",
        f"{_DEATH}a06_a_true_sigkill_leaves_what_a_simulated_one_leaves",
    ),
    "A07": _case(
        "N",
        "a second fault while going on",
        f"{_DEATH}a07_a_second_fault_during_recovery",
        f"{_DEATH}a07_many_second_faults_during_recovery",
    ),
    "A08": _case(
        "P",
        "kill before the first record",
        f"{_DEATH}a08_a_run_killed_before_its_first_record_begins_anew_and_says_so",
    ),
    "A09": _case(
        "P",
        "kill after the end record, before the line",
        f"{_DEATH}a09_a_trial_on_record_but_not_yet_shown_is_kept_and_not_trained_again",
    ),
    "A10": _case(
        "P",
        "kill after the weights, before the end record",
        f"{_DEATH}a10_a_trial_whose_end_was_not_recorded_is_trained_again_and_its_files_are_collected",
    ),
    "A11": _case(
        "P",
        "kill between proposal and start",
        f"{_DEATH}a11_a_trial_proposed_and_not_begun_is_trained_once_with_the_same_values",
    ),
    "A12": _case("P", "kill while tables are written", f"{_DEATH}a12_a_table_is_there_whole_or_not_at_all"),
    "A13": _case(
        "P",
        "SIGSEGV in training",
        f"{_WORKERS}a_worker_that_dies_takes_nothing_with_it",
        f"{_DEATH}a13_a_trial_that_kills_its_worker_is_given_up_after_its_attempts_and_the_search_goes_on",
    ),
    "A14": _case(
        "N",
        "out of memory",
        f"{_TRAINING}a14_a_trial_that_finds_no_memory_is_out_of_memory_and_the_next_one_runs",
        f"{_TRAINING}a14_a_worker_that_the_system_kills_for_its_memory_is_out_of_memory_and_the_next_trial_runs",
    ),
    "A15": _case("P", "os._exit(0) without a result", f"{_WORKERS}a_worker_that_dies_takes_nothing_with_it"),
    "A16": _case("P", "a worker that hangs", f"{_WORKERS}a_worker_that_does_not_listen_is_ended"),
    "A17": _case("P", "a worker that ignores SIGTERM", f"{_WORKERS}a_worker_that_does_not_listen_is_ended"),
    "A18": _case("N", "parent killed while workers run", f"{_WORKERS}workers_end_with_their_parent"),
    "A19": _case(
        "W",
        "power failure",
        f"{_DEATH}a19_a_power_failure_takes_only_what_was_not_announced",
        f"{_DEATH}a19_a_power_failure_at_every_sort_of_operation",
        reason="by a shim that drops what was not synced; what a disk does that lies about a sync cannot be held",
    ),
    "A20": _case(
        "N",
        "the dead writer's number belongs to another process",
        f"{_DEATH}a20_a_process_that_has_inherited_the_number_of_a_dead_writer_holds_nothing",
        "test_journal.py::test_a_killed_holder_leaves_the_run_free",
    ),
    "B01": _case(
        "P",
        "SIGINT once",
        f"{_SIGNALS}b01_b03_b04_a_signal_stops_the_search_and_says_how_to_go_on",
        "test_search.py::test_a_signal_stops_the_search_and_says_how_to_go_on",
    ),
    "B02": _case("P", "SIGINT twice", f"{_SIGNALS}b02_b11_a_second_signal_ends_it_at_once_and_nothing_is_lost"),
    "B03": _case("P", "SIGTERM", f"{_SIGNALS}b01_b03_b04_a_signal_stops_the_search_and_says_how_to_go_on"),
    "B04": _case(
        "N",
        "SIGHUP, closed terminal",
        f"{_SIGNALS}b01_b03_b04_a_signal_stops_the_search_and_says_how_to_go_on",
        f"{_SIGNALS}b04_a_search_whose_terminal_is_closed_keeps_its_state",
    ),
    "B05": _case(
        "P",
        "a reader that is gone",
        "test_cli.py::test_a_closed_pipe_ends_quietly",
        f"{_SIGNALS}b05_a_search_whose_reader_is_gone_goes_on_to_its_end",
    ),
    "B06": _case("N", "SIGSTOP, SIGCONT", f"{_SIGNALS}b06_a_search_that_is_halted_keeps_its_run_and_goes_on"),
    "B07": _case("N", "the clock jumps", f"{_SIGNALS}b07_a_wall_clock_that_jumps_changes_nothing"),
    "B08": _case("P", "other time zones", f"{_SIGNALS}b08_another_time_zone_changes_nothing_and_times_are_utc"),
    "B09": _case(
        "P",
        "--max-time ends within a trial",
        f"{_SIGNALS}b09_time_that_is_used_ends_the_search_with_success",
        f"{_WORKERS}when_the_time_is_used_nothing_more_begins",
    ),
    "B10": _case(
        "P", "SIGINT while weights are written", f"{_SIGNALS}b10_a_signal_while_weights_are_written_leaves_them_whole"
    ),
    "B11": _case(
        "N",
        "SIGINT inside a long operation",
        f"{_SIGNALS}b02_b11_a_second_signal_ends_it_at_once_and_nothing_is_lost",
        reason="the process that gets the signal never runs TensorFlow; its workers end with it",
    ),
    "C01": _case(
        "P",
        "full disk at the journal",
        f"{_DISK}c01_a_journal_that_cannot_grow_stops_the_search_with_seven_and_goes_on_later",
        f"{_DISK}c01_a_full_disk_says_how_much_is_free",
        f"{_DISK}c01_c09_a_disk_without_room_or_inodes_stops_the_search_and_it_goes_on_later",
    ),
    "C02": _case(
        "P", "full disk at weights", f"{_DISK}c02_a_disk_that_is_full_while_weights_are_written_is_no_failed_trial"
    ),
    "C03": _case(
        "N", "full disk at the log", f"{_DISK}c03_a_log_that_cannot_be_written_is_said_once_and_stops_nothing"
    ),
    "C04": _case("P", "EIO from fsync", f"{_DISK}c04_after_a_failed_sync_nothing_more_is_recorded"),
    "C05": _case("P", "read-only run, search", f"{_DISK}c05_c06_a_read_only_run_is_reported_and_not_searched"),
    "C06": _case("P", "read-only run, report", f"{_DISK}c05_c06_a_read_only_run_is_reported_and_not_searched"),
    "C07": _case(
        "N",
        "run moved away while the search runs",
        f"{_DISK}c07_a_run_that_is_moved_away_stops_its_search_and_is_not_begun_again_in_its_place",
        f"{_DISK}c07_fresh_does_not_take_a_run_from_the_process_that_works_on_it",
        "test_journal.py::test_a_journal_that_was_replaced_stops_the_writer",
    ),
    "C08": _case(
        "P", "weights that may not be read", f"{_DISK}c08_weights_that_may_not_be_read_are_named_and_the_others_usable"
    ),
    "C09": _case(
        "N",
        "few descriptors, no inodes",
        f"{_DISK}c09_few_file_descriptors_are_enough",
        f"{_DISK}c01_c09_a_disk_without_room_or_inodes_stops_the_search_and_it_goes_on_later",
        f"{_LOAD}e05_c09_ten_thousand_trials_in_one_run",
    ),
    "C10": _case(
        "P",
        "long paths, reserved names",
        f"{_DISK}c10_a_path_of_hundreds_of_characters_is_no_obstacle",
        f"{_DISK}c10_a_path_that_is_too_long_is_refused_before_any_work",
        "test_folder.py::test_a_path_that_leaves_no_room_for_the_files_of_a_run_is_refused_at_once",
        "test_folder.py::test_names_of_devices_are_refused",
        "test_folder.py::test_names_that_could_leave_the_folder_are_refused",
        reason="paths of 300 characters work; the limits are the system's: 255 bytes a name, and 900 for the folder of "
        "a run, which leaves room for the longest name in it",
    ),
    "C11": _case(
        "N",
        "network file system",
        f"{_DISK}c11_a_run_on_a_file_system_that_machines_share_is_begun_with_a_warning",
        f"{_LOAD}e04_where_locks_do_not_hold_the_second_writer_is_noticed_at_its_next_record",
        reason="by mounts that are made up: no network file system is at hand; the safe mode is always on, it is E04's",
    ),
    "C12": _case("N", "case-insensitive file system", f"{_DISK}c12_the_folders_of_trials_differ_in_more_than_case"),
    "C13": _case("P", "a copy goes on elsewhere", f"{_DISK}c13_a_copy_of_a_run_goes_on_in_another_place"),
    "C14": _case(
        "N",
        "a copy made while the search runs",
        f"{_DISK}c14_a_copy_made_while_the_search_runs_opens_as_an_earlier_state_and_goes_on",
    ),
    "C15": _case(
        "P",
        "links in place of files and folders",
        f"{_CORRUPTION}c15_links_that_lead_out_of_the_run_are_refused",
        f"{_CORRUPTION}d12_c15_what_is_no_plain_file_is_refused_and_nothing_hangs",
        "test_journal.py::test_links_are_refused",
    ),
    "D01": _case(
        "N",
        "each byte of the journal flipped",
        f"{_CORRUPTION}d01_a_flipped_bit_anywhere_in_the_journal_is_found",
        "test_journal.py::test_every_flipped_byte_is_found",
    ),
    "D02": _case(
        "P",
        "journal cut at every length",
        "test_journal.py::test_every_length_of_a_cut_journal_opens_with_its_whole_records",
        f"{_CORRUPTION}d02_a_journal_cut_at_any_length_goes_on_to_the_same_end",
    ),
    "D03": _case(
        "P", "garbage appended", f"{_CORRUPTION}d03_garbage_without_a_line_end_is_cut_and_with_one_it_is_damage"
    ),
    "D04": _case(
        "P",
        "lines removed, doubled, swapped",
        f"{_CORRUPTION}d04_lines_that_were_moved_are_found",
        "test_journal.py::test_lines_that_were_moved_are_found",
    ),
    "D05": _case(
        "P",
        "conflict marks, CRLF, BOM, gzip",
        f"{_CORRUPTION}d05_what_befalls_files_that_travel_is_recognized_and_nothing_is_cut",
    ),
    "D06": _case(
        "N",
        "each byte of weights flipped",
        f"{_CORRUPTION}d06_a_flipped_byte_in_weights_is_found_before_anybody_reads_them",
    ),
    "D07": _case(
        "P",
        "weights missing or swapped",
        f"{_CORRUPTION}d07_missing_and_swapped_weights_are_named_and_the_ranking_still_shown",
        "test_folder.py::test_an_altered_file_is_found_before_anybody_reads_it",
    ),
    "D08": _case(
        "P",
        "experiment edited",
        f"{_CORRUPTION}d08_d09_a_changed_experiment_or_table_is_refused_with_the_difference",
        "test_search.py::test_a_changed_experiment_is_refused_with_the_difference",
    ),
    "D09": _case(
        "P",
        "table changed",
        f"{_CORRUPTION}d08_d09_a_changed_experiment_or_table_is_refused_with_the_difference",
        "test_search.py::test_changed_data_is_refused",
    ),
    "D10": _case(
        "P",
        "journal of a newer version",
        f"{_CORRUPTION}d10_a_journal_of_a_newer_version_names_it_and_is_left_alone",
        "test_journal.py::test_a_newer_format_names_the_version_that_wrote_it",
    ),
    "D11": _case(
        "P",
        "journals of older versions",
        f"{_CORRUPTION}d11_journals_of_older_versions_are_read_with_the_ranks_they_had",
    ),
    "D12": _case(
        "P",
        "empty files, folders, pipes",
        f"{_CORRUPTION}d12_c15_what_is_no_plain_file_is_refused_and_nothing_hangs",
        f"{_CORRUPTION}d12_empty_files_are_no_results",
        f"{_CORRUPTION}d12_a_result_without_what_belongs_in_it_is_named",
    ),
    "D13": _case(
        "W",
        "random bytes and records",
        f"{_CORRUPTION}d13_a_reader_of_random_bytes_gives_only_errors_for_the_user",
        f"{_CORRUPTION}d13_records_whose_checksums_are_right_and_whose_fields_are_not",
        "test_records.py::test_records_of_somebody_else_end_in_an_error_for_the_user",
        reason="a minute of made-up journals; an hour with HPTUNE_FUZZING_S=3600",
    ),
    "E01": _case(
        "P",
        "two searches of one run",
        f"{_LOAD}e01_a_second_search_is_told_host_process_and_since_when",
        "test_search.py::test_two_searches_of_one_run_do_not_meet",
        "test_journal.py::test_a_second_writer_is_told_who_holds_the_run",
    ),
    "E02": _case("N", "fifty starts at once", f"{_LOAD}e02_of_many_starts_at_once_exactly_one_wins"),
    "E03": _case(
        "P",
        "report every 10 ms",
        f"{_LOAD}e03_readers_see_a_consistent_prefix_while_the_search_writes",
        f"{_LOAD}e03_readers_do_not_slow_the_search",
        reason="the 5 % are measured by make torture: a machine that does something else meanwhile would spoil it",
    ),
    "E04": _case(
        "N",
        "two writers without locks",
        f"{_LOAD}e04_where_locks_do_not_hold_the_second_writer_is_noticed_at_its_next_record",
    ),
    "E05": _case("N", "10,000 trials in one run", f"{_LOAD}e05_c09_ten_thousand_trials_in_one_run"),
    "E06": _case(
        "W",
        "10,000 real trials in child processes",
        f"{_LOAD}e06_real_trials_by_the_thousand_let_no_process_grow",
        f"{_WORKERS}the_parent_does_not_grow_over_two_hundred_trials",
        reason="1,000 in populations, 10,000 with HPTUNE_TORTURE=whole; by Keras fit, a process each, it takes hours",
    ),
    "E07": _case("N", "64 at a time", f"{_LOAD}e07_many_trials_at_a_time_are_neither_lost_nor_doubled"),
    "E08": _case(
        "N",
        "hundreds of dimensions, 10,000 values",
        f"{_LOAD}e08_a_choice_of_ten_thousand_values_and_hundreds_of_dimensions_are_read_in_time",
        f"{_LOAD}e08_a_thousand_dimensions_cost_time_in_proportion",
        reason="1,000 dimensions are tried below the dialect, which has not so many keys to vary",
    ),
    "E09": _case(
        "P",
        "megabytes of output and message",
        f"{_LOAD}e09_a_message_of_megabytes_is_cut_in_the_journal_and_whole_in_the_log",
        f"{_WORKERS}what_a_worker_prints_is_told_in_part_and_fills_no_memory",
    ),
    "E10": _case("W", "a Ray worker node is lost", reason="hptune has no Ray workers"),
    "E11": _case(
        "P", "200 searches of a finished run", f"{_LOAD}e11_two_hundred_searches_of_a_finished_run_change_no_byte"
    ),
    "F01": _case(
        "P",
        "no file, empty, folder, pipe, comments",
        f"{_INPUTS}f01_what_is_no_experiment_is_named_and_waited_for_by_nobody",
        f"{_SPEC}folders_pipes_and_missing_files_are_named",
    ),
    "F02": _case("P", "100 MB, 1 MiB + 1", f"{_INPUTS}f02_an_experiment_of_megabytes_is_refused_before_it_is_parsed"),
    "F03": _case(
        "P",
        "alias and merge bombs",
        f"{_SPEC}an_alias_bomb_is_refused_before_it_goes_off",
        f"{_SPEC}files_that_are_made_to_break_readers_are_refused",
        _GOLDEN,
    ),
    "F04": _case("P", "depth 100,000", f"{_SPEC}files_that_are_made_to_break_readers_are_refused"),
    "F05": _case("P", "tags", _GOLDEN, f"{_HOSTILE}f05_f13_i08_an_experiment_runs_nothing_and_follows_nothing"),
    "F06": _case("P", "duplicate keys", _GOLDEN),
    "F07": _case(
        "P",
        "numbers that readers disagree on",
        _GOLDEN,
        f"{_SPEC}scalars_are_read_by_yaml_1_2",
        f"{_SPEC}numbers_that_readers_disagree_on_are_refused_with_the_decimal",
        f"{_SPEC}a_long_number_is_refused_without_being_computed",
    ),
    "F08": _case("P", "unknown keys", _GOLDEN),
    "F09": _case("P", "impossible ranges and choices", _GOLDEN),
    "F10": _case("P", "wrong metric or direction", _GOLDEN),
    "F11": _case(
        "P",
        "encodings, tabs, NUL, CRLF, two documents",
        _GOLDEN,
        f"{_SPEC}files_that_are_made_to_break_readers_are_refused",
        f"{_SPEC}a_byte_order_mark_and_windows_line_ends_change_nothing",
    ),
    "F12": _case(
        "P",
        "emoji, RTL, markup in keys",
        _GOLDEN,
        f"{_INPUTS}g12_f12_columns_may_be_called_anything_and_nothing_acts",
    ),
    "F13": _case("P", "paths", f"{_HOSTILE}f05_f13_i08_an_experiment_runs_nothing_and_follows_nothing"),
    "F14": _case(
        "P",
        "check on all of them",
        f"{_INPUTS}f06_to_f14_every_fault_of_an_experiment_ends_check_and_search_with_two_and_writes_nothing",
    ),
    "G01": _case(
        "P",
        "no table",
        _REFUSED,
        f"{_TABLE}a_missing_file_offers_the_nearest",
        f"{_INPUTS}g01_what_is_no_table_is_named_and_waited_for_by_nobody",
    ),
    "G02": _case("P", "wrong target", _REFUSED),
    "G03": _case(
        "P",
        "gaps and infinities in features",
        _REFUSED,
        f"{_INPUTS}g16_g03_numbers_beyond_single_precision_are_found_before_training",
        f"{_TABLE}numbers_text_gaps_and_codes_are_told_apart",
    ),
    "G04": _case("P", "gaps in the target", _REFUSED),
    "G05": _case(
        "P",
        "a class of one row",
        "test_split.py::test_a_class_of_one_row_is_refused_with_the_cure",
        f"{_TRAINING}h07_g05_validation_rows_that_cannot_give_every_metric_are_refused_before_training",
    ),
    "G06": _case(
        "P", "a target that never changes", _REFUSED, f"{_INPUTS}g06_a_regression_target_that_never_changes_is_refused"
    ),
    "G07": _case(
        "P",
        "columns that never change",
        f"{_INPUTS}g07_columns_that_never_change_are_noted_and_divide_nothing_by_zero",
        f"{_TABLE}columns_that_teach_nothing_are_noted",
    ),
    "G08": _case("P", "text among numbers", _REFUSED),
    "G09": _case("P", "ragged rows, open quotes", _REFUSED),
    "G10": _case(
        "P", "labels like NA, 007, True", f"{_INPUTS}g10_labels_that_look_like_something_else_are_kept_as_text"
    ),
    "G11": _case("P", "separators and encodings", _REFUSED, f"{_TABLE}other_separators_are_read_when_stated"),
    "G12": _case(
        "P", "odd column names", _REFUSED, f"{_INPUTS}g12_f12_columns_may_be_called_anything_and_nothing_acts"
    ),
    "G13": _case(
        "N",
        "10,000 columns, a cell of 100 MB",
        f"{_INPUTS}g13_ten_thousand_columns_and_a_cell_of_a_hundred_megabytes_stay_within_bounds",
        f"{_INPUTS}g13_a_table_of_a_gigabyte_is_read_within_the_memory_that_is_reckoned_with",
        f"{_INPUTS}g13_a_table_that_fits_nowhere_is_refused_before_it_is_read",
    ),
    "G14": _case(
        "N",
        "the table changes while it is read",
        f"{_INPUTS}g14_what_was_hashed_is_what_was_read_though_the_file_changes_meanwhile",
        reason="it need not end with 2: the bytes are read once, and those that were hashed are those that are used",
    ),
    "G15": _case(
        "P", "unseen categories", "test_search.py::test_predict_takes_unseen_categories_and_gaps_and_keeps_the_id"
    ),
    "G16": _case(
        "P",
        "features on any scale",
        f"{_INPUTS}g16_features_on_any_scale_are_prepared_to_numbers_of_order_one",
        f"{_INPUTS}g16_g03_numbers_beyond_single_precision_are_found_before_training",
        "test_preparation.py::test_prepared_numbers_are_finite_whatever_their_scale",
    ),
    "H01": _case("P", "NaN loss", "test_fitting.py::test_a_trial_that_explodes_has_diverged_and_has_no_score"),
    "H02": _case(
        "P",
        "infinite objective",
        "test_fitting.py::test_a_trial_that_explodes_has_diverged_and_has_no_score",
        "test_journal.py::test_not_a_number_cannot_be_recorded",
        "test_leaderboard.py::test_trials_without_a_score_stand_last_without_a_rank",
    ),
    "H03": _case("P", "an impossible network", "test_fitting.py::test_a_network_that_cannot_be_built_is_infeasible"),
    "H04": _case(
        "P", "every trial fails", f"{_TRAINING}h04_a_search_in_which_every_trial_fails_ends_with_four_and_the_causes"
    ),
    "H05": _case(
        "P",
        "three failures in a row",
        f"{_TRAINING}h05_three_failures_in_a_row_end_nothing",
        "test_tuner.py::test_failures_in_a_row_do_not_end_the_search",
    ),
    "H06": _case(
        "P", "a fault of ours", f"{_TRAINING}h06_a_fault_of_ours_stops_the_search_with_one_and_is_no_failed_trial"
    ),
    "H07": _case(
        "P",
        "a metric that is not defined for the rows",
        f"{_TRAINING}h07_g05_validation_rows_that_cannot_give_every_metric_are_refused_before_training",
    ),
    "H08": _case(
        "N", "GPU gone", f"{_TRAINING}h08_a_gpu_that_is_not_there_is_not_needed", reason="needs a GPU to take away"
    ),
    "H09": _case(
        "P", "a space smaller than the budget", f"{_TRAINING}h09_a_space_smaller_than_the_budget_ends_with_success"
    ),
    "H10": _case("P", "ties", "test_leaderboard.py::test_the_best_score_stands_first_and_ties_go_by_number"),
    "H11": _case("P", "seeds 0, 1, 2**63, twice", f"{_STRATEGIES}equal_seeds_give_equal_searches"),
    "H12": _case(
        "P",
        "other versions, other processor",
        f"{_TRAINING}h12_going_on_with_other_versions_or_on_another_processor_is_told_and_logged",
    ),
    "H13": _case(
        "P",
        "the stored score is that of the stored weights",
        "test_fitting.py::test_the_stored_score_is_the_score_of_the_stored_weights_to_the_bit",
        "test_search.py::test_every_score_is_scikit_learns_for_the_stored_predictions",
    ),
    "I01": _case(
        "P",
        "a model with code in it",
        f"{_HOSTILE}i01_i03_i08_nothing_planted_in_a_run_or_beside_it_runs_or_is_opened",
        f"{_HOSTILE}i01_i02_a_foreign_model_runs_no_code_fills_no_memory_and_reads_no_other_file",
        "test_search.py::test_an_altered_model_is_not_opened",
    ),
    "I02": _case(
        "P",
        "weights with links and bombs",
        f"{_HOSTILE}i02_weights_in_a_run_that_were_swapped_for_others_are_refused_by_their_hash",
        f"{_HOSTILE}i01_i02_a_foreign_model_runs_no_code_fills_no_memory_and_reads_no_other_file",
        reason="runs keep weights as NPZ and not as HDF5; the memory of a process is limited on Linux only",
    ),
    "I03": _case(
        "P",
        "pickles, modules, .pth beside the run",
        f"{_HOSTILE}i01_i03_i08_nothing_planted_in_a_run_or_beside_it_runs_or_is_opened",
        f"{_HOSTILE}i03_the_command_does_not_import_from_the_current_folder",
        f"{_TABLE}pickled_arrays_and_false_parquet_are_refused",
    ),
    "I04": _case(
        "P",
        "archive bombs",
        f"{_HOSTILE}i04_archives_made_to_do_harm_are_refused",
        f"{_HOSTILE}i04_an_archive_that_claims_too_much_is_not_unpacked",
    ),
    "I05": _case(
        "P",
        "names that lead elsewhere",
        f"{_DISK}i05_names_that_lead_elsewhere_touch_nothing",
        f"{_HOSTILE}i05_a_journal_cannot_have_files_deleted_outside_the_run",
        "test_records.py::test_a_record_cannot_name_a_file_outside_of_what_a_run_may_delete",
        "test_folder.py::test_names_that_could_leave_the_folder_are_refused",
    ),
    "I06": _case(
        "P",
        "text that would act",
        f"{_HOSTILE}i06_text_of_somebody_else_acts_neither_in_terminal_nor_markdown_nor_csv",
        f"{_HOSTILE}i06_what_is_shown_of_hostile_text_is_the_text",
        "test_cli.py::test_text_from_data_does_not_act_in_the_terminal",
        "test_cli.py::test_text_from_data_does_not_act_in_markdown",
        f"{_HOSTILE}i06_text_of_somebody_else_adds_nothing_to_the_page_but_text",
        "test_page.py::test_hostile_text_is_shown_and_does_nothing",
        "test_page_in_browser.py::test_hostile_names_are_text",
    ),
    "I07": _case(
        "N",
        "endless lines and nesting",
        f"{_LOAD}i07_a_line_without_end_is_refused_within_bounds",
        f"{_LOAD}i07_no_search_writes_a_journal_that_nobody_reads",
        f"{_LOAD}i07_a_record_nested_for_ever_is_damage",
        reason="a million trials are more than the limit of 256 MiB, and refused like the line of a gigabyte",
    ),
    "I08": _case(
        "P",
        "all of it under an audit hook",
        f"{_HOSTILE}i01_i03_i08_nothing_planted_in_a_run_or_beside_it_runs_or_is_opened",
        f"{_HOSTILE}f05_f13_i08_an_experiment_runs_nothing_and_follows_nothing",
        f"{_HOSTILE}i08_the_watch_sees_code_that_runs",
    ),
}
