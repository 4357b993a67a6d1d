"""What ForML kept here is shown: releases, generations with their tags and states, what packages say."""

import io
import re
import zipfile

from chalicelib.catalogue import drain, shelf
from chalicelib.registry import checkpoints, models, projects, versions
from tests.registry_world import index_all, publish, upload, world
from weighbridge.contract import manifests
from weighbridge.contract.types import CheckpointCommit, ModelSettings, NewModel, NewProject
from weighbridge.generations import names, tags

MANIFEST = (
    'NAME = "demo-points"\nVERSION = "1.0.dev1"\nPACKAGE = "demo.pipelines"\n'
    'MODULES = {"source": "demo.custom.origin"}\n'
)
TAG = b"""states = [ "19e4fabf-8ba4-43e7-a5f2-8dca871a8a05", "4ac09d27-7e7e-4f9a-b6f7-dfd699225bcc",]

[training]
timestamp = 2026-03-01T10:15:00.001032
ordinal = 2026-02-28

[tuning]
score = 0.91
"""


def package():
    """A package with a module of an unusual name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__4ml__.py", MANIFEST)
        archive.writestr("demo/pipelines/__init__.py", "")
    return buffer.getvalue()


def text_of(stores, part):
    """What readers see of the pages whose address has this part."""
    found = [k for k in shelf.keys_under(stores.site, "") if part in k and k.endswith(".html")]
    pages = [stores.site.read(key).decode() for key in found]
    assert pages, part
    return " ".join(re.sub(r"<[^>]*>", " ", " ".join(pages)).split())


def test_a_model_of_forml_shows_what_forml_knows_of_it(tmp_path):
    """Release, manifest and modules on the version's page; ordinal, score and states by generation."""
    stores, _ = world(tmp_path)
    projects.create(stores, "ann", NewProject("forml"))
    ordered = NewModel("demo-points", settings=ModelSettings(label_order="pep440"))
    models.create(stores, "ann", "forml", ordered)
    release = publish(
        stores, {names.PACKAGE: package()}, project="forml", model="demo-points", label="1.0.dev1"
    )
    record = models.find(stores, "forml", "demo-points")
    found = versions.numbered(stores, record, release.number)
    for number in (1, 2):
        states = {names.state(sid): f"{number} {sid}".encode() for sid in tags.states(TAG)}
        files = upload(stores, "forml", {names.TAG: TAG, **states})
        commit = CheckpointCommit(
            manifests.digest(files), files, step=number, expected=number,
            metrics=tags.metrics(TAG), tags=tags.tags(TAG),
        )  # fmt: skip
        checkpoints.commit(stores, "ann", found, commit)
    index_all(stores, "forml")
    drain.project(stores, record.project_id)

    model = text_of(stores, "demo-points")
    assert "1.0.dev1" in model
    version = text_of(stores, f"/{release.number}/")
    for word in ("forml-package", "demo.pipelines", "module source", "demo.custom.origin"):
        assert word in version, word
    generations = text_of(stores, "checkpoints")
    for word in ("training.ordinal : 2026-02-28", "training.timestamp : 2026-03-01T10:15", "0.91"):
        assert generations.count(word) >= 2, word
    assert re.search(r"\b3 \d+ B\b", generations), generations  # two states and the tag
    stores.table.close()
