"""What the tests do with the client; runs in the client's environment and knows nothing of ours."""

import json
import sys

from model_registry import ModelRegistry
from model_registry.exceptions import StoreError
from model_registry.types import DataSet, DocArtifact, ListOptions, ModelArtifact, Parameter
from mr_openapi import (
    Artifact,
    InferenceServiceCreate,
    InferenceServiceUpdate,
    Metric,
    ServeModelCreate,
    ServingEnvironmentCreate,
)
from mr_openapi.models.registered_model_state import RegisteredModelState


def _told(found):
    return None if found is None else json.loads(found.model_dump_json())


def register(registry, name, version, uri, **more):
    """As the quick start does it, and reads all of it back."""
    registry.register_model(
        name, uri, version=version, model_format_name="onnx", model_format_version="1", **more
    )
    return look(registry, name, version)


def again(registry, name, version, uri):
    """The error of a version that is there already."""
    try:
        register(registry, name, version, uri)
    except StoreError as error:
        return str(error)
    return ""


def missing(registry, name, version):
    """The error of a version that is not there."""
    try:
        registry.get_model_artifact(name, version)
    except StoreError as error:
        return str(error)
    return ""


def look(registry, name, version):
    """Model, version and artifact by their names."""
    return {
        "model": _told(registry.get_registered_model(name)),
        "version": _told(registry.get_model_version(name, version)),
        "artifact": _told(registry.get_model_artifact(name, version)),
    }


def update(registry, name, version):
    """Changes each of the three, as the documentation of the client shows it."""
    model = registry.get_registered_model(name)
    model.description = "Updated model description"
    found = registry.get_model_version(name, version)
    found.description = "Updated version description"
    found.custom_properties = {**found.custom_properties, "key": 42}
    artifact = registry.get_model_artifact(name, version)
    artifact.uri = "https://new.example/model.zip"
    for one in (model, found, artifact):
        registry.update(one)
    return look(registry, name, version)


def update_description(registry, name, version):
    """Changes one field of a version; the client sends all others with it."""
    found = registry.get_model_version(name, version)
    found.description = "seen"
    registry.update(found)


def archive(registry, name):
    """Archives a model and answers its state as a new reader sees it."""
    model = registry.get_registered_model(name)
    model.state = RegisteredModelState.ARCHIVED
    registry.update(model)
    return registry.get_registered_model(name).state


def pages(registry, size, model=""):
    """Names in every order that the pager knows, by pages of that size."""
    found = {}
    for order in ("", "creation_time", "update_time", "id"):
        for up in (True, False):
            pager = (
                registry.get_model_versions(model) if model else registry.get_registered_models()
            )
            if order:
                pager = getattr(pager, f"order_by_{order}")()
            pager = (pager.ascending() if up else pager.descending()).page_size(size)
            found[f"{order} {'up' if up else 'down'}"] = [one.name for one in pager]
    return found


def artifacts(registry, name, version):
    """One artifact of each kind, listed by kind and by filter."""
    own = registry.get_model_version(name, version).id
    api = registry._api
    made = [
        DocArtifact(name="paper", uri="https://example.org/paper.pdf"),
        DataSet(name="train", uri="s3://data/train", digest="abc", source_type="s3"),
        Parameter(name="depth", value="18", parameter_type="number"),
    ]

    async def run():
        for one in made:
            await api.upsert_model_version_artifact(one, own)
        async with (
            api.get_client() as client
        ):  # the wrapper cannot make a metric: its step is no text
            for name, step in (("accuracy", "7"), ("loss", None)):
                metric = Metric(name=name, value=0.93, step=step)
                await client.upsert_model_version_artifact(own, Artifact(metric))
        alone = await api.upsert_model_artifact(ModelArtifact(name="alone", uri="s3://b/alone"))
        alone.description = "changed"
        alone = await api.upsert_model_artifact(alone)
        kept = await api.get_model_artifact_by_id(alone.id)
        of_version = await api.get_model_version_artifacts(own)
        metrics = await api.get_artifacts(artifact_type="metric")
        named = await api.get_artifacts(filter_query="name LIKE 'p%' AND uri ILIKE '%PAPER%'")
        everything = await api.get_artifacts(options=ListOptions(limit=100))
        return {
            "alone": kept.description,
            "of_version": [(type(one).__name__, one.name) for one in of_version],
            "metrics": [(one.name, one.value, one.step) for one in metrics],
            "named": [one.name for one in named],
            "all": sorted(one.name for one in everything),
        }

    return registry.async_runner(run())


def filtered(registry, query):
    """Names of the versions that a filter finds."""

    async def run():
        async with registry._api.get_client() as client:
            found = await client.get_model_versions(filter_query=query)
            return [one.name for one in found.items]

    return registry.async_runner(run())


def serving(registry, name, version):
    """An environment, a service in it and what it served, through the generated client."""
    model, found = registry.get_registered_model(name), registry.get_model_version(name, version)

    async def run():
        async with registry._api.get_client() as client:
            place = await client.create_serving_environment(ServingEnvironmentCreate(name="prod"))
            service = await client.create_inference_service(InferenceServiceCreate(
                name="svc", registered_model_id=model.id, serving_environment_id=place.id,
                model_version_id=found.id, runtime="triton",
            ))  # fmt: skip
            serve = await client.create_inference_service_serve(
                service.id, ServeModelCreate(model_version_id=found.id)
            )
            stopped = await client.update_inference_service(
                service.id, InferenceServiceUpdate(desired_state="UNDEPLOYED")
            )
            listed = await client.get_environment_inference_services(place.id)
            serves = await client.get_inference_service_serves(service.id)
            served = await client.get_inference_service_version(service.id)
            of_model = await client.get_inference_service_model(service.id)
            by_name = await client.find_inference_service(name="svc", parent_resource_id=place.id)
            environment = await client.find_serving_environment(name="prod")
            return {
                "state": stopped.desired_state, "services": [one.name for one in listed.items],
                "serves": [one.id for one in serves.items] == [serve.id], "version": served.name,
                "model": of_model.name, "found": by_name.id == service.id,
                "environment": environment.id == place.id,
            }  # fmt: skip

    return registry.async_runner(run())


def old_prefix(registry, host):
    """What older clients ask for: the other prefix."""
    import urllib.request

    request = urllib.request.Request(
        f"{host}/api/model_registry/v1alpha3/registered_models",
        headers={"Authorization": f"Bearer {registry._api.config.access_token}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return sorted(one["name"] for one in json.load(answer)["items"])


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    registry = ModelRegistry(asked["url"], author="ann", is_secure=False, user_token=asked["token"])
    print(json.dumps(globals()[asked["what"]](registry, **asked["arguments"])))
