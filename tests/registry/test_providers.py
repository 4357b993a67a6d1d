"""Providers: registered whole or not at all, replaced, listed, found by component, removed."""

import threading

import pytest

from chalicelib.registry import models, outbox, projects, providers
from tests.registry_world import world
from weighbridge.contract.errors import (
    InUse,
    InvalidName,
    InvalidRequest,
    NotFound,
    TooLarge,
)
from weighbridge.contract.types import NewModel, NewProject, NewProvider, ResolveRequest

K8S = {"image": "i:1", "namespace": "fate"}


@pytest.fixture
def at(stores):
    """Stores with the project `providers`."""
    projects.create(stores, "ann", NewProject("providers"))
    return stores


def new(name="acme", version="1.0", device="k8s", metadata=None, **more):
    """A registration."""
    return NewProvider(name, version, device, K8S if metadata is None else metadata, **more)


def test_a_provider_is_found_as_it_was_registered(at):
    """With who and when."""
    made, old = providers.register(at, "ann", "providers", new(components={"lr": {"a": 1}}))
    assert old is None
    assert (made.provider_name, made.created_by, made.revision) == ("acme:1.0@k8s", "ann", 1)
    assert providers.find(at, "providers", "acme:1.0@k8s") == made
    with pytest.raises(NotFound):
        providers.find(at, "providers", "acme:1.0@docker")


