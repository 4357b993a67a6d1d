"""docs/compat/fate-v2.md says what this server really answers: each row is asked here.

`WEIGHBRIDGE_COMPAT=update pytest tests/fate/v2/test_compat.py` writes the page anew; read the difference.
"""

import json
import os
import re
from pathlib import Path

from chalicelib.fate.v2 import envelope
from tests.fate.v2.conftest import LR, TREE, archive, output
from tests.fate.v2.test_access import issue, signed

PAGE = Path(__file__).parents[3] / "docs" / "compat" / "fate-v2.md"
START = "<!-- what the tests saw -->\n"
IDS = {"model_id": "job", "model_version": "0"}
PARTY = {**IDS, "role": "guest", "party_id": "9999"}
TASK = {"job_id": "job", "role": "guest", "party_id": "9999", "task_name": "lr_0"}
OUTPUT = {**PARTY, "task_name": "lr_0", "output_key": "output_model"}
WORKER = {**IDS, "execution_id": "e", "output_key": "k", "type_name": "json_model"}
ACME = {
    "name": "acme",
    "device": "k8s",
    "version": "1",
    "metadata": {"image": "i", "namespace": "n"},
}


def cases(flow):
    """Every endpoint with every way it can end: the endpoint, the case, and how it is asked."""

    def post(at, **fields):
        return lambda: flow.post(at, fields)

    def get(at, **query):
        return lambda: flow.get(at, **query)

    def link(at, **query):
        return lambda: flow.followed(at, **query)

    def sent(at, file, **fields):
        return lambda: flow.form(at, file, **fields)

    tree, bad = archive(TREE), archive({"a/b/guest/1/t/k": b"no tar"})
    return (
        ("POST /v2/model/import", "a zip", sent("/model/import", tree, **IDS)),
        ("POST /v2/model/import", "no file part", sent("/model/import", None, **IDS)),
        ("POST /v2/model/import", "a bad tree or tar", sent("/model/import", bad, **IDS)),
        ("POST /v2/model/import", "a field missing", sent("/model/import", tree, model_id="x")),
        ("POST /v2/model/export", "a party", post("/model/export", **PARTY, path="/x")),
        ("POST /v2/model/export", "unknown", post("/model/export", **{**PARTY, "party_id": "1"})),
        ("POST /v2/model/export", "a field missing", post("/model/export", **IDS)),
        ("POST /v2/model/store", "no second store", post("/model/store", **PARTY)),
        ("POST /v2/model/store", "fields missing", post("/model/store")),
        ("POST /v2/model/restore", "no second store", post("/model/restore", **PARTY)),
        ("POST /v2/model/restore", "fields missing", post("/model/restore")),
        ("GET /v2/output/model/query", "a task", get("/output/model/query", **TASK)),
        ("GET /v2/output/model/query", "unknown task",
         get("/output/model/query", **{**TASK, "task_name": "x"})),
        ("GET /v2/output/model/query", "a field missing", get("/output/model/query", job_id="x")),
        ("GET /v2/output/model/download", "a task", link("/output/model/download", **TASK)),
        ("GET /v2/output/model/download", "unknown task",
         get("/output/model/download", **{**TASK, "task_name": "x"})),
        ("GET /v2/worker/model/download", "an output", link("/worker/model/download", **OUTPUT)),
        ("GET /v2/worker/model/download", "unknown",
         get("/worker/model/download", **{**OUTPUT, "output_key": "x"})),
        ("POST /v2/worker/model/save", "a tar",
         sent("/worker/model/save", output(1, task_id="job_new_0"), **WORKER)),
        ("POST /v2/worker/model/save", "no tar", sent("/worker/model/save", b"x", **WORKER)),
        ("POST /v2/worker/model/save", "no file part", sent("/worker/model/save", None, **WORKER)),
        ("POST /v2/worker/model/save", "nobody's",
         sent("/worker/model/save", LR, **{**WORKER, "model_id": "other"})),
        ("POST /v2/output/model/delete", "a task", post("/output/model/delete", **TASK)),
        ("POST /v2/output/model/delete", "unknown task", post("/output/model/delete", **TASK)),
        ("POST /v2/model/delete", "narrowed",
         post("/model/delete", **IDS, role="guest", task_name="psi_0")),
        ("POST /v2/model/delete", "all parties", post("/model/delete", **IDS)),
        ("POST /v2/model/delete", "nothing matches", post("/model/delete", **IDS)),
        ("POST /v2/model/load", "anything", post("/model/load")),
        ("POST /v2/model/migrate", "anything", post("/model/migrate")),
        ("POST /v2/provider/register", "new", post("/provider/register", **ACME)),
        ("POST /v2/provider/register", "known", post("/provider/register", **ACME)),
        ("POST /v2/provider/register", "unknown device",
         post("/provider/register", **{**ACME, "device": "moon"})),
        ("POST /v2/provider/register", "metadata not of the device",
         post("/provider/register", **{**ACME, "metadata": {}})),
        ("POST /v2/provider/register", "a field missing", post("/provider/register", name="x")),
        ("GET /v2/provider/query", "a filter", get("/provider/query", name="acme")),
        ("GET /v2/provider/query", "no filter", get("/provider/query")),
        ("GET /v2/provider/query", "nothing matches", get("/provider/query", name="x")),
        ("POST /v2/provider/delete", "a filter", post("/provider/delete", name="acme")),
        ("POST /v2/provider/delete", "nothing matches", post("/provider/delete", name="acme")),
        ("POST /v2/provider/delete", "no filter", post("/provider/delete")),
    )  # fmt: skip


