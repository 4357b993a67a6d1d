"""Opening the first version of a model that is not there yet, in one request."""

import threading

import pytest

from chalicelib.registry import models, projects, publishing
from tests.registry_world import key_of
from weighbridge.contract.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    InvalidName,
    InvalidRequest,
    NotFound,
)
from weighbridge.contract.types import ModelChanges, NewVersion, Retention


def begin(stores, project, model, key="k", **more):
    """Opens a version with leave to create."""
    new = NewVersion(key_of(key), create=True, **more)
    return publishing.begin(stores, "ann", project, model, new)


def refuse():
    """Nobody may create a project."""
    raise Forbidden("no")


def test_project_and_model_are_made_where_they_are_missing(stores):
    """One call makes what the version belongs to; the next ones find it, with what it says."""
    assert begin(stores, "audio", "speech").number == 1
    found = models.find(stores, "audio", "speech").model
    assert (found.created_by, projects.find(stores, "audio").project.created_by) == ("ann", "ann")
    models.change(stores, "ann", "audio", "speech", ModelChanges(description="kept"))
    assert begin(stores, "audio", "speech", "k2").number == 2
    assert begin(stores, "audio", "music").number == 1
    assert models.find(stores, "audio", "speech").model.description == "kept"


def test_without_create_nothing_is_made(stores):
    """A misspelt name stays an error."""
    for where in (("nowhere", "m"), ("vision", "nothing")):
        with pytest.raises(NotFound):
            publishing.begin(stores, "ann", *where, NewVersion(key_of("k")))
    with pytest.raises(NotFound):
        projects.find(stores, "nowhere")


def test_who_may_not_make_a_project_may_still_make_a_model(stores):
    """Leave is asked for a project only, and before anything is written."""
    new = NewVersion(key_of("k"), create=True)
    with pytest.raises(Forbidden):
        publishing.begin(stores, "ann", "audio", "speech", new, refuse)
    with pytest.raises(NotFound):
        projects.find(stores, "audio")
    assert publishing.begin(stores, "ann", "vision", "speech", new, refuse).number == 1


@pytest.mark.parametrize(
    ("where", "more", "error"),
    [
        (("audio", "a\nb"), {}, InvalidName),
        (("audio/x", "speech"), {}, InvalidName),
        (("audio", "speech"), {"label": "a\nb"}, InvalidName),
        (("audio", "speech"), {"retention": Retention(keep_last=-1)}, InvalidRequest),
    ],
)
def test_bad_input_makes_nothing(stores, where, more, error):
    """Names, label and retention are looked at first."""
    with pytest.raises(error):
        begin(stores, *where, **more)
    with pytest.raises(NotFound):
        projects.find(stores, "audio")


def test_a_project_that_is_being_deleted_is_left_alone(stores, monkeypatch):
    """Nothing is made in a project between its closing and its end."""
    projects.create(stores, "ann", projects.NewProject("audio"))
    query = stores.table.query

    def late(*arguments, **options):
        with pytest.raises(Conflict):
            begin(stores, "audio", "speech")
        return query(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(stores.table, "query", late)
        projects.delete(stores, "ann", "audio")
    assert begin(stores, "audio", "speech").number == 1


def test_many_at_once_make_one_of_each(stores):
    """Whoever comes second finds what the first one made."""
    numbers, failures = [], []

    def one(name):
        try:
            numbers.append(begin(stores, "audio", "speech", name).number)
        except AlreadyExists as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(f"k{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(numbers), failures) == ([1, 2, 3, 4, 5, 6], [])
