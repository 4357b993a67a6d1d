"""Requests to DynamoDB: retried while that helps, translated when they fail, and counted in units.

PynamoDB's own retries are off: they do not know which requests may be repeated after a lost answer.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
)
from botocore.exceptions import ConnectionError as NotConnected
from pynamodb.exceptions import PynamoDBException, VerboseClientError

from chalicelib.registry.ports import MAX_ITEM
from chalicelib.storage.dynamo_rows import Raw
from weighbridge.contract.errors import TooLarge, Unavailable

PATIENCE_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.025, 1.0
_BUSY = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_BUSY_REASONS = frozenset(
    {"TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"}
)
_BROKEN = frozenset({"InternalServerError", "ServiceUnavailable"})


class Refused(Exception):
    """A condition failed: that of write `index`, on the item `raw` (None if absent).

    With `unsure`, an answer was lost before, so the request may have met its own effect.
    """

    def __init__(self, index: int, raw: Raw | None, unsure: bool) -> None:
        super().__init__(f"condition {index} failed")
        self.index = index
        self.raw = raw
        self.unsure = unsure


def pauses(patience: float) -> Iterator[None]:
    """Waits longer and longer, by chance, between rounds; ends when patience does."""
    deadline = time.monotonic() + patience
    longest = _FIRST_PAUSE
    while time.monotonic() < deadline:
        yield
        time.sleep(random.uniform(0, longest))  # noqa: S311 - spreads load, hides nothing
        longest = min(2 * longest, _LONGEST_PAUSE)


def patiently(request: Callable[[], Raw], patience: float) -> Raw:
    """The answer to `request`, repeated while the service is busy or an answer was lost.

    Raises `Refused`, `TooLarge`, `Unavailable`, or the error as it is when repeating cannot help.
    """
    unsure = False
    last: Exception | None = None
    for _ in pauses(patience):
        try:
            return request()
        except (PynamoDBException, ClientError, BotoCoreError) as error:
            last = error
            cause = error.cause if isinstance(error, PynamoDBException) else error
            if isinstance(cause, ClientError):
                unsure = _judge(cause, unsure)
            elif isinstance(cause, HTTPClientError):
                unsure = True
            elif isinstance(cause, BotoCoreError) and not isinstance(cause, NotConnected):
                raise Unavailable(f"the metadata table cannot be reached: {cause}") from error
            elif not isinstance(cause, NotConnected):
                raise
    raise Unavailable(f"the metadata table is busy or does not answer: {last}") from last


def _judge(error: ClientError, unsure: bool) -> bool:
    """Whether an answer has been lost by now; raises what repeating would not change."""
    code = error.response.get("Error", {}).get("Code", "")
    text = error.response.get("Error", {}).get("Message", "")
    if code == "ConditionalCheckFailedException":
        raise Refused(0, _item_in_the_way(error), unsure) from error
    if code == "TransactionCanceledException":
        return _judge_reasons(error, unsure)
    if code == "ValidationException" and _is_size(text):
        raise TooLarge(f"an item over {MAX_ITEM} bytes: {text}", limit=MAX_ITEM) from error
    if code == "ResourceNotFoundException":
        raise Unavailable(f"the metadata table does not exist: {text}") from error
    if code in _BUSY:
        return unsure
    if code in _BROKEN or _status(error) >= 500:
        return True
    raise error


def _judge_reasons(error: ClientError, unsure: bool) -> bool:
    reasons = error.cancellation_reasons if isinstance(error, VerboseClientError) else []
    for index, reason in enumerate(reasons):
        if reason and reason.code == "ConditionalCheckFailed":
            raise Refused(index, reason.raw_item or None, unsure) from error
    for reason in reasons:
        if reason and reason.code == "ValidationError" and _is_size(reason.message or ""):
            raise TooLarge(
                f"an item over {MAX_ITEM} bytes: {reason.message}", limit=MAX_ITEM
            ) from error
    if any(reason and reason.code in _BUSY_REASONS for reason in reasons):
        return unsure
    raise error


def _is_size(text: str) -> bool:
    return "item size" in text.lower()


def _item_in_the_way(error: ClientError) -> Raw | None:
    # PynamoDB keeps only the message; what the service answered is in the error beneath.
    beneath = error.__cause__ if isinstance(error, VerboseClientError) else error
    response: Any = getattr(beneath, "response", {})
    return response.get("Item") or None


def _status(error: ClientError) -> int:
    beneath = error.__cause__ if isinstance(error, VerboseClientError) else error
    response: Any = getattr(beneath, "response", {})
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def consumed(answer: Raw, formula: Callable[[], float]) -> float:
    """The capacity units that the service says it took, or `formula()` where it says nothing."""
    told: Sequence[Raw] | Raw = answer.get("ConsumedCapacity") or []
    parts = [told] if isinstance(told, dict) else told
    units = [part["CapacityUnits"] for part in parts if "CapacityUnits" in part]
    return float(sum(units)) if units else formula()
