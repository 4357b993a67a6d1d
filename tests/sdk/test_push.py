"""Pushing: what is sent, what is not, and what becomes visible."""

import pytest

from tests.sdk.fake_server import MIB
from weighbridge.contract import errors, types
from weighbridge.contract.digests import parse_blob


def _paths(seen, kind):
    return [path for method, path, _ in seen if f"{method} {path}".startswith(kind)]


def test_push_publishes_a_version_with_its_files(registry, state, content):
    """A push of a folder becomes version 1, with every file, hidden and empty ones included."""
    big = content("model/weights.bin", 40 * MIB)
    content("model/.hidden/notes", 3)
    content("model/empty", 0)
    pushed = registry.push("p/m", big.parent, metrics={"loss": 0.5}, params={"lr": 1e-3})
    assert pushed.reference == "p/m@1"
    assert [e.path for e in pushed.entries] == [".hidden/notes", "empty", "weights.bin"]
    assert pushed.sent_bytes == 40 * MIB + 3
    assert pushed.parts_sent == 5
    (version,) = state.ready()
    assert version.manifest == pushed.manifest
    assert version.metrics == {"loss": 0.5}
    assert version.provenance.python


def test_large_file_is_stored_as_parts_of_16_mib(registry, state, content):
    """A file above 16 MiB becomes a composite blob; the joined object has its very bytes."""
    big = content("w", 33 * MIB)
    pushed = registry.push("p/m", big)
    blob = parse_blob(pushed.entries[0].blob)
    assert (blob.parts, blob.size) == (3, 33 * MIB)
    assert big.read_bytes() in state.objects.values()


def test_unchanged_push_sends_no_bytes(registry, state, content):
    """The second push of the same files sends nothing and makes three API requests."""
    big = content("w", 20 * MIB)
    registry.push("p/m", big)
    before = len(state.seen)
    pushed = registry.push("p/m", big)
    assert (pushed.version, pushed.sent_bytes, pushed.reused_bytes) == (2, 0, 20 * MIB)
    assert len(state.seen) - before == 3


def test_equal_files_are_sent_once(registry, content):
    """Two files with the same bytes are one blob, sent once."""
    content("m/a", 1000)
    folder = content("m/b", 1000).parent
    pushed = registry.push("p/m", folder)
    assert (pushed.sent_bytes, pushed.reused_bytes, pushed.files) == (1000, 1000, 2)


def test_many_files_are_planned_and_added_in_pages(registry, state, content, tmp_path):
    """2,345 files need a plan call per two thousand and one for the rest, are added at once, and
    all arrive."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(2345):
        (folder / f"f{number:04}").write_bytes(number.to_bytes(4, "big"))
    pushed = registry.push("p/m", folder)
    posts = [path for method, path, _ in state.seen if method == "POST"]
    assert sum(path.endswith("/uploads") for path in posts) <= 4
    assert sum(path.endswith("/files") for path in posts) == 1
    assert pushed.files == 2345
    assert state.ready()[0].files == 2345
    pulled = registry.pull("p/m", tmp_path / "out")
    assert len(pulled.files) == 2345
    assert (tmp_path / "out" / "f2344").read_bytes() == (2344).to_bytes(4, "big")


@pytest.mark.parametrize("most", ["1", "3", "200"])
def test_any_number_of_connections_moves_everything(registry, content, tmp_path, monkeypatch, most):
    """Large files in parts, and small ones, there and back."""
    monkeypatch.setenv("WEIGHBRIDGE_CONNECTIONS", most)
    folder = content("m/big", 50 * MIB).parent
    for number in range(60):
        content(f"m/small{number}", 100 + number)
    pushed = registry.push("p/m", folder)
    assert (pushed.files, pushed.sent_bytes) == (61, 50 * MIB + sum(range(100, 160)))
    registry.pull("p/m", tmp_path / "out")
    for file in folder.iterdir():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()


def test_as_names_a_file_and_prefixes_a_folder(registry, content):
    """`as_name` renames one file, or is the folder of a folder's content."""
    one = content("m/a", 10)
    assert registry.push("p/m", one, as_name="x/y.bin").entries[0].path == "x/y.bin"
    assert registry.push("p/m", one.parent, as_name="x").entries[0].path == "x/a"


