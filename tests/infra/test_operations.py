"""What operators are told: every alarm, every parameter, every field of a log line has its row."""

import re
from pathlib import Path

import pytest

from chalicelib.api.observing import KINDS, METRICS, Line
from infra.template import FUNCTIONS, alarms, settings, template

DOCS = Path(__file__).parents[2] / "docs"
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
DEPLOY = (DOCS / "how-to" / "deploy.md").read_text(encoding="utf-8")


def test_every_alarm_says_what_to_do():
    """docs/operations.md has a row for each alarm of the template, with a meaning and a remedy, and no other."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", OPERATIONS, re.M)
    told = {name: (means, do) for name, means, do in rows if name[0].isupper()}
    assert set(told) == set(alarms.listed())
    assert all(len(means) > 10 and len(do) > 5 for means, do in told.values())
    assert f"{len(told)} alarms" in OPERATIONS


def test_every_parameter_is_explained():
    """docs/how-to/deploy.md names each parameter of the template."""
    table = "\n".join(line for line in DEPLOY.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`(\w+)`", table))
    assert set(settings.parameters()) - named == set()


def test_every_field_of_a_line_is_explained():
    """And each kind of line, and each metric."""
    shown = Line("api", "GET /", "id")
    shown.principal = shown.token = shown.project = "x"
    fields = {*shown.fields(), "reads", "writes", "units"}
    listed = re.search(r"\| field \|.*?\n\n", OPERATIONS, re.S)[0]
    named = set(re.findall(r"`(\w+)`", listed))
    assert fields - named == set()
    kinds = {kind for _, kind in KINDS} | {"page", *FUNCTIONS.values()} - {"api_handler"}
    assert kinds - named == set()
    for metric in METRICS:
        assert f"`{metric}`" in OPERATIONS


@pytest.mark.parametrize("name", alarms.listed())
def test_alarms_watch_what_is_in_the_template(name):
    """Dimensions name resources of the stack; whoever is told is told of the end as well."""
    resources = template("prod")["Resources"]
    found = resources[name]["Properties"]
    assert found["AlarmActions"] == found["OKActions"] == alarms.told()
    for dimension in found["Dimensions"]:
        value = dimension["Value"]
        if isinstance(value, dict):
            named = value.get("Ref") or value["Fn::GetAtt"][0]
            known = {*resources, "AWS::StackName", "APIHandler"}
            assert named in known
    missing = "breaching" if name == "SweepMissed" else "notBreaching"
    assert found["TreatMissingData"] == missing


def test_every_queue_and_function_is_watched():
    """Errors, throttles, dead letters and age: none is forgotten."""
    found = set(alarms.listed())
    for function in FUNCTIONS:
        assert {f"{function}Errors", f"{function}Throttles"} <= found
    queues = {
        n for n, r in template("prod")["Resources"].items() if r.get("Type") == "AWS::SQS::Queue"
    }
    for queue in queues:
        assert f"{queue}Filled" in found or f"{queue}Late" in found
