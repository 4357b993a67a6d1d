"""Objects that must not cross a fork, told before and after it for as long as they live."""

import os
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def watch(
    owner: T,
    *,
    before: Callable[[T], None] | None = None,
    in_parent: Callable[[T], None] | None = None,
    in_child: Callable[[T], None] | None = None,
) -> None:
    """Calls the methods of `owner` around every fork; does not keep it alive."""
    own = weakref.ref(owner)

    def calling(method: Callable[[T], None] | None) -> Callable[[], None]:
        def call() -> None:
            living = own()
            if method and living is not None:
                method(living)

        return call

    os.register_at_fork(
        before=calling(before),
        after_in_parent=calling(in_parent),
        after_in_child=calling(in_child),
    )
