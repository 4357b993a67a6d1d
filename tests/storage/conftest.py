"""The table engines, each as a `place` that any number of threads and processes can open."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from tests.stack import AWS_ENV, Stack, ministack
from tests.storage.places import Opened, Place

SQLITE = "sqlite"
MOTO = "dynamodb-moto"
MINISTACK = pytest.param("dynamodb-ministack", marks=pytest.mark.real)


@pytest.fixture(scope="session")
def emulated_aws() -> Iterator[Stack]:
    """MiniStack, one per test process."""
    with ministack() as stack:
        yield stack


@pytest.fixture(scope="session")
def clients() -> Iterator[dict[str, Opened]]:
    """Tables of emulators by endpoint: to make a client takes longer than most tests."""
    tables: dict[str, Opened] = {}
    yield tables
    for table in tables.values():
        table.close()


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here can reach an account of anybody's."""
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)


def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    request.getfixturevalue("aws_credentials")
    if request.param == SQLITE:
        yield Place("sqlite", str(tmp_path / "catalog.db"))
    elif request.param == MOTO:
        with mock_aws():
            yield Place("dynamodb", "registry")
    else:
        stack: Stack = request.getfixturevalue("emulated_aws")
        reset = urllib.request.Request(f"{stack.endpoint}/_ministack/reset", method="POST")
        with urllib.request.urlopen(reset, timeout=60):
            yield Place("dynamodb", "registry", stack.endpoint)


@pytest.fixture(params=[SQLITE, MOTO, MINISTACK])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty table on every engine."""
    yield from _place(request, tmp_path)


@pytest.fixture(params=[SQLITE, MINISTACK])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty table on the engines that other processes can open too."""
    yield from _place(request, tmp_path)


def _open(place: Place, clients: dict[str, Opened]) -> Iterator[Opened]:
    if place.engine == "sqlite":
        table = place.open()
        yield table
        table.close()
    else:
        table = clients.setdefault(place.endpoint, place.connect())
        place.make(table)
        yield table


@pytest.fixture
def table(place: Place, clients: dict[str, Opened]) -> Iterator[Opened]:
    """The open table of `place`."""
    yield from _open(place, clients)


@pytest.fixture
def shared_table(shared_place: Place, clients: dict[str, Opened]) -> Iterator[Opened]:
    """The open table of `shared_place`."""
    yield from _open(shared_place, clients)
