"""Names with `#` and `%23`, and those of 64 parties, through push, pull, presigned URLs and pages."""

import http.cookiejar
import urllib.request
import uuid

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chalicelib.catalogue import slugs
from tests.e2e.served import until
from tests.fate import trees
from weighbridge import Registry
from weighbridge.contract import federated

pytestmark = pytest.mark.real

SIGNS = st.sampled_from(
    ["#", "%23", "%2523", "%", "?", "&", "=", "+", " ", "~", "é", "数", ";", "'"]
)
TEXT = st.lists(SIGNS | st.sampled_from(["a", "Z", "9", ".", "-", "_"]), min_size=1, max_size=12)
PART = TEXT.map(lambda parts: "".join(parts).strip()).filter(lambda t: t and t.strip("."))
PARTY_ID = PART.filter(lambda text: "#" not in text)
MANY = federated.model_id({"guest": [9999], "host": range(100_000, 100_064)})


@pytest.fixture(scope="module")
def place(embedded):
    """The registry, a project of its own, and a browser that is signed in."""
    with Registry(embedded.url, embedded.token) as registry:
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        opener = urllib.request.build_opener(jar)
        opener.open(registry.client.ticket().url).close()
        yield registry, f"names{uuid.uuid4().hex[:6]}", opener


def page(opener, address):
    """A page, once it is rendered; None until then."""
    try:
        with opener.open(address) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        error.close()
        return None


@settings(
    max_examples=10, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(PARTY_ID, PART, PART, PART, PART)
@example(
    "9999", "arbiter-10000#guest-9999#host-10000#model", "202006122009345696314", "lr_0", "epoch"
)
@example("9999", MANY, "202006122009345696314", "hetero_lr_0", "a#b%23c")
@example("%23", "%2523#%23", "%23", "%23", "#%23")
def test_every_name_survives_every_way(
    place, tmp_path_factory, party_id, model_id, label, component, step
):
    """What was pushed is what is pulled, signed and shown, under the very same names."""
    registry, project, opener = place
    folder = tmp_path_factory.mktemp("names")
    party = federated.party_model("guest", party_id, model_id)
    model, label = f"{project}/{party.name}", f"{label} {uuid.uuid4().hex[:8]}"
    file = f"variables/{component}/x#y%23z"
    (folder / "in").mkdir()
    (folder / "in" / "data").write_bytes(f"{party.name} {label}".encode())
    pushed = registry.push(model, folder / "in" / "data", as_name=file, label=label)
    saved = trees.step(folder, "c", 3, "epoch", label)
    (saved / ".lock").unlink()
    registry.push_checkpoint(pushed.reference, saved, 3, component, step)
    selector = f"{model}@={label.replace('%', '%25').replace(':', '%3A').replace('@', '%40')}"
    assert registry.show(selector).number == pushed.version
    registry.pull(selector, folder / "out")
    assert (folder / "out" / file).read_bytes() == (folder / "in" / "data").read_bytes()
    [entry] = registry.files(pushed.reference)
    [signed] = registry.client.version_downloads(
        project, party.name, pushed.version, [entry.blob]
    ).items
    request = urllib.request.Request(signed.request.url, headers=signed.request.headers)
    with urllib.request.urlopen(request) as answer:
        assert answer.read() == (folder / "in" / "data").read_bytes()
    [point] = registry.checkpoints(pushed.reference)
    assert (point.component, point.step, point.name) == (component, 3, step)
    registry.pull(f"{pushed.reference}:{point.number}", folder / "step")
    assert trees.contents(folder / "step") == trees.contents(saved)
    shown = registry.client.federated_version(project, model_id, label)
    assert [shard.reference for shard in shown.shards] == [pushed.reference]
    known = registry.model(model)
    own = registry.url + slugs.version_path(project, party.name, known.id, pushed.version)
    together = registry.url + slugs.federated_path(project, model_id)
    found = until(lambda: page(opener, own), 60)
    assert slugs.federated_path(project, model_id) in found
    until(lambda: label.replace("'", "&#39;").replace("&", "&amp;").replace("&amp;#39;", "&#39;")
          in (page(opener, together) or ""), 60)  # fmt: skip
    assert f'href="{slugs.version_path(project, party.name, known.id, pushed.version)}"' in page(
        opener, together
    )
