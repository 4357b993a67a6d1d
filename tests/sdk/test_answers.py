"""Heads of answers are read as the standard library reads them, only faster."""

import http.client
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.answers import Answer

TOKENS = st.text("abcXYZ019-", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_categories=["C", "Z"]),
                 max_size=20)  # fmt: skip
FIELDS = st.one_of(
    st.tuples(TOKENS.map("X-".__add__), VALUES),
    st.tuples(st.sampled_from(["Connection", "connection"]),
              st.sampled_from(["close", "Keep-Alive", "upgrade, Close", "x"])),
    st.tuples(st.just("Content-Length"), st.sampled_from(["0", "3", "7", "-1", "x", ""])),
    st.tuples(st.just("Transfer-Encoding"), st.sampled_from(["chunked", "Chunked", "gzip"])),
)  # fmt: skip
STATUS = st.sampled_from([100, 101, 200, 204, 206, 304, 403, 500])
BODY = b"3\r\nabc\r\n0\r\n\r\n"


class Wire:
    """Stands for a socket."""

    def __init__(self, data):
        self.data = data

    def makefile(self, mode):
        """What was received."""
        return io.BufferedReader(io.BytesIO(self.data))


def read(kind, data, method="GET"):
    """What a class makes of an answer; the name of the error if it makes none."""
    answer = kind(Wire(data), method=method)
    try:
        answer.begin()
        seen = (answer.status, answer.reason, answer.version, answer.getheaders())
        return *seen, answer.will_close, answer.chunked, answer.length, answer.read()
    except http.client.HTTPException as error:
        return type(error).__name__


def both(data, method="GET"):
    """Ours, which must be theirs."""
    ours, theirs = read(Answer, data, method), read(http.client.HTTPResponse, data, method)
    assert ours == theirs
    return ours


@given(
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/1.2"]), STATUS, st.lists(FIELDS, max_size=6),
    st.sampled_from(["GET", "HEAD", "PUT"]),
)  # fmt: skip
def test_any_sound_answer_is_read_alike(protocol, status, fields, method):
    """Status, fields in order, whether the connection stays, and the body."""
    lines = [f"{protocol} {status} Some reason", *(f"{n}: {v}" for n, v in fields)]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    again = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" if status == 100 else b""
    both(head + again + BODY, method)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 200\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nA: 1\r\n b\r\nContent-Length: 1\r\n\r\nabc",
        b"HTTP/1.1 200 OK\nA:1\nContent-Length:2\n\nabc", b"HTTP/1.1 200 OK\r\nA: 1",
        b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: 1\r\n" * 101 + b"\r\n",
    ],
)  # fmt: skip
def test_damaged_answers_are_the_same_errors(data):
    """What is no HTTP, too long or too much is refused as ever."""
    ours, theirs = read(Answer, data), read(http.client.HTTPResponse, data)
    if b"\r\n b" in data:  # a value that goes on in another line: there joined by the line's end
        assert ours[3][0] == ("A", "1 b")
        assert ours[4:] == theirs[4:]
    else:
        assert ours == theirs


def test_a_line_that_is_no_field_hides_no_other():
    """It is left out; the fields around it count."""
    data = b"HTTP/1.1 200 OK\r\nfoo\r\nContent-Length: 2\r\nb ad: 1\r\n\r\nabc"
    ours = read(Answer, data)
    assert ("Content-Length", "2") in ours[3]
    assert ours[-1] == b"ab"
