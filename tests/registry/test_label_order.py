"""Models whose labels are versions: each published one is strictly greater than all before it."""

import threading

import pytest

from chalicelib.registry import changing, labels, models, publishing, sweep, versions
from tests.registry_world import key_of, publish, upload
from weighbridge.contract import manifests
from weighbridge.contract.errors import (
    AlreadyExists,
    Conflict,
    InvalidName,
    InvalidRequest,
    NotFound,
    RegistryError,
)
from weighbridge.contract.references import VersionSelector
from weighbridge.contract.types import ModelChanges, ModelSettings, NewVersion, VersionCommit

ORDERED = ModelChanges(settings=ModelSettings(label_order="pep440"))
FREE = ModelChanges(settings=ModelSettings())


@pytest.fixture
def ordered(stores):
    """The same stores; `vision/digits` orders its labels."""
    models.change(stores, "ann", "vision", "digits", ORDERED)
    return stores


def shown(stores):
    """The model as everybody sees it."""
    record = models.find(stores, "vision", "digits")
    return labels.with_greatest(stores, [record.model])[0]


def labelled(stores, label):
    """The version that has a label."""
    return versions.resolve(stores, "vision", "digits", VersionSelector("label", label)).version


def opened(stores, label, key=None):
    """A version that is not committed."""
    return publishing.begin(
        stores, "ann", "vision", "digits", NewVersion(key_of(key or f"open {label}"), label)
    )


def commit(stores, number, data=b"x"):
    """Commits an open version."""
    entries = upload(stores, "vision", {"a.bin": data})
    request = VersionCommit(manifests.digest(entries), entries)
    return publishing.commit(stores, "ann", "vision", "digits", number, request)


def test_labels_are_kept_in_canonical_form(ordered):
    """A label is stored as PEP 440 writes it, and found by every equal text."""
    version = publish(ordered, {"a.bin": b"1"}, label="v1.0-RC.1")
    assert version.label == "1.0rc1"
    for text in ("1.0rc1", "1.0.0-rc1", "v1rc1"):
        assert labelled(ordered, text).number == version.number
    with pytest.raises(NotFound):
        labelled(ordered, "1.0")
    with pytest.raises(NotFound):
        labelled(ordered, "no version at all")
    assert shown(ordered).greatest == "1.0rc1"


@pytest.mark.parametrize("label", ["1.0.0", "1", "0.9", "1.0rc1", "1.0.dev9", "0!1.0"])
def test_what_is_not_greater_is_refused_when_it_is_opened(ordered, label):
    """Equal and lower versions are refused before anything is sent; the message names the greatest."""
    publish(ordered, {"a.bin": b"1"}, label="1.0")
    with pytest.raises(Conflict) as caught:
        opened(ordered, label)
    assert caught.value.details["greatest"] == "1.0"
    assert isinstance(caught.value, AlreadyExists) == (label in ("1.0.0", "1", "0!1.0"))


@pytest.mark.parametrize(("label", "error"), [("", InvalidRequest), ("latest", InvalidName)])
def test_a_label_must_be_a_version(ordered, label, error):
    """Every version of such a model needs one."""
    with pytest.raises(error):
        opened(ordered, label)


def test_opening_promises_nothing(ordered):
    """Of two open versions with equal labels the first committed wins, the other is refused whole."""
    first, second = opened(ordered, "1.0"), opened(ordered, "1.0.0")
    assert labelled(ordered, "1").number == second.number  # the newest that is open
    commit(ordered, first.number)
    with pytest.raises(AlreadyExists):
        commit(ordered, second.number, b"other")
    assert labelled(ordered, "1.0.0").number == first.number
    publishing.abort(ordered, "ann", "vision", "digits", second.number)
    assert labelled(ordered, "1.0.0").number == first.number  # the winner keeps its lock


def test_a_forgotten_version_is_in_nobodys_way(ordered, clock):
    """A release that died before its commit does not keep its label; the sweep aborts it."""
    dead = opened(ordered, "2.0")
    version = publish(ordered, {"a.bin": b"1"}, label="2.0")
    clock.time += ordered.stale_seconds + 1
    sweep.run(ordered)
    assert versions.numbered(
        ordered, models.find(ordered, "vision", "digits"), dead.number, ended=True
    ).version.state == "aborted"  # fmt: skip
    assert labelled(ordered, "2.0").number == version.number


