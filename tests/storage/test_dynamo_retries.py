"""What `DynamoTable` does when the service is busy, an answer is lost, or nobody is there."""

import uuid
from collections.abc import Callable, Iterator

import pytest
from botocore.exceptions import ClientError

from chalicelib.registry.ports import (
    Absent,
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Key,
    Present,
    Put,
    Update,
)
from chalicelib.storage.dynamo import DynamoTable
from tests.stack import Stack
from tests.storage.faulty_proxy import Proxy, faulty
from weighbridge.contract.errors import Unavailable

pytestmark = pytest.mark.real
K = Key("p", "s")
OTHER = Key("p", "other")


@pytest.fixture
def proxy(emulated_aws: Stack, aws_credentials: None) -> Iterator[Proxy]:
    """A proxy before MiniStack."""
    with faulty(emulated_aws.endpoint) as running:
        yield running


@pytest.fixture
def name() -> str:
    """A table's name."""
    return f"table-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def table(proxy: Proxy, name: str) -> Iterator[DynamoTable]:
    """A new table behind the proxy."""
    opened = DynamoTable(name, "us-east-1", proxy.endpoint, patience=5)
    opened.create_table()
    proxy.seen.clear()
    yield opened
    opened.close()


@pytest.fixture
def impatient(table: DynamoTable, proxy: Proxy, name: str) -> Iterator[DynamoTable]:
    """The same table for a caller who gives up soon."""
    opened = DynamoTable(name, "us-east-1", proxy.endpoint, patience=0.1)
    yield opened
    opened.close()


CALLS: dict[str, Callable[[DynamoTable], object]] = {
    "GetItem": lambda t: t.get(K),
    "Query": lambda t: t.query("p"),
    "BatchGetItem": lambda t: t.get_many([K]),
    "PutItem": lambda t: t.write(Put(Item(K))),
    "UpdateItem": lambda t: t.write(Update(K, set={"n": 1})),
    "DeleteItem": lambda t: t.write(Delete(K)),
    "BatchWriteItem": lambda t: t.write_many([Put(Item(K))]),
    "TransactWriteItems": lambda t: t.transact([Put(Item(K)), Put(Item(OTHER))]),
}


@pytest.mark.parametrize("fault", ["throttle", "capacity", "conflict", "broken", "dropped", "lost"])
def test_passing_trouble_is_not_noticed(table: DynamoTable, proxy: Proxy, fault: str) -> None:
    """A request that fails twice in a way that passes is repeated until it is answered."""
    for operation, call in CALLS.items():
        proxy.seen.clear()
        proxy.faults.extend([fault, fault])
        call(table)
        assert proxy.seen == [f"{operation} {fault}", f"{operation} {fault}", operation]


def test_a_transaction_that_lost_a_race_is_repeated(table: DynamoTable, proxy: Proxy) -> None:
    """A cancellation because of another transaction is no failed condition."""
    proxy.faults.extend(["cancelled"] * 5)
    table.transact([Put(Item(K), (Absent(),)), Put(Item(OTHER), (Absent(),))])
    assert len(proxy.seen) == 6
    assert table.get(OTHER) == Item(OTHER)


@pytest.mark.parametrize("fault", ["throttle", "broken", "dropped"])
def test_lasting_trouble_is_unavailable(impatient: DynamoTable, proxy: Proxy, fault: str) -> None:
    """When patience ends, the caller is told to try again later."""
    for operation, call in CALLS.items():
        proxy.seen.clear()
        proxy.faults.extend([fault] * 100)
        with pytest.raises(Unavailable):
            call(impatient)
        assert set(proxy.seen) == {f"{operation} {fault}"}


def test_what_repeating_cannot_help_is_not_repeated(table: DynamoTable, proxy: Proxy) -> None:
    """A missing permission is a fault of the deployment and is shown as it is, at once."""
    proxy.faults.append("denied")
    with pytest.raises(ClientError, match="AccessDenied"):
        table.get(K)
    assert len(proxy.seen) == 1


# an answer is lost after the work was done: the repetition meets its own effect


def test_a_lost_answer_to_a_create_is_a_success(table: DynamoTable, proxy: Proxy) -> None:
    """Finding exactly the item that we wanted to create, after a lost answer, means we made it."""
    proxy.faults.append("lost")
    item = Item(K, {"n": 1, "state": "open"}, {"a": [1.5, "é"]})
    assert table.write(Put(item, (Absent(),))) == item
    assert table.get(K) == item


