"""What is typed into the search box: the server's reading and the browser's, on the same vectors."""

import json
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.catalogue.searching import matching, query
from weighbridge.contract import codec

HERE = Path(__file__).parent
VECTORS = json.loads((HERE / "search_vectors.json").read_text())
SCRIPT = HERE.parents[1] / "frontend" / "static" / "search.js"


def plain(term):
    """A condition as the vectors write it."""
    sign = "-" if term.negated else ""
    if term.kind == "number":
        return [sign + term.operator, term.name, codec.encode(term.value)]
    return [sign + (term.name if term.kind == "field" else "text"), term.text]


def everything():
    """The entries of the vectors' documents."""
    models = [m for d in VECTORS["documents"]["models"] for m in matching.model_entries(d)]
    by_path = {model.path: model for model in models}
    versions = [
        entry
        for document in VECTORS["documents"]["versions"]
        for entry in matching.version_entries(document, by_path[document["model"]])
    ]
    return [*models, *versions]


def browser(queries, most=100):
    """How the script reads each query, and what it finds."""
    done = subprocess.run(
        ["node", HERE / "run_search_vectors.mjs", SCRIPT, HERE / "search_vectors.json", str(most)],
        input=json.dumps(queries), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def scripted():
    """The vectors, as the script reads them."""
    return {part: browser([c["query"] for c in VECTORS[part]]) for part in ("parsed", "searched")}


@pytest.mark.parametrize("case", VECTORS["parsed"], ids=lambda case: repr(case["query"][:40]))
def test_a_query_is_read_as_written_down(case):
    """Each query comes to the conditions, or to the sentence, that stands beside it."""
    found = query.parse(case["query"])
    assert found.problem == case.get("problem", "")
    assert [plain(term) for term in found.terms] == case.get("terms", [])


@pytest.mark.parametrize("case", VECTORS["searched"], ids=lambda case: repr(case["query"]))
def test_a_query_finds_what_is_written_down(case):
    """Each query finds these pages, in this order."""
    found = matching.search(query.parse(case["query"]), everything(), 100)
    assert [entry.path for entry in found.entries] == case["found"]
    assert found.total == len(case["found"])


def test_the_script_reads_every_query_alike(scripted):
    """The browser's side comes to the same conditions and sentences."""
    for case, read in zip(VECTORS["parsed"], scripted["parsed"], strict=True):
        assert (read["problem"], read["terms"]) == (
            case.get("problem", ""), case.get("terms", [])
        ), case["query"]  # fmt: skip


def test_the_script_finds_the_same(scripted):
    """The browser's side finds the same pages in the same order."""
    for case, read in zip(VECTORS["searched"], scripted["searched"], strict=True):
        assert (read["found"], read["total"]) == (case["found"], len(case["found"])), case["query"]


def _queries(count):
    """Queries of pieces that matter, the same ones each time."""
    import random

    rng = random.Random(8)
    pieces = [*VECTORS["parsed"], *VECTORS["searched"]]
    letters = string.ascii_letters + string.digits + ' "":=<>!-*.\t\u00a0\u00c9\u0301\u03a3\u0130'
    for _ in range(count):
        given_ = rng.choice(pieces)["query"][:60]
        cut = rng.randrange(len(given_) + 1)
        noise = "".join(rng.choice(letters) for _ in range(rng.randrange(12)))
        yield given_[:cut] + noise + given_[cut:]


def test_both_sides_agree_on_damaged_queries():
    """3,000 queries with something put into them: the same conditions, sentences and pages."""
    queries, entries = list(_queries(3000)), everything()
    for text, read in zip(queries, browser(queries), strict=True):
        asked = query.parse(text)
        found = matching.search(asked, entries, 100)
        assert read == {
            "problem": asked.problem, "terms": [plain(term) for term in asked.terms],
            "found": [entry.path for entry in found.entries], "total": found.total,
        }, text  # fmt: skip


@given(st.text(max_size=500))
@settings(max_examples=300, deadline=None)
def test_no_query_raises(text):
    """Whatever is typed is read, or explained."""
    found = query.parse(text)
    assert not (found.terms and found.problem)
    matching.search(found, everything(), 10)


def test_the_first_are_the_first_of_all():
    """However few are wanted, they are the best of everything, on both sides."""
    whole = matching.search(query.parse("kind:*"), everything(), 100)
    for most in (1, 3, 7):
        part = matching.search(query.parse("kind:*"), everything(), most)
        assert (part.entries, part.total) == (whole.entries[:most], whole.total)
        [read] = browser(["kind:*"], most)
        assert (len(read["found"]), read["total"]) == (most, whole.total)
        assert read["found"] == [entry.path for entry in part.entries]