def test_registering_again_replaces_all_but_the_first_time(at, clock):
    """And says what it was before."""
    first, _ = providers.register(at, "ann", "providers", new(components={"lr": None}))
    clock.time += 60
    second, old = providers.register(
        at, "bob", "providers", new(metadata={**K8S, "config": {}}, protocol="fate")
    )
    assert old == first
    assert (second.created, second.created_by) == (first.created, "ann")
    assert (second.updated_by, second.revision, second.components) == ("bob", 2, {})
    assert second.updated > first.updated


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (new(name=""), "name"), (new(name="a:b"), "name"), (new(name="*"), "name"),
        (new(version="1@2"), "version"), (new(version="x" * 129), "version"),
        (new(name="a\n"), "name"), (new(device="moon"), "device"),
        (new(metadata={}), "metadata.image"), (new(metadata={"image": "i"}), "metadata.namespace"),
        (new(metadata={**K8S, "image": ""}), "metadata.image"),
        (new(metadata={**K8S, "config": "x"}), "metadata.config"),
        (new(device="docker", metadata={"image": "i"}), "metadata.base_url"),
        (new(device="docker", metadata={"base_url": ""}), "metadata.image"),
        (new(device="local", metadata={"venv": "x"}), "metadata.path"),
        (new(device="local", metadata={"path": "/p", "venv": 7}), "metadata.venv"),
        (new(protocol="smtp"), "protocol"),
        (new(components={"": None}), "components_description."),
        (new(protocol="bfia", components={"lr": 7}), "components_description.lr"),
        (new(protocol="bfia", components={"lr": {"componentName": "lr", "inputData": [1],
                                                "outputData": []}}),
         "components_description.lr.inputData"),
        (new(protocol="bfia", components={"lr": {"inputData": [], "outputData": []}}),
         "components_description.lr.componentName"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_nothing_is_saved(at, wrong, place):
    """By field; also where the provider is there already."""
    kept, _ = providers.register(at, "ann", "providers", new())
    with pytest.raises(InvalidRequest) as caught:
        providers.register(at, "bob", "providers", wrong)
    assert place in caught.value.details["fields"]
    assert list(providers.matching(at, "providers")) == [kept]


def test_docker_may_have_an_empty_address_and_local_no_environment(at):
    """As the reference takes them."""
    for device, metadata in (
        ("docker", {"base_url": "", "image": "i"}), ("local", {"path": "/p", "venv": None}),
    ):  # fmt: skip
        providers.register(at, "ann", "providers", new(device=device, metadata=metadata))


def test_a_description_is_bounded(at):
    """An item has a limit."""
    with pytest.raises(TooLarge):
        providers.register(at, "ann", "providers", new(components={"lr": "x" * 300_000}))


def test_providers_are_listed_by_name_in_pages_and_by_part(at):
    """Each page continues the one before."""
    for name, version, device in (
        ("acme", "1", "k8s"), ("acme", "2", "k8s"), ("acme", "2", "docker"), ("acme2", "1", "k8s"),
        ("beta", "1", "k8s"),
    ):  # fmt: skip
        metadata = {"base_url": "", "image": "i"} if device == "docker" else K8S
        providers.register(at, "ann", "providers", new(name, version, device, metadata))

    def found(**parts):
        return [p.provider_name for p in providers.matching(at, "providers", **parts)]

    assert found() == sorted(found())
    assert len(found()) == 5
    assert found(name="acme") == ["acme:1@k8s", "acme:2@docker", "acme:2@k8s"]
    assert found(version="2", device="k8s") == ["acme:2@k8s"]
    assert found(name="nobody") == []
    seen, page = [], None
    while True:
        part = providers.listing(at, "providers", limit=2, page=page)
        seen += [p.provider_name for p in part.items]
        page = part.next
        if page is None:
            break
    assert seen == found()


def test_components_are_found_by_name_and_protocol_across_providers(at):
    """Whoever has them."""
    entry = {"componentName": "lr", "inputData": [], "outputData": []}
    providers.register(at, "ann", "providers", new("acme", components={"lr": "x", "psi": None}))
    providers.register(
        at, "ann", "providers", new("beta", protocol="bfia", components={"lr": entry})
    )
    everything = providers.components(at, "providers").items
    assert [(c.provider_name, c.name) for c in everything] == [
        ("acme:1.0@k8s", "lr"), ("acme:1.0@k8s", "psi"), ("beta:1.0@k8s", "lr"),
    ]  # fmt: skip
    [one] = providers.components(at, "providers", name="lr", protocol="bfia").items
    assert (one.provider_name, one.description) == ("beta:1.0@k8s", entry)


def test_a_provider_is_removed_once(at):
    """The second time it is not there."""
    providers.register(at, "ann", "providers", new())
    assert providers.delete(at, "ann", "providers", "acme:1.0@k8s").deleted == "acme:1.0@k8s"
    for gone in ("acme:1.0@k8s", "acme:2@k8s"):
        with pytest.raises(NotFound):
            providers.delete(at, "ann", "providers", gone)
    with pytest.raises(InvalidName):
        providers.delete(at, "ann", "providers", "acme")


def test_every_change_is_in_the_history(at):
    """With who did it."""
    providers.register(at, "ann", "providers", new())
    providers.register(at, "bob", "providers", new())
    providers.delete(at, "eve", "providers", "acme:1.0@k8s")
    record = projects.find(at, "providers")
    events = outbox.history(at, record.id, record.project.created).items
    told = {(e.kind, e.by, e.subject) for e in events}
    assert told >= {
        ("provider.registered", "ann", "acme:1.0@k8s"),
        ("provider.updated", "bob", "acme:1.0@k8s"),
        ("provider.deleted", "eve", "acme:1.0@k8s"),
    }


def test_a_project_with_providers_stays(at):
    """Until they are gone; models do not count as providers."""
    models.create(at, "ann", "providers", NewModel("Acme"))
    models.delete(at, "ann", "providers", "Acme")
    providers.register(at, "ann", "providers", new())
    with pytest.raises(InUse, match=r"acme:1\.0@k8s"):
        projects.delete(at, "ann", "providers")
    providers.delete(at, "ann", "providers", "acme:1.0@k8s")
    projects.delete(at, "ann", "providers")


def test_many_register_the_same_at_once(tmp_path):
    """Every registration counts, one after the other."""
    at, _ = world(tmp_path)
    projects.create(at, "ann", NewProject("providers"))

    def one():
        providers.register(at, "ann", "providers", new())

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert providers.find(at, "providers", "acme:1.0@k8s").revision == 6
    at.table.close()


def test_a_dag_is_resolved_with_what_is_registered(at):
    """And with the default that the request or the server names."""
    providers.register(at, "ann", "providers", new())
    dag = {
        "dag": {
            "parties": [{"role": "guest", "party_id": ["1"]}],
            "tasks": {"lr_0": {"conf": {"provider": "acme:1.0@k8s"}}, "psi_0": {}},
        }
    }
    request = ResolveRequest(dag)
    found = providers.resolve(at, "providers", request, "fate:2.2.0@local")
    assert [(a.provider, a.registered) for a in found.items] == [
        ("acme:1.0@k8s", True), ("fate:2.2.0@local", False),
    ]  # fmt: skip
    assert len(found.problems) == 1
    named = ResolveRequest(dag, "acme:1.0@k8s")
    assert not providers.resolve(at, "providers", named, "fate:2.2.0@local").problems
