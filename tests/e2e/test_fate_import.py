"""A reference cache goes into a running registry: whole, repeatably, verified."""

import shlex
import shutil
import signal
import uuid

import pytest

from tests.e2e.served import Person, serving, until
from tests.fate import trees
from weighbridge import Registry
from weighbridge.cli import fate_commands
from weighbridge.contract.errors import NotFound

pytestmark = pytest.mark.real

MODELS = [f"{party}#{trees.MODEL_ID}" for party in trees.PARTIES]
HOLDING = len(MODELS) * len(trees.VERSIONS)


@pytest.fixture
def project():
    """A project of its own."""
    return f"fate{uuid.uuid4().hex[:6]}"


@pytest.fixture
def cache(person):
    """A reference cache: 3 parties, 2 versions each, 5 checkpoints each."""
    return trees.cache(person.home / "model_local_cache")


def imported(person, cache, project, *options):
    outcome = person.run("fate", "import", cache, "--project", project, "--json", *options)
    return outcome.code, outcome.json if outcome.out else outcome.err


def same_as_disk(person, cache, project):
    """Every file and checkpoint of the registry is that of the cache, byte for byte."""
    with Registry(person.url, person.token) as registry:
        for name in MODELS:
            for label in trees.VERSIONS:
                root, back = cache / name / label, person.home / f"back-{uuid.uuid4().hex[:6]}"
                version = registry.show(f"{project}/{name}@={label}")
                assert version.state == "ready"
                assert version.provenance.framework == "FATE 1.11.2"
                registry.pull(f"{project}/{name}@={label}", back)
                own = {
                    path: data for path, data in trees.contents(root).items()
                    if not path.startswith("checkpoint/") and path != "import_model.json"
                }  # fmt: skip
                assert trees.contents(back) == own
                points = list(registry.checkpoints(f"{project}/{name}@={label}", order="step"))
                assert [(p.component, p.step, p.name) for p in points] == [
                    ("hetero_lr_0", index, "epoch") for index in range(5)
                ]
                for point in points:
                    place = person.home / f"step-{uuid.uuid4().hex[:6]}"
                    registry.pull(f"{project}/{name}@{version.number}:{point.number}", place)
                    folder = root / "checkpoint" / "hetero_lr_0" / f"{point.step}#epoch"
                    assert trees.contents(place) == trees.contents(folder)


def test_a_whole_cache_is_imported_once_and_repeated_without_sending(person, cache, project):
    """3 parties, 2 versions, 5 checkpoints: all there, the second time nothing is sent."""
    code, dry = imported(person, cache, project, "--dry-run")
    assert (code, dry["dry_run"], len(dry["models"])) == (0, True, HOLDING)
    assert person.run("ls", project).code == 4  # nothing was made
    code, first = imported(person, cache, project)
    assert code == 0, first
    assert [m["outcome"] for m in first["models"]] == ["published"] * HOLDING
    assert all(m["sent_bytes"] > 0 for m in first["models"])
    steps = [step["outcome"] for m in first["models"] for step in m["steps"]]
    assert steps == ["pushed"] * HOLDING * 5
    same_as_disk(person, cache, project)
    code, second = imported(person, cache, project)
    assert code == 0
    assert {m["outcome"] for m in second["models"]} == {"same"}
    assert {step["outcome"] for m in second["models"] for step in m["steps"]} == {"same"}
    assert sum(m["sent_bytes"] for m in second["models"]) == 0
    shown = person.json("fate", "show", project, trees.MODEL_ID, trees.VERSIONS[0])
    assert (shown["complete"], len(shown["shards"])) == (True, 3)
    text = person.ok("fate", "import", cache, "--project", project).out
    assert text.splitlines()[-1] == "6 models, 30 checkpoints, 0 failed, 0 B sent"


def test_one_flipped_byte_is_found_and_named(person, cache, project):
    """In a file of the model or a buffer of a checkpoint, here or after it was imported."""
    buffer = (
        cache / MODELS[1] / trees.VERSIONS[0] / "checkpoint/hetero_lr_0/3#epoch/HeteroLRParam.pb"
    )
    flip(buffer)
    code, found = imported(person, cache, project)
    assert code == 6
    [failed] = [s for m in found["models"] for s in m["steps"] if s["outcome"] == "failed"]
    assert failed["step"] == 3
    assert "HeteroLRParam.pb does not have the SHA-1" in failed["problem"]
    assert [m["outcome"] for m in found["models"]] == ["published"] * HOLDING
    flip(buffer)  # mended: only that checkpoint is missing still
    code, found = imported(person, cache, project)
    assert code == 0
    pushed = [s["step"] for m in found["models"] for s in m["steps"] if s["outcome"] == "pushed"]
    assert pushed == [3]
    path = "variables/data/hetero_lr_0/model/HeteroLRParam"
    flip(cache / MODELS[2] / trees.VERSIONS[1] / path)
    flip(cache / MODELS[0] / trees.VERSIONS[1] / "checkpoint/hetero_lr_0/0#epoch/HeteroLRMeta.json")
    outcome = person.run("fate", "import", cache, "--project", project)
    assert outcome.code == 6
    assert f"{path} differs from {project}/{MODELS[2]}@2" in outcome.err
    assert "HeteroLRMeta.json differs from checkpoint 1 of" in outcome.err
    assert outcome.out.splitlines()[-1] == "6 models, 25 checkpoints, 2 failed, 0 B sent"


