"""So many requests a token may make in a minute: counted for nothing while they are few."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from chalicelib.registry import keys, tokens
from chalicelib.registry.throttling import Throttle
from chalicelib.registry.tokens import Principal, everything
from chalicelib.storage import units
from weighbridge.contract.errors import Throttled, Unavailable
from weighbridge.contract.types import NewToken

NOW = 1_800_000_030.0


def admitted(throttle, table, count, *, token="t", now=NOW, most=80):
    """How many of `count` requests are let through."""
    passed = 0
    for _ in range(count):
        try:
            throttle.admit(table, token, now, most)
        except Throttled:
            break
        passed += 1
    return passed


def test_a_process_alone_lets_exactly_so_many_through(stores):
    """Then it says until when; another token and the next minute have their own."""
    throttle = Throttle()
    assert admitted(throttle, stores.table, 200) == 80
    with pytest.raises(Throttled) as refused:
        throttle.admit(stores.table, "t", NOW, 80)
    assert refused.value.details == {"limit": 80, "retry_after": 30}
    assert admitted(throttle, stores.table, 5, token="other") == 5
    assert admitted(throttle, stores.table, 200, now=NOW + 30) == 80


def test_few_requests_cost_nothing_and_many_a_few_writes(stores):
    """Below an eighth nothing is written; at the limit, and beyond it, eight times."""
    throttle = Throttle()
    with units.recorded() as cost:
        admitted(throttle, stores.table, 9)
    assert cost.operations == []
    with units.recorded() as cost:
        admitted(throttle, stores.table, 200)
        admitted(throttle, stores.table, 200)
    assert (len(cost.operations), cost.writes) == (8, 8)


def test_processes_share_what_they_count(stores):
    """Two together exceed the limit by less than an eighth each."""
    one, two = Throttle(), Throttle()
    passed = 0
    for _ in range(200):
        passed += admitted(one, stores.table, 1) + admitted(two, stores.table, 1)
    assert 80 <= passed < 80 + 2 * 10


def test_threads_of_a_process_share_its_count(stores):
    """No request is counted twice or forgotten."""
    throttle = Throttle()
    with ThreadPoolExecutor(8) as pool:
        passed = sum(pool.map(lambda _: admitted(throttle, stores.table, 30), range(8)))
    assert passed == 80


def test_a_store_in_trouble_lets_requests_through(stores):
    """Counting is no reason to fail; what this process counted still holds."""

    class Broken:
        def write(self, write):
            raise Unavailable("the table does not answer")

    assert admitted(Throttle(), Broken(), 200) == 80


def test_a_token_is_throttled_wherever_it_is_checked(stores, clock):
    """After its minute it is good again; the shared count expires by itself."""
    few = replace(stores, requests_per_minute=8, throttle=Throttle())
    issued = tokens.issue(few, Principal("ann", everything()), NewToken("t", everything()))
    for _ in range(8):
        tokens.authenticate(few, issued.secret)
    with pytest.raises(Throttled, match="8 requests of this minute"):
        tokens.authenticate(few, issued.secret)
    clock.time += 60
    assert tokens.authenticate(few, issued.secret).token_id == issued.token.id
    old = keys.requests(issued.token.id, int(clock.time) // 60 - 1)
    assert few.table.get(old).attrs["n"] == 8
    few.table.purge_expired(int(clock.time) + 120)
    assert few.table.get(old) is None
    assert tokens.authenticate(stores, issued.secret)


def test_no_limit_counts_nothing(stores):
    """0 means none."""
    assert admitted(Throttle(), None, 100, most=0) == 100
