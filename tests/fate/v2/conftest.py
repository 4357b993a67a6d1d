"""The app as a 2.x client sees it, on SQLite and bytes in memory; jobs of the archive worker done at once."""

import io
import json
import tarfile
import zipfile
from urllib.parse import urlencode

import pytest

from chalicelib.registry import jobs
from tests.api.conftest import ADMIN, api

__all__ = ["api"]
PREFIX = "/v2"


class WorkingQueue:
    """A queue whose archive jobs are done as soon as they are sent."""

    def __init__(self, api):
        self.api, self.inner, self.idle = api, api.stores.queue, False

    def send(self, topic, message):
        if topic == "archive" and not self.idle:
            jobs.work(self.api.stores, message["project"], message["job"], message.get("share", ""))
        self.inner.send(topic, message)

    def send_many(self, topic, messages):
        for message in messages:
            self.send(topic, message)


class Flow:
    """Sends requests as the 2.x client does."""

    def __init__(self, api):
        self.api, self.token = api, ADMIN

    def raw(self, method, path, body=b"", headers=None, token=None):
        token = self.token if token is None else token
        sent = {"accept": "*/*", **(headers or {})}
        return self.api.raw(method, PREFIX + path, body, token, sent)

    def answer(self, method, path, body=b"", headers=None, token=None):
        """The envelope of an answer, which always has status 200 and is JSON."""
        status, got, text = self.raw(method, path, body, headers, token)
        assert status == 200, (status, text)
        assert dict(got)["Content-Type"] == "application/json"
        found = json.loads(text)
        assert {"code", "message"} <= set(found) <= {"code", "message", "data", "job_id"}
        assert found["message"]
        return found

    def post(self, at, body=None, **fields):
        """A JSON body."""
        data = json.dumps(fields if body is None else body).encode()
        return self.answer("POST", at, data, {"content-type": "application/json"})

    def get(self, path, **query):
        """A query string."""
        return self.answer("GET", f"{path}?{urlencode(query)}")

    def form(self, at, file=None, **fields):
        """A form, with a file if one is given."""
        kind, body = form(fields, file)
        return self.answer("POST", at, body, {"content-type": kind})

    def import_zip(self, data, model_id="job", model_version="0"):
        """`flow model import`."""
        return self.form(
            "/model/import", data, model_id=model_id, model_version=model_version, path="/x.zip"
        )

    def export(self, model_id="job", model_version="0", role="guest", party_id="9999"):
        """`flow model export`."""
        return self.post(
            "/model/export", model_id=model_id, model_version=model_version, role=role,
            party_id=party_id, path="/tmp/x",
        )  # fmt: skip

    def exported(self, **ids):
        """The members of an exported archive."""
        data = self.export(**ids)["data"]
        found = self.api.stores.blobs.execute(self.request(data["url"])).body
        assert len(found) == data["size"]
        with zipfile.ZipFile(io.BytesIO(found)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def request(self, url):
        """A GET without headers, as anybody would send it."""
        from chalicelib.registry.ports import Signed

        return Signed("GET", url, {}, 0)

    def followed(self, path, **query):
        """Status, type and bytes of a GET whose redirect is followed."""
        status, headers, body = self.raw("GET", f"{path}?{urlencode(query)}")
        if status != 302:
            return status, dict(headers).get("Content-Type"), body
        answer = self.api.stores.blobs.execute(self.request(dict(headers)["Location"]))
        return answer.status, answer.headers["content-type"], answer.body

    def task(self, name="lr_0", job_id="job", role="guest", party_id="9999"):
        """The fields that name a task."""
        return {"job_id": job_id, "role": role, "party_id": party_id, "task_name": name}


def form(fields, file=None):
    """Content type and body of a form as `requests` writes it."""
    mark = "b0undary"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if file is not None:
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="model.zip"\r\n'
        parts.append(head.encode() + b"\r\n" + file + b"\r\n")
    return f"multipart/form-data; boundary={mark}", b"".join(parts) + f"--{mark}--\r\n".encode()


def tar(members):
    """A plain tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def output(model, role="guest", party_id="9999", task_id="job_lr_0", index=None, stem="model"):
    """The tar of an output with one model, as a worker writes it."""
    return tar(members(model, role, party_id, task_id, index, stem))


def members(model, role="guest", party_id="9999", task_id="job_lr_0", index=None, stem="model"):
    """The files of such a tar."""
    meta = f"""
metadata: {{}}
model_key: {stem}
index: {"null" if index is None else index}
type_name: json_model
model_overview:
  federated:
    task_id: {task_id}
    component: {{name: lr, provider: fate, version: 2.2.0}}
  party:
    party_task_id: {task_id}_0_{role}_{party_id}
    role: {role}
    partyid: '{party_id}'
    models: [{{name: x, created_time: 2026-11-21T05:20:11, file_format: json}}]
"""
    data = model if isinstance(model, bytes) else json.dumps(model).encode()
    return {stem: data, f"{stem}.meta.yaml": meta.encode()}


def archive(tree):
    """A zip of a tree."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as found:
        for path, content in tree.items():
            found.writestr(path, content)
    return data.getvalue()


LR = output({"weights": [1, 2]})
PSI = output({"keys": 3}, task_id="job_psi_0")
TREE = {
    "job/0/guest/9999/lr_0/output_model": LR,
    "job/0/guest/9999/psi_0/output_model": PSI,
    "job/0/host/10000/lr_0/output_model": output({"weights": [3]}, "host", "10000"),
}


@pytest.fixture
def flow(api):
    """A 2.x client with the administrator's token."""
    import dataclasses

    from chalicelib import wiring

    changed = dataclasses.replace(api.stores, queue=WorkingQueue(api))
    api.stores = changed
    with wiring.using(changed):
        yield Flow(api)