def test_a_lower_one_that_was_opened_first_comes_too_late(ordered):
    """The order is that of commits: 1.0 cannot appear after 1.1."""
    low = opened(ordered, "1.0")
    publish(ordered, {"a.bin": b"1"}, label="1.1")
    with pytest.raises(Conflict):
        commit(ordered, low.number, b"low")
    assert [v.label for v in versions.newest(
        ordered, models.find(ordered, "vision", "digits"), 10
    )] == ["1.1"]  # fmt: skip


def test_a_repeated_commit_is_one_commit(ordered):
    """A lost answer does not become a conflict."""
    version = opened(ordered, "1.0")
    assert commit(ordered, version.number).state == "ready"
    assert commit(ordered, version.number).state == "ready"


def test_a_deleted_label_is_never_used_again(ordered):
    """As with numbers. Turning the order off and on again forgets it, and counts what is there."""
    publish(ordered, {"a.bin": b"1"}, label="1.0")
    publish(ordered, {"a.bin": b"2"}, label="100.0")
    selector = VersionSelector("label", "100")
    changing.delete(ordered, "ann", "vision", "digits", selector)
    with pytest.raises(NotFound):
        labelled(ordered, "100.0")
    with pytest.raises(Conflict):
        opened(ordered, "1.1")
    models.change(ordered, "ann", "vision", "digits", FREE)
    models.change(ordered, "ann", "vision", "digits", ORDERED)
    assert shown(ordered).greatest == "1.0"
    publish(ordered, {"a.bin": b"3"}, label="1.1")


def test_the_order_can_be_turned_on_later(stores):
    """What is there counts as far as it is a version; its labels are found as before."""
    publish(stores, {"a.bin": b"1"}, label="nightly")
    publish(stores, {"a.bin": b"2"}, label="2.0")
    publish(stores, {"a.bin": b"3"}, label="1.0")
    models.change(stores, "ann", "vision", "digits", ORDERED)
    assert shown(stores).greatest == "2.0"
    assert labelled(stores, "nightly").number == 1
    assert labelled(stores, "1.0").number == 3
    with pytest.raises(Conflict):
        opened(stores, "2.0.0")
    assert publish(stores, {"a.bin": b"4"}, label="2.1").number == 4


def test_ordered_labels_are_found_after_the_order_is_turned_off(ordered):
    """As they are written; they are taken, and free again when their version is deleted."""
    published = publish(ordered, {"a.bin": b"1"}, label="v1.0")
    models.change(ordered, "ann", "vision", "digits", FREE)
    assert labelled(ordered, "1.0").number == published.number
    with pytest.raises(AlreadyExists):
        opened(ordered, "1.0")
    changing.delete(ordered, "ann", "vision", "digits", VersionSelector("label", "1.0"))
    for label in ("1.0", "1"):
        assert publish(ordered, {"a.bin": b"2"}, label=label).label == label


def test_the_order_is_not_changed_under_an_open_version(stores):
    """It was opened under the other rule."""
    version = opened(stores, "1.0")
    with pytest.raises(Conflict, match="still open"):
        models.change(stores, "ann", "vision", "digits", ORDERED)
    publishing.abort(stores, "ann", "vision", "digits", version.number)
    assert (
        models.change(stores, "ann", "vision", "digits", ORDERED).settings.label_order == "pep440"
    )


@pytest.mark.parametrize("texts", [["1.0"], ["1.0", "1.0.0", "v1"]])
def test_of_many_that_publish_equal_labels_one_wins(ordered, texts):
    """32 at once: one is published, 31 are refused, and nothing else is visible."""
    barrier, done = threading.Barrier(32), []

    def one(index):
        data = {"a.bin": f"package {index}".encode()}
        barrier.wait()
        try:
            done.append(publish(ordered, data, label=texts[index % len(texts)]))
        except RegistryError as error:
            done.append(error)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [found for found in done if not isinstance(found, Exception)]
    assert len(won) == 1
    assert {type(found) for found in done if isinstance(found, Exception)} == {AlreadyExists}
    record = models.find(ordered, "vision", "digits")
    assert [v.number for v in versions.newest(ordered, record, 50)] == [won[0].number]


def test_concurrent_commits_are_in_order(ordered):
    """Whoever is published was greater than all published before; the greatest always gets through."""
    numbers = {n: opened(ordered, f"1.{n}").number for n in range(16)}
    barrier, order = threading.Barrier(16), []
    lock = threading.Lock()

    def one(n):
        barrier.wait()
        try:
            commit(ordered, numbers[n], str(n).encode())
        except Conflict:
            return
        with lock:
            order.append(n)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 15 in order
    assert shown(ordered).greatest == "1.15"
