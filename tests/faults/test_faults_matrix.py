"""The fault matrix: which tests hold which line. Half of the lines at least are held by `make test`, all of them by `make test-all`."""

from __future__ import annotations

import ast
from pathlib import Path

MATRIX = {
    "a worker dies before it writes, between write and commit, after the commit": ["ray::workers_that_are_killed_at_every_moment", "ray::a_worker_that_is_killed"],
    "a segment always crashes its worker": ["ray::a_segment_that_always_crashes"],
    "a segment always raises": ["unit::a_segment_that_always_raises", "ray::a_segment_that_always_raises"],
    "a segment hangs": ["unit::a_segment_that_hangs", "ray::a_segment_that_hangs"],
    "the raylet of a second node dies": ["nodes::a_node_that_is_lost"],
    "a replacement node joins": ["nodes::a_node_that_comes_in_its_place"],
    "the driver dies, in each phase": [
        "driver::a_driver_that_is_killed_in_every_phase", "driver::a_driver_that_is_killed_in_one_phase", "ray::a_driver_that_is_killed",
        "submit::a_submitted_job_whose_driver_is_killed"
    ],
    "two drivers at once": [
        "driver::two_drivers_at_once", "driver::one_of_two_drivers_is_killed", "driver::work_that_another_run_clears_away", "ray::two_drivers_on_one_cluster"
    ],
    "the store's server dies and comes back": ["s3::a_server_that_is_killed_and_comes_back"],
    "the store answers 503, 409, 412, loses answers, cuts connections": [
        "s3::every_fault_of_a_store_in_one_run", "s3::one_fault_of_a_store", "s3::a_driver_that_dies_with_half_an_upload", "s3::a_store_that_stays_away",
        "s3::workers_that_die_while_the_store_fails"
    ],
    "scratch is full": ["unit::a_full_disk_is_no_videos_fault"],
    "memory runs out": ["unit::a_segment_that_needs_too_much_memory", "unit::memory_that_is_short_once", "ray::a_segment_that_needs_too_much_memory"],
    "the clock jumps": ["driver::a_clock_that_jumps"],
    "a crash between stitch, commit and view": ["driver::a_driver_that_dies_between_two_writes", "driver::a_driver_that_dies_at_the_same_place_three_times"],
    "resumed with other blocks, workers, nodes": [
        "ray::a_worker_killed_from_outside_and_the_driver_after_it", "ray::a_driver_that_is_killed", "nodes::more_nodes_than_before"
    ],
    "resumed with another segment length": ["driver::another_segment_length_keeps_people", "driver::another_segment_length_keeps_faces"],
    "a source changes between plan and render": [
        "driver::a_source_that_changes_under_a_run", "driver::a_source_that_changes_between_two_runs", "s3::a_source_that_changes_under_a_run"
    ],
    "preemptions are no segment's fault": ["nodes::a_node_that_is_lost", "attempts::a_lost_machine_is_not_the_units_fault"],
}  # fmt: skip


def all_tests() -> dict[str, bool]:
    """Every test of this folder as "file::name", and whether all of it is marked long."""
    found = {}
    for path in Path(__file__).parent.glob("test_faults_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marks = {ast.unparse(mark) for mark in node.decorator_list}
                found[f"{path.stem.removeprefix('test_faults_')}::{node.name.removeprefix('test_')}"] = "pytest.mark.long" in marks
    return found


def test_every_line_of_the_matrix_is_held():
    """The tests that a line names exist, and at least half of the lines have one that `make test` runs."""
    there = all_tests()

    assert {name for names in MATRIX.values() for name in names} - there.keys() == set()
    assert sum(not all(there[name] for name in names) for names in MATRIX.values()) >= len(MATRIX) / 2


def test_every_run_is_judged_by_the_same_helper():
    """Each test that starts a run ends with what must hold after any fault."""
    folder = Path(__file__).parent
    functions = [node for path in folder.glob("test_faults_*.py") for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    started = [node for node in functions if node.name.startswith("test_") and "quiet" in {argument.arg for argument in node.args.args}]

    assert len(started) > 20
    assert [node.name for node in started if "assert_whole(" not in ast.unparse(node)] == []
