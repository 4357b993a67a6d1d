"""Versions become visible as a whole, in order, once."""

import json
import struct
import threading

import pytest

from chalicelib.registry import models, publishing, uploads, versions
from tests.registry_world import key_of, publish, upload
from weighbridge.contract import digests, manifests, references
from weighbridge.contract.errors import (
    AlreadyExists,
    Conflict,
    Gone,
    IntegrityError,
    InvalidManifest,
    InvalidRequest,
    NotFound,
    TooLarge,
)
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import (
    FilePage,
    NewVersion,
    PlanRequest,
    PutDone,
    VersionCommit,
    WantedBlob,
)


def find(stores, text):
    reference = references.parse(text)
    return versions.resolve(
        stores, reference.project, reference.model, reference.version or references.LATEST
    ).version


def begin(stores, key="k", label=""):
    return publishing.begin(stores, "ann", "vision", "digits", NewVersion(key_of(key), label))


def commit(stores, number, entries, **more):
    request = VersionCommit(manifests.digest(entries), tuple(entries), **more)
    return publishing.commit(stores, "ann", "vision", "digits", number, request)


def test_a_pushed_version_is_found_by_number_label_and_latest(stores):
    """A ready version answers to its number, its label and `latest`."""
    publish(stores, {"a.txt": b"one"})
    version = publish(stores, {"a.txt": b"two"}, label="1.4.2", metrics={"accuracy": 0.9})
    assert version.number == 2
    assert version.state == "ready"
    for text in ("vision/digits@2", "vision/digits@=1.4.2", "vision/digits"):
        found = find(stores, text)
        assert (found.number, found.metrics) == (2, {"accuracy": 0.9})


def test_an_open_version_is_not_listed_and_is_not_the_latest(stores):
    """Until its commit a version is in no list and behind no selector but its number."""
    publish(stores, {"a.txt": b"one"})
    opened = begin(stores)
    record = models.find(stores, "vision", "digits")
    assert [v.number for v in versions.listing(stores, record).items] == [1]
    assert find(stores, "vision/digits").number == 1
    assert find(stores, f"vision/digits@{opened.number}").state == "open"


def test_the_same_key_opens_one_version(stores):
    """Begin is idempotent by its key."""
    assert begin(stores, "same").number == begin(stores, "same").number
    assert begin(stores, "other").number == 2


def test_sixty_four_writers_get_sixty_four_numbers(stores):
    """Concurrent writers get distinct, increasing numbers without holes."""
    numbers = []
    lock = threading.Lock()

    def work(index):
        number = begin(stores, f"writer {index}").number
        with lock:
            numbers.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 65))


def test_a_taken_label_is_refused_and_names_its_holder(stores):
    """A label belongs to one version of the model."""
    publish(stores, {"a": b"x"}, label="v-one")
    with pytest.raises(AlreadyExists) as caught:
        begin(stores, "again", "v-one")
    assert caught.value.details == {"label": "v-one", "version": 1}


def test_the_label_of_an_aborted_version_is_free_again(stores):
    """Aborting gives the label back, but never the number."""
    first = begin(stores, "one", "nightly")
    publishing.abort(stores, "ann", "vision", "digits", first.number)
    second = begin(stores, "two", "nightly")
    assert second.number == first.number + 1
    with pytest.raises(Gone):
        find(stores, f"vision/digits@{first.number}")


def test_committing_twice_is_one_version_and_other_content_is_refused(stores):
    """Commit is idempotent for equal content; a ready version's files never change."""
    opened = begin(stores)
    one = upload(stores, "vision", {"a": b"one"})
    two = upload(stores, "vision", {"a": b"two"})
    assert commit(stores, opened.number, one) == commit(stores, opened.number, one)
    with pytest.raises(Conflict):
        commit(stores, opened.number, two)
    with pytest.raises(Conflict):
        publishing.add_files(stores, "vision", "digits", opened.number, FilePage(two))
    assert find(stores, "vision/digits@1").manifest == manifests.digest(one)


