"""Archives too large for a form: uploaded as blobs, and taken in by a restore."""

import hashlib
import json

import pytest

from chalicelib.registry import parking, projects
from tests.api.conftest import ADMIN
from tests.fate import models
from tests.fate.test_v1_wire import token
from tests.registry_world import upload
from weighbridge.contract import digests
from weighbridge.contract.types import Scope

GUEST = ("guest", 9999)


@pytest.fixture
def training(flow):
    """A training, one of whose models makes the project."""
    return flow.add(models.federated(), [GUEST])


def park(flow, model, label, blob, secret=ADMIN):
    """Status and answer of naming a blob as an archive."""
    body = {"model": model, "label": label, "blob": blob}
    path = "/api/projects/models/federated/archives"
    status, _, text = flow.api.raw("POST", path, body, secret)
    return status, json.loads(text)


def uploaded(flow, data):
    """The blob of an archive that a client has pushed."""
    [entry] = upload(flow.stores, "models", {"archive.zip": data})
    return entry.blob


def test_an_uploaded_archive_is_restored_without_a_second_store(flow, training):
    """Once: then it is forgotten, and the restore needs a store again."""
    words = {**training.describe(*GUEST), "model_version": "large"}
    archive = training.archive(*GUEST)
    status, answer = park(flow, training.name(*GUEST), "large", uploaded(flow, archive))
    assert (status, answer["size"], answer["label"]) == (201, len(archive), "large")
    other = flow.ok("model/restore", {**words, "sha256": "0" * 64})
    assert (other["code"], "sha256" in other["message"]) == (103, True)
    found = flow.ok("model/restore", words)
    assert (found["code"], found["sha256"]) == (0, hashlib.sha256(archive).hexdigest())
    assert flow.fetch(words)[0].keys() == flow.fetch(training.describe(*GUEST))[0].keys()
    assert flow("model/restore", words)["retcode"] == 101


def test_an_archive_that_is_none_changes_nothing(flow, training):
    """It is refused as one in a store is, and can be replaced by a right one."""
    words = {**training.describe(*GUEST), "model_version": "bad"}
    park(flow, training.name(*GUEST), "bad", uploaded(flow, b"PK\x03\x04 no zip"))
    assert flow.ok("model/restore", words)["code"] == 103
    assert flow("model/query", {"model_version": "bad"})["retcode"] != 0
    park(flow, training.name(*GUEST), "bad", uploaded(flow, training.archive(*GUEST)))
    assert flow.ok("model/restore", words)["code"] == 0


def test_it_waits_for_a_day(flow, training):
    """Then neither its name nor its bytes are there."""
    blob = uploaded(flow, b"PK\x03\x04 waits")
    park(flow, training.name(*GUEST), "late", blob)
    project_id = projects.find(flow.stores, "models").id
    name = training.name(*GUEST)
    assert parking.find(flow.stores, project_id, name, "late").blob == blob
    flow.api.clock.time += flow.stores.lease_seconds
    assert parking.find(flow.stores, project_id, name, "late") is None


@pytest.mark.parametrize(
    ("model", "blob", "status", "said"),
    [("digits", None, 400, "no party's model"), (None, digests.single_blob("0" * 64, 5), 404, "no blob"),
     (None, "nonsense", 400, "nonsense")],
)  # fmt: skip
def test_what_is_wrong_is_said(flow, training, model, blob, status, said):
    """And nothing is kept."""
    found = park(
        flow, model or training.name(*GUEST), "x", blob or uploaded(flow, b"PK\x03\x04 something")
    )
    assert found[0] == status
    assert said in found[1]["error"]["message"]


def test_it_needs_the_right_to_write_that_model(flow, training):
    """A token for another model will not do."""
    blob = uploaded(flow, b"PK\x03\x04 something")
    read = Scope(("read",), "models")
    for scopes in ((read,), (read, Scope(("write",), "models", "host#*"))):
        secret = token(flow, *scopes).secret
        assert park(flow, training.name(*GUEST), "x", blob, secret)[0] == 403
