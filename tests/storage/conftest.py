"""The table engines, each as a `place` that any number of threads and processes can open."""

import uuid
from collections.abc import Callable, Iterator
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


def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    name = f"table-{uuid.uuid4().hex[:12]}"
    request.getfixturevalue("aws_credentials")
    if request.param == SQLITE:
        yield Place("sqlite", str(tmp_path / "catalog.db"))
    elif request.param == MOTO:
        with mock_aws():
            yield Place("dynamodb", name)
    else:
        stack: Stack = request.getfixturevalue("emulated_aws")
        yield Place("dynamodb", name, stack.endpoint)


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here can reach an account of anybody's."""
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=[SQLITE, MOTO, MINISTACK])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty table on every engine."""
    yield from _place(request, tmp_path)


@pytest.fixture(params=[SQLITE, MINISTACK])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty table on the engines that other processes can open too."""
    yield from _place(request, tmp_path)


@pytest.fixture
def opened() -> Iterator[Callable[[Place], Opened]]:
    """Opens places, and closes them when the test is over."""
    tables: list[Opened] = []

    def open_(place: Place) -> Opened:
        tables.append(place.open())
        return tables[-1]

    yield open_
    for table in tables:
        table.close()


@pytest.fixture
def table(place: Place, opened: Callable[[Place], Opened]) -> Opened:
    """The open table of `place`."""
    return opened(place)


@pytest.fixture
def shared_table(shared_place: Place, opened: Callable[[Place], Opened]) -> Opened:
    """The open table of `shared_place`."""
    return opened(shared_place)