def test_a_lost_answer_to_a_delete_is_a_success(table: DynamoTable, proxy: Proxy) -> None:
    """The item that had to be present is gone because we deleted it."""
    table.write(Put(Item(K)))
    proxy.faults.append("lost")
    assert table.write(Delete(K, (Present(),))) is None


def test_a_lost_answer_to_a_revision_is_a_success(table: DynamoTable, proxy: Proxy) -> None:
    """An update under a revision is done once, and its result is answered."""
    table.write(Put(Item(K, {"rev": 1, "ref": "x"})))
    proxy.faults.append("lost")
    update = Update(
        K, set={"state": "a"}, add={"rev": 1}, remove=("ref",), condition=(Equal("rev", 1),)
    )
    assert table.write(update) == Item(K, {"state": "a", "rev": 2})
    assert table.get(K) == Item(K, {"state": "a", "rev": 2})


def test_somebody_elses_item_is_still_in_the_way(table: DynamoTable, proxy: Proxy) -> None:
    """A lost answer does not turn a real conflict into a success."""
    theirs = Item(K, {"n": 2, "rev": 7})
    table.write(Put(theirs))
    for write in (
        Put(Item(K, {"n": 1}), (Absent(),)),
        Update(K, add={"n": 1}, condition=(Absent(),)),
        Update(K, set={"n": 2}, add={"rev": 1}, condition=(Equal("rev", 5),)),
        Delete(K, (Equal("rev", 6),)),
    ):
        proxy.faults.append("lost")
        with pytest.raises(ConditionFailed) as caught:
            table.write(write)
        assert caught.value.existing == theirs
    assert table.get(K) == theirs


def test_a_lost_answer_to_a_transaction_does_not_repeat_it(
    table: DynamoTable, proxy: Proxy
) -> None:
    """A transaction is executed once, even one whose second execution would be possible."""
    proxy.faults.extend(["lost", "lost"])
    table.transact([Update(K, add={"n": 1}), Put(Item(OTHER), (Absent(),))])
    assert table.get(K) == Item(K, {"n": 1})
    table.transact([Update(K, add={"n": 1})])
    assert table.get(K) == Item(K, {"n": 2})


# batches


def test_what_a_batch_left_undone_is_done_later(table: DynamoTable, proxy: Proxy) -> None:
    """Unprocessed items and keys are sent again until none is left."""
    stored = [Item(Key("batch", f"{i:02}"), {"n": i}) for i in range(30)]
    proxy.faults.extend(["half", "half", "throttle"])
    table.write_many([Put(item) for item in stored[:20]])
    assert proxy.seen[:2] == ["BatchWriteItem half"] * 2
    table.write_many([Put(item) for item in stored[20:]])
    proxy.faults.extend(["half", "throttle", "half"])
    assert table.get_many([item.key for item in stored]) == {item.key: item for item in stored}
    proxy.faults.append("half")
    table.write_many([Delete(item.key) for item in stored])
    assert table.query("batch").items == ()


def test_a_batch_that_is_never_done_is_unavailable(impatient: DynamoTable, proxy: Proxy) -> None:
    """A service that takes nothing for too long is as good as none."""
    stored = [Item(Key("batch", f"{i:03}")) for i in range(25)]
    proxy.faults.extend(["half"] * 1000)
    with pytest.raises(Unavailable, match="left writes of a batch undone"):
        impatient.write_many([Put(item) for item in stored])
    with pytest.raises(Unavailable, match="left reads of a batch undone"):
        impatient.get_many([Key("batch", f"{i:03}") for i in range(100)])


# nobody there


def test_no_server_no_table_and_no_credentials_are_unavailable(
    emulated_aws: Stack, aws_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each says what is missing."""
    with faulty(emulated_aws.endpoint) as gone:
        pass
    absent = DynamoTable("absent", "us-east-1", gone.endpoint, patience=0.1)
    with pytest.raises(Unavailable, match="does not answer"):
        absent.ping()
    absent.close()
    unknown = DynamoTable("unknown", "us-east-1", emulated_aws.endpoint)
    with pytest.raises(Unavailable, match="does not exist"):
        unknown.ping()
    unknown.close()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    anonymous = DynamoTable("unknown", "us-east-1", emulated_aws.endpoint)
    with pytest.raises(Unavailable, match="credentials"):
        anonymous.ping()
    anonymous.close()
