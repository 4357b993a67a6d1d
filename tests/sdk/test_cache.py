"""The cache of pulled files: verified, limited, safe between processes."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk.fake_server import MIB, TOKEN
from weighbridge import Registry, config
from weighbridge.contract import errors
from weighbridge.contract.manifests import FileEntry
from weighbridge.transfer import clone
from weighbridge.transfer.cache import Cache

SDK = Path(__file__).resolve().parents[2] / "sdk"
PULL = """
import sys, weighbridge
with weighbridge.Registry() as registry:
    done = registry.pull("p/m@1", sys.argv[1], link="copy")
print(done.received_bytes + done.reused_bytes)
"""


def _file(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return path, FileEntry(name, len(data), digest, f"s-{digest}-{len(data)}")


@pytest.fixture
def cache(tmp_path):
    """A cache of 8 MiB that copies."""
    return Cache(tmp_path / "cache", 8 * MIB, "copy")


@pytest.fixture
def pushed(registry, content):
    """A version with a large and a small file."""
    content("m/big", 20 * MIB)
    folder = content("m/small", 1000).parent
    registry.push("p/m", folder)
    return folder


def _gets(state):
    return [path for method, path, _ in state.seen if method == "GET" and path.startswith("/s3/")]


@pytest.mark.parametrize("link", ["auto", "copy", "hard"])
def test_another_folder_is_filled_without_the_wire(registry, pushed, state, tmp_path, link):
    """A second pull into another folder makes one API request and moves no bytes."""
    registry.pull("p/m@latest", tmp_path / "a", link=link)
    before = len(state.seen)
    pulled = registry.pull("p/m@latest", tmp_path / "b", link=link)
    assert len(state.seen) - before == 1
    assert (pulled.received_bytes, pulled.reused_bytes) == (0, 20 * MIB + 1000)
    for name in ("big", "small"):
        assert (tmp_path / "b" / name).read_bytes() == (pushed / name).read_bytes()
    shared = (tmp_path / "a" / "big").stat().st_ino == (tmp_path / "b" / "big").stat().st_ino
    assert shared == (link == "hard")
    assert bool((tmp_path / "b" / "big").stat().st_mode & 0o222) == (link != "hard")


def test_a_file_that_did_not_change_is_not_read(registry, pushed, state, tmp_path, monkeypatch):
    """A pulled file in place is known by its stamp; one that changed is noticed."""
    registry.pull("p/m@1", tmp_path / "a")
    big = tmp_path / "a" / "big"
    opened = []
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *a, **k: opened.append(path) or real(path, *a, **k)
    )
    registry.pull("p/m@1", tmp_path / "a")
    assert big not in opened
    with real(big, "r+b") as stream:
        stream.write(b"changed")
    with pytest.raises(errors.AlreadyExists):
        registry.pull("p/m@1", tmp_path / "a")


def test_a_changed_source_is_not_copied(registry, pushed, state, tmp_path):
    """Where there are no clones the pulled file is the source, but only as long as it is the same."""
    registry.pull("p/m@1", tmp_path / "a")
    with (tmp_path / "a" / "big").open("r+b") as stream:
        stream.write(b"changed")
    (tmp_path / "a" / "small").unlink()
    pulled = registry.pull("p/m@1", tmp_path / "b")
    assert (tmp_path / "b" / "big").read_bytes() == (pushed / "big").read_bytes()
    assert pulled.reused_bytes >= 1000


@pytest.mark.parametrize("name", ["big", "small"])
def test_a_corrupt_entry_is_found_and_replaced(registry, pushed, state, home, tmp_path, name):
    """An entry whose bytes changed is fetched again, and the entry is then right."""
    registry.pull("p/m@1", tmp_path / "a", link="copy")
    digest = hashlib.sha256((pushed / name).read_bytes()).hexdigest()
    entry = home / "cache" / "blobs" / digest[:2] / digest
    for place in (home / "cache" / "places").rglob("*.json"):
        place.unlink()
    entry.chmod(0o644)
    data = bytearray(entry.read_bytes())
    data[7] ^= 1
    entry.write_bytes(data)
    before = len(_gets(state))
    registry.pull("p/m@1", tmp_path / "b", link="copy")
    assert len(_gets(state)) > before
    assert (tmp_path / "b" / name).read_bytes() == (pushed / name).read_bytes()
    assert hashlib.sha256(entry.read_bytes()).hexdigest() == digest


def test_a_touched_entry_is_hashed_and_stays(cache, tmp_path):
    """Another stamp alone condemns nothing: the bytes decide."""
    path, entry = _file(tmp_path, "f", b"x" * 2 * MIB)
    cache.keep(path, entry)
    (kept,) = cache.entries()
    os.utime(kept.path)
    assert cache.take(entry, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == path.read_bytes()


def test_verify_removes_what_is_damaged(cache, tmp_path):
    """`verify` reads everything, also what its stamp vouches for."""
    path, entry = _file(tmp_path, "f", b"x" * 2 * MIB)
    cache.keep(path, entry)
    _, other = _file(tmp_path, "g", b"y" * 2 * MIB)
    cache.keep(tmp_path / "g", other)
    kept = next(e for e in cache.entries() if e.sha256 == entry.sha256)
    status = kept.path.stat()
    kept.path.chmod(0o644)
    kept.path.write_bytes(b"z" * 2 * MIB)
    os.utime(kept.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    read, wrong = cache.verify()
    assert (read, [e.sha256 for e in wrong]) == (2, [entry.sha256])
    assert [e.sha256 for e in cache.entries()] == [other.sha256]


def test_the_least_recently_used_goes_first(cache, tmp_path):
    """The limit holds; what was used last stays; what is larger than the limit is not kept."""
    entries = []
    for i in range(4):
        path, entry = _file(tmp_path, f"f{i}", bytes([i]) * 2 * MIB)
        cache.keep(path, entry)
        entries.append(entry)
    for age, kept in enumerate(cache.entries()):
        number = next(i for i, e in enumerate(entries) if e.sha256 == kept.sha256)
        note = kept.path.with_name(kept.path.name + ".json")
        os.utime(note, (1000 + number, 1000 + number))
        assert age < 4
    assert cache.take(entries[0], tmp_path / "out")
    path, new = _file(tmp_path, "new", b"n" * 2 * MIB)
    cache.keep(path, new)
    assert {e.sha256 for e in cache.entries()} == {
        e.sha256 for e in (entries[0], entries[2], entries[3], new)
    }
    path, huge = _file(tmp_path, "huge", b"h" * 9 * MIB)
    cache.keep(path, huge)
    assert sum(e.size for e in cache.entries()) == 8 * MIB


def test_an_entry_in_use_is_not_removed(cache, tmp_path):
    """Whoever reads an entry keeps it from being removed, by limit or by hand."""
    path, entry = _file(tmp_path, "f", b"x" * 2 * MIB)
    cache.keep(path, entry)
    with cache.reading(entry) as stream:
        assert stream is not None
        assert Cache(cache.folder, 0).trim() == 0
        assert cache.remove() == (0, 0)
    assert Cache(cache.folder, 0).trim() == 2 * MIB
    assert cache.entries() == []


def test_a_damaged_manifest_is_not_believed(registry, pushed, state, home, tmp_path):
    """A kept manifest that does not yield its digest is asked for again."""
    registry.pull("p/m@latest", tmp_path / "a")
    (kept,) = (home / "cache" / "manifests").glob("*.json")
    kept.write_bytes(kept.read_bytes().replace(b"small", b"smell"))
    before = len(state.seen)
    registry.pull("p/m@latest", tmp_path / "a")
    assert len(state.seen) - before == 2
    assert b"smell" not in kept.read_bytes()


def test_nothing_is_kept_with_a_limit_of_nothing(registry, pushed, home, tmp_path, monkeypatch):
    """`WEIGHBRIDGE_CACHE_LIMIT=0` keeps no file."""
    monkeypatch.setenv("WEIGHBRIDGE_CACHE_LIMIT", "0")
    registry.pull("p/m@1", tmp_path / "a", link="copy")
    assert [p for p in (home / "cache").glob("blobs/*/*") if p.is_file()] == []


def test_clones_are_used_where_the_file_system_has_them(registry, pushed, tmp_path, monkeypatch):
    """With clones, `auto` keeps an entry of a large file; without, `reflink` is a clear error."""

    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "no clones")

    def cloned(target, request, source):
        assert request == 0x40049409
        os.pwrite(target, os.pread(source, 1 << 30, 0), 0)

    monkeypatch.setattr(clone.fcntl, "ioctl", refuse)
    with pytest.raises(errors.InvalidRequest, match="reflink"):
        registry.pull("p/m@1", tmp_path / "a", link="reflink")
    monkeypatch.setattr(clone.fcntl, "ioctl", cloned)
    registry.pull("p/m@1", tmp_path / "b", link="reflink")
    kept = Cache(config.cache_folder(), 1).entries()
    assert sorted(e.size for e in kept) == [1000, 20 * MIB]
    pulled = registry.pull("p/m@1", tmp_path / "c")
    assert pulled.received_bytes == 0
    assert (tmp_path / "c" / "big").read_bytes() == (pushed / "big").read_bytes()


@pytest.mark.parametrize("same", [True, False], ids=["one folder", "own folders"])
def test_four_processes_pull_at_once(fake, pushed, home, tmp_path, same):
    """Each ends with the right files; the cache is sound; no draft stays."""
    env = {**os.environ, "PYTHONPATH": str(SDK), "WEIGHBRIDGE_URL": fake.url}
    env["WEIGHBRIDGE_TOKEN"] = TOKEN
    folders = [tmp_path / ("out" if same else f"out{i}") for i in range(4)]
    running = [
        subprocess.Popen([sys.executable, "-c", PULL, str(folder)], env=env, stderr=subprocess.PIPE)
        for folder in folders
    ]
    for process in running:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
    for folder in folders:
        assert sorted(p.name for p in folder.iterdir()) == ["big", "small"]
        for name in ("big", "small"):
            assert (folder / name).read_bytes() == (pushed / name).read_bytes()
    cache = Cache(home / "cache", 1 << 40)
    assert cache.verify() == (2, [])
    assert list((home / "cache").rglob("*.tmp")) == []


def test_limits_are_sizes(monkeypatch, home):
    """Sizes with units are read; the environment goes before what is stored; nonsense is named."""
    assert config.cache_limit() == 20 * 1024**3
    config.save_cache_limit(5)
    assert config.cache_limit() == 5
    for text, size in (("0", 0), ("1.5 GiB", 3 * 2**29), ("2kB", 2000), ("7B", 7)):
        monkeypatch.setenv("WEIGHBRIDGE_CACHE_LIMIT", text)
        assert config.cache_limit() == size
    monkeypatch.setenv("WEIGHBRIDGE_CACHE_LIMIT", "lots")
    with pytest.raises(errors.InvalidRequest, match="WEIGHBRIDGE_CACHE_LIMIT"):
        config.cache_limit()


def test_patterns_leave_files_out(fake, pushed, tmp_path):
    """`exclude` wins over `files`; leaving nothing is an error."""
    with Registry(fake.url, TOKEN) as registry:
        pulled = registry.pull("p/m", tmp_path / "out", exclude="b*")
        assert [entry.path for entry in pulled.files] == ["small"]
        with pytest.raises(errors.NotFound):
            registry.pull("p/m", tmp_path / "out", files="b*", exclude=["b*"])
