"""How a Geti server is reached. The variables are those of the retired microservice; the token is shown
nowhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from weighbridge.contract.errors import InvalidRequest

_YES = frozenset({"yes", "y", "true", "t", "1", "on"})
_NO = frozenset({"no", "n", "false", "f", "0", "off"})
VARIABLES = (
    "GETI_HOST", "GETI_TOKEN", "GETI_SERVER_API_VERSION", "GETI_ORGANIZATION_ID",
    "GETI_WORKSPACE_ID", "GETI_SERVER_SSL_VERIFY", "GETI_CA_FILE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Access:
    """A server's address, the personal access token for it, and what narrows it down."""

    host: str = ""
    token: str = field(default="", repr=False)
    api_version: str = "v1"
    organization: str = ""
    workspace: str = ""
    verify: bool = True
    ca_file: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The variables without which there is no server to ask."""
        needed = {"GETI_HOST": self.host, "GETI_TOKEN": self.token}
        return tuple(name for name, value in needed.items() if not value)

    @property
    def address(self) -> str:
        """The base of all calls; `InvalidRequest` for what is no address."""
        text = self.host if "://" in self.host else f"https://{self.host}"
        try:
            parts = urlsplit(text.rstrip("/"))
            usable = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.query or parts.fragment or "@" in parts.netloc:
            raise InvalidRequest(
                "GETI_HOST must be the address of a Geti server such as https://geti.example.org, "
                "with TLS and without credentials"
            )
        return f"{text.rstrip('/')}/api/{self.api_version}"


def read(env: Mapping[str, str]) -> Access:
    """What the variables say; a value that means nothing is an error with the variable's name."""
    given = {name: env.get(name, "").strip() for name in VARIABLES}
    if "\n" in given["GETI_TOKEN"] or not given["GETI_TOKEN"].isascii():
        raise InvalidRequest("GETI_TOKEN holds what no token holds: line ends or other letters")
    version = given["GETI_SERVER_API_VERSION"] or "v1"
    if not version.isascii() or not version.replace(".", "").isalnum():
        raise InvalidRequest(f"GETI_SERVER_API_VERSION must be such as v1, not {version!r}")
    word = (given["GETI_SERVER_SSL_VERIFY"] or "true").lower()
    if word not in _YES | _NO:
        raise InvalidRequest(
            f"GETI_SERVER_SSL_VERIFY must be yes or no (or true, false, 1, 0), not {word!r}"
        )
    return Access(
        given["GETI_HOST"], given["GETI_TOKEN"], version, given["GETI_ORGANIZATION_ID"],
        given["GETI_WORKSPACE_ID"], word in _YES, given["GETI_CA_FILE"],
    )  # fmt: skip
