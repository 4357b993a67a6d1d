"""A request for every operation of the API, and what the other functions do, on the base registry."""

import json

from chalicelib.catalogue import drain, publish
from chalicelib.indexing import objects, repair
from tests.registry_world import key_of
from weighbridge.contract.errors import RegistryError

PROJECT = "/api/projects/vision"
MODEL = f"{PROJECT}/models/digits"
SECOND = f"{MODEL}/versions/2"
POINT = f"{SECOND}/checkpoints/1"
HELD = "/api/projects/strict/models/net/versions/1"
KEY = key_of("the version that a fault meets")
SCOPES = [{"verbs": ["read"]}]
CLAIM = {"name": "w", "dtype": "F32", "shape": [2], "fingerprint": "0" * 32}
DAG = {
    "schema_version": "2.0.0",
    "dag": {
        "conf": {}, "parties": [{"role": "guest", "party_id": ["1"]}],
        "tasks": {"lr_0": {"component_ref": "lr", "parties": [{"role": "guest", "party_id": ["1"]}]}},
    },
}  # fmt: skip

READS = (
    "/api/compare?ref=vision/digits@1&ref=vision/digits@2", "/api/health", "/api/openapi.json",
    "/api/projects", PROJECT, f"{PROJECT}/components", f"{PROJECT}/events", f"{PROJECT}/federated",
    f"{PROJECT}/federated/version?model_id=m&label=1", f"{PROJECT}/inbox", f"{PROJECT}/models",
    MODEL, f"{MODEL}/aliases/production", f"{MODEL}/aliases/production/history",
    f"{MODEL}/best", f"{MODEL}/card", f"{MODEL}/versions", f"{MODEL}/versions?state=open", SECOND,
    f"{MODEL}/versions/production", f"{MODEL}/versions/latest", f"{MODEL}/versions/%3Dfinal",
    f"{SECOND}/bundle", f"{SECOND}/checkpoints", f"{SECOND}/checkpoints?by=loss&order=min",
    POINT, f"{SECOND}/checkpoints/last", f"{SECOND}/checkpoints/best%3Dloss", f"{POINT}/bundle",
    f"{POINT}/facts", f"{POINT}/files", f"{POINT}/verdict", f"{SECOND}/facts", f"{SECOND}/files",
    f"{SECOND}/retention", f"{SECOND}/verdict", f"{HELD}/verdict",
    f"{PROJECT}/packages/{'p' * 16}", f"{PROJECT}/providers",
    f"{PROJECT}/providers/acme%3A1.0%40k8s", f"{PROJECT}/reindex", f"{PROJECT}/usage", "/api/tokens", "/api/whoami",
)  # fmt: skip


