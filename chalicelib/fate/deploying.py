"""Children of a trained model: what is kept of its components, from which checkpoints."""

from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.fate import dsl, layout, making, pipeline, shards
from chalicelib.fate.layout import Index
from chalicelib.fate.making import Plan
from chalicelib.fate.pipeline import Pipeline
from chalicelib.fate.shards import Shard
from chalicelib.fate.steps import Chosen, buffers_of
from chalicelib.registry.stores import Stores
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.manifests import FileEntry

Wanted = Mapping[str, Chosen]
"""The checkpoint that takes the place of a component's buffers, by component."""


def graph(
    record: Pipeline, components: Sequence[str] | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The predict DSL: the one given as it is, else that of the components named (all, by default)."""
    train = record.document("trainDsl")
    conf = record.document("trainRuntimeConf")
    if given:
        if components is not None:
            raise InvalidRequest("give cpn_list or a predict DSL, not both")
        if str(conf.get("dsl_version", 1)) == "1":
            raise InvalidRequest("a predict DSL can be given for models of DSL version 2 only")
        dsl.components(given)
        return dict(given)
    return dsl.predict(train, list(dsl.components(train)) if components is None else components)


def plan(
    stores: Stores, shard: Shard, label: str, predict: Mapping[str, Any], wanted: Wanted
) -> Plan:
    """What a party's child is to hold. Reads; of the registry nothing changes but some blobs."""
    record = shards.record_of(stores, shard)
    if not record.parent:
        raise InvalidRequest(
            f"{shard.model_version} is itself a deployed model; deploy "
            f"{record.document('parentInfo').get('parent_model_version', 'its parent')} instead"
        )
    kept = frozenset(dsl.components(predict)) | {"pipeline"}
    files = {
        path: entry
        for path, entry in shards.contents(stores, shard).items()
        if layout.component_of(path) in kept or layout.component_of(path) is None
    }
    index = _index(stores, shard, files)
    own: dict[str, bytes] = {}
    for component, chosen in wanted.items():
        if component not in kept:
            raise InvalidRequest(f"components_checkpoint: {component!r} is not deployed")
        index = _replace(stores, shard, files, index, component, chosen)
    if index is not None:
        own[layout.DEFINE] = layout.write_index(layout.only(index, kept))
    child = pipeline.renamed(record, shard.party.model_id, label).changed(
        parent=False, inferenceDsl=dict(predict),
        parentInfo={
            "parent_model_id": shard.party.model_id,
            "parent_model_version": shard.model_version,
        },
        loadedTimes=0,
    )  # fmt: skip
    own |= making.record_files(child)
    entries = {path: entry for path, entry in files.items() if path not in own}
    made = making.keep(stores, shard.project_id, own)
    return Plan(
        shard.party, label, [*entries.values(), *made],
        shards.attributes(child, job_id=label, imported=0),
        parents=(f"{shard.found.model.name}@{shard.version.number}",),
    )  # fmt: skip


def _index(stores: Stores, shard: Shard, files: Mapping[str, FileEntry]) -> Index | None:
    entry = files.get(layout.DEFINE)
    if entry is None:
        return None
    return layout.read_index(shards.data(stores, shard.project_id, entry))


def _replace(
    stores: Stores,
    shard: Shard,
    files: dict[str, FileEntry],
    index: Index | None,
    component: str,
    chosen: Chosen,
) -> Index | None:
    """Puts a checkpoint's buffers in the place of a component's."""
    marked, held = buffers_of(stores, shard, component, chosen)
    old = f"variables/data/{component}/"
    known = dict(index.classes.get(component, {})) if index else {}
    present = sorted({p.removeprefix(old).partition("/")[0] for p in files if p.startswith(old)})
    alias = next(iter(known), None) or (present[0] if present else "model")
    for path in [p for p in files if p.startswith(f"{old}{alias}/")]:
        del files[path]
    for name in marked.models:
        for suffix, ending in (("pb", ""), ("json", ".json")):
            entry = held.get(f"{name}.{suffix}")
            if entry is not None:
                path = f"{old}{alias}/{name}{ending}"
                files[path] = FileEntry(path, entry.size, entry.sha256, entry.blob)
    if index is None:
        return None
    known[alias] = {name: kind for name, (_, kind) in marked.models.items()}
    return Index(index.modules, {**index.classes, component: known})