def callers(flow):
    """Who may not, as each endpoint tells them."""
    _, reader, _ = issue(flow.api)
    key, _, secret = issue(flow.api)

    def ask(headers=None, token="", path="/provider/query", body=None):
        method = "GET" if body is None else "POST"
        return lambda: flow.answer(method, path, body or b"", headers or {}, token)

    changed = {**signed(flow.api, key, secret), "nonce": "1"}
    return (
        ("any", "no token", ask()),
        (
            "any",
            "a token without the right",
            ask(None, reader, "/provider/register", json.dumps(ACME).encode()),
        ),
        ("any", "a signature that is wrong, or was used", ask(changed)),
        ("any", "a signature more than 60 s off", ask(signed(flow.api, key, secret, offset=99))),
        ("any", "a body that is no JSON object", ask(None, None, "/model/delete", b"[]")),
    )


def shape(value, depth=2):
    """The form of an answer's data, without its values."""
    if isinstance(value, dict):
        if depth == 0:
            return "{…}"
        return (
            "{" + ", ".join(f"{k}: {shape(v, depth - 1)}" for k, v in sorted(value.items())) + "}"
        )
    if isinstance(value, list):
        return f"[{shape(value[0], 0)}]" if value else "[]"
    return {bool: str(value).lower(), int: "number", str: "text", type(None): "null"}[type(value)]


def row(endpoint, case, found):
    """One row of the table."""
    if isinstance(found, tuple):
        return f"| `{endpoint}` | {case} | 302 | `{found[1]}` |"
    data = f"`{shape(found['data'])}`" if "data" in found else "-"
    return f"| `{endpoint}` | {case} | {found['code']} | {data} |"


def table(flow):
    """The whole table, as asked now."""
    rows = [row(endpoint, case, ask()) for endpoint, case, ask in cases(flow)]
    rows += [row(endpoint, case, ask()) for endpoint, case, ask in callers(flow)]
    head = ["| endpoint | case | code | data |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def test_the_page_says_what_the_server_answers(flow):
    """Row by row."""
    found = table(flow)
    text = PAGE.read_text()
    if os.environ.get("WEIGHBRIDGE_COMPAT") == "update":
        PAGE.write_text(text.partition(START)[0] + START + found)
    assert PAGE.read_text().partition(START)[2] == found


def test_every_route_and_code_is_on_the_page(flow):
    """Nothing that this facade can do or answer is left out."""
    from app import app

    text = PAGE.read_text()
    rows = set(re.findall(r"^\| `(\w+ /v2/\S+)` \|", text, re.M))
    routes = {
        f"{method} {path}" for path, methods in app.routes.items() if path.startswith("/v2/")
        for method in methods
    }  # fmt: skip
    assert rows == routes
    codes = {
        value for name, value in vars(envelope).items() if name.isupper() and isinstance(value, int)
    }
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.M)}
    assert listed == codes
