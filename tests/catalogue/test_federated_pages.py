"""The page of a federated model follows the versions of all its parties."""

import json
from dataclasses import replace

import pytest

from chalicelib.catalogue import drain, parties, publish, reading, shelf, slugs
from chalicelib.catalogue.changes import Change
from chalicelib.catalogue.registry_source import RegistrySource
from chalicelib.registry import changing, models, projects, publishing
from chalicelib.storage.memory import MemoryBlobs
from tests.catalogue.catalogue_world import MANY, MODEL_ID, at
from tests.catalogue.markup import read
from tests.registry_world import key_of, setup_model, world
from tests.registry_world import publish as push
from weighbridge.contract import references
from weighbridge.contract.types import NewModel, NewVersion

PAGE = slugs.object_key(slugs.federated_path("models", MODEL_ID))
GUEST = f"guest#9999#{MODEL_ID}"


@pytest.fixture
def store():
    """An empty site."""
    return MemoryBlobs()


def beside(store, key=PAGE):
    """The JSON of the page."""
    return json.loads(store.read(key.replace("index.html", "index.json")))


def states(store):
    """Label, completeness, missing parties and the states of the parts, newest first."""
    return [
        (v["label"], v["complete"], v["missing"], [s["state"] for s in v["shards"]])
        for v in beside(store)["versions"]
    ]


def test_the_page_says_who_holds_what_and_who_is_missing(source, renderer):
    """Links lead to the party's model and to its version; missing parties are named."""
    view = reading.federated_view(source, "p4", "models", MODEL_ID)
    text = renderer.render(parties.federated_page(view)).decode()
    new, old = view.rows
    assert (old.version.complete, len(old.parts)) == (True, 4)
    assert new.version.missing == ("arbiter#10000", "host#10000", "host#9998")
    assert 'class="chip good">complete' in text
    assert "3 parts missing" in text
    guest = source.model_list["p4", GUEST]
    assert f'href="{slugs.model_path("models", GUEST, guest.id)}"' in text
    assert f'href="{slugs.version_path("models", GUEST, guest.id, 2)}"' in text
    for page in ("model", "version"):
        link = slugs.federated_path("models", MODEL_ID)
        model = reading.model_view(source, "p4", guest)
        version = reading.version_view(source, "p4", guest, source.version("p4", guest, 1))
        made = (
            publish.pages.model_page(model)
            if page == "model"
            else publish.pages.version_page(version)
        )
        assert f'href="{link}"' in renderer.render(made).decode()


def test_many_missing_parties_are_counted(source, renderer):
    """Of 65 parties some are named, the page stays small."""
    view = reading.federated_view(source, "p4", "models", MANY)
    data = renderer.render(parties.federated_page(view))
    assert len(view.rows[0].version.missing) == 62
    assert b"and 54 more" in data
    assert read(data).problems == []


def test_a_page_lists_the_highest_labels_with_whole_sets(source):
    """What is cut off is a whole version, never some of its parties."""
    for number in range(2, 402):
        source.add_version("p4", GUEST, number, label=f"2025{number:017d}")
    view = reading.federated_view(source, "p4", "models", MODEL_ID)
    assert view.more
    assert [len(row.parts) for row in view.rows[:2]] == [1, 4]
    assert sum(len(row.parts) for row in view.rows) <= 200


def test_a_partys_change_renders_the_page(store, source, renderer):
    """Whichever party's version it is; other models touch no federated page."""
    publish.publish_all(source, store, "p4", renderer)
    assert states(store)[0][2] == ["arbiter#10000", "host#10000", "host#9998"]
    name = f"host#9998#{MODEL_ID}"
    opened = source.versions["p4", name, 2]
    source.versions["p4", name, 2] = replace(opened, state="ready", published=at(22))
    publish.publish(source, store, "p4", [Change(name, (2,), "version.published")], renderer)
    assert states(store)[0][2] == ["arbiter#10000", "host#10000"]
    report = publish.publish(
        source, store, "p4", [Change(name, (2,), "checkpoint.published")], renderer
    )
    assert not [key for key in report.written + report.created if "~federated" in key]


