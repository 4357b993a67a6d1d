"""The acceptance items of the edge model registry, E1 to E19, against the local server."""

import re
import time

import pytest

from tests.e2e.edge.conftest import PACKAGE, archive

pytestmark = pytest.mark.real
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} UTC\Z")
TEXT = "text/plain; charset=utf-8"
KEYS = [
    "id", "name", "target_device", "created_date", "last_updated_date", "precision", "size",
    "version", "format", "origin", "file_url", "project_id", "project_name", "category",
    "target_device_type", "score", "overview", "optimization_capabilities", "labels",
    "architecture",
]  # fmt: skip


def refused(answer, status, text):
    """A refusal in plain text, with its newline."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, TEXT), answer.text
    assert answer.text == text + "\n"


def detailed(answer, status, detail):
    """A refusal as JSON."""
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})


def test_e1_health_needs_no_token(door):
    """E1: a constant."""
    door.session.auth = None
    answer = door.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert door.get("/models").status_code == 401
    assert door.get("/models").headers["www-authenticate"].startswith("Basic")


def test_e2_an_empty_registry_lists_nothing(door):
    """E2: 200 and an empty array."""
    answer = door.get("/models")
    assert (answer.status_code, answer.json()) == (200, [])
    detailed(door.get("/nothing"), 404, "Not Found")
    assert door.ask("PATCH", "/models").status_code == 405
    slash = door.get("/models/")
    assert (slash.status_code, slash.headers["location"]) == (307, "/edge/models")
    assert door.get("/models/", allow_redirects=True).json() == []


def test_e3_a_filter_that_finds_nothing_is_not_found(door):
    """E3: 404 in plain text; empty filters are none."""
    refused(door.get("/models?name=x"), 404, "Model(s) not found.")
    assert door.get("/models?name=").json() == []
    door.registered()
    assert len(door.get("/models?name=&category=").json()) == 1
    empty = door.get("/models?version=")
    assert (empty.status_code, empty.json()) == (200, [])
    refused(door.get("/models?name=bolt&version="), 404, "Model(s) not found.")


def test_e4_unknown_query_keys_are_named(door):
    """E4: keys are case-sensitive."""
    refused(
        door.get("/models?Name=a&name=b&limit=3"), 422, "Invalid query parameter(s): Name, limit"
    )


def test_e5_three_fields_make_a_record_with_defaults(door):
    """E5: the id comes bare; every key is there."""
    answer = door.post(title="bolt", version="1A")
    assert answer.headers["content-type"] == TEXT
    own = answer.text
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", own)
    found = door.record(own)
    assert list(found) == KEYS
    times = found.pop("created_date"), found.pop("last_updated_date")
    assert all(TIME.match(text) for text in times)
    assert found.pop("file_url") == f"s3://weighbridge-artifacts/{own}/m.zip"
    assert found == {
        "id": own, "name": "bolt", "version": "1A", "target_device": "CPU", "precision": ["fp32"],
        "size": len(PACKAGE), "format": None, "origin": None, "project_id": None,
        "project_name": None, "category": None, "target_device_type": None, "score": 0.0,
        "overview": {}, "optimization_capabilities": {}, "labels": [], "architecture": None,
    }  # fmt: skip
    assert door.get("/models").json()[0] == door.record(own)


def test_e6_all_fields_come_back_with_their_types(door):
    """E6: names with what our own model names cannot hold among them."""
    given = {
        "id": "0123456789abcdef", "title": " a/b@c:d %2F é\n", "version": "v 1/2", "format": "onnx",
        "target_device": "GPU", "precision": "FP16", "score": "0.91", "size": "7",
        "created_date": "yesterday", "origin": "Geti", "project_id": "p1", "project_name": "line-4",
        "category": "Detection", "target_device_type": "edge", "architecture": "YOLOX-TINY",
        "overview": '{"a": [1, {"b": null}]}', "optimization_capabilities": '{"int8": true}',
        "labels": '["ok", "missing"]',
    }  # fmt: skip
    assert door.registered(**given) == given["id"]
    found = door.record(given["id"])
    assert list(found) == KEYS
    assert TIME.match(found["last_updated_date"])
    assert found["file_url"] == "s3://weighbridge-artifacts/0123456789abcdef/m.zip"
    for name in KEYS:
        if name in given and name not in (
            "precision", "score", "size", "overview", "optimization_capabilities", "labels",
        ):  # fmt: skip
            assert found[name] == given[name], name
    assert found["name"] == given["title"]
    assert (found["precision"], found["score"], found["size"]) == (["fp16"], 0.91, len(PACKAGE))
    assert found["overview"] == {"a": [1, {"b": None}]}
    assert found["optimization_capabilities"] == {"int8": True}
    assert found["labels"] == ["ok", "missing"]


def test_e7_unknown_form_keys_are_named(door):
    """E7: also those that only the server sets."""
    answer = door.post(last_updated_date="x", colour="red")
    refused(answer, 422, "Unsupported key(s) found: last_updated_date, colour")
    assert door.get("/models").json() == []


@pytest.mark.parametrize(
    "kind",
    [
        "application/zip", "multipart/x-zip", "application/zip-compressed",
        "application/x-zip-compressed", "application/x-zip",
    ],
)  # fmt: skip
def test_e8_zip_types_are_accepted(door, kind):
    """E8: whatever the file is called."""
    door.registered(kind=kind, name="weights.bin")


@pytest.mark.parametrize("kind", ["text/plain", None])
def test_e8_other_types_are_refused(door, kind):
    """E8: with the type that was sent."""
    refused(door.post(kind=kind, name="weights"), 422, f"Unsupported file type found: {kind}")


def test_e9_precisions_are_few_and_lower_case(door):
    """E9: 400 names what was sent."""
    refused(door.post(precision="FP64"), 400, "FP64 is not a supported precision.")
    assert door.record(door.registered(precision="INT8"))["precision"] == ["int8"]


def test_e10_an_id_is_taken_once(door):
    """E10: 409 with the id in quotes, without a newline."""
    own = door.registered(id="a" * 16)
    answer = door.post(id=own, title="other")
    assert (answer.status_code, answer.headers["content-type"]) == (409, TEXT)
    assert f"'{own}'" in answer.text
    assert not answer.text.endswith("\n")


def test_e11_name_version_precision_and_project_are_taken_once(door):
    """E11: each of them alone makes the difference; a category does not."""
    own = door.registered(precision="fp16", project_name="p", project_id="1")
    same = {"precision": "FP16", "project_name": "p", "project_id": "1"}
    answer = door.post(**same, category="Detection", architecture="x", format="onnx")
    assert answer.status_code == 409
    assert f"'{own}'" in answer.text
    for other in (
        {"title": "Bolt-check"}, {"version": "2"}, {"precision": "fp32"}, {"project_name": "P"},
        {"project_id": "2"}, {"project_id": ""},
    ):  # fmt: skip
        door.registered(**{**same, **other})
    assert len(door.get("/models").json()) == 7


def test_e12_what_is_missing_is_named_where_it_belongs(door):
    """E12: one entry per fault; a JSON body has none of them."""

    def missing(*names):
        return [
            {"type": "missing", "loc": ["body", n], "msg": "Field required", "input": None}
            for n in names
        ]

    three = missing("file", "name", "version")
    detailed(door.ask("POST", "/models", json={"name": "x"}), 422, three)
    detailed(door.ask("POST", "/models"), 422, three)
    detailed(door.post(title=""), 422, missing("name"))
    detailed(door.post(version=""), 422, missing("version"))
    answer = door.post(score="high", size="1.5", version="")
    kinds = [(f["type"], f["loc"][1], f["input"]) for f in answer.json()["detail"]]
    assert kinds == [
        ("missing", "version", None), ("float_parsing", "score", "high"),
        ("int_parsing", "size", "1.5"),
    ]  # fmt: skip
    assert door.post(score="").status_code == door.post(size="").status_code == 422
    assert door.get("/models").json() == []


@pytest.mark.parametrize("field", ["overview", "optimization_capabilities"])
@pytest.mark.parametrize("text", ["{'a': 1}", "", "{", "[1]", "3", '{"a": NaN}', "[" * 5000])
def test_e13_what_is_no_json_object_is_refused(door, field, text):
    """E13: also what JSON parsers let through and cannot give back."""
    detailed(door.post(**{field: text}), 422, f"{field} is not a valid JSON object.")
    assert door.get("/models").json() == []


@pytest.mark.parametrize("text", ['{"a": {"b": [true, null, 1.5, "é"]}}', "null", '"text"', "{}"])
def test_e13_json_survives(door, text):
    """E13: nested, with true and null; the list answers."""
    own = door.registered(overview=text)
    assert door.get(f"/models/{own}").text.count(text.strip("{}")) >= 1
    assert door.get("/models").status_code == 200


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ('["a", "b"]', ["a", "b"]), ("['a', 'b']", ["a", "b"]), ("[]", []),
        ('[{"name": "a", "n": null}]', [{"name": "a", "n": None}]),
        ("[{'name': 'a', 'is_empty': False}]", [{"name": "a", "is_empty": False}]),
        (["a", "b, c"], ["a", "b, c"]),
    ],
)  # fmt: skip
def test_e14_labels_are_a_list_of_texts_or_objects(door, given, found):
    """E14: as JSON, as Python or one by one, when registered and when changed."""
    own = door.registered(labels=given)
    assert door.record(own)["labels"] == found
    other = door.registered(version="2")
    assert door.put(other, labels=given).status_code == 200
    assert door.record(other)["labels"] == found


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', "3", "a, b", '["a", 1]', "['a'", "('a',)", "[nan]", "[1e999]", "['a', {}]",
     "[{1: 2}]", "[b'a']", "[" * 3000, "['\\ud800']", "__import__('os').getpid()"],
)  # fmt: skip
def test_e14_other_labels_are_refused(door, text):
    """E14: 422, nothing stored or changed."""
    detailed(door.post(labels=text), 422, "labels is not a valid list.")
    own = door.registered()
    detailed(door.put(own, labels=text), 422, "labels is not a valid list.")
    assert door.get("/models").json()[0]["labels"] == []


def test_e15_a_record_is_found_by_its_id(door):
    """E15: 200, 404, 400 for what cannot be an id."""
    own = door.registered()
    assert door.get(f"/models/{own}").json()["id"] == own
    refused(door.get(f"/models/{own}x"), 404, "Model not found.")
    for bad in ("short", "a" * 15, "a" * 15 + ".", "%C3%A9" * 16, "a%2Fb" * 8):
        for method in ("GET", "PUT", "DELETE"):
            detailed(door.ask(method, f"/models/{bad}"), 400, "Invalid format for model ID.")
        detailed(door.get(f"/models/{bad}/files"), 400, "Invalid format for model ID.")


def test_e16_filters_narrow_the_list(door):
    """E16: substrings in any case, the version exactly, all together."""
    one = door.registered(
        title="Bolt_check", version="v1", precision="fp16", project_name="Line-4",
        category="Detection", architecture="YOLOX-TINY",
    )  # fmt: skip
    two = door.registered(title="boltXcheck", version="V1", precision="int8", category="Anomaly")

    def found(query):
        answer = door.get(f"/models?{query}")
        return [r["id"] for r in answer.json()] if answer.status_code == 200 else []

    assert found("name=BOLT") == sorted([one, two])
    assert found("name=t_c") == [one]
    assert found("version=v1") == [one]
    assert found("version=v") == []
    assert found("precision=FP") == [one]
    assert found("precision=8") == [two]
    assert found("project_name=line") == [one]
    assert found("category=detect&architecture=yolox&name=bolt&version=v1") == [one]
    assert found("category=detect&version=V1") == []
    assert found("name=nothing&name=bolt") == sorted([one, two])
    for char in ("<", "%25", "'"):
        for name in ("name", "version", "precision"):
            answer = door.get(f"/models?{name}=a{char}b")
            assert (answer.status_code, answer.headers["content-type"]) == (400, TEXT)
            assert f"'{name}'" in answer.text


def test_e17_a_put_changes_what_it_names(door):
    """E17: urlencoded and multipart; `created_date` stays, `last_updated_date` moves."""
    own = door.registered(score="0.5", category="Detection")
    before = door.record(own)
    answer = door.put(own, score="0", category="", architecture="x", colour="red", id="b" * 16)
    assert (answer.status_code, answer.json()) == (200, {"status": "completed"})
    after = door.record(own)
    assert (after["score"], after["category"], after["architecture"]) == (0.0, "Detection", "x")
    assert after["last_updated_date"] > before["last_updated_date"]
    assert after["created_date"] == before["created_date"]
    time.sleep(0.002)  # times have milliseconds
    parts = {"name": (None, "nut"), "size": (None, "9"), "overview": (None, '{"a": true}')}
    assert door.ask("PUT", f"/models/{own}", files=parts).status_code == 200
    changed = door.record(own)
    assert (changed["name"], changed["size"], changed["overview"]) == ("nut", 9, {"a": True})
    assert changed["last_updated_date"] > after["last_updated_date"]
    assert door.put(own, name="nut").status_code == 200
    assert door.put(own, created_date="2020").status_code == 200
    assert door.record(own)["created_date"] == "2020"


def test_e17_a_put_that_changes_nothing_is_an_error(door):
    """E17: a JSON body, no body, an id; 422 and 404 before anything is touched."""
    own = door.registered()
    path = f"/models/{own}"
    for options in (
        {"json": {"name": "x"}},
        {},
        {"data": {"id": "b" * 16}},
        {"data": {"name": ""}},
    ):
        answer = door.ask("PUT", path, **options)
        assert answer.status_code == 400
        assert answer.json()["status"] == "error"
        assert set(answer.json()) == {"status", "message"}
    assert door.put(own, score="x").json()["detail"][0]["type"] == "float_parsing"
    assert door.put(own, size="").status_code == 422
    detailed(door.put(own, overview=""), 422, "overview is not a valid JSON object.")
    refused(door.put(own, precision="fp8"), 400, "fp8 is not a supported precision.")
    refused(door.put("c" * 16, name="x"), 404, "Model not found.")


def test_e17_a_put_that_meets_another_record_changes_nothing(door):
    """E17: 409 with the other's id; the keys that a change leaves are free again."""
    one = door.registered(version="1", precision="fp16")
    two = door.registered(version="2", precision="fp16")
    before = door.record(two)
    answer = door.put(two, version="1", precision="FP16", category="x")
    assert answer.status_code == 409
    assert f"'{one}'" in answer.text
    assert door.record(two) == before
    assert door.put(one, version="3").status_code == 200
    assert door.put(two, version="1").status_code == 200
    door.registered(version="2", precision="fp16")
    assert door.post(version="3", precision="fp16").status_code == 409


