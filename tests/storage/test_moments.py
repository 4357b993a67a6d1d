"""Times in a store's answers are read as botocore reads them."""

import pytest
from botocore.utils import parse_timestamp
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.storage.s3_client import moment


@given(st.datetimes(), st.sampled_from(["seconds", "milliseconds", "microseconds"]))
def test_times_of_lists_are_botocores(found, precision):
    """In the form that S3 and SeaweedFS write, with and without fractions."""
    text = f"{found.isoformat(timespec=precision)}Z"
    assert moment(text) == parse_timestamp(text)


@pytest.mark.parametrize(
    "text",
    ["Wed, 21 Oct 2026 07:28:00 GMT", "2026-10-21T07:28:00+02:00", "1790000000", 1790000000.5,
     "20261021T072800Z", "2026-10-21T07:28Z"],
)  # fmt: skip
def test_other_forms_are_botocores(text):
    """Headers, other zones and numbers."""
    assert moment(text) == parse_timestamp(text)


@pytest.mark.parametrize("text", ["", "yesterday", "9Z", "2026-13-45T99:00:00Z"])
def test_what_is_no_time_is_no_time(text):
    """Either reads it, or neither."""
    try:
        theirs = parse_timestamp(text)
    except (ValueError, RuntimeError):
        with pytest.raises((ValueError, RuntimeError)):
            moment(text)
    else:
        assert moment(text) == theirs
