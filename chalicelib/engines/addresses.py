"""Addresses of second stores, in the form of the reference's `model_store_address`, checked.

What is secret in an address stands apart from the rest, so that the rest can be stored, shown and
logged. A secret in the server's own configuration may be a reference (`env:NAME`,
`secretsmanager:ID`), which only the worker follows. In a request it may not: whoever names the host
would be sent a secret of the server's.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weighbridge.contract.errors import InvalidRequest, Unavailable

_POOL = ("max_connections", "stale_timeout", "timeout", "autorollback", "thread_safe")
"""Options of the reference's connection pool: taken, and of no use here."""
_TENCENT = "https://cos.{}.myqcloud.com"
SECRETS = frozenset(
    {"password", "SecretId", "SecretKey", "Token", "access_key", "secret_key", "session_token"}
)
_OTHER_NAMES = {"name": "database", "passwd": "password", "max_connection": "max_connections"}
_REFERENCES = ("env:", "secretsmanager:")


@dataclass(frozen=True, slots=True)
class _Form:
    """What the address of a kind of store is made of: option → default (None: it must be given)."""

    options: Mapping[str, Any]
    secrets: Mapping[str, str | None]
    numbers: frozenset[str] = frozenset()
    ignored: tuple[str, ...] = ()


FORMS: Mapping[str, _Form] = {
    "mysql": _Form(
        {"host": None, "database": None, "user": None, "port": 3306, "ssl_ca": ""},
        {"password": ""}, frozenset({"port"}), (*_POOL, "charset"),
    ),
    "redis": _Form(
        {"host": None, "port": 6379, "db": 0, "ex": 0, "username": "", "ssl": False, "ssl_ca": ""},
        {"password": ""}, frozenset({"port", "db", "ex"}), _POOL,
    ),
    "tencent_cos": _Form(
        {"Region": None, "Bucket": None, "Endpoint": "", "Addressing": "virtual"},
        {"SecretId": None, "SecretKey": None, "Token": ""},
        ignored=("Scheme", "Timeout", "PoolConnections", "PoolMaxSize"),
    ),
    "s3": _Form(
        {"bucket": None, "endpoint": "", "region": "us-east-1", "prefix": "", "addressing": ""},
        {"access_key": "", "secret_key": "", "session_token": ""},
    ),
    "directory": _Form({"path": None}, {}),
}  # fmt: skip
_ALSO_CALLED = {"localfs": "directory", "file": "directory", "cos": "tencent_cos"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is and how to open it."""

    storage: str
    options: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    configured: bool = False
    """Whether the server's configuration names it; else a request did."""

    def public(self) -> dict[str, Any]:
        """What may be stored, shown and logged."""
        if self.configured:
            return {"configured": True, "storage": self.storage}
        return {"storage": self.storage, **self.options}

    @property
    def where(self) -> str:
        """A few words for messages."""
        told = self.options
        if self.storage in ("mysql", "redis"):
            return f"{self.storage} at {told['host']}:{told['port']}"
        return f"{self.storage} {told.get('Bucket') or told.get('bucket') or told.get('path')}"


def parse(given: Mapping[str, Any], *, configured: bool = False) -> Address:
    """An address; `InvalidRequest` names the first option that is missing, unknown or unusable."""
    kind = str(given.get("storage", ""))
    kind = _ALSO_CALLED.get(kind, kind)
    form = FORMS.get(kind)
    if form is None:
        raise InvalidRequest(
            f"the storage {kind[:40]!r} is not known; it is one of {', '.join(sorted(FORMS))}"
        )
    options: dict[str, Any] = dict(form.options)
    secrets: dict[str, Any] = dict(form.secrets)
    for name, value in given.items():
        if name == "storage" or name in form.ignored or value is None:
            continue
        known = name if name in options or name in secrets else _OTHER_NAMES.get(name, name)
        if known in secrets:
            secrets[known] = str(value)
        elif known in options:
            options[known] = _number(kind, known, value) if known in form.numbers else value
        elif known not in form.ignored:
            raise InvalidRequest(f"a {kind} store has no option {str(name)[:60]!r}")
    for name, value in (*options.items(), *secrets.items()):
        if value is None or (value == "" and {**form.options, **form.secrets}[name] is None):
            raise InvalidRequest(f"the address of the {kind} store lacks {name}")
    _checked(kind, options)
    if not configured:
        for name, value in secrets.items():
            if value.startswith(_REFERENCES):
                raise InvalidRequest(
                    f"{name} of the store is a reference; only the server's own configuration may "
                    "hold those"
                )
    return Address(kind, options, {k: v for k, v in secrets.items() if v}, configured)


def _number(kind: str, name: str, value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or len(text) > 10:
        raise InvalidRequest(f"{name} of the {kind} store is a whole number, not {text[:40]!r}")
    return int(text)


def _checked(kind: str, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if not isinstance(value, str | int | bool) or (
            isinstance(value, str) and len(value) > 1024
        ):
            raise InvalidRequest(f"{name} of the {kind} store is no text")
    if not 0 < options.get("port", 1) < 65536:
        raise InvalidRequest(f"{options['port']} is no port of a {kind} store")
    addressing = options.get("Addressing") or options.get("addressing") or "path"
    if addressing not in ("path", "virtual"):
        raise InvalidRequest(f"the addressing of a {kind} store is path or virtual")
    endpoint = options.get("Endpoint") or options.get("endpoint") or "https://"
    if not str(endpoint).startswith(("http://", "https://")):
        raise InvalidRequest(f"the endpoint of a {kind} store is an http:// or https:// address")


def endpoint(address: Address) -> str:
    """Where an object store answers: what the address says, else Tencent's own for a region."""
    told = address.options
    if address.storage == "tencent_cos":
        return str(told["Endpoint"]) or _TENCENT.format(told["Region"])
    return str(told["endpoint"])


# The server's own configuration


@dataclass(frozen=True, slots=True)
class Config:
    """The store of the server, and whether models are kept in step with it."""

    address: Address | None = None
    enabled: bool = False


def read(text: str) -> Config:
    """The configuration: the path of a YAML or JSON file in the form of the reference's
    `service_conf.yaml` (`model_store_address`, `enable_model_store`; all else is passed over), or such a
    JSON object itself. Empty: no store."""
    if not text.strip():
        return Config()
    try:
        document = _document(text)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"WEIGHBRIDGE_FATE_STORE cannot be read: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise InvalidRequest("WEIGHBRIDGE_FATE_STORE must hold an object with model_store_address")
    address = document.get("model_store_address")
    if address is not None and not isinstance(address, dict):
        raise InvalidRequest("model_store_address in WEIGHBRIDGE_FATE_STORE must be an object")
    enabled = document.get("enable_model_store", False)
    if not isinstance(enabled, bool):
        raise InvalidRequest("enable_model_store in WEIGHBRIDGE_FATE_STORE is true or false")
    if enabled and not address:
        raise InvalidRequest("enable_model_store needs a model_store_address")
    return Config(parse(address, configured=True) if address else None, enabled)


def _document(text: str) -> Any:
    if text.lstrip().startswith("{"):
        return json.loads(text)
    content = Path(text).read_text(encoding="utf-8")
    if text.endswith(".json"):
        return json.loads(content)
    import yaml  # here: whoever does not keep a YAML file does not pay for it

    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


# In the worker


def resolved(address: Address, secret: Callable[[str], str]) -> dict[str, str]:
    """The secrets of an address with references followed; `secret` asks the secrets manager."""
    if not address.configured:
        return dict(address.secrets)
    return {name: _followed(name, value, secret) for name, value in address.secrets.items()}


def _followed(name: str, value: str, secret: Callable[[str], str]) -> str:
    kind, _, target = value.partition(":")
    if kind == "env":
        found = os.environ.get(target)
        if not found:
            raise Unavailable(
                f"{name} of the store is env:{target}, but the worker has no such variable",
                retry=False,
            )
        return found
    if kind == "secretsmanager":
        identifier, _, key = target.partition("#")
        text = secret(identifier)
        if not key:
            return text
        try:
            return str(json.loads(text)[key])
        except (ValueError, KeyError, TypeError):
            raise Unavailable(
                f"the secret {identifier!r} holds no JSON object with {key!r}", retry=False
            ) from None
    return value
