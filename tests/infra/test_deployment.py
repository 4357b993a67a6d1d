"""Parts of a deployment by themselves; as a whole it is tested in `tests/e2e/test_cdn.py` and `test_destroy.py`."""

import pytest

from infra import destroy, preparing
from infra.local import ministack_edge
from infra.stacks import Stack
from tests.registry_world import publish, setup_model, world
from weighbridge.contract.errors import NotFound

OUTPUTS = {"EndpointURL": "https://a.execute-api.example/v1/", "CdnUrl": "https://d.cloudfront.net"}


@pytest.mark.parametrize(
    ("outputs", "parameters", "url", "unknown"),
    [
        (("EndpointURL",), {}, "https://a.execute-api.example/v1", False),
        (("EndpointURL", "CdnUrl"), {}, "https://d.cloudfront.net", True),
        (
            ("EndpointURL", "CdnUrl"),
            {"PublicUrl": "https://x.example/"},
            "https://x.example",
            False,
        ),
        (("EndpointURL", "CdnUrl"), {"Domain": "m.example"}, "https://m.example", False),
    ],
)
def test_the_address_of_a_stack(outputs, parameters, url, unknown):
    """A name of one's own, else what was told, else the distribution, else the gateway."""
    stack = Stack("s", {name: OUTPUTS[name] for name in outputs}, parameters)
    assert (stack.url, stack.url_is_unknown) == (url, unknown)


def test_all_pages_are_made_at_once(tmp_path):
    """A first deployment of a registry that has data, or one with new templates, leaves no page out."""
    stores, _ = world(tmp_path)
    setup_model(stores)
    publish(stores, {"w": b"x"})
    with pytest.raises(NotFound):
        stores.site.head("p/vision/digits/1/index.html")
    preparing.pages(stores)
    for key in (
        "p/vision/index.html",
        "p/vision/digits/1/index.html",
        "static/style.css",
        "404.html",
    ):
        assert stores.site.head(key).size > 0
    stores.table.close()


def test_what_would_be_lost_is_told_in_a_few_lines():
    """The first projects by name, how many more, and nothing at all where nothing is."""
    assert not destroy.Contents({}, 0)
    assert destroy.Contents({"empty": 0}, 0)
    told = destroy.Contents({f"p{n:02}": n for n in range(30)}, destroy.COUNTED).told()
    assert "p07: 7 versions" in told
    assert "and 10 more projects" in told
    assert "100,000 or more objects" in told
    assert len(told.splitlines()) == destroy.SHOWN + 2


def test_the_emulators_functions_see_their_store_as_it_is():
    """The module that CloudFront has and the emulator lacks is filled in; other imports are left alone."""
    code = b"import cf from 'cloudfront';\nimport crypto from 'crypto';\nfunction handler() {}\n"
    made = ministack_edge.with_store(code, {"epoch": "7"}).decode()
    assert "const cf = " in made
    assert '"epoch": "7"' in made
    assert "import crypto from 'crypto';" in made
    assert ministack_edge.with_store(b"function handler() {}", {}) == b"function handler() {}"