def test_alias_is_moved_to_the_new_version(registry, state, content):
    """Aliases given with a push point to what it published."""
    registry.push("p/m", content("a", 10), alias=["production", "canary"])
    assert state.aliases == {("p", "m", "production"): 1, ("p", "m", "canary"): 1}


def test_dry_run_asks_nothing(registry, state, content):
    """A dry run reports what would be published, without a single request."""
    pushed = registry.push("p/m", content("a", 10), dry_run=True)
    assert pushed.dry_run
    assert pushed.version == 0
    assert pushed.manifest
    assert state.seen == []


def test_a_first_push_begins_with_one_request(registry, state, content):
    """Project and model are made by the request that opens the version."""
    registry.push("p/m", content("a", 10))
    asked = [(method, path) for method, path, _ in state.seen if path.startswith("/api/")]
    assert asked[0] == ("POST", "/api/projects/p/models/m/versions")
    assert [path.rsplit("/", 1)[1] for _, path in asked[1:]] == ["uploads", "uploads", "commit"]


def test_without_create_a_missing_model_is_an_error(registry, state, content):
    """`create=False` never makes a project or model."""
    with pytest.raises(errors.NotFound):
        registry.push("p/m", content("a", 10), create=False)
    assert state.projects == set()


def test_label_that_is_taken_is_refused_before_bytes_move(registry, state, content):
    """A label that another version has is refused, and nothing is sent."""
    registry.push("p/m", content("a", 10), label="1.0")
    with pytest.raises(errors.AlreadyExists):
        registry.push("p/m", content("b", 10, seed=2), label="1.0")
    assert len(state.ready()) == 1
    assert len(state.objects) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"metrics": {"": 1.0}},
        {"metrics": {"a": "high"}},
        {"metrics": {"a": True}},
        {"params": {"a": object()}},
        {"tags": {"a": 1}},
        {"label": "a\nb"},
        {"alias": "latest"},
        {"alias": "7"},
        {"parents": ["nonsense"]},
        {"as_name": "../x"},
        {"as_name": "/x"},
    ],
)
def test_illegal_words_are_refused_before_any_request(registry, state, content, bad):
    """Names and values outside the grammar raise, with nothing asked of the server."""
    with pytest.raises(errors.InvalidRequest):
        registry.push("p/m", content("a", 10), **bad)
    assert state.seen == []


def test_token_is_never_sent_to_the_store(registry, state, content, tmp_path):
    """Only API requests carry the token; requests to the store carry no authorization."""
    registry.push("p/m", content("a", 20 * MIB))
    registry.push("p/m", content("b", 10))
    registry.pull("p/m@1", tmp_path / "out")
    to_store = [headers for _, path, headers in state.seen if path.startswith("/s3/")]
    assert len(to_store) >= 5
    for headers in to_store:
        assert not any("wb_test_secret" in value for value in headers.values())
    assert all("Authorization" in h for _, path, h in state.seen if path.startswith("/api/"))


def test_blob_that_vanished_before_commit_is_sent_again(registry, state, content):
    """A blob that was swept between its upload and the commit is brought once more."""

    def sweep(kind, path):
        if path.endswith("/commit") and not swept:
            swept.append(1)
            state.blobs.clear()

    swept: list[int] = []
    state.before = sweep
    pushed = registry.push("p/m", content("a", 100))
    assert pushed.version == 1
    assert state.ready()[0].manifest == pushed.manifest


def test_numpy_numbers_are_plain_in_what_is_published(registry, state, content):
    """NumPy scalars may be given as metrics and parameters."""
    numpy = __import__("numpy")
    registry.push(
        "p/m",
        content("a", 1),
        metrics={"a": numpy.float32(0.5)},
        params={"n": numpy.int64(3), "l": [numpy.float64(1.5)]},
    )
    version = state.ready()[0]
    assert version.metrics == {"a": 0.5}
    assert version.params == {"n": 3, "l": [1.5]}


def test_given_provenance_is_used_as_it_is(registry, state, content):
    """Provenance that the caller gives replaces what would be collected."""
    given = types.Provenance(git_commit="abc", command="train")
    registry.push("p/m", content("a", 1), provenance=given)
    assert state.ready()[0].provenance == given


def test_push_to_something_that_is_no_model_is_refused(registry, content):
    """`project/model@3` names a version, which a push cannot choose."""
    with pytest.raises(errors.InvalidName):
        registry.push("p/m@3", content("a", 1))
