"""The sweep renders what a message was lost of, and leaves to its message what has one."""

from chalicelib.catalogue import drain
from chalicelib.registry import models, outbox, projects
from tests.registry_world import publish


def waiting(stores, project="vision"):
    """How many entries of the outbox are there."""
    return len(outbox.pending(stores, projects.find(stores, project).id))


def test_what_is_late_is_drained_and_what_is_fresh_is_not(stores, clock):
    """Late is what is older than the time given; without one, all of it."""
    publish(stores, {"a": b"1"})
    before = waiting(stores)
    assert before
    assert drain.everything(stores, older=60) == 0
    clock.time += 61
    publish(stores, {"a": b"2"})
    fresh = waiting(stores) - before
    assert drain.everything(stores, older=60) == before
    assert waiting(stores) == fresh > 0
    assert drain.everything(stores) == fresh
    assert waiting(stores) == 0


def test_a_deleted_project_is_drained_whatever_its_age(stores):
    """Nothing looks at it again."""
    identifier = projects.find(stores, "vision").id
    models.delete(stores, "ann", "vision", "digits")
    projects.delete(stores, "ann", "vision")
    assert drain.everything(stores, older=60) > 0
    assert not outbox.pending(stores, identifier)
