"""The lineage graph: each drawn version is a row, each line leads from a child down to its parent."""

import re

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.catalogue import lineage
from weighbridge.contract.types import Model, Version

MODEL = Model(project="p", name="m", id="x" * 16)
NUMBERS = re.compile(r"-?\d+")


def version(number, *parents, source=""):
    """A version that was made from others."""
    names = tuple(p if isinstance(p, str) else f"p/m@{p}" for p in parents)
    return Version("p", "m", number, "ready", parents=names, source=source)


def ends(path):
    """Where a line begins and where it ends."""
    assert path.startswith("M")
    x, y = (int(n) for n in NUMBERS.findall(path)[:2])
    last = path[max(path.rfind("V"), path.rfind("C")) :]
    found = [int(n) for n in NUMBERS.findall(last)]
    return (x, y), ((None, found[0]) if last[0] == "V" else (found[-2], found[-1]))


def test_versions_without_lineage_have_no_graph():
    """Nothing is drawn where there is nothing to tell."""
    assert lineage.graph(MODEL, [version(2), version(1)]) is None


def test_only_what_takes_part_is_drawn():
    """Newest first, parents from elsewhere below, versions on their own left out."""
    drawn = lineage.graph(MODEL, [version(4, 2, "q/base@7"), version(3), version(2), version(1)])
    assert [(n.text, n.outside) for n in drawn.nodes] == [
        ("@4", False),
        ("@2", False),
        ("q/base@7", True),
    ]
    assert len(drawn.edges) == 2
    assert drawn.summary == "@4 from p/m@2, q/base@7"


def test_a_promoted_checkpoint_comes_from_its_version():
    """Its source is a parent as others are."""
    drawn = lineage.graph(MODEL, [version(2, source="p/m@1:12"), version(1)])
    assert [n.text for n in drawn.nodes] == ["@2", "@1"]
    assert len(drawn.edges) == 1


def test_branches_run_in_lanes_of_their_own():
    """Two children of one parent do not share a line where another version stands."""
    drawn = lineage.graph(MODEL, [version(4, 1), version(3, 2), version(2, 1), version(1)])
    assert len({node.x for node in drawn.nodes}) > 1
    assert len(drawn.edges) == 3


@given(
    st.lists(
        st.lists(st.integers(1, 40) | st.sampled_from(["q/a@1", "q/b@2", "no reference"]), max_size=4),
        min_size=1, max_size=45,
    )
)  # fmt: skip
def test_every_line_joins_a_child_and_its_parent(parents):
    """Whatever people claim their parents to be, itself and the future included."""
    count = len(parents)
    versions = [version(n, *dict.fromkeys(parents[n - 1])) for n in range(count, 0, -1)]
    drawn = lineage.graph(MODEL, versions)
    if drawn is None:
        return
    rows = {node.y: node for node in drawn.nodes}
    place = {node.text if node.outside else f"p/m{node.text}": node.y for node in drawn.nodes}
    wanted = set()
    for one in versions:
        for parent in one.parents:
            child = f"p/m@{one.number}"
            if child in place and parent in place and place[parent] > place[child]:
                wanted.add((place[child], place[parent]))
    found = set()
    for path in drawn.edges:
        (x, y), (end_x, end_y) = ends(path)
        assert rows[y].x == x
        assert end_x in (None, rows[end_y].x)
        found.add((y, end_y))
    assert found == wanted
    assert len(drawn.nodes) <= lineage.MOST_ROWS