def begun(registry, ref):
    """Whether the first model has checkpoints."""
    try:
        return sum(1 for _ in registry.checkpoints(ref)) >= 2
    except NotFound:
        return False


def flip(path):
    """Changes one bit."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_broken_trees_are_reported_and_the_others_go_on(person, cache, project):
    """A missing index, a missing buffer, a link, a folder that is none: each names itself."""
    (cache / MODELS[0] / trees.VERSIONS[0] / "define/define_meta.yaml").unlink()
    (
        cache / MODELS[1] / trees.VERSIONS[0] / "variables/data/hetero_lr_0/model/HeteroLRMeta"
    ).unlink()
    secret = person.home / "secret"
    secret.write_text("not yours")
    (cache / MODELS[2] / trees.VERSIONS[0] / "variables/data/leak").symlink_to(secret)
    (cache / "lost+found").mkdir()
    shutil.rmtree(cache / MODELS[2] / trees.VERSIONS[1] / "checkpoint")
    trees.step(cache / MODELS[2] / trees.VERSIONS[1], "hetero_lr_0", 7)
    unfinished = cache / MODELS[2] / trees.VERSIONS[1] / "checkpoint/hetero_lr_0/8#epoch"
    unfinished.mkdir()
    (unfinished / "HeteroLRMeta.pb").write_bytes(b"half")
    code, found = imported(person, cache, project)
    assert code == 6
    outcomes = {(m["model"], m["label"]): m for m in found["models"]}
    for index, text in (
        (0, "define_meta.yaml is missing"),
        (1, "HeteroLRMeta is missing"),
        (2, "is a link"),
    ):
        broken = outcomes[MODELS[index], trees.VERSIONS[0]]
        assert broken["outcome"] == "failed"
        assert text in broken["problems"][0]
        assert outcomes[MODELS[index], trees.VERSIONS[1]]["outcome"] == "published"
    assert found["problems"] == [
        f"{cache}/lost+found is no party model's folder (ROLE#PARTY_ID#MODEL_ID)"
    ]
    last = outcomes[MODELS[2], trees.VERSIONS[1]]["steps"]
    assert [(s["step"], s["outcome"]) for s in last] == [(7, "pushed"), (8, "unfinished")]
    listed = {m["name"] for m in person.json("ls", project)["items"]}
    assert listed == set(MODELS)
    with Registry(person.url, person.token) as registry:
        assert [v.label for v in registry.versions(f"{project}/{MODELS[0]}")] == [trees.VERSIONS[1]]


def test_an_import_that_is_killed_goes_on_where_it_was(person, cache, project):
    """SIGKILL in the middle of a model, and after one, three and five; in the end all is there, once."""
    process = person.start("fate", "import", cache, "--project", project)
    with Registry(person.url, person.token) as registry:
        until(lambda: begun(registry, f"{project}/{MODELS[0]}@={trees.VERSIONS[0]}"), 30, 0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for models in (1, 3, 5):
        process = person.start("fate", "import", cache, "--project", project)
        for _ in range(models):
            assert "imported" in (line := process.stdout.readline()) or "there already" in line
        process.send_signal(signal.SIGKILL)
        process.communicate()
    code, found = imported(person, cache, project)
    assert code == 0, found
    same_as_disk(person, cache, project)
    with Registry(person.url, person.token) as registry:
        for name in MODELS:
            ready = [v.label for v in registry.versions(f"{project}/{name}")]
            assert sorted(ready) == sorted(trees.VERSIONS)
            assert list(registry.versions(f"{project}/{name}", state="open")) == []
    code, again = imported(person, cache, project)
    assert (code, sum(m["sent_bytes"] for m in again["models"])) == (0, 0)


def test_what_the_server_refuses_ends_the_import(person, cache, project):
    """Without the right to write nothing is made, and the exit code says so."""
    person.ok("project", "create", project)
    made = person.json("token", "create", "reader", "--project", project)
    person.token = made["secret"]
    outcome = person.run("fate", "import", cache, "--project", project)
    assert outcome.code == 3, outcome
    assert "Traceback" not in outcome.err


def test_the_examples_of_the_help_run(tmp_path):
    """In the order of a migration: import, look, train on, write back."""
    shared = "guest-9999#host-10000#model"
    for party in ("guest#9999", "host#10000"):
        trees.model(tmp_path / "model_local_cache", f"{party}#{shared}", trees.VERSIONS[0], steps=2)
    examples = {command.name: command.examples for command in fate_commands.COMMANDS}
    with serving(tmp_path) as served:
        person = Person(tmp_path, served.url, served.token)
        for name in (
            "fate import",
            "fate ls",
            "fate show",
            "fate sync",
            "fate restore-checkpoints",
        ):
            for example in examples[name]:
                assert person.ok(*shlex.split(example)[1:]).out
    restored = tmp_path / "restored" / f"guest#9999#{shared}" / trees.VERSIONS[0]
    original = tmp_path / "model_local_cache" / f"guest#9999#{shared}" / trees.VERSIONS[0]
    assert trees.contents(restored / "checkpoint") == trees.contents(original / "checkpoint")