def test_a_manifest_that_names_an_absent_blob_is_refused(stores):
    """A version cannot refer to bytes that the project does not hold, and nothing becomes visible."""
    opened = begin(stores)
    digest = digests.sha256_of(b"never sent")
    entry = FileEntry("a", 10, digest, digests.single_blob(digest, 10))
    with pytest.raises(InvalidManifest) as caught:
        commit(stores, opened.number, [entry])
    assert caught.value.details["path"] == "a"
    assert find(stores, "vision/digits@1").state == "open"


def test_blobs_of_another_project_count_as_absent(stores):
    """Deduplication never crosses a project."""
    from tests.registry_world import setup_model

    setup_model(stores, "secret", "m")
    upload(stores, "secret", {"a": b"their bytes"})
    digest = digests.sha256_of(b"their bytes")
    blob = digests.single_blob(digest, 11)
    plan = uploads.plan(stores, "ann", "vision", PlanRequest((WantedBlob(blob),)))
    assert plan.blobs[0].action == "put"
    opened = begin(stores)
    with pytest.raises(InvalidManifest):
        commit(stores, opened.number, [FileEntry("a", 11, digest, blob)])


def test_a_manifest_digest_that_differs_is_refused(stores):
    """The server computes the manifest's digest itself."""
    opened = begin(stores)
    entries = upload(stores, "vision", {"a": b"one"})
    request = VersionCommit("0" * 64, entries)
    with pytest.raises(IntegrityError):
        publishing.commit(stores, "ann", "vision", "digits", opened.number, request)


@pytest.mark.parametrize(
    "path", ["../up", "/abs", "a/../b", "a//b", "C:/x", "a\\b", "a\x00b", "", ".", "x" * 1025]
)
def test_paths_that_leave_the_folder_are_refused(stores, path):
    """Hostile paths are refused before anything is written."""
    opened = begin(stores)
    [entry] = upload(stores, "vision", {"ok": b"one"})
    bad = FileEntry(path, entry.size, entry.sha256, entry.blob)
    with pytest.raises(InvalidManifest):
        publishing.commit(
            stores, "ann", "vision", "digits", opened.number, VersionCommit("0" * 64, (bad,))
        )


def test_a_path_that_stands_twice_is_refused(stores):
    """No two files of a version share a path, and no file is also a folder."""
    opened = begin(stores)
    [a] = upload(stores, "vision", {"a": b"one"})
    for second in ("a", "a/b"):
        other = FileEntry(second, a.size, a.sha256, a.blob)
        with pytest.raises(InvalidManifest):
            publishing.commit(
                stores, "ann", "vision", "digits", opened.number,
                VersionCommit("0" * 64, (a, other)),
            )  # fmt: skip


def safetensors_file(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (safetensors_file(b""), "empty"),
        (safetensors_file(b"{}", length=2**63), "claims"),
        (
            safetensors_file(
                json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode(),
                b"\0" * 8,
            ),
            "truncated",
        ),
        (b"\x01\x02", "too few"),
        (safetensors_file(b"not json!"), "no JSON"),
    ],
)
def test_damaged_safetensors_files_are_refused(stores, content, word):
    """A file that claims to be safetensors and is not leaves nothing visible."""
    opened = begin(stores)
    entries = upload(stores, "vision", {"model.safetensors": content})
    with pytest.raises(IntegrityError, match=word):
        commit(stores, opened.number, entries)
    assert find(stores, "vision/digits@1").state == "open"


def test_more_files_than_one_request_holds_are_added_in_pages(stores):
    """2,500 files are added in pages and published as one manifest."""
    opened = begin(stores)
    [base] = upload(stores, "vision", {"x": b"same bytes"})
    files = [FileEntry(f"d/{i:05}", base.size, base.sha256, base.blob) for i in range(2500)]
    for start in range(0, 2500, 1000):
        page = FilePage(tuple(files[start : start + 1000]))
        publishing.add_files(stores, "vision", "digits", opened.number, page)
        publishing.add_files(stores, "vision", "digits", opened.number, page)
    request = VersionCommit(manifests.digest(files))
    version = publishing.commit(stores, "ann", "vision", "digits", opened.number, request)
    assert (version.files, version.size) == (2500, 2500 * base.size)


