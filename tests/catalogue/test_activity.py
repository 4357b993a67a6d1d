"""Every line of the history leads to the page of what it is about, where there is one."""

import pytest

from chalicelib.catalogue import activity
from weighbridge.contract.types import Event

MODEL = "/p/vision/digits/"


@pytest.mark.parametrize(
    ("kind", "subject", "details", "page"),
    [
        ("version.published", "digits@8", {}, f"{MODEL}8/"),
        ("version.aborted", "digits@8", {}, MODEL),
        ("checkpoint.published", "digits@8:12", {}, f"{MODEL}8/checkpoints/12/"),
        ("checkpoint.pinned", "digits@8:12", {}, f"{MODEL}8/checkpoints/12/"),
        ("checkpoint.blocked", "digits@8:12", {}, f"{MODEL}8/"),
        ("checkpoint.evicted", "digits@8", {}, f"{MODEL}8/"),
        ("checkpoint.deleted", "digits@8:12", {}, ""),
        ("alias.moved", "production", {"version": 8}, MODEL),
        ("model.changed", "digits", {}, MODEL),
        ("model.deleted", "digits", {}, ""),
    ],
)
def test_a_line_leads_to_its_page(kind, subject, details, page):
    """To a version, a checkpoint that is ready, or the model; to nothing that was deleted."""
    event = Event("1", "2026-11-11T17:10:00.000Z", kind, "ada", "digits", subject, details)
    project, same, told, path = activity.happened("Vision", event)
    assert (project, same) == ("Vision", event)
    assert path == page
    assert told.startswith("Vision/digits")


def test_an_event_of_the_project_leads_to_the_project():
    """It names no model."""
    event = Event("1", "2026-11-11T17:10:00.000Z", "project.created", "ada", "", "Vision", {})
    assert activity.happened("Vision", event)[2:] == ("Vision", "/p/vision/")
