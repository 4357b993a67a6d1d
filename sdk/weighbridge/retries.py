"""API requests that failed in passing are sent again."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from weighbridge.contract.errors import RegistryError
from weighbridge.http import Broken, Pool, Reply, Unreachable
from weighbridge.transfer import plan

_STRANGER = 3


@dataclass(frozen=True, slots=True)
class Retries:
    """Repeats what failed in passing: 429, 5xx, resets, timeouts; with backoff and jitter."""

    attempts: int = 6
    sleep: Callable[[float], object] | None = None
    """Instead of the pool's own waiting, which an interruption ends."""
    fraction: Callable[[], float] = random.random

    def send(
        self,
        pool: Pool,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        repeatable: bool = True,
        server: str = "",
    ) -> Reply:
        """The answer to an API request, whatever its status once retries are used up."""
        attempt = 0
        while True:
            attempt += 1
            failure: RegistryError | None = None
            reply: Reply | None = None
            try:
                reply = pool.send(method, url, headers, body, fresh=not repeatable)
                delay = plan.retry_answer(
                    reply.status,
                    attempt,
                    self.attempts,
                    self.fraction(),
                    retry_after=reply.headers.get("retry-after", ""),
                    now=time.time(),
                    repeatable=repeatable,
                )
            except Unreachable as error:
                failure = _helpful(error, server)
                # One that never answered is more likely a wrong address than a passing failure.
                most = self.attempts if pool.reached(url) else min(_STRANGER, self.attempts)
                delay = plan.retry_delay(attempt, most, self.fraction())
            except Broken as error:
                failure = error
                most = self.attempts if repeatable else 1
                delay = plan.retry_delay(attempt, most, self.fraction())
            if delay is not None:
                (self.sleep or pool.pause)(delay)
            elif reply is not None:
                return reply
            elif failure is not None:
                raise failure


def _helpful(error: Unreachable, server: str) -> Unreachable:
    if isinstance(error.__cause__, ConnectionRefusedError):
        return Unreachable(
            f"nothing answers at {server or 'that address'}: is the server running? "
            "(`weighbridge serve` starts one; `weighbridge login URL` chooses another)"
        )
    return error
