"""`weighbridge doctor` finds what is wrong with a registry, and nothing where nothing is."""

import base64
import contextlib
import hashlib
import json
import re
import secrets
import time
from email.utils import formatdate

import pytest

import weighbridge
from chalicelib.registry import tokens
from chalicelib.registry.stores import Stores
from chalicelib.registry.tokens import Principal, everything
from chalicelib.storage.memory import MemoryBlobs, MemoryQueue
from chalicelib.storage.sqlite import SqliteTable
from tests.e2e.doctor.between import Told
from tests.e2e.doctor.conftest import broken, examined, host
from tests.e2e.served import Person
from weighbridge.contract.types import NewToken, Scope
from weighbridge.doctor.visit import PROJECT

pytestmark = pytest.mark.real

ALL = {
    "health", "version", "clock", "tls", "anonymous", "headers", "token", "public url", "sign-in",
    "cookie", "pages", "forged cookie", "api cookie", "rights", "address", "lifetime", "store clock",
    "checksum", "signed", "once", "publish", "parts", "download", "ranges", "public", "listing",
    "signature", "cors", "events", "rendering", "cleanup", "uploads",
}  # fmt: skip


@contextlib.contextmanager
def cors(served, rules):
    """Other CORS rules on the artifact bucket."""
    with contextlib.closing(served.s3()) as s3:
        bucket = "weighbridge-artifacts"
        kept = s3.get_bucket_cors(Bucket=bucket)["CORSRules"]
        if rules:
            s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
        else:
            s3.delete_bucket_cors(Bucket=bucket)
        try:
            yield
        finally:
            s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": kept})


def left_behind(clinic):
    """Whether a scratch project is there."""
    with weighbridge.Registry(clinic.served.url, clinic.token) as registry:
        return PROJECT in {project.name for project in registry.projects()}


def test_a_sound_registry_passes_every_check(clinic):
    """Straight and through proxies: all is looked at, all is well, and nothing of it stays."""
    for report in (examined(clinic.served.url, clinic.token), clinic.examine(patient=True)):
        assert set(report.levels) == ALL
        assert report.fine
        assert report.wrong() == set(), report.findings
    assert not left_behind(clinic)


def test_the_command_prints_a_line_per_check(embedded, tmp_path):
    """Exit 0 and a summary; with --json a document; of what is not there a finding and exit 1."""
    person = Person(tmp_path, embedded.url, embedded.token)
    shown = person.ok("doctor")
    assert re.search(r"^ok +checksum +other bytes than were signed are refused", shown.out, re.M)
    assert "0 failed, 0 warnings" in shown.out
    found = person.json("doctor", embedded.url, "--read-only")
    assert found["ok"] is True
    assert found["url"] == embedded.url
    assert {"check": "store", "level": "skipped", "seen": "nothing was written: --read-only",
            "remedy": ""} in found["checks"]  # fmt: skip
    nobody = person.run("doctor", "http://127.0.0.1:1")
    assert nobody.code == 1
    assert re.search(r"^FAIL +health", nobody.out, re.M)
    assert person.run("doctor", "--wait", "0").code == 2


# Planted misconfigurations


def test_cors_that_is_missing_or_open_is_found(clinic):
    """No rules, and rules for everybody."""
    with cors(clinic.served, []):
        assert clinic.examine().levels["cors"] == "warning"
    everybody = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"], "AllowedHeaders": ["*"]}
    with cors(clinic.served, [everybody]):
        assert "every origin" in clinic.examine().of("cors").seen


def test_a_public_bucket_is_found(clinic):
    """A bucket that anybody may read and list."""
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
             "Resource": ["arn:aws:s3:::weighbridge-artifacts",
                          "arn:aws:s3:::weighbridge-artifacts/*"]},
        ],
    }  # fmt: skip
    with contextlib.closing(clinic.served.s3()) as s3:
        s3.put_bucket_policy(Bucket="weighbridge-artifacts", Policy=json.dumps(policy))
        try:
            report = clinic.examine()
        finally:
            s3.delete_bucket_policy(Bucket="weighbridge-artifacts")
    assert (report.levels["public"], report.levels["listing"]) == ("fail", "fail")
    assert not report.fine


def test_a_clock_that_is_ten_minutes_off_is_found(tmp_path):
    """The server's: what it signs is not good yet, and its store's clock differs from it."""
    with broken(tmp_path, "clock") as (url, token):
        report = examined(url, token)
    assert report.levels["clock"] == "fail"
    # A header of HTTP tells whole seconds.
    assert re.search(r"is (9 min 59|10 min 0[01]) s ahead", report.of("clock").seen)
    assert re.search(r"is (9 min 59|10 min 0[01]) s behind", report.of("store clock").seen)


