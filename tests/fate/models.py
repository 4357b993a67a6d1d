"""Sample party models, laid out on disk as FATE-Flow 1.x does it. Nothing here uses our own code.

`federated(...)` makes one training's models for every party: `tree(...)` gives a party's files by path,
`write(...)` puts them under a `model_local_cache`, `archive(...)` packs them as an export does.
"""

import base64
import hashlib
import io
import json
import struct
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

TRAIN_DSL = {
    "components": {
        "reader_0": {"module": "Reader", "output": {"data": ["data"]}},
        "data_transform_0": {
            "module": "DataTransform",
            "input": {"data": {"data": ["reader_0.data"]}},
            "output": {"data": ["data"], "model": ["model"]},
        },
        "hetero_lr_0": {
            "module": "HeteroLR",
            "input": {"data": {"train_data": ["data_transform_0.data"]}},
            "output": {"data": ["data"], "model": ["model"]},
        },
        "evaluation_0": {
            "module": "Evaluation",
            "input": {"data": {"data": ["hetero_lr_0.data"]}},
            "output": {"data": ["data"]},
        },
    }
}
BUFFERS = {
    "data_transform_0": ("DataTransform", {"DataTransformMeta": "DataTransformMeta",
                                           "DataTransformParam": "DataTransformParam"}),
    "hetero_lr_0": ("HeteroLR", {"HeteroLRMeta": "LRModelMeta", "HeteroLRParam": "LRModelParam"}),
}  # fmt: skip
_JSON_FIELDS = {"inferenceDsl": 1, "trainDsl": 2, "trainRuntimeConf": 3, "roles": 9,
                "runtimeConfOnParty": 13, "parentInfo": 14}  # fmt: skip
_TEXT_FIELDS = {"fateVersion": 4, "modelId": 5, "modelVersion": 6, "initiatorRole": 11}
_INT_FIELDS = {"parent": 7, "loadedTimes": 8, "workMode": 10, "initiatorPartyId": 12}


@dataclass(frozen=True)
class Training:
    """What one training job would have stored, for all parties."""

    model_version: str = "202006122009345696314"
    roles: dict = field(
        default_factory=lambda: {"guest": [9999], "host": [10000], "arbiter": [10000]}
    )
    initiator: tuple = ("guest", 9999)
    fate_version: str = "1.11.2"
    parent: bool = True
    parent_info: dict = field(default_factory=dict)
    inference_dsl: dict = field(default_factory=dict)
    train_dsl: dict = field(default_factory=lambda: TRAIN_DSL)
    buffers: dict = field(default_factory=lambda: BUFFERS)
    weight: int = 1
    """Kilobytes of a parameter buffer."""
    json_record: bool = True
    """Older models have no `Pipeline.json`."""
    checkpoints: tuple = ()
    """(component, step index, step name) of each."""

    @property
    def model_id(self):
        """`arbiter-10000#guest-9999#host-10000#model`."""
        parts = [
            f"{role}-{'_'.join(str(p) for p in sorted(set(ids)))}"
            for role, ids in sorted(self.roles.items())
        ]
        return "#".join(parts) + "#model"

    @property
    def parties(self):
        """(role, party id) of each."""
        return [(role, party) for role, ids in self.roles.items() for party in ids]

    def name(self, role, party_id):
        """The party model id."""
        return f"{role}#{party_id}#{self.model_id}"

    def conf(self):
        """The train runtime conf."""
        return {
            "dsl_version": 2,
            "initiator": {"role": self.initiator[0], "party_id": self.initiator[1]},
            "role": self.roles,
            "job_parameters": {
                "common": {
                    "model_id": self.model_id, "model_version": self.model_version,
                    "job_type": "train",
                }
            },
            "component_parameters": {"common": {"hetero_lr_0": {"max_iter": 3}}},
        }  # fmt: skip

    def record(self, role, party_id):
        """The pipeline record: values by their JSON name."""
        on_party = {
            "initiator": {"role": self.initiator[0], "party_id": self.initiator[1]},
            "role": self.roles,
            "job_parameters": {"model_id": self.model_id, "model_version": self.model_version},
            "local": {"role": role, "party_id": party_id},
        }
        return {
            "inferenceDsl": self.inference_dsl, "trainDsl": self.train_dsl,
            "trainRuntimeConf": self.conf(), "fateVersion": self.fate_version,
            "modelId": self.model_id, "modelVersion": self.model_version, "parent": self.parent,
            "roles": self.roles, "initiatorRole": self.initiator[0],
            "initiatorPartyId": self.initiator[1], "runtimeConfOnParty": on_party,
            "parentInfo": self.parent_info,
        }  # fmt: skip

    def buffer(self, role, party_id, component, name, step=None):
        """The bytes of a buffer: others for every party, component and step."""
        seed = f"{self.model_version}/{role}/{party_id}/{component}/{name}/{step}".encode()
        block = hashlib.sha256(seed).digest()
        count = 32 * self.weight if name.endswith("Param") else 1
        return b"".join(hashlib.sha256(block + struct.pack(">I", n)).digest() for n in range(count))

    def tree(self, role, party_id):
        """The files of a party's model, by path."""
        files = pipeline_files(self.record(role, party_id), self.json_record)
        index = {"component_define": {}, "model_proto": {}}
        for component, (module, buffers) in self.buffers.items():
            index["component_define"][component] = {"module_name": module}
            index["model_proto"][component] = {"model": dict(buffers)}
            files[f"run_parameters/{component}/run_parameters.json"] = b"{}"
            for name in buffers:
                data = self.buffer(role, party_id, component, name)
                path = f"variables/data/{component}/model/{name}"
                files[path] = data
                files[path + ".json"] = as_json(data)
        index["component_define"]["pipeline"] = {"module_name": "Pipeline"}
        index["model_proto"]["pipeline"] = {"pipeline": {"Pipeline": "Pipeline"}}
        files["define/define_meta.yaml"] = block_yaml(index).encode()
        for component, step, name in self.checkpoints:
            files.update(self.checkpoint(role, party_id, component, step, name))
        return files

    def checkpoint(self, role, party_id, component, step, name):
        """The files of one checkpoint, by path; its marker last."""
        folder = f"checkpoint/{component}/{step}#{name}/"
        files, models = {}, {}
        for buffer, kind in self.buffers[component][1].items():
            data = self.buffer(role, party_id, component, buffer, f"{step}#{name}")
            files[f"{folder}{buffer}.pb"] = data
            files[f"{folder}{buffer}.json"] = as_json(data)
            models[buffer] = {"sha1": hashlib.sha1(data).hexdigest(), "buffer_name": kind}
        marker = {
            "step_index": step, "step_name": name,
            "create_time": f"2021-11-07T02:34:{step % 60:02d}.683015", "models": models,
        }  # fmt: skip
        files[f"{folder}database.yaml"] = block_yaml(marker).encode()
        return files

    def describe(self, role, party_id, **more):
        """`import_model.json`, as a packed model has it."""
        return {
            "role": role, "party_id": party_id, "model_id": self.model_id,
            "model_version": self.model_version, "force_update": False, **more,
        }  # fmt: skip

    def write(self, cache: Path, role, party_id):
        """Puts a party's model under a `model_local_cache`, with its lock files; answers its root."""
        root = cache / self.name(role, party_id) / self.model_version
        for path, data in self.tree(role, party_id).items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            if target.name == "database.yaml":
                (target.parent / ".lock").touch()
        (root / ".lock").touch()
        return root

    def archive(self, role, party_id):
        """The zip of a party's model, as `flow model export` fetches it."""
        files = self.tree(role, party_id)
        described = self.describe(role, party_id, file=f"{self.name(role, party_id)}.zip")
        files["import_model.json"] = json.dumps(described).encode()
        files[".lock"] = b""
        return packed(files)

    def child(self, model_version, components, inference_dsl):
        """The same model as a deployment leaves it."""
        return replace(
            self, model_version=model_version, parent=False, inference_dsl=inference_dsl,
            parent_info={
                "parent_model_id": self.model_id, "parent_model_version": self.model_version
            },
            buffers={name: self.buffers[name] for name in components}, checkpoints=(),
        )  # fmt: skip


