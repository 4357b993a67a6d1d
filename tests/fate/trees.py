"""Small trees as FATE leaves them in `model_local_cache`, written by the layout's rules alone."""

import base64
import hashlib
import json
from pathlib import Path

MODEL_ID = "arbiter-10000#guest-9999#host-10000#model"
PARTIES = ("arbiter#10000", "guest#9999", "host#10000")
VERSIONS = ("202006122009345696314", "202006122009345696315")


def marker(index, name, buffers, created="2021-11-07T02:34:54.683015"):
    """The text of a `database.yaml`, as FATE's own writer forms it."""
    name = name if name.isidentifier() else f"'{name}'"
    lines = [f"step_index: {index}", f"step_name: {name}", f"create_time: '{created}'", "models:"]
    for buffer, data in buffers.items():
        lines += [f"  {buffer}:", f"    sha1: {hashlib.sha1(data).hexdigest()}",
                  "    buffer_name: LRModelMeta"]  # fmt: skip
    return "\n".join(lines) + "\n"


def files_of_step(index, name, seed=""):
    """The files of a checkpoint, the marker last."""
    buffers = {
        "HeteroLRMeta": f"meta {seed}".encode(),
        "HeteroLRParam": f"param {seed} {index}".encode() * 50,
    }
    files = {}
    for buffer, data in buffers.items():
        files[f"{buffer}.pb"] = data
        files[f"{buffer}.json"] = json.dumps({"of": data.decode()}).encode()
    files["database.yaml"] = marker(index, name, buffers).encode()
    return files


def step(root, component, index, name="epoch", seed=""):
    """Writes a checkpoint below a version's folder; answers its own."""
    folder = root / "checkpoint" / component / f"{index}#{name}"
    folder.mkdir(parents=True)
    for file, data in files_of_step(index, name, seed).items():
        (folder / file).write_bytes(data)
    (folder / ".lock").touch()
    return folder


def files_of_model(party_model, version, seed=""):
    """The files of a model by path, as they belong to its version."""
    buffers = {
        f"variables/data/hetero_lr_0/model/{name}": f"{name} of {party_model} {seed}".encode() * 20
        for name in ("HeteroLRMeta", "HeteroLRParam")
    }
    role, party, model_id = party_model.split("#", 2)
    record = {
        "modelId": model_id, "modelVersion": version, "fateVersion": "1.11.2", "parent": True,
        "initiatorRole": "guest", "initiatorPartyId": 9999,
        "trainRuntimeConf": base64.b64encode(b'{"dsl_version": 2}').decode(),
    }  # fmt: skip
    pipeline = "variables/data/pipeline/pipeline/Pipeline"
    return {
        **buffers,
        **{f"{path}.json": json.dumps({"of": path, "role": role, "party": party}).encode()
           for path in buffers},
        pipeline: b"\x22\x06" + b"1.11.2" + seed.encode(),
        f"{pipeline}.json": json.dumps(record).encode(),
        "run_parameters/hetero_lr_0/run_parameters.json": b"{}",
        "define/define_meta.yaml": (
            b"component_define:\n  hetero_lr_0: {module_name: HeteroLR}\n"
            b"  pipeline: {module_name: Pipeline}\nmodel_proto:\n  hetero_lr_0:\n    model:\n"
            b"      HeteroLRMeta: LRModelMeta\n      HeteroLRParam: LRModelParam\n"
            b"  pipeline:\n    pipeline:\n      Pipeline: Pipeline\n"
        ),
    }  # fmt: skip


def model(cache, party_model, version, steps=0, seed=""):
    """Writes one version of one party with its checkpoints, and what is no part of it."""
    root = cache / party_model / version
    for path, data in files_of_model(party_model, version, seed).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    for index in range(steps):
        step(root, "hetero_lr_0", index, seed=f"{party_model}{version}{seed}")
    (root / ".lock").touch()
    (root / "import_model.json").write_text('{"force_update": false}')
    return root


def cache(folder, steps=5):
    """Three parties with two versions of five checkpoints each."""
    folder = Path(folder)
    for party in PARTIES:
        for version in VERSIONS:
            model(folder, f"{party}#{MODEL_ID}", version, steps)
    return folder


def contents(folder):
    """All files below a folder but locks, with their bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