def test_too_many_files_in_one_page_are_refused(stores):
    """A page of files has a stated limit."""
    opened = begin(stores)
    [base] = upload(stores, "vision", {"x": b"b"})
    files = tuple(
        FileEntry(f"{i}", base.size, base.sha256, base.blob) for i in range(publishing.MAX_PAGE + 1)
    )
    with pytest.raises(TooLarge):
        publishing.add_files(stores, "vision", "digits", opened.number, FilePage(files))


def test_a_put_that_did_not_arrive_is_not_believed(stores):
    """Reporting a PUT as done without sending it is refused."""
    digest = digests.sha256_of(b"abc")
    blob = digests.single_blob(digest, 3)
    plan = uploads.plan(stores, "ann", "vision", PlanRequest((WantedBlob(blob),)))
    done = PlanRequest((), (PutDone(blob, plan.blobs[0].key),))
    with pytest.raises(IntegrityError):
        uploads.plan(stores, "ann", "vision", done)


def test_another_objects_key_cannot_take_a_blobs_name(stores):
    """A client cannot claim that an object it stored is a blob with another digest."""
    upload(stores, "vision", {"a": b"real"})
    evil = digests.sha256_of(b"evil!")
    evil_blob = digests.single_blob(evil, 5)
    plan = uploads.plan(stores, "ann", "vision", PlanRequest((WantedBlob(evil_blob),)))
    stores.blobs.execute(plan.blobs[0].request, b"evil!")
    wanted = digests.single_blob(digests.sha256_of(b"other"), 5)
    with pytest.raises(IntegrityError):
        uploads.plan(
            stores, "ann", "vision", PlanRequest((), (PutDone(wanted, plan.blobs[0].key),))
        )
    with pytest.raises(InvalidRequest):
        uploads.plan(
            stores, "ann", "vision", PlanRequest((), (PutDone(evil_blob, "blobs/other/x"),))
        )


def test_unchanged_bytes_are_not_asked_for_again(stores):
    """What the project holds already needs nothing."""
    upload(stores, "vision", {"a": b"one"})
    digest = digests.sha256_of(b"one")
    blob = digests.single_blob(digest, 3)
    plan = uploads.plan(stores, "ann", "vision", PlanRequest((WantedBlob(blob),)))
    assert plan.blobs[0].action == "have"


def test_the_best_version_follows_the_declared_direction(stores):
    """`best` needs a direction, respects it, and ignores values that are no number."""
    from weighbridge.contract.types import ModelChanges, ModelSettings

    for value in (0.5, float("nan"), 0.25, 0.75, 0.25):
        publish(stores, {"a": str(value).encode()}, metrics={"loss": value})
    record = models.find(stores, "vision", "digits")
    with pytest.raises(InvalidRequest, match="direction"):
        versions.best(stores, record, "loss")
    for best, expected in (("min", 5), ("max", 4)):
        settings = ModelSettings(main_metric="loss", directions={"loss": best})
        models.change(stores, "ann", "vision", "digits", ModelChanges(settings=settings))
        record = models.find(stores, "vision", "digits")
        assert versions.best(stores, record, "").number == expected


def test_parents_must_be_ready_versions(stores):
    """Lineage names versions that exist and are ready."""
    publish(stores, {"a": b"base"})
    child = publish(stores, {"a": b"tuned"}, parents=("vision/digits@1",))
    assert child.parents == ("vision/digits@1",)
    record = versions.resolve(stores, "vision", "digits", references.parse_version("1"))
    assert versions.children(stores, record) == ["vision/digits@2"]
    opened = begin(stores, "open one")
    with pytest.raises(Conflict):
        publish(stores, {"a": b"y"}, parents=(f"vision/digits@{opened.number}",))
    with pytest.raises(NotFound):
        publish(stores, {"a": b"y"}, parents=("vision/digits@99",))


def test_a_damaged_file_is_refused_also_when_it_was_indexed_as_a_plain_one(stores):
    """The name claims the format, whatever the indexer took the bytes for."""
    from chalicelib.indexing import objects

    opened = begin(stores)
    entries = upload(stores, "vision", {"model.safetensors": safetensors_file(b"")})
    for head in stores.blobs.list("blobs/").heads:
        objects.look(stores, head.key)
    with pytest.raises(IntegrityError, match="empty"):
        commit(stores, opened.number, entries)