def federated(**changes):
    """A training with the given changes."""
    return replace(Training(), **changes)


def as_json(data):
    """A buffer's JSON form."""
    return json.dumps({"digest": hashlib.sha256(data).hexdigest()}).encode()


def packed(files):
    """A zip of files by path."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            # Its time would be now: the same files are to be the same archive.
            archive.writestr(zipfile.ZipInfo(path), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def unpacked(data):
    """The files of a zip by path."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def pipeline_files(record, with_json=True):
    """The pipeline record in its two forms, by path."""
    path = "variables/data/pipeline/pipeline/Pipeline"
    files = {path: protobuf(record)}
    if with_json:
        files[path + ".json"] = json.dumps(proto_json(record), indent=2).encode()
    return files


def proto_json(record):
    """Its proto3 JSON: defaults left out, bytes as base64."""
    found = {}
    for name, value in record.items():
        if name in _JSON_FIELDS:
            found[name] = base64.b64encode(json.dumps(value).encode()).decode()
        elif value:
            found[name] = value
    return found


def protobuf(record):
    """Its protobuf encoding."""
    out = b""
    numbers = {**_JSON_FIELDS, **_TEXT_FIELDS, **_INT_FIELDS}
    for name, number in sorted(numbers.items(), key=lambda pair: pair[1]):
        value = record.get(name)
        if name in _INT_FIELDS:
            if value:
                out += _varint(number << 3) + _varint(int(value))
            continue
        data = json.dumps(value).encode() if name in _JSON_FIELDS else (value or "").encode()
        if data:
            out += _varint(number << 3 | 2) + _varint(len(data)) + data
    return out


def _varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def block_yaml(value, indent=0):
    """Nested mappings of plain words in block style, as ruamel.yaml writes them."""
    lines = []
    for key, inner in value.items():
        pad = "  " * indent
        if isinstance(inner, dict):
            lines.append(f"{pad}{key}:")
            lines.append(block_yaml(inner, indent + 1).rstrip("\n"))
        else:
            text = f"'{inner}'" if key == "create_time" else inner
            lines.append(f"{pad}{key}: {text}")
    return "\n".join(lines) + "\n"
