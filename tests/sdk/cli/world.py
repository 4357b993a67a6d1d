"""The world of the examples: what the fake client knows at the start of each test."""

from tests.sdk.cli.fake_client import LATER, NOW, FakeClient
from weighbridge.contract import manifests, types
from weighbridge.contract.manifests import FileEntry


def entry(path, size, digit):
    """A file whose digest is one digit repeated."""
    digest = digit * 64
    return FileEntry(path, size, digest, f"s-{digest}-{size}")


def world():
    """`vision` with three versions of `digits` and their checkpoints; `empty` with nothing."""
    client = FakeClient()
    client.all_federated = [("models", found) for found in _federated()]
    client.all_projects = {
        "models": types.Project("models", "", False, NOW, "ada"),
        "empty": types.Project("empty", "", False, NOW, "ada"),
        "vision": types.Project("vision", "Everything that sees.", True, NOW, "ada"),
    }
    settings = types.ModelSettings("accuracy", {"accuracy": "max", "loss": "min"}, ("prod*",))
    client.all_models = {
        ("vision", "digits"): types.Model(
            "vision", "digits", "m01", "Handwritten digits", {"team": "vision"}, settings,
            {"production": 1, "staging": 2}, NOW, "ada", 5,
        ),
        ("vision", "draft"): types.Model("vision", "draft", "m02", created=NOW, created_by="bob"),
        ("vision", "guest#9999 数字"): types.Model("vision", "guest#9999 数字", "m03", created=NOW),
    }  # fmt: skip
    weights = entry("model.safetensors", 90_868_376, "a")
    settings_file = entry("config.json", 612, "b")
    client.all_versions = {
        ("vision", "digits"): {
            1: _version(1, 0.961, 0.131, "approved", "1.0.0", (weights, settings_file)),
            2: _version(2, 0.9745, 0.0921, "pending", "", (weights, settings_file)),
            3: _version(3, float("nan"), 0.08, "rejected", "", (weights,)),
            4: types.Version("vision", "digits", 4, "open", "wip", created=NOW, created_by="ada"),
        },
        ("vision", "draft"): {},
        ("vision", "guest#9999 数字"): {},
    }
    for number, files in (
        (1, (weights, settings_file)),
        (2, (weights, settings_file)),
        (3, (weights,)),
    ):
        client.files["vision", "digits", number, 0] = tuple(sorted(files, key=lambda f: f.path))
    tensors = (
        types.Tensor("encoder.weight", "F32", (768, 3), 9216),
        types.Tensor("encoder.bias", "F32", (768,), 3072),
        types.Tensor("scale", "F16", (), 2),
    )
    facts = types.Facts(
        "safetensors",
        1,
        3074,
        tensors,
        {"format": "pt"},
        dtypes={"F16": 1, "F32": 3072},
        architecture="lora",
        base_model="vision/digits@1",
    )
    broken = types.Facts("file", problem="the header is cut off")
    judged = types.Facts(
        "skops",
        1,
        metadata={"sklearn_version": "1.9.1", "note": "a\x1b[31m" + "b" * 300},
        architecture="Pipeline(SVC)",
        quantisation="int8",
        inputs=(types.Port("image", "F32", ("batch", "3", "")), types.Port("mask")),
        outputs=(types.Port("label", "I64", ("batch",)),),
        verdict="unsafe",
        findings=("os.system", "builtins.eval\x1b[2J"),
    )
    client.facts["vision", "digits", 2, 0] = types.VersionFacts(
        (
            types.FileFacts("config.json", 612, "b" * 64, settings_file.blob, None),
            types.FileFacts(weights.path, weights.size, "a" * 64, weights.blob, judged),
        )
    )
    client.facts["vision", "digits", 1, 0] = types.VersionFacts(
        (
            types.FileFacts("config.json", 612, "b" * 64, settings_file.blob, broken),
            types.FileFacts(weights.path, weights.size, "a" * 64, weights.blob, facts),
        )
    )
    client.all_checkpoints["vision", "digits", 1] = {
        1: _checkpoint(1, "", 5, 0.91, 0.31),
        2: _checkpoint(2, "encoder", 5, 0.93, 0.22),
        3: _checkpoint(3, "", 10, 0.95, 0.17),
    }
    for number in (1, 2, 3):
        client.files["vision", "digits", 1, number] = (
            entry("model.safetensors", 4096, str(number)),
        )
    client.moves = {
        ("vision", "digits", "production"): [
            types.AliasMove("production", 1, 2, "2026-11-21T10:00:00.000Z", "ada"),
            types.AliasMove("production", 2, 0, "2026-11-20T10:00:00.000Z", "bob"),
        ],
        ("vision", "digits", "staging"): [types.AliasMove("staging", 2, 0, NOW, "ada")],
    }
    client.cards["vision", "digits"] = "# Digits\n\nReads digits.\x1b[31m\n"
    scope = types.Scope(("read", "write"), "vision")
    client.all_tokens["3f9a1c"] = types.Token("3f9a1c", "trainer", (scope,), NOW, "ada", LATER)
    client.all_events = [
        types.Event("e2", "2026-11-21T10:00:00.000Z", "alias.moved", "ada", "digits", "production",
                    {"version": 1, "previous": 2}),
        types.Event("e1", NOW, "model.created", "bob", "draft", "draft"),
    ]  # fmt: skip
    client.comparison = _comparison(client)
    return client


