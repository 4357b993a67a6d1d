"""Opening an upload tells the server of the parts that are known, as many as it takes."""

import pytest

from weighbridge.contract.cuts import Span
from weighbridge.contract.types import Part
from weighbridge.contract.types import Upload as Opened
from weighbridge.transfer.hashing import Stamp
from weighbridge.transfer.journal import Journal
from weighbridge.transfer.multipart import Multiparts, Ready

MOST = 1000


class Client:
    """Writes down which parts it was told of."""

    def __init__(self):
        self.told = []

    def open_upload(self, project, size, scheme, parts):
        self.told = [part.number for part in parts]
        return Opened("u1")


@pytest.mark.parametrize("count", [1, MOST, MOST + 1, 1900, 2000, 9_999])
def test_no_more_parts_are_told_than_a_request_may_have(tmp_path, count):
    """Of very many known parts the first ones and the last ones are told, each once, in order."""
    client = Client()
    uploads = Multiparts(client, "p", Journal(None, None, []), None, None, None)
    known = [
        Ready(Part(number, "0" * 64, 1), Span(number, number - 1, 1))
        for number in range(1, count + 1)
    ]
    uploads.open(tmp_path / "f", Stamp(count, 0, 0, 0), 2, "name", known)
    assert len(client.told) == min(count, MOST)
    assert client.told == sorted(set(client.told))
    assert {1, count} <= set(client.told)