def changes(names):
    """Requests that change something: method, path, body."""
    opened = f"{MODEL}/versions/{names['open']}"
    bare = f"{MODEL}/versions/{names['bare']}"
    aborting = f"{MODEL}/versions/{names['aborting']}"
    upload = f"{PROJECT}/uploads/{names['upload']}"
    point = {"manifest": names["commit"]["manifest"], "files": names["files"], "step": 40,
             "metrics": {"loss": 0.01}}  # fmt: skip
    return (
        ("POST", "/api/projects", {"name": "audio"}),
        ("PATCH", PROJECT, {"description": "Sight", "safety": "block"}),
        ("DELETE", "/api/projects/empty", None),
        ("POST", f"{PROJECT}/federated/archives", {
            "model": "guest#9999#arbiter-1#guest-9999#model", "label": "1", "blob": names["second"]}),
        ("POST", f"{PROJECT}/inbox", {}),
        ("POST", f"{PROJECT}/models", {"name": "speech"}),
        ("PATCH", MODEL, {"description": "Other", "tags": {"a": "b"}}),
        ("DELETE", f"{PROJECT}/models/bare", None),
        ("PUT", f"{MODEL}/aliases/stage", {"version": "1"}),
        ("PUT", f"{MODEL}/aliases/production", {"version": "3", "expected": 2}),
        ("DELETE", f"{MODEL}/aliases/production", None),
        ("PUT", f"{MODEL}/card", {"text": "# Digits"}),
        ("POST", f"{MODEL}/versions", {"key": KEY, "label": "new"}),
        ("POST", "/api/projects/fresh/models/m/versions", {"key": KEY, "create": True}),
        ("PATCH", SECOND, {"tags": {"stage": "final"}, "metrics": {"f1": 0.5}}),
        ("DELETE", f"{MODEL}/versions/3", None),
        ("POST", f"{aborting}/abort", None),
        ("POST", f"{SECOND}/approval", {"state": "approved", "comment": "fine"}),
        ("POST", f"{opened}/commit", names["commit"]),
        ("POST", f"{bare}/files", {"files": names["files"]}),
        ("POST", f"{bare}/claims", {"files": [{"path": "new.bin", "tensors": [CLAIM]}]}),
        ("POST", f"{bare}/staged", {"files": names["files"]}),
        ("POST", f"{SECOND}/checkpoints", point),
        ("POST", f"{SECOND}/downloads", {"blobs": [names["second"]]}),
        ("POST", f"{POINT}/downloads", {"blobs": [names["point"]]}),
        ("DELETE", POINT, None),
        ("PUT", f"{POINT}/pin", None),
        ("DELETE", f"{SECOND}/checkpoints/2/pin", None),
        ("POST", f"{POINT}/promotion", {"key": KEY, "label": "promoted"}),
        ("POST", f"{HELD}/release", {"comment": "ours"}),
        ("POST", f"{HELD}/checkpoints/1/release", {"comment": "ours"}),
        ("PUT", f"{SECOND}/retention", {"keep_last": 1}),
        ("DELETE", f"{MODEL}/versions/1/retention", None),
        ("POST", f"{SECOND}/prune", {"dry_run": True}),
        ("POST", f"{PROJECT}/providers", {
            "name": "new", "version": "1", "device": "k8s", "metadata": {
                "image": "i", "namespace": "n"}}),
        ("POST", f"{PROJECT}/providers/resolve", {"dag": DAG}),
        ("DELETE", f"{PROJECT}/providers/acme%3A1.0%40k8s", None),
        ("POST", f"{PROJECT}/reindex", {"everything": True}),
        ("POST", f"{PROJECT}/uploads", {"want": [{"blob": names["wanted"]}]}),
        ("POST", f"{PROJECT}/uploads", {"done": [names["done"]]}),
        ("POST", f"{PROJECT}/uploads", {"want": [{"blob": names["large"]}]}),
        ("POST", f"{PROJECT}/uploads/look", {"parts": names["known"]}),
        ("POST", f"{PROJECT}/uploads/open", {
            "size": 50 * 1024**2, "scheme": 1, "parts": names["parts"][:1]}),
        ("POST", f"{upload}/parts", {"parts": names["parts"]}),
        ("POST", f"{upload}/complete", {"blob": names["large"]}),
        ("DELETE", f"{PROJECT}/uploads/{names['other']}", None),
        ("POST", "/api/tickets", {}),
        ("POST", "/api/tokens", {"name": "ci", "scopes": SCOPES}),
        ("DELETE", f"/api/tokens/{names['token']}", None),
    )  # fmt: skip


def requests(names):
    """All of them."""
    return [*(("GET", path, None) for path in READS), *changes(names)]


def works(names):
    """What events and the schedule have done, by name."""
    return {
        "index a blob": lambda stores: objects.look(stores, names["unseen"]),
        "index a drop": lambda stores: objects.look(stores, names["drop"]),
        "render": drain.everything,
        "sweep": repair.run,
        "sweep after nine days": lambda stores: later(stores, names["later"]),
        "publish what never changes": lambda stores: publish.publish_static(stores.site),
    }


def later(stores, when):
    """A sweep that finds what was given up."""
    stores.now.time = when
    repair.run(stores)


def worked(act, stores):
    """What became of work, as status and body of a request: its queue asks for no more."""
    try:
        act(stores)
    except RegistryError as error:
        return error.status, {"error": {"code": error.code, "message": error.message}}
    except RuntimeError:
        return 500, {"error": {"code": "error", "message": "the function failed"}}
    return 200, None


def answered(api, method, path, body):
    """Status and decoded answer of a request."""
    status, _, text = api.raw(method, path, body if body is not None else None)
    return status, json.loads(text) if text else None