def _federated():
    """Two versions of a federated model of two parties, and one of many that are missing."""
    shared = "guest-9999#host-10000#model"
    both = (
        types.Shard("guest", "9999", f"models/guest#9999#{shared}@1", "ready", 8, 40_960),
        types.Shard("host", "10000", f"models/host#10000#{shared}@1", "ready", 8, 20_480),
    )
    opened = types.Shard("host", "10000", f"models/host#10000#{shared}@2", "open")
    many = types.Shard("guest", "1", "models/guest#1#many\x1b[31m@1", "ready", 1, 1)
    return (
        types.FederatedVersion(shared, "202006122009345696314", both, (), True),
        types.FederatedVersion(shared, "202006122009345696315", (opened,),
                               ("guest#9999", "host#10000")),
        types.FederatedVersion("202611210101010000001", "0", (opened,)),
        types.FederatedVersion("many\x1b[31m", "1", (many,),
                               tuple(f"host#{n}" for n in range(64))),
    )  # fmt: skip


def _version(number, accuracy, loss, state, label, files):
    return types.Version(
        "vision", "digits", number, "ready", label,
        description="Wider." if number == 1 else "",
        approval=types.Approval(state, "ada", NOW, "good") if state != "pending" else types.Approval(),
        metrics={"loss": loss, "accuracy": accuracy},
        params={"lr": 0.01, "layers": [64, 32], "augment": True},
        tags={"device": "cpu"},
        attributes={"precision": "fp32"},
        provenance=types.Provenance("0123abcd", True, "train.py --lr 0.01", python="3.11.7"),
        parents=("vision/digits@1",) if number == 2 else (),
        manifest=manifests.digest(files),
        files=len(files), size=sum(f.size for f in files),
        created=NOW, created_by="ada", published=NOW, revision=1,
        verdict="unsafe" if number == 3 else "safe",
        formats=("safetensors",),
    )  # fmt: skip


def _checkpoint(number, component, step, accuracy, loss):
    return types.Checkpoint(
        "vision", "digits", 1, number, component, step, "epoch", {"accuracy": accuracy, "loss": loss},
        {"kind": "auto"}, "c" * 64, 1, 4096, NOW, "ada", verdict="safe",
            formats=("safetensors",),
    )  # fmt: skip


def _comparison(client):
    versions = client.all_versions["vision", "digits"]
    tensor = {"dtype": "F32", "shape": [768, 3], "bytes": 9216}
    wide = {"dtype": "F32", "shape": [768, 4], "bytes": 12288}
    file = {"sha256": "a" * 64, "size": 90_868_376}
    other = {"sha256": "d" * 64, "size": 91_000_000}
    return types.Comparison(
        ("vision/digits@1", "vision/digits@2"),
        (versions[1], versions[2]),
        (
            types.Section(
                "metrics",
                (
                    types.Difference("accuracy", (0.961, 0.9745), "changed"),
                    types.Difference("f1", (None, 0.9), "added"),
                ),
                1,
            ),
            types.Section("params", (types.Difference("lr", (0.01, "auto"), "changed"),), 2),
            types.Section(
                "tensors",
                (
                    types.Difference("encoder.weight", (tensor, wide), "reshaped"),
                    types.Difference("old.bias", ({**tensor, "shape": []}, None), "removed"),
                ),
                1,
            ),
            types.Section(
                "files", (types.Difference("model.safetensors", (file, other), "changed"),)
            ),
            types.Section("tags", (), 1),
            types.Section("provenance", (), 4),
        ),
    )
