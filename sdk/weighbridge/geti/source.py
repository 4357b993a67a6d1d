"""What an import needs of a Geti server. Another release of Geti is another class with these calls."""

from typing import BinaryIO, Protocol

from weighbridge.contract.geti import Found, Project

MAX_PACKAGE = 8 * 1024**3


class Source(Protocol):
    """A server with projects and optimised models.

    Errors: `NotFound` for a project or model that is not there, `Unauthenticated` and `Forbidden` for the
    token, `Unavailable` and `TransferError` for a server that does not answer as it should.
    """

    def list_projects(self) -> list[Project]:
        """Every project with its groups and optimised models."""
        ...

    def get_project(self, identifier: str) -> Project:
        """One project."""
        ...

    def fetch_package(self, found: Found, target: BinaryIO, most: int = MAX_PACKAGE) -> int:
        """Writes the deployment package of a model, `most` bytes at most; answers its size."""
        ...

    def close(self) -> None:
        """Closes the connections."""
        ...
