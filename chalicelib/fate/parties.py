"""Verbs for many parties at once: who is meant, and what is answered of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weighbridge.contract import federated
from weighbridge.contract.errors import InvalidRequest, RegistryError
from weighbridge.contract.federated import Party

MAX_PARTIES = 1000
OK, FAILED = 0, 100


def of_roles(given: Any, name: str = "role") -> dict[str, list[str]]:
    """Party ids by role, as texts; `InvalidRequest` if that is not what was given."""
    if not isinstance(given, dict) or not given:
        raise InvalidRequest(f"{name} must be an object: role to a list of party ids")
    found: dict[str, list[str]] = {}
    for role, ids in given.items():
        if role not in federated.ROLES:
            raise InvalidRequest(f"{name}: {str(role)[:40]!r} is no role")
        if not isinstance(ids, list) or not all(_is_id(one) for one in ids):
            raise InvalidRequest(f"{name}: the party ids of {role} must be a list of numbers")
        found[role] = [str(one) for one in ids]
    if sum(map(len, found.values())) > MAX_PARTIES:
        raise InvalidRequest(f"{name}: {MAX_PARTIES} parties at most")
    return found


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool) and value != ""


def listed(roles: Mapping[str, list[str]], *, without: str = "") -> list[Party]:
    """The parties of some roles, each once."""
    return list(dict.fromkeys(
        Party(role, party) for role, ids in roles.items() if role != without for party in ids
    ))  # fmt: skip


def of_initiator(given: Any, name: str = "initiator") -> Party:
    """A party in the form `{"role": …, "party_id": …}`."""
    if not isinstance(given, dict) or not _is_id(given.get("party_id")):
        raise InvalidRequest(f"{name} must be an object with role and party_id")
    return Party(str(given.get("role", "")), str(given["party_id"]))


@dataclass(slots=True)
class Outcomes:
    """What happened to each party: a code and a text."""

    by_party: dict[Party, tuple[int, str]] = field(default_factory=dict)

    def done(self, party: Party, text: str) -> None:
        """It worked."""
        self.by_party[party] = (OK, text)

    def failed(self, party: Party, error: RegistryError | str) -> None:
        """It did not, and why."""
        text = error if isinstance(error, str) else error.message
        self.by_party[party] = (FAILED, text)

    def spoil(self, text: str) -> None:
        """Says of all that would have worked that nothing was done, because others failed."""
        for party, (code, _) in self.by_party.items():
            if code == OK:
                self.by_party[party] = (FAILED, text)

    @property
    def all_well(self) -> bool:
        """Whether every party succeeded."""
        return all(code == OK for code, _ in self.by_party.values())

    def data(self) -> dict[str, Any]:
        """As FATE answers it: codes by role and party, and the same with texts under `detail`."""
        codes: dict[str, dict[str, int]] = {}
        detail: dict[str, dict[str, dict[str, Any]]] = {}
        for party, (code, text) in self.by_party.items():
            codes.setdefault(party.role, {})[party.party_id] = code
            told = {"retcode": code, "retmsg": text}
            detail.setdefault(party.role, {})[party.party_id] = told
        return {**codes, "detail": detail}
