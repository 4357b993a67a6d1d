"""Typed methods over the HTTP API, one per route. Knows neither files nor object stores."""

from weighbridge.client.access import Access
from weighbridge.client.checkpoints import Checkpoints
from weighbridge.client.federated import Federated
from weighbridge.client.models import Models
from weighbridge.client.projects import Projects
from weighbridge.client.providers import Providers
from weighbridge.client.safety import Verdicts
from weighbridge.client.transfers import Transfers
from weighbridge.client.versions import Versions

__all__ = ["Client"]


class Client(
    Projects, Models, Versions, Checkpoints, Verdicts, Federated, Providers, Transfers, Access
):
    """A server's API. Safe to use from several threads; close it, or use it in a `with` block.

    Names are plain text; a version is a number or a selector (`"production"`, `"=1.4.2"`,
    `"latest"`), a checkpoint likewise (`3`, `"last"`, `"best"`, `"best=loss"`). Every method
    raises the same error classes that the server raised (`weighbridge.contract.errors`).
    """
