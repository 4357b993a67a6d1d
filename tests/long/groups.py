"""What `make test-long` runs: groups of long tests, and the code that each group vouches for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """`tests` are functions marked `long`; `folders` (or files) are what their result speaks for."""

    name: str
    folders: tuple[str, ...]
    tests: tuple[str, ...]
    together: bool = False
    """Whether several of its tests may run at once: what measures or kills has the machine to itself."""


GROUPS = (
    Group(
        "indexing",
        ("chalicelib/indexing/formats",),
        ("tests/indexing/test_fuzz_for_long.py::test_damage_for_long",),
        together=True,
    ),
    Group(
        "promises",
        ("chalicelib/registry", "chalicelib/storage"),
        (
            "tests/storage/test_promises.py::test_promises_hold_on_sqlite_for_long",
            "tests/storage/test_retention_machine.py::test_retention_keeps_its_promises_for_long",
        ),
        together=True,
    ),
    Group(
        "inbox",
        ("chalicelib/indexing", "chalicelib/registry/drops.py", "chalicelib/storage/s3_copies.py"),
        (
            "tests/e2e/test_inbox_of_a_thousand.py::test_a_thousand_files_for_long",
            "tests/registry/test_letterbox.py"
            "::test_a_thousand_files_in_random_order_make_exactly_what_is_whole",
        ),
    ),
    Group(
        "transfer",
        (
            "sdk/weighbridge/transfer",
            "sdk/weighbridge/client",
            "chalicelib/registry/uploads.py",
            "chalicelib/registry/parts.py",
            "chalicelib/registry/blobs.py",
        ),
        (
            "tests/e2e/test_kills.py"
            "::test_a_push_killed_at_random_moments_shows_nothing_and_resumes_for_long",
            "tests/e2e/faults/test_faults.py"
            "::test_a_hundred_pushes_and_a_hundred_pulls_through_faults_all_end_right",
        ),
    ),
    Group(
        "size",
        ("sdk/weighbridge/transfer",),
        ("tests/e2e/test_size.py::test_eight_gibibytes_move_in_bounded_memory",),
    ),
    Group(
        "archives",
        ("chalicelib/archives", "chalicelib/engines", "chalicelib/registry/receiving.py"),
        (
            "tests/archives/test_memory.py::test_an_archive_of_two_gibibytes_takes_no_memory",
            "tests/fate/test_large.py::test_a_model_of_two_gibibytes_takes_no_memory",
            "tests/e2e/edge/test_packages.py::test_three_gigabytes_are_streamed_in_and_out",
            "tests/e2e/edge/test_aws.py"
            "::test_three_gigabytes_come_in_two_steps_and_leave_by_a_redirect",
        ),
    ),
    Group(
        "distributed",
        ("chalicelib/storage/s3.py", "chalicelib/storage/s3_parts.py", "chalicelib/storage/s3_copies.py"),
        (
            "tests/storage/test_distributed.py::test_the_behaviour_suite_holds_on_a_cluster",
            "tests/storage/test_distributed.py::test_a_registry_survives_a_machine_of_its_store",
        ),
    ),
    Group(
        "forml",
        ("sdk/weighbridge/forml.py", "sdk/weighbridge/generations", "chalicelib/registry/labels.py"),
        ("tests/forml/test_provider.py::test_large_packages_and_states",),
    ),
)  # fmt: skip
NAMES = tuple(group.name for group in GROUPS)


def group_of(test: str) -> Group | None:
    """The group that a test belongs to; `test` is its name to pytest, with or without parameters."""
    function = test.partition("[")[0]
    return next((group for group in GROUPS if function in group.tests), None)
