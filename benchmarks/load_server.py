"""`weighbridge serve`'s process with one route more, which does nothing: what Chalice itself takes.

Started by `benchmarks.load` with the options of `python -m infra.embedded`.
"""

import sys

from app import app
from infra.embedded.__main__ import main


@app.route("/api/nothing", methods=["GET"])
def nothing() -> dict[str, str]:
    """Answers at once."""
    return {"status": "ok"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
