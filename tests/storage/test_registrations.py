"""What foreign registries know by number, on every table engine: numbers given once, names taken once."""

import threading
from dataclasses import replace

import pytest

from chalicelib.registry import foreign_ids, models, projects, registrations
from chalicelib.registry.foreign_ids import Numbered
from tests.registry_world import setup_model
from tests.storage.test_writers import stores_on
from weighbridge.contract.errors import AlreadyExists, Conflict, NotFound


@pytest.fixture
def stores(shared_table):
    """A registry with one project."""
    found = stores_on(shared_table)
    setup_model(found)
    return found


def together(work, count=8):
    """Answers and failures of threads that do the same at once."""
    answers, failures, barrier = [], [], threading.Barrier(count)

    def run(index):
        barrier.wait()
        try:
            answers.append(work(index))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, failures


def test_a_record_has_one_number_whoever_asks_first(stores):
    """Eight at once get the same for each; every number that was told leads back."""
    project_id = projects.find(stores, "vision").id
    wanted = [Numbered("a" * 16), *(Numbered("a" * 16, n) for n in range(1, 120))]
    answers, failures = together(lambda _: foreign_ids.numbers(stores, project_id, wanted))
    assert not failures
    assert all(answer == answers[0] for answer in answers)
    assert len(set(answers[0].values())) == len(wanted)
    for one, number in answers[0].items():
        assert foreign_ids.record(stores, project_id, number) == one
    assert foreign_ids.numbers(stores, project_id, wanted) == answers[0]
    assert foreign_ids.record(stores, project_id, 10**9 - 1) is None
    other = projects.find(stores, "vision")
    assert foreign_ids.numbers(stores, other.id + "x", wanted[:1]) == {wanted[0]: 1}


def test_numbers_end_where_the_client_would_refuse_them(stores):
    """At nine digits, by a clear error."""
    project_id = projects.find(stores, "vision").id
    foreign_ids.take(stores, project_id, foreign_ids.MOST - 1)
    assert foreign_ids.take(stores, project_id) == foreign_ids.MOST
    with pytest.raises(Conflict, match="numbers"):
        foreign_ids.take(stores, project_id)


def test_a_name_is_taken_once(stores):
    """Of eight at once one gets it; under another parent or kind it is free."""
    project = projects.find(stores, "vision")

    def make(_):
        return registrations.create(stores, "ann", project, "environment", "prod", {"a": 1})

    (made,), failures = together(make)
    assert [type(error) for error in failures] == [AlreadyExists] * 7
    assert registrations.named(stores, project.id, "environment", "prod") == made
    for parent in (1, 2):
        registrations.create(stores, "ann", project, "service", "prod", {}, parent)
    with pytest.raises(NotFound):
        registrations.named(stores, project.id, "service", "prod", 3)


def test_changes_at_once_are_all_kept(stores):
    """Each is made on the newest state."""
    project = projects.find(stores, "vision")
    made = registrations.create(stores, "ann", project, "environment", "prod", {})

    def change(index):
        return registrations.rewrite(
            stores, "ann", project.id, "environment", made.number,
            lambda old: {**old.document, str(index): index},
        )  # fmt: skip

    _, failures = together(change, 5)
    assert not failures
    found = registrations.find(stores, project.id, "environment", made.number)
    assert found.document == {str(index): index for index in range(5)}
    assert found.revision == 6


def test_lists_go_both_ways_and_by_parent(stores):
    """From any place on."""
    project = projects.find(stores, "vision")
    made = [
        registrations.create(stores, "ann", project, "service", f"s{n}", {}, 1 + n % 2).number
        for n in range(6)
    ]
    every = registrations.every

    def numbers(*more, **how):
        return [one.number for one in every(stores, project.id, "service", *more, **how)]

    assert numbers() == made
    assert numbers(None, True) == made[::-1]
    assert numbers(made[2]) == made[3:]
    assert numbers(made[2], True) == made[:2][::-1]
    assert numbers(parent=1) == made[::2]
    assert numbers(made[0], parent=1) == made[2::2]
    assert numbers(None, True, 2) == made[1::2][::-1]


def test_nothing_is_registered_in_a_project_that_goes(stores):
    """The project is asked in the same transaction."""
    projects.create(stores, "ann", projects.NewProject("gone"))
    project = projects.find(stores, "gone")
    projects.delete(stores, "ann", "gone")
    with pytest.raises(Conflict):
        registrations.create(stores, "ann", project, "environment", "x", {})
    assert list(registrations.every(stores, project.id, "environment")) == []


def test_models_and_versions_are_changed_on_their_newest_state(stores):
    """What eight add to a model's attributes at once is all there."""

    def change(index):
        def applied(model):
            return replace(model, attributes={**model.attributes, str(index): index})

        return models.rewrite(stores, "ann", "vision", "digits", applied, {})

    _, failures = together(change, 5)
    assert not failures
    found = models.find(stores, "vision", "digits").model
    assert found.attributes == {str(index): index for index in range(5)}
    changed = models.change(
        stores, "ann", "vision", "digits", models.ModelChanges(attributes={"0": "new"})
    )
    assert changed.attributes["0"] == "new"
    assert changed.attributes["4"] == 4
