"""What goes wrong on the way: each fault ends right, or with a clear error and nothing visible."""

import os
import threading

import pytest

from tests.sdk.fake_server import MIB
from weighbridge.contract import errors
from weighbridge.transfer import hashing


@pytest.mark.parametrize("kind", ["api", "put", "part"])
@pytest.mark.parametrize("fault", ["503", "drop", "reset"])
def test_passing_faults_of_a_push_are_repeated(registry, state, content, kind, fault):
    """A push survives errors, lost answers and lost connections of any kind of request."""
    content("m/a", 100)
    folder = content("m/b", 33 * MIB).parent
    state.inject(kind, fault, fault, fault)
    pushed = registry.push("p/m", folder)
    assert len(state.ready()) == 1
    assert state.ready()[0].manifest == pushed.manifest
    assert not state.faults[kind]


def test_412_after_a_lost_answer_counts_as_done(registry, state, content):
    """A PUT whose answer was lost is repeated, met by 412, and not an error."""
    state.inject("put", "drop")
    registry.push("p/m", content("a", 100))
    assert list(state.stored.values()) == [1]
    assert len(state.ready()) == 1


@pytest.mark.parametrize("size", [100, 33 * MIB])
def test_expired_addresses_are_asked_for_again(registry, state, content, size):
    """403 of an expired address leads to a new address, not to a failure."""
    state.inject("put", "expired", "expired")
    state.inject("part", "ok", "expired", "expired")
    path = content("a", size)
    registry.push("p/m", path)
    assert path.read_bytes() in state.objects.values()
    assert all(count == 1 for count in state.stored.values())


def test_address_that_never_works_is_an_error_that_ends(registry, state, content):
    """A store that refuses every new address ends in an error instead of a loop."""
    state.inject("put", *["expired"] * 50)
    with pytest.raises(errors.TransferError, match="refuses"):
        registry.push("p/m", content("a", 100))
    assert state.ready() == []


@pytest.mark.parametrize("size", [100, 100_000, 33 * MIB])
def test_bit_flipped_on_the_way_up_is_repeated(registry, state, content, size):
    """A store that received other bytes says 400; the same bytes are sent again."""
    state.inject("put", "flip")
    state.inject("part", "flip", "ok", "flip")
    path = content("a", size)
    registry.push("p/m", path)
    assert path.read_bytes() in state.objects.values()


def test_way_that_always_damages_bytes_is_an_integrity_error(registry, state, content, monkeypatch):
    """Bytes that arrive damaged every time end in `IntegrityError`, with nothing visible."""
    monkeypatch.setattr("weighbridge.transfer.store.ATTEMPTS", 3)
    state.inject("put", *["flip"] * 20)
    with pytest.raises(errors.IntegrityError):
        registry.push("p/m", content("a", 100))
    assert state.ready() == []


def test_upload_that_vanished_begins_anew(registry, state, content):
    """When the store forgets a multipart upload in the middle, the file is sent under a new one."""

    def forget(kind, path):
        if kind == "part" and not forgotten:
            forgotten.append(1)
            state.uploads.clear()

    forgotten: list[int] = []
    state.before = forget
    path = content("a", 50 * MIB)
    registry.push("p/m", path)
    assert path.read_bytes() in state.objects.values()


@pytest.mark.parametrize("size", [100, 33 * MIB])
@pytest.mark.parametrize("how", ["overwrite", "replace", "shrink", "grow", "remove", "sly"])
def test_file_that_changes_while_it_is_pushed(registry, state, content, size, how):
    """A file that changes between hashing and sending is `FileChanged`; nothing becomes visible."""
    path = content("a", size)

    def change(kind, url):
        if not url.endswith("/uploads") or changed.is_set():
            return
        changed.set()
        before = path.stat()
        match how:
            case "overwrite" | "sly":
                with path.open("r+b") as stream:
                    stream.write(b"!")
            case "replace":
                other = path.with_name("other")
                other.write_bytes(bytes(size))
                other.replace(path)
            case "shrink":
                os.truncate(path, size // 2)
            case "grow":
                os.truncate(path, size + 1)
            case "remove":
                path.unlink()
        if how == "sly":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    changed = threading.Event()
    state.before = change
    with pytest.raises(errors.FileChanged) as caught:
        registry.push("p/m", path)
    assert caught.value.code == "file_changed"
    assert changed.is_set()
    assert state.ready() == []


@pytest.mark.parametrize("size", [100, 33 * MIB])
@pytest.mark.parametrize("how", ["chmod", "link"])
def test_file_whose_mode_or_links_change_is_pushed_all_the_same(
    registry, state, content, size, how
):
    """A chmod or a hard link during a push is no change of the file."""
    path = content("a", size)

    def touch(kind, url):
        if not url.startswith("/s3/") or not once.acquire(blocking=False):
            return  # parts come side by side
        touched.append(path.stat().st_ctime_ns)
        if how == "chmod":
            path.chmod(0o600)
        else:
            os.link(path, path.with_name("another"))

    touched: list[int] = []
    once = threading.Lock()
    state.before = touch
    registry.push("p/m", path)
    assert touched
    assert path.stat().st_ctime_ns != touched[0]
    assert len(state.ready()) == 1


@pytest.mark.parametrize("changing", [False, True])
def test_file_that_is_touched_while_it_is_read(tmp_path, changing):
    """A chmod amid the reading is no change; bytes changed behind the times' back are one."""
    path = tmp_path / "a"
    path.write_bytes(bytes(33 * MIB))
    before = path.stat()
    blocks = []

    def reading():
        blocks.append(1)
        if len(blocks) == 20:
            path.chmod(0o600)
            if changing:
                with path.open("r+b") as stream:
                    stream.write(b"!")
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return False

    if changing:
        with pytest.raises(errors.FileChanged):
            hashing.hash_file(path, reading)
    else:
        assert hashing.hash_file(path, reading).size == 33 * MIB
    assert len(blocks) > 20


def test_file_that_changed_is_pushed_by_the_next_try(registry, state, content):
    """After `FileChanged` the same push, once the file is at rest, publishes the same version."""
    path = content("a", 33 * MIB)

    def change(kind, url):
        if url.endswith("/uploads") and not changed:
            changed.append(1)
            with path.open("r+b") as stream:
                stream.write(b"!")

    changed: list[int] = []
    state.before = change
    with pytest.raises(errors.FileChanged):
        registry.push("p/m", path)
    assert registry.push("p/m", path).version == 1
    assert path.read_bytes() in state.objects.values()


def test_store_that_is_not_there_is_a_transfer_error(registry, fake, content, monkeypatch):
    """A store that cannot be reached is an error that names the address, after some tries."""
    monkeypatch.setattr("weighbridge.transfer.store.ATTEMPTS", 2)
    fake.s3_url = "http://127.0.0.1:1"
    with pytest.raises(errors.TransferError, match=r"127\.0\.0\.1:1"):
        registry.push("p/m", content("a", 100))


def test_wrong_token_is_said_at_once(fake, content):
    """A token that the server does not know is `Unauthenticated`, without retries."""
    from weighbridge import Registry

    with Registry(fake.url, "wb_other_x") as other, pytest.raises(errors.Unauthenticated):
        other.push("p/m", content("a", 1))
    assert len(fake.state.seen) == 1
