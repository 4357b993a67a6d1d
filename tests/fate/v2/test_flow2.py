"""The real `flow` 2.2.0 against the embedded stack: signed, with Basic credentials, and by the proxy."""

import io
import json
import signal
import tarfile
import urllib.request
import zipfile
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.e2e.served import Person, serving
from tests.fate.v2.conftest import LR, PSI, TREE, members, output, tar
from tests.fate.v2.flow2 import Flow2

pytestmark = pytest.mark.real
WAYS = ("signed", "basic", "proxy")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A running registry with a second store."""
    home = tmp_path_factory.mktemp("flow2")
    (home / "second").mkdir()
    store = {"model_store_address": {"storage": "directory", "path": str(home / "second")}}
    extra = {"WEIGHBRIDGE_FATE_STORE": json.dumps(store)}
    with serving(home, extra=extra) as found:
        yield found


@contextmanager
def proxied(person):
    """`weighbridge proxy`; its port."""
    process = person.start("proxy", "--listen", "127.0.0.1:0")
    try:
        line = process.stdout.readline()
        yield urlsplit(line.split()[0]).port
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


@pytest.fixture(params=WAYS)
def flow(request, served, tmp_path):
    """The client, told where the server is; every way has a project of its own."""
    person = Person(tmp_path, served.url, served.token)
    made = person.json(
        "token", "create", "flow", "--verb", "write", "--verb", "delete", "--project",
        f"flow-{request.param}", "--signing", "fate-v2",
    )  # fmt: skip
    client = Flow2.install(tmp_path)
    client.person, client.project = person, f"flow-{request.param}"
    port = urlsplit(served.url).port
    if request.param == "signed":
        found = client.run(
            "init", "--ip", "127.0.0.1", "--port", port, "--app-id", made["token"]["id"],
            "--app-token", made["signing"]["fate-v2"],
        )  # fmt: skip
        assert found["code"] == 0
        yield client
    elif request.param == "basic":
        client.point(f"flow:{made['secret']}@127.0.0.1", port)
        yield client
    else:
        caller = Person(tmp_path, served.url, made["secret"])
        with proxied(caller) as port:
            assert client.run("init", "--ip", "127.0.0.1", "--port", port)["code"] == 0
            yield client


def exported(flow, model_id, model_version="0", role="guest", party_id="9999"):
    """The members of an archive that the link of an export leads to."""
    found = flow.ok(
        "model", "export", "--model-id", model_id, "--model-version", model_version, "-r", role,
        "-p", party_id, "-o", "/nowhere",
    )  # fmt: skip
    with urllib.request.urlopen(found["url"], timeout=30) as answer:
        data = answer.read()
        assert found["file"] in answer.headers["Content-Disposition"]
    assert len(data) == found["size"]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}, data


def task(job_id, name="lr_0", role="guest", party_id="9999"):
    """The options that name a task."""
    return ("-j", job_id, "-r", role, "-p", party_id, "-tn", name)


def test_every_command_on_models(flow):
    """Import, export, import under another version, export again: member by member the same."""
    flow.file("model.zip", TREE)
    found = flow.run(
        "model", "import", "--model-id", "job", "--model-version", "0", "-i", "model.zip"
    )
    assert found == {"code": 0, "message": "success"}
    first, data = exported(flow, "job")
    assert first == {path: tar for path, tar in TREE.items() if "/guest/" in path}
    flow.file("again.zip", data)
    flow.ok("model", "import", "--model-id", "job", "--model-version", "9", "-i", "again.zip")
    second, _ = exported(flow, "job", "9")
    assert {path.replace("job/9/", "job/0/", 1): tar for path, tar in second.items()} == first

    assert flow.ok("output", "query-model", *task("job")) == {"output_model": {"weights": [1, 2]}}
    found = flow.run("output", "download-model", *task("job"), "-o", flow.folder / "out")
    folder = flow.folder / "out" / "output_model_job_guest_9999_lr_0"
    assert (found["code"], found["directory"]) == (0, str(folder))
    with tarfile.open(fileobj=io.BytesIO(LR)) as tar:
        for name in tar.getnames():
            assert (folder / name).read_bytes() == tar.extractfile(name).read()

    assert flow.run("output", "delete-model", *task("job"))["code"] == 0
    found = flow.run("output", "query-model", *task("job"))
    assert found["code"] == 2000
    found = flow.run("output", "download-model", *task("job"), "-o", flow.folder / "none")
    assert found["code"] == 2000
    assert not (flow.folder / "none").exists()
    where = ("--model-id", "job", "--model-version", "0")
    found = flow.ok("model", "delete", *where, "-r", "guest", "-p", "9999", "-tn", "psi_0",
                    "--output-key", "output_model")  # fmt: skip
    assert found == {"count": True, "deleted": 1}
    assert flow.ok("model", "delete", *where)["deleted"] == 1
    assert flow.run("model", "delete", *where)["code"] == 2005
    found = flow.run("model", "export", *where, "-r", "guest", "-p", "9999", "-o", "/nowhere")
    assert found["code"] == 2005
    assert len(exported(flow, "job", "9")[0]) == 2


def test_several_outputs_come_as_one_tar(flow):
    """The client extracts all of them."""
    tree = {"a/b/guest/9999/lr_0/one": LR, "a/b/guest/9999/lr_0/two": PSI}
    flow.file("two.zip", tree)
    flow.ok("model", "import", "--model-id", "two", "--model-version", "0", "-i", "two.zip")
    flow.ok("output", "download-model", *task("two"), "-o", flow.folder)
    folder = flow.folder / "output_model_two_guest_9999_lr_0"
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.yaml")} == {
        "one/model.meta.yaml", "two/model.meta.yaml",
    }  # fmt: skip


def test_what_is_wrong_is_printed(flow):
    """Every command prints the code; none crashes."""
    flow.file("bad.zip", b"no zip")
    flow.file("bad-tar.zip", {"a/b/guest/1/t/k": b"no tar"})
    ids = ("--model-id", "x", "--model-version", "0")
    for name in ("bad.zip", "bad-tar.zip"):
        found = flow.run("model", "import", *ids, "-i", name)
        assert (found["code"], bool(found["message"])) == (6000, True)
    weird = tar(members({"a": 1}, stem="../model"))
    flow.file("out.zip", {"a/b/guest/1/t/k": weird})
    assert flow.run("model", "import", *ids, "-i", "out.zip")["code"] == 6000
    assert flow.run("model", "delete", *ids)["code"] == 2005
    assert flow.run("output", "query-model", *task("x"))["code"] == 2000


def test_every_command_on_providers(flow):
    """Registered, updated, queried by each option, deleted; our own commands see the same."""
    acme = {
        "name": "acme", "device": "k8s", "version": "2.1.0",
        "metadata": {"image": "acme/algo:2.1.0", "namespace": "fate"},
    }  # fmt: skip
    flow.file("acme.json", acme)
    assert flow.run("provider", "register", "-c", "acme.json") == {
        "code": 0, "message": "create success",
    }  # fmt: skip
    described = {**acme, "protocol": "fate", "components_description": {"lr": {"a": 1}}}
    flow.file("acme.json", described)
    assert flow.run("provider", "register", "-c", "acme.json")["message"] == "update success"
    docker = {
        "name": "acme", "device": "docker", "version": "3",
        "metadata": {"base_url": "", "image": "acme/algo:3"},
    }  # fmt: skip
    flow.file("docker.json", docker)
    flow.ok("provider", "register", "-c", "docker.json")
    for name, bad, code in (
        ("moon.json", {**acme, "device": "moon"}, 4001),
        ("bare.json", {**acme, "metadata": {}}, 5001),
        ("none.json", {"name": "acme"}, 5001),
    ):
        flow.file(name, bad)
        assert flow.run("provider", "register", "-c", name)["code"] == code
    for words, count in (
        ((), 2), (("-n", "acme"), 2), (("--version", "3"), 1), (("--device", "k8s"), 1),
        (("--provider-name", "acme:2.1.0@k8s"), 1), (("-n", "nobody"), 0),
    ):  # fmt: skip
        assert len(flow.ok("provider", "query", *words)) == count, words
    [row] = flow.ok("provider", "query", "--device", "k8s")
    assert row["provider_name"] == "acme:2.1.0@k8s"
    assert row["metadata"] == {**acme["metadata"], "config": None}
    listed = flow.person.json("providers", "ls", "--project", flow.project)["items"]
    assert [p["provider_name"] for p in listed] == ["acme:2.1.0@k8s", "acme:3@docker"]
    flow.file("dag.json", {
        "dag": {"parties": [{"role": "guest", "party_id": ["9999"]}],
                "conf": {"task": {"provider": "acme:3@docker"}}, "tasks": {"lr_0": {}}}
    })  # fmt: skip
    found = flow.person.json("providers", "resolve", "dag.json", "--project", flow.project)
    assert [(a["provider"], a["registered"]) for a in found["items"]] == [("acme:3@docker", True)]
    assert flow.run("provider", "delete")["code"] == 6000
    assert flow.ok("provider", "delete", "--version", "3") is True
    assert flow.ok("provider", "delete", "--provider-name", "acme:2.1.0@k8s") is True
    assert flow.ok("provider", "delete", "-n", "acme") is False


def test_what_the_client_stores_is_visible_to_all(flow):
    """By our own commands, and pulled as a checkpoint."""
    flow.file("model.zip", {"a/b/guest/9999/lr_0/output_model": LR})
    flow.ok("model", "import", "--model-id", "seen", "--model-version", "0", "-i", "model.zip")
    ref = f"{flow.project}/guest#9999#seen@=0"
    [point] = flow.person.json("checkpoint", "ls", ref)["items"]
    assert (point["component"], point["name"], point["step"]) == ("lr_0", "output_model", 0)
    flow.person.ok("pull", f"{ref}:1", "--to", "pulled")
    assert (flow.folder / "pulled" / "model.tar").read_bytes() == LR


def test_a_large_output_is_pushed_and_found_by_the_client(flow):
    """More than a form can carry: by our own command, as a checkpoint."""
    flow.file("model.zip", {"a/b/guest/9999/lr_0/output_model": LR})
    flow.ok("model", "import", "--model-id", "big", "--model-version", "0", "-i", "model.zip")
    weights = bytes(range(256)) * (48 * 1024)
    large = tar({**members({"large": True}), "weights.bin": weights})
    flow.file("model.tar", large)
    flow.person.ok(
        "checkpoint", "push", f"{flow.project}/guest#9999#big@=0", "model.tar", "--component",
        "big_0", "--name", "output_model", "--step", 0,
    )  # fmt: skip
    assert flow.ok("output", "query-model", *task("big", "big_0")) == {
        "output_model": {"large": True}
    }
    flow.ok("output", "download-model", *task("big", "big_0"), "-o", flow.folder)
    folder = flow.folder / "output_model_big_guest_9999_big_0"
    assert (folder / "weights.bin").read_bytes() == weights
    found, _ = exported(flow, "big")
    assert found["big/0/guest/9999/big_0/output_model"] == large


def test_a_model_goes_to_the_second_store_and_back(flow, served):
    """The SDK of 2.x has no way to name a model there, so these are plain requests."""
    flow.file("model.zip", {"a/b/guest/9999/lr_0/output_model": output({"way": flow.project})})
    ids = {"model_id": f"kept-{flow.project}", "model_version": "0"}
    words = ("--model-id", ids["model_id"], "--model-version", "0")
    flow.ok("model", "import", *words, "-i", "model.zip")
    before, _ = exported(flow, ids["model_id"])

    def post(verb):
        body = json.dumps({**ids, "role": "guest", "party_id": "9999"}).encode()
        made = flow.person.json(
            "token", "create", "x", "--verb", "write", "--project", flow.project
        )
        request = urllib.request.Request(
            f"{served.url}/v2/model/{verb}", body,
            {"Authorization": f"Bearer {made['secret']}", "Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    assert post("store")["code"] == 0
    assert flow.ok("model", "delete", *words)["count"] is True
    assert post("restore")["data"]["outputs"] == 1
    assert exported(flow, ids["model_id"])[0] == before


def test_a_server_that_does_not_know_the_caller_says_so(served, tmp_path):
    """In JSON, with status 200: the client crashes on anything else."""
    client = Flow2.install(tmp_path)
    client.point("127.0.0.1", urlsplit(served.url).port)
    assert client.run("provider", "query")["code"] == 5004
    ids = ("--model-id", "x", "--model-version", "0")
    assert client.run("model", "delete", *ids)["code"] == 5004
    found = client.run("output", "download-model", *task("x"), "-o", tmp_path / "out")
    assert found["code"] == 5004