def test_the_page_goes_with_the_last_labelled_version(store, source, renderer):
    """Rows vanish with what they show, and then the page; a slow publisher does not bring it back."""
    publish.publish_all(source, store, "p4", renderer)
    for (project, name, number), version in list(source.versions.items()):
        if project == "p4" and name.endswith(f"#{MODEL_ID}"):
            assert PAGE in set(shelf.keys_under(store, ""))
            source.versions[project, name, number] = replace(version, state="deleted", label="")
            change = Change(name, (number,), "version.deleted")
            publish.publish(source, store, "p4", [change], renderer)
    assert not [
        key for key in shelf.keys_under(store, "") if key.startswith(PAGE.rpartition("/")[0])
    ]
    guest = source.model_list["p4", GUEST]
    page = store.read(slugs.object_key(slugs.model_path("models", GUEST, guest.id)))
    assert b"~federated" not in page


class _Deleting(MemoryBlobs):
    """A store during whose first write of the page its last version is deleted by others."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def put(self, key, data, *args, **options):
        if key == PAGE and self.act:
            act, self.act = self.act, None
            act()
        return super().put(key, data, *args, **options)


def test_a_slow_publisher_does_not_bring_the_page_back(source, renderer):
    """Read before the deletion, written after it: the page is taken away again."""
    name = f"guest#9999#{MODEL_ID}"
    for key in [k for k in source.versions if k[0] == "p4" and k[1] != name]:
        del source.versions[key]
    del source.versions["p4", name, 2]

    def delete():
        source.versions["p4", name, 1] = replace(source.versions["p4", name, 1], state="deleted")
        publish.publish(source, store, "p4", [Change(name, (1,), "version.deleted")], renderer)

    store = _Deleting(delete)
    publish.publish(source, store, "p4", [Change(name, (1,), "version.published")], renderer)
    assert not [key for key in shelf.keys_under(store, "") if "~federated" in key]


def test_the_registry_renders_it_from_its_outbox(tmp_path):
    """Published, opened, deleted: the page is what the index says, on the registry itself."""
    stores, _ = world(tmp_path)
    setup_model(stores, "models", "other")
    names = [f"{party}#{MODEL_ID}" for party in
             ("arbiter#10000", "guest#9999", "host#9998", "host#10000")]  # fmt: skip
    for name in names:
        models.create(stores, "ann", "models", NewModel(name))
    project_id = projects.find(stores, "models").id

    def drained():
        drain.project(stores, project_id)
        return states(stores.site)

    for name in names[:3]:
        push(stores, {"f": name.encode()}, project="models", model=name, label="1")
    assert drained() == [("1", False, ["host#10000"], ["ready"] * 3)]
    push(stores, {"f": b"4"}, project="models", model=names[3], label="1")
    push(stores, {"f": b"5"}, project="models", model=names[3], label="2")
    publishing.begin(stores, "ann", "models", names[0], NewVersion(key_of("open"), "2"))
    assert [(label, complete) for label, complete, *_ in drained()] == [("2", False), ("1", True)]
    assert states(stores.site)[0][3] == ["open", "ready"]
    for name, number in ((names[3], 2), (names[0], 2)):
        changing.delete(stores, "ann", "models", name, references.parse_version(str(number)))
    assert drained() == [("1", True, [], ["ready"] * 4)]
    rows, more = RegistrySource(stores).federated(project_id, MODEL_ID, 1)
    assert ([len(row.parts) for row in rows], more) == ([4], True)
    for name in names:
        changing.delete(stores, "ann", "models", name, references.parse_version("1"))
    drain.project(stores, project_id)
    assert not [key for key in shelf.keys_under(stores.site, "") if "~federated" in key]
    stores.table.close()