def test_a_store_with_another_clock_is_found(clinic):
    """Ten minutes ahead of the server."""

    def late(asked, told):
        told.headers["date"] = formatdate(time.time() + 600, usegmt=True)

    with clinic.store.spoiled(tell=late):
        report = clinic.examine()
    assert report.levels["store clock"] == "fail"
    assert report.levels["clock"] == "ok"


def test_events_that_are_not_delivered_are_found(tmp_path):
    """The store's events reach nobody: a new file is never looked at."""
    with broken(tmp_path, "events") as (url, token):
        report = examined(url, token, wait=12.0)
    assert report.wrong() == {"events"}
    assert not report.fine


def test_a_render_worker_that_rests_is_found(tmp_path):
    """A new version gets no page."""
    with broken(tmp_path, "render") as (url, token):
        report = examined(url, token, wait=12.0)
    assert report.wrong() == {"rendering"}
    assert not report.fine


def test_a_wrong_public_url_is_found(clinic):
    """The server names another address in its sign-in links than the one it is reached by."""
    swaps = clinic.api.swaps
    clinic.api.swaps = swaps[1:]
    try:
        report = clinic.examine()
    finally:
        clinic.api.swaps = swaps
    assert report.levels["public url"] == "fail"
    assert clinic.served.url in report.of("public url").seen


def test_a_store_that_verifies_nothing_is_found(clinic):
    """Wrong bytes are answered with 200, for whole objects and for parts."""

    def polite(asked):
        wanted = asked.headers.get("x-amz-checksum-sha256", "")
        if asked.method == "PUT" and wanted:
            found = base64.b64encode(hashlib.sha256(asked.body).digest()).decode()
            if found != wanted:
                return Told(200, {"etag": '"0"'})
        return None

    with clinic.store.spoiled(ask=polite):
        report = clinic.examine()
    assert (report.levels["checksum"], report.levels["parts"]) == ("fail", "fail")


def test_a_cookie_that_lost_its_flags_is_found(clinic):
    """A proxy that rewrites Set-Cookie."""

    def strip(asked, told):
        if "set-cookie" in told.headers:
            told.headers["set-cookie"] = told.headers["set-cookie"].partition(";")[0]

    with clinic.api.spoiled(tell=strip):
        report = clinic.examine()
    assert report.wrong() == {"cookie"}
    assert "HttpOnly" in report.of("cookie").seen
    assert "SameSite" in report.of("cookie").seen


def test_a_cache_that_shows_pages_to_everybody_is_found(clinic):
    """A proxy that answers with what somebody who is signed in may see."""
    with weighbridge.Registry(clinic.served.url, clinic.token) as registry:
        link = registry.client.ticket().url
        reply = registry.client.pool.send("GET", link, {})
    cookie = reply.headers["set-cookie"].partition(";")[0]

    def lend(asked):
        asked.headers["Cookie"] = cookie

    with clinic.api.spoiled(ask=lend):
        report = clinic.examine()
    assert "pages" in report.wrong()


def test_a_token_that_is_over_is_found(clinic):
    """One that expired two days ago, one that was never made, and none at all."""
    table = SqliteTable(str(clinic.served.data / "catalog.sqlite"))
    stores = Stores(
        table, MemoryBlobs(), MemoryQueue(), MemoryBlobs(), now=lambda: time.time() - 3 * 86400
    )
    new = NewToken("old", everything(), 1)
    expired = tokens.issue(stores, Principal("ann", everything()), new).secret
    table.close()
    report = clinic.examine(expired)
    assert "expired on" in report.of("token").seen
    assert report.levels["store"] == "skipped"
    assert not report.fine
    assert clinic.examine(f"wb_{secrets.token_hex(5)}_wrong").levels["token"] == "fail"
    assert clinic.examine("").levels["token"] == "fail"


def test_a_token_that_may_too_little_is_found_before_anything_is_written(clinic):
    """It may write but not delete: nothing is made that could not be removed again."""
    with weighbridge.Registry(clinic.served.url, clinic.token) as registry:
        scope = Scope(("read", "write"), PROJECT)
        token = registry.client.create_token("writer", [scope]).secret
    report = clinic.examine(token)
    assert report.levels["rights"] == "fail"
    assert "may not delete" in report.of("rights").seen
    assert "publish" not in report.levels
    assert not left_behind(clinic)


def test_a_token_of_one_project_examines_in_it(clinic):
    """With --project the scratch model is made there, and the project stays."""
    name = f"team-{secrets.token_hex(4)}"
    with weighbridge.Registry(clinic.served.url, clinic.token) as registry:
        registry.client.create_project(name)
        scope = Scope(("read", "write", "delete"), name)
        token = registry.client.create_token("team", [scope]).secret
        report = clinic.examine(token, project=name)
        assert report.fine
        assert report.wrong() == set(), report.findings
        assert list(registry.models(name)) == []


