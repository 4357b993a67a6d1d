"""The decisions about moving bytes, as properties."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.contract import digests, types
from weighbridge.contract.errors import TooLarge
from weighbridge.contract.manifests import MAX_SIZE, FileEntry
from weighbridge.transfer import plan

MIB = plan.MIB
SIZES = st.one_of(
    st.integers(0, 40 * MIB),
    st.integers(0, MAX_SIZE),
    st.sampled_from([0, 1, 16 * MIB, 16 * MIB + 1, 160_000 * MIB, 160_000 * MIB + 1, MAX_SIZE]),
)


@settings(deadline=None)
@given(SIZES)
def test_parts_fit_the_stores_limits(size):
    """Parts are whole MiB of 5 MiB or more and at most 10,000, whatever the size."""
    step = plan.part_size(size)
    if size <= 16 * MIB:
        assert step == 0
        return
    assert step % MIB == 0
    assert 5 * MIB <= step <= 5 * 1024 * MIB
    assert -(-size // step) <= 10_000


@settings(deadline=None)
@given(st.integers(16 * MIB + 1, 3000 * MIB))
def test_cuts_cover_the_file_exactly(size):
    """Parts follow each other without gap or overlap; all but the last are equal."""
    spans = plan.cuts(size)
    position = 0
    for number, span in enumerate(spans, 1):
        assert (span.number, span.offset) == (number, position)
        position += span.size
    assert position == size
    assert len({span.size for span in spans[:-1]}) <= 1
    assert 0 < spans[-1].size <= spans[0].size


def test_file_above_the_stores_limit_is_refused():
    """A file that S3 could not hold is refused before it is read."""
    with pytest.raises(TooLarge):
        plan.part_size(MAX_SIZE + 1)


@settings(deadline=None)
@given(SIZES)
def test_reading_fetches_every_byte_once(size):
    """The ranges of a download cover the blob exactly, and are its parts where the cut is known."""
    step = plan.part_size(size)
    parts = -(-size // step) if step else 0
    for known in {parts, 0, parts + 1}:
        blob = digests.BlobDigest(digests.Sha256("0" * 64), size, known, 1 if known else 0)
        reading = plan.reading(blob)
        assert sum(span.size for span in reading.ranges) == size
        assert reading.ranges[0].offset == 0
        assert reading.composite == bool(parts and known == parts)


def test_unknown_cut_scheme_is_read_without_its_parts():
    """A blob that a newer client cut otherwise is still read whole."""
    blob = digests.BlobDigest(digests.Sha256("0" * 64), 40 * MIB, 3, scheme=2)
    assert not plan.reading(blob).composite


@settings(deadline=None)
@given(st.lists(st.integers(), max_size=50), st.integers(1, 7))
def test_batches_keep_order_and_lose_nothing(items, most):
    """Batches are the items in order, none larger than allowed."""
    batches = list(plan.batches(items, most))
    assert [item for batch in batches for item in batch] == items
    assert all(0 < len(batch) <= most for batch in batches)


@settings(deadline=None)
@given(st.integers(0, 2000), st.integers(0, 10**10), st.booleans())
def test_a_plan_is_asked_for_in_time(waiting, size, more):
    """Never for nothing; always when a request would be full, or nothing more comes."""
    now = plan.ask_now(waiting, size, more)
    assert now == (waiting > 0 and (not more or waiting >= plan.PLAN_BLOBS or size >= 256 * MIB))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 1000), max_size=60).map(lambda sizes: sizes * 400))
def test_pages_of_files_fit_into_requests(lengths):
    """All files, in order; no page has too many or weighs more than a function is handed."""
    blob = digests.single_blob(digests.sha256_of(b""), 0)
    files = [FileEntry("x" * n, 0, "0" * 64, blob) for n in lengths]
    pages = list(plan.pages(files))
    assert [entry for page in pages for entry in page] == files
    for page in pages:
        assert 1 <= len(page) <= plan.FILES
        weight = sum(len(entry.path) * 2 + 250 for entry in page)
        assert weight <= plan.FILES_BYTES or len(page) == 1


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(1, 20), st.floats(0, 1))
def test_backoff_grows_to_a_bound_and_ends(attempt, most, fraction):
    """Delays are bounded, and there are no more attempts than allowed."""
    delay = plan.retry_delay(attempt, most, fraction)
    if attempt >= most:
        assert delay is None
    else:
        assert delay is not None
        assert 0 <= delay <= min(plan.BACKOFF_CAP, plan.BACKOFF * 2**attempt)


@pytest.mark.parametrize(
    ("status", "repeatable", "expected"),
    [(200, True, None), (400, True, None), (404, True, None), (500, True, 1), (503, False, 1),
     (500, False, None), (429, False, 1), (504, True, 1)],
)  # fmt: skip
def test_which_answers_are_repeated(status, repeatable, expected):
    """Passing failures are; what the server acted on perhaps, only where a repeat is harmless."""
    delay = plan.retry_answer(status, 1, 5, 0.5, repeatable=repeatable)
    assert (delay is None) == (expected is None)


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [("7", 7, 7), ("9999", 60, 60), ("-1", 0, 1), ("soon", 0, 1), ("²", 0, 1)],
)
def test_retry_after_is_obeyed_within_reason(asked, least, most):
    """A server may ask for up to a minute; what is no number is ignored."""
    delay = plan.retry_answer(503, 1, 5, 0.5, retry_after=asked)
    assert delay is not None
    assert least <= delay <= most


@pytest.mark.parametrize(
    ("status", "code", "step"),
    [
        (200, "", "done"),
        (412, "PreconditionFailed", "done"),
        (400, "BadDigest", "reread"),
        (400, "XAmzContentChecksumMismatch", "reread"),
        (400, "RequestTimeout", "retry"),
        (400, "ExpiredToken", "again"),
        (403, "AccessDenied", "again"),
        (404, "NoSuchUpload", "again"),
        (409, "ConditionalRequestConflict", "retry"),
        (500, "InternalError", "retry"),
        (503, "SlowDown", "retry"),
        (501, "NotImplemented", "refused"),
        (405, "MethodNotAllowed", "refused"),
        (301, "PermanentRedirect", "refused"),
    ],
)
def test_what_an_answer_of_the_store_means(status, code, step):
    """Each answer of the store leads to one step."""
    assert plan.after_put(status, code) == step


def test_parts_still_to_send():
    """Parts without a request are held already; parts without an answer wait."""
    parts = [types.Part(n, "0" * 64, 5) for n in (1, 2, 3)]
    signed = types.SignedRequest("PUT", "http://x", {})
    answer = types.PartsPlan((types.PartPlan(2, signed), types.PartPlan(1)))
    send, held = plan.to_send(answer, parts)
    assert send == ((parts[1], signed),)
    assert held == (parts[0],)


@pytest.mark.parametrize(
    ("state", "manifest", "step"),
    [
        ("open", "", "continue"),
        ("ready", "wanted", "finished"),
        ("ready", "other", "begin"),
        ("aborted", "wanted", "begin"),
        ("deleted", "wanted", "begin"),
    ],
)
def test_what_an_interrupted_push_does_next(state, manifest, step):
    """An open version is continued, a finished one recognised, any other left alone."""
    assert plan.resume(state, manifest, "wanted") == step


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_small_file_is_a_single_blob(data):
    """The blob id of a small file is its sha256 and size."""
    whole = digests.sha256_of(data)
    assert plan.blob_of(len(data), whole, []) == f"s-{hashlib.sha256(data).hexdigest()}-{len(data)}"
