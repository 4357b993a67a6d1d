"""The page of a project's providers: made by the first, kept up to date, gone with the last."""

from dataclasses import replace

import pytest

from chalicelib.catalogue import drain, provider_pages, publish, reading, shelf
from chalicelib.catalogue.changes import Change
from chalicelib.catalogue.views import ProvidersView
from chalicelib.registry import projects, providers
from chalicelib.storage.memory import MemoryBlobs
from tests.catalogue.markup import read
from tests.registry_world import setup_model, world
from weighbridge.contract.types import Event, NewProvider, Provider

PAGE = "p/vision/~providers/index.html"


def test_providers_are_listed_with_their_components(source, renderer):
    """Name, version, device and protocol of each; what each component says of itself."""
    page = provider_pages.providers_page(reading.providers_view(source, "p4", "models"))
    text = renderer.render(page).decode()
    assert read(text.encode()).problems == []
    assert text.index("acme:1.0@k8s") < text.index("fate:2.1.0@local") < text.index("fate:2.2.0")
    assert "Private set intersection" in text
    assert 'href="#provider-2"' in text
    assert page.json["providers"][0].provider_name == "acme:1.0@k8s"


def test_only_projects_with_providers_lead_to_them(site):
    """The project's page links to the page where there is one."""
    assert '"/p/models/~providers/"' in (site / "p/models/index.html").read_text()
    assert (site / "p/models/~providers/index.html").exists()
    assert "~providers" not in (site / "p/vision/index.html").read_text()
    assert not (site / "p/vision/~providers").exists()


def test_very_many_components_stay_readable(renderer):
    """A hundred providers of a thousand components each are cut, with the command for the rest."""
    many = {f"component-{n}": {"description": "x" * 300} for n in range(1000)}
    found = tuple(
        Provider(f"p{n}:1@local", f"p{n}", "1", "local", {}, "fate", many) for n in range(100)
    )
    data = renderer.render(provider_pages.providers_page(ProvidersView("vision", found, True)))
    assert len(data) < 300_000
    assert b"500 more components" in data
    assert b"1,000 more components" in data
    assert b"weighbridge providers ls --project vision" in data


def _change(what):
    return Change.of(Event("1", "", f"provider.{what}", "ada", "", "acme:1.0@k8s"), [])


def test_it_goes_with_the_last_provider(source, renderer):
    """Two objects are written while there is a provider; none is left without one."""
    store = MemoryBlobs()
    publish.publish_all(source, store, "p4", renderer)
    before = {key: store.read(key) for key in shelf.keys_under(store, "")}
    source.provider_list["p4"] = source.provider_list["p4"][:1]
    report = publish.publish(source, store, "p4", [_change("deleted")], renderer)
    assert {key for key in report.written if before[key] != store.read(key)} == {
        "p/models/~providers/index.html", "p/models/~providers/index.json",
    }  # fmt: skip
    source.provider_list["p4"] = ()
    publish.publish(source, store, "p4", [_change("deleted")], renderer)
    assert not [key for key in shelf.keys_under(store, "") if "~providers" in key]
    assert b"~providers" not in store.read("p/models/index.html")


def test_a_slow_publisher_does_not_bring_it_back(source, renderer):
    """The last one deleted between reading and writing: the page is taken away again."""
    asked = []
    whole = source.providers

    def once(project_id, limit):
        asked.append(limit)
        return whole(project_id, limit) if len(asked) == 1 else ((), False)

    source.providers = once
    store = MemoryBlobs()
    publish.publish(source, store, "p4", [_change("registered")], renderer)
    assert not [key for key in shelf.keys_under(store, "") if "~providers" in key]


@pytest.fixture
def stores(tmp_path):
    """A real registry."""
    made, _ = world(tmp_path)
    setup_model(made)
    yield made
    made.table.close()


def test_registering_wakes_the_renderer(stores):
    """What the registry writes leads to the page, and deletion to its end."""
    new = NewProvider(
        "acme",
        "2.1.0",
        "k8s",
        {"image": "i", "namespace": "n"},
        components={"psi": {"description": "intersects"}},
    )
    for version in ("2.1.0", "2.2.0"):
        providers.register(stores, "ann", "vision", replace(new, version=version))
    assert {"project": projects.find(stores, "vision").id} in stores.queue.take("render")
    drain.everything(stores)
    assert b"acme:2.2.0@k8s" in stores.site.read(PAGE)
    assert b"intersects" in stores.site.read(PAGE)
    assert b"/p/vision/~providers/" in stores.site.read("p/vision/index.html")
    for version in ("2.1.0", "2.2.0"):
        providers.delete(stores, "ann", "vision", f"acme:{version}@k8s")
    drain.everything(stores)
    assert not shelf.exists(stores.site, PAGE)
