"""Real files are made once."""

import pytest


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """`made(row)`: the path of the row's file, which is written when it is first asked for."""
    paths = {}

    def path(row):
        if row not in paths:
            paths[row] = row.make(tmp_path_factory.mktemp("made"))
        return paths[row]

    return path
