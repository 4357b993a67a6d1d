"""Our own client of Geti 2.x, against a server that fails in all the ways that were seen."""

import io
import json
import logging
import zipfile
from dataclasses import replace

import pytest

from tests.geti import stub
from tests.geti.stub import TOKEN, number, package
from weighbridge.contract import geti as values
from weighbridge.contract.errors import (
    Forbidden,
    IntegrityError,
    InvalidRequest,
    NotFound,
    TooLarge,
    TransferError,
    Unauthenticated,
    Unavailable,
)
from weighbridge.contract.geti_access import Access, read
from weighbridge.geti import packages
from weighbridge.geti.rest import RestSource
from weighbridge.http import Untrusted

TWICE = package("deployment/a", "deployment/b").replace(b"deployment/b", b"deployment/a")
CHANGED = package("deployment/x", method=zipfile.ZIP_STORED).replace(b"<net/>", b"<nut/>")


def first(source, own):
    """The first optimised model of a project."""
    return next(source.get_project(own).found())


def test_projects_are_listed_with_their_openvino_models(geti, source):
    """Groups and versions as the server has them; other forms of a model and the model itself are left out."""
    own = geti.project(0x100, "Pallets")
    geti.project(0x200, "Bolts", ("detection", "classification"))
    first, second = source.list_projects()
    assert values.shown(first) == {
        "id": own, "name": "Pallets", "creation_time": stub.MADE, "model_groups": [{
            "id": number(0x101), "name": "YOLOX-TINY", "model_versions": [{
                "id": number(0x102), "name": "YOLOX-TINY", "version": 1, "openvino_models": [
                    {"id": number(0x103), "name": "YOLOX-TINY OpenVINO FP16"},
                    {"id": number(0x104), "name": "YOLOX-TINY OpenVINO INT8"},
                ],
            }],
        }],
    }  # fmt: skip
    assert values.category(second) == "Detection_Classification"
    assert source.get_project(own) == first
    assert {headers["x-api-key"] for _, _, headers in geti.asked} == {TOKEN}


def test_pages_of_projects(geti, source):
    """All pages are read, also where the server sends fewer than it was asked for."""
    geti.page = 2
    owns = [geti.project(0x100 * n, f"P{n}") for n in range(1, 6)]
    assert [one.id for one in source.list_projects()] == owns
    assert sum(path.endswith("/projects") for _, path, _ in geti.asked) == 3


def test_a_project_without_openvino_models(geti, source):
    """It is listed, and has nothing to import."""
    own = geti.project(0x100, "Pallets")
    model = geti.models[number(0x102)]
    model["optimized_models"] = model["optimized_models"][2:]
    found = source.get_project(own)
    assert list(found.found()) == []
    assert values.shown(found)["model_groups"][0]["model_versions"][0]["openvino_models"] == []


def test_a_record_is_made_of_what_the_server_says(geti, source):
    """Names, precision in lower case, score, architecture, category, labels of the task."""
    own = geti.project(0x100, "Pallets & more", ("dataset", "rotated_detection"))
    found = first(source, own)
    said, metrics = values.described(found)
    assert metrics == {"score": 0.83}
    assert said == {
        "package_version": "1", "precision": ["fp16"], "format": "openvino", "origin": "Geti",
        "created_date": "2026-01-21T09:40:19+00:00", "project_id": own,
        "project_name": "Pallets & more", "category": "Rotated_Detection",
        "architecture": "YOLOX-TINY",
        "labels": [{"id": "l-box", "name": "box", "color": "#0015ffff", "group": "default",
                    "is_empty": False}],
    }  # fmt: skip
    assert found.project.file_name == "pallets-more.zip"


def test_a_package_is_fetched(geti, source):
    """Byte for byte, for the group it was asked for."""
    own = geti.project(0x100, "Pallets")
    target = io.BytesIO(b"x" * 5000)
    size = source.fetch_package(first(source, own), target)
    assert target.getvalue() == geti.packages[number(0x103)]
    assert size == len(target.getvalue())
    with pytest.raises(TooLarge):
        source.fetch_package(first(source, own), io.BytesIO(), most=10)


def test_what_fails_in_passing_is_asked_again(geti, source):
    """503, 429 and a package that was cut off; after four attempts it is given up."""
    own = geti.project(0x100, "Pallets")
    geti.fail("/workspaces$", 503, 429)
    geti.fail(":download", "cut", 500)
    target = io.BytesIO()
    source.fetch_package(first(source, own), target)
    assert target.getvalue() == geti.packages[number(0x103)]
    geti.fail(":download", "cut", "cut", "cut", "cut")
    with pytest.raises(TransferError, match=r"ended|broke"):
        source.fetch_package(first(source, own), target)
    before = len(geti.asked)
    geti.fail("/model_groups$", *[502] * 9)
    with pytest.raises(Unavailable, match="502"):
        source.get_project(own)
    assert len(geti.asked) - before == 1 + 4


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, Unauthenticated), (403, Forbidden), (404, NotFound), (400, TransferError), (302, TransferError)],
)  # fmt: skip
def test_refusals_have_their_own_errors_and_no_token(geti, source, caplog, status, error):
    """They are not repeated, and the token is in no message, log or `repr`."""
    caplog.set_level(logging.DEBUG)
    own = geti.project(0x100, "Pallets")
    source.get_project(own)
    before = len(geti.asked)
    geti.fail(f"/projects/{own}$", status, status)
    with pytest.raises(error) as caught:
        source.get_project(own)
    assert len(geti.asked) - before == 1
    assert TOKEN not in caught.value.message + caplog.text + repr(source) + repr(source._access)


