"""A page of a project's history costs what it answers, however much has happened."""

from chalicelib.catalogue import drain
from chalicelib.registry import models, outbox, projects
from chalicelib.storage import units
from weighbridge.contract.types import ModelChanges


def test_a_page_of_events_reads_what_it_answers(stores, clock):
    """The newest twenty of three hundred as of sixty; page by page all of them, once each."""
    record = projects.find(stores, "vision")
    spent = []
    for count in (60, 240):
        for number in range(count):
            clock.time += 1
            models.change(
                stores, "ann", "vision", "digits", ModelChanges(f"text {number:04} " * 40)
            )
        drain.project(stores, record.id)
        with units.recorded() as read:
            page = outbox.history(stores, record.id, record.project.created, limit=20)
        assert len(page.items) == 20
        spent.append(sum(operation.reads for operation in read.operations))
    assert spent[0] == spent[1]
    seen, following = [], None
    while True:
        page = outbox.history(stores, record.id, record.project.created, limit=50, page=following)
        seen += [event.id for event in page.items]
        following = page.next
        if following is None:
            break
    assert len(seen) == len(set(seen)) == 302
    assert seen == sorted(seen, reverse=True)