def test_headers_that_a_proxy_strips_are_found(clinic):
    """No Content-Security-Policy, and one that allows inline scripts."""

    def strip(asked, told):
        told.headers.pop("content-security-policy", None)
        told.headers.pop("x-content-type-options", None)

    with clinic.api.spoiled(tell=strip):
        report = clinic.examine(patient=True)
    assert report.wrong() == {"headers"}
    assert sum(found.check == "headers" and found.level == "fail" for found in report.findings) == 2
    assert "nosniff" in report.of("headers").seen

    def widen(asked, told):
        told.headers["content-security-policy"] = "script-src 'self' 'unsafe-inline'"

    with clinic.api.spoiled(tell=widen):
        assert "inline scripts" in clinic.examine(read_only=True).of("headers").seen


def test_a_store_that_clients_cannot_reach_is_found(clinic, closed_port):
    """Signed addresses lead where nothing answers; what was begun is removed all the same."""
    swaps = clinic.api.swaps
    clinic.api.swaps = [swaps[0], (closed_port, clinic.store.upstream)]
    try:
        report = clinic.examine()
    finally:
        clinic.api.swaps = swaps
    assert report.levels["store"] == "fail"
    assert host(closed_port) in report.of("store").seen
    assert report.levels["cleanup"] == "ok"
    assert not left_behind(clinic)


def test_ranges_and_bodies_that_are_changed_on_the_way_are_found(clinic):
    """A proxy that drops the Range header, and one that changes a byte."""

    def whole(asked):
        asked.headers = {k: v for k, v in asked.headers.items() if k.lower() != "range"}

    with clinic.store.spoiled(ask=whole):
        assert clinic.examine().wrong() == {"ranges"}

    def flip(asked, told):
        if asked.method == "GET" and told.status in (200, 206):
            told.body = told.body[:-1] + bytes([told.body[-1] ^ 1])

    with clinic.store.spoiled(tell=flip):
        assert {"download", "ranges"} <= clinic.examine().wrong()


def test_a_store_that_lets_a_signed_address_write_twice_is_found(clinic):
    """If-None-Match is not obeyed."""

    def forgiving(asked, told):
        if told.status == 412:
            told.status = 200

    with clinic.store.spoiled(tell=forgiving):
        assert clinic.examine().levels["once"] == "fail"


def test_uploads_that_pushes_left_open_are_found(clinic):
    """More than a hundred in one project, which is named."""
    name = f"left-{secrets.token_hex(4)}"
    with weighbridge.Registry(clinic.served.url, clinic.token) as registry:
        registry.client.create_project(name)
        left = [registry.client.open_upload(name, 10**8, 1).upload for _ in range(101)]
        report = clinic.examine(read_only=True)
        for upload in left:
            registry.client.abort_upload(name, upload)
        registry.client.delete_project(name)
    assert f"101 of them in {name}" in report.of("uploads").seen
    assert report.wrong() == {"uploads"}
    assert clinic.examine(read_only=True).levels["uploads"] == "ok"


def test_a_proxy_that_strips_the_token_is_found(clinic):
    """A good token that never arrives."""

    def strip(asked):
        asked.headers.pop("Authorization", None)

    with clinic.api.spoiled(ask=strip):
        report = clinic.examine()
    assert report.levels["token"] == "fail"
    assert "Authorization" in report.of("token").remedy


def test_what_a_killed_examination_left_is_removed_by_the_next(clinic):
    """A scratch model of more than an hour ago goes; a younger one is another's, and stays."""
    with weighbridge.Registry(clinic.served.url, clinic.token) as registry:
        client = registry.client
        client.create_project(PROJECT)
        client.create_model(PROJECT, "check-0")

        def aged(asked, told):
            if asked.method == "GET" and "/models?" in asked.path:
                told.body = re.sub(rb'"created":"\d{4}', b'"created":"2020', told.body)

        assert clinic.examine().fine
        assert [m.name for m in client.iter_models(PROJECT)] == ["check-0"]
        with clinic.api.spoiled(tell=aged):
            assert clinic.examine().fine
    assert not left_behind(clinic)


def test_the_deployed_form_is_examined_as_well(aws):
    """On emulated AWS, at the API's own address: all but the pages, which the CDN would serve."""
    report = examined(aws.url, aws.token, wait=60.0)
    assert report.levels["checksum"] == report.levels["events"] == report.levels["parts"] == "ok"
    assert report.levels["cleanup"] == "ok"
    failed = {check for check, level in report.levels.items() if level == "fail"}
    assert failed <= {"public url", "rendering", "cookie"}, report.findings
    assert "examine its address" in report.of("rendering").remedy