def test_a_wrong_token_and_missing_things(geti, access, source):
    """Said as what they are."""
    with pytest.raises(Unauthenticated, match="GETI_TOKEN"):
        RestSource(replace(access, token="other")).list_projects()
    with pytest.raises(NotFound, match="could not be found"):
        source.get_project(number(1))
    own = geti.project(0x100, "Pallets")
    found = first(source, own)
    geti.packages.clear()
    with pytest.raises(NotFound):
        source.fetch_package(found, io.BytesIO())


def test_several_workspaces_need_a_choice(geti, access):
    """Which there are is said; the one that is set is taken without asking for it."""
    geti.workspaces.append("ws-2")
    with pytest.raises(InvalidRequest, match=r"ws-1 .*ws-2"):
        RestSource(access).list_projects()
    geti.asked.clear()
    chosen = RestSource(replace(access, workspace="ws-2", organization="org-1"))
    assert chosen.list_projects() == []
    assert [path for _, path, _ in geti.asked] == ["/organizations/org-1/workspaces/ws-2/projects"]


def test_of_several_organisations_the_oldest(geti, access, monkeypatch):
    """As the SDK chooses."""
    orgs = [{"organizationId": "new", "organizationCreatedAt": "2026-02-01"},
            {"organizationId": "org-1", "organizationCreatedAt": "2025-02-01"}]  # fmt: skip
    answer = json.dumps({"organizations": orgs}).encode()
    geti.fail("/organization$", answer)
    assert RestSource(access).list_projects() == []


def test_certificates_are_verified(access, monkeypatch):
    """Without the authority nothing is sent, unless verification is switched off."""
    with pytest.raises(Untrusted):
        RestSource(replace(access, ca_file="")).list_projects()
    assert RestSource(replace(access, ca_file="", verify=False)).list_projects() == []


def test_time_is_limited(geti, access):
    """A budget for all calls together."""
    geti.fail("/workspaces$", *[503] * 9)
    with pytest.raises(Unavailable, match="takes too long"):
        RestSource(access, seconds=0.0).list_projects()


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/workspaces$", b"[]"), ("/workspaces$", b"{}"), ("/projects$", b'{"projects": 3}'),
        ("/projects$", b'{"projects": [{"id": "../x", "pipeline": {}}]}'),
        ("/projects$", b'{"projects": [7], "project_counts": 1}'), ("/model_groups$", b"{}"),
        ("/models/", b"[" * 100_000), ("/models/", b'{"id": "a", "optimized_models": 5}'),
    ],
)  # fmt: skip
def test_answers_that_are_something_else(geti, source, path, sent):
    """A clear error, never a crash."""
    geti.project(0x100, "Pallets")
    geti.fail(path, sent)
    with pytest.raises((TransferError, Forbidden), match=r"sends|answers|sees no"):
        source.list_projects()


def test_settings_are_checked():
    """Each error names its variable; what is missing is named."""
    assert (
        read({"GETI_HOST": "geti.example", "GETI_TOKEN": "t"}).address
        == "https://geti.example/api/v1"
    )
    assert Access().missing == ("GETI_HOST", "GETI_TOKEN")
    assert not read({"GETI_SERVER_SSL_VERIFY": "No"}).verify
    for name, value in (
        ("GETI_SERVER_SSL_VERIFY", "maybe"), ("GETI_TOKEN", "a\nb"),
        ("GETI_SERVER_API_VERSION", "v1/../x"),
    ):  # fmt: skip
        with pytest.raises(InvalidRequest, match=name):
            read({name: value})
    for host in ("http://geti.example", "https://", "https://a@geti.example", "https://h:x"):
        with pytest.raises(InvalidRequest, match="GETI_HOST"):
            RestSource(Access(host, "t"))
    with pytest.raises(InvalidRequest, match="set GETI_TOKEN"):
        RestSource(Access("https://geti.example"))


def test_a_package_is_looked_through():
    """Its content has a digest of its own, whatever the order; `deployment/` comes first in the end."""
    names = ("LICENSE", "deployment/project.json", "deployment/D/model/model.xml")
    mixed, ordered = package(*names), package(*sorted(names, key=lambda n: n == "LICENSE"))
    one, other = packages.check(io.BytesIO(mixed)), packages.check(io.BytesIO(ordered))
    assert one.content == other.content
    assert (one.in_order, other.in_order) == (False, True)
    made = io.BytesIO()
    packages.reorder(io.BytesIO(mixed), made)
    again = packages.check(made)
    assert again.content == one.content
    assert again.in_order
    assert zipfile.ZipFile(made).namelist()[-1] == "LICENSE"
    assert packages.check(io.BytesIO(package(*names, text="other"))).content != one.content


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no ZIP"), (b"{}", "no ZIP"), (b"PK\x03\x04 broken", "broken"),
        (package()[:-30], "broken"), (package("LICENSE"), "nothing below"),
        (package("deployment/../../x"), "leave"), (package("/deployment/x"), "leave"),
        (package("deployment/a\\..\\b"), "leave"), (TWICE, "two"),
        (CHANGED, "is broken"),
    ],
)  # fmt: skip
def test_broken_and_hostile_packages(data, why):
    """Each is refused with the reason."""
    with pytest.raises(IntegrityError, match=why):
        packages.check(io.BytesIO(data))


def test_a_package_that_unpacks_to_too_much():
    """Sizes are added before anything is read."""
    with pytest.raises(TooLarge):
        packages.check(io.BytesIO(package(text="x" * 5000)), most=9999)
