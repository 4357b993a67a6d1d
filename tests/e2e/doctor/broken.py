"""The real server with one thing wrong: `python -m tests.e2e.doctor.broken DEFECT serve's options`.

`clock`: what it tells and signs is ten minutes ahead. `events`: nobody takes index messages.
`render`: nobody takes render messages. In the last two the sweep, which would make up for it, rests.
"""

import sys
import time

from infra.embedded import __main__, worker


def _ahead() -> None:
    true = time.time
    time.time = lambda: true() + 600


def _without(topic: str) -> None:
    real = worker.Worker

    def lame(queue, handlers, sweep, **options):
        kept = {name: handle for name, handle in handlers.items() if name != topic}
        return real(queue, kept, lambda event, context: {}, **options)

    worker.Worker = lame


DEFECTS = {
    "clock": _ahead,
    "events": lambda: _without("index"),
    "render": lambda: _without("render"),
}

if __name__ == "__main__":
    DEFECTS[sys.argv[1]]()
    sys.exit(__main__.main(sys.argv[2:]))