def test_e18_a_deleted_record_is_gone_and_its_name_is_free(door):
    """E18: 204, then 404. (That the bytes are freed: `test_packages.py`.)"""
    own = door.registered()
    answer = door.ask("DELETE", f"/models/{own}")
    assert (answer.status_code, answer.content) == (204, b"")
    refused(door.ask("DELETE", f"/models/{own}"), 404, "Model not found.")
    refused(door.get(f"/models/{own}"), 404, "Model not found.")
    refused(door.get(f"/models/{own}/files"), 404, "Model not found.")
    assert door.get("/models").json() == []
    assert door.registered(id=own) == own


def test_e19_a_download_is_the_upload(door):
    """E19: byte for byte, of exactly the type that clients compare with."""
    data = archive(**{"model.bin": "x" * 300_000})
    own = door.registered(data=data, name="line 4.zip")
    answer = door.get(f"/models/{own}/files")
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["content-type"] == "application/zip"
    docs = door.get(f"/models/{own}/files", headers={"Referer": "http://x/edge/docs"})
    assert docs.headers["content-type"] == "application/octet-stream"
    head = door.ask("HEAD", f"/models/{own}/files")
    assert (head.headers["content-length"], head.content) == (str(len(data)), b"")
    assert "x-weighbridge-send" not in answer.headers
    refused(door.get(f"/models/{'d' * 16}/files"), 404, "Model not found.")
