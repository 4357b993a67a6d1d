"""FATE 1.x's job graphs (DSL version 2): what depends on what, and the graph of a prediction."""

from collections.abc import Iterable, Mapping
from typing import Any

from weighbridge.contract.errors import InvalidRequest

Dsl = Mapping[str, Any]
DATA_INPUTS = ("data", "train_data", "validate_data", "test_data")
_FEEDS = ("train_data", "validate_data", "eval_data", "test_data", "data")
"""Whose source takes the place of a dropped component's output, first to last."""
MAX_COMPONENTS = 10_000


def components(dsl: Dsl) -> dict[str, dict[str, Any]]:
    """The components of a graph, by name; `InvalidRequest` if it is none."""
    found = dsl.get("components", {})
    if not isinstance(found, dict) or not all(isinstance(c, dict) for c in found.values()):
        raise InvalidRequest("the DSL has no components: it must be {'components': {name: {…}}}")
    if len(found) > MAX_COMPONENTS:
        raise InvalidRequest(f"{len(found)} components; {MAX_COMPONENTS} at most")
    return found


def module(component: Mapping[str, Any]) -> str:
    """A component's module."""
    return str(component.get("module", ""))


def _block(component: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = component.get(name)
    return found if isinstance(found, dict) else {}


def _sources(component: Mapping[str, Any]) -> list[str]:
    """The components that a component takes something from."""
    found: list[str] = []
    for wanted in _block(component, "input").values():
        lists = wanted.values() if isinstance(wanted, dict) else (wanted,)
        for refs in lists:
            for ref in refs if isinstance(refs, list) else ():
                parts = str(ref).split(".")
                # A model may be named through the pipeline: `pipeline.<component>.<alias>`.
                found.append(parts[1] if parts[0] == "pipeline" and len(parts) > 2 else parts[0])
    return found


def depths(dsl: Dsl) -> dict[str, int]:
    """How deep each component lies in the graph, in topological order; equal ones as they stand."""
    found = components(dsl)
    waiting = {
        name: {s for s in _sources(inner) if s in found and s != name}
        for name, inner in found.items()
    }
    level: dict[str, int] = {}
    depth = 0
    while waiting:
        ready = [name for name, needs in waiting.items() if not needs & waiting.keys()]
        if not ready:
            raise InvalidRequest(f"the DSL has a circle among {', '.join(sorted(waiting)[:5])}")
        for name in ready:
            del waiting[name]
            level[name] = depth
        depth += 1
    return level


def aliases(component: Mapping[str, Any]) -> list[str]:
    """The aliases of the models that a component makes."""
    made = _block(component, "output").get("model")
    return [str(alias) for alias in made] if isinstance(made, list) else []


def predict(train: Dsl, kept: Iterable[str]) -> dict[str, Any]:
    """The graph of a prediction with some components of a training's graph."""
    found = components(train)
    wanted = list(dict.fromkeys(kept))
    if unknown := [name for name in wanted if name not in found]:
        raise InvalidRequest(
            f"the model has no component {unknown[0][:100]!r}; it has {', '.join(sorted(found))}"
        )
    chosen = frozenset(wanted)
    made: dict[str, Any] = {}
    for name in depths(train):
        if name in chosen:
            made[name] = _predicting(name, found, chosen)
    return {"components": made}


def _predicting(
    name: str, found: Mapping[str, dict[str, Any]], kept: frozenset[str]
) -> dict[str, Any]:
    component = found[name]
    made: dict[str, Any] = {"module": module(component)}
    inputs: dict[str, Any] = {}
    given = _block(component, "input")
    data = _block(given, "data")
    key = next((k for k in DATA_INPUTS if k in data), None)
    if key is not None:
        refs = [new for ref in _list(data[key]) for new in _followed(ref, found, kept, set())]
        if refs:
            inputs["data"] = {"data" if key == "data" else "test_data": list(dict.fromkeys(refs))}
    if models := aliases(component):
        inputs["model"] = [f"pipeline.{name}.{alias}" for alias in models]
    if "cache" in given:
        inputs["cache"] = given["cache"]
    if inputs:
        made["input"] = inputs
    outputs = {k: v for k, v in _block(component, "output").items() if k != "model"}
    if outputs:
        made["output"] = outputs
    return made


def _list(value: Any) -> list[str]:
    return [str(ref) for ref in value] if isinstance(value, list) else []


def _followed(
    ref: str, found: Mapping[str, dict[str, Any]], kept: frozenset[str], seen: set[str]
) -> list[str]:
    """A reference to data, or what fed the component it names where that one was dropped."""
    source = ref.partition(".")[0]
    if source in kept or source not in found:
        return [ref]
    if source in seen or module(found[source]).lower() == "reader":
        return []
    data = _block(_block(found[source], "input"), "data")
    key = next((k for k in _FEEDS if k in data), None)
    if key is None:
        return []
    return [
        new for inner in _list(data[key]) for new in _followed(inner, found, kept, {*seen, source})
    ]


def predict_conf(
    train_conf: Mapping[str, Any], dsl: Dsl, model_id: str, model_version: str
) -> dict[str, Any]:
    """A template of the configuration of a prediction."""
    roles = train_conf.get("role")
    roles = roles if isinstance(roles, dict) else {}
    parameters = train_conf.get("job_parameters")
    parameters = dict(parameters) if isinstance(parameters, dict) else {}
    common = parameters.get("common")
    parameters["common"] = {
        **(common if isinstance(common, dict) else {}),
        "model_id": model_id, "model_version": model_version, "job_type": "predict",
    }  # fmt: skip
    readers = [n for n, c in components(dsl).items() if module(c).lower() == "reader"]
    filled: dict[str, Any] = {}
    for role in ("guest", "host"):
        ids = roles.get(role)
        if readers and isinstance(ids, list):
            filled[role] = {
                str(at): {reader: _table(role, at) for reader in readers}
                for at, _ in enumerate(ids)
            }
    return {
        "dsl_version": 2, "initiator": train_conf.get("initiator", {}), "role": roles,
        "job_parameters": parameters, "component_parameters": {"role": filled},
    }  # fmt: skip


def _table(role: str, at: int) -> dict[str, dict[str, str]]:
    """A place for the name of a table."""
    return {"table": {"name": f"name_to_be_filled_{role}_{at}",
                      "namespace": f"namespace_to_be_filled_{role}_{at}"}}  # fmt: skip


def informed(dsl: Dsl) -> list[dict[str, Any]]:
    """The components of a graph with their modules and depths."""
    found = components(dsl)
    return [
        {"component_name": name, "module": module(found[name]), "index": depth}
        for name, depth in depths(dsl).items()
    ]
