"""Identities of federated models: one model per party, together one model of many parties.

A *party model* is named `role#party_id#model_id`; the parties with the same `model_id` and the same
version label form one *federated version*. FATE 1.x writes into a model id who takes part:
`arbiter-10000#guest-9999#host-10000_10001#model`. FATE 2.x uses a job id there.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from weighbridge.contract.errors import InvalidName

ROLES = ("arbiter", "guest", "host", "local")
_PARTIES = re.compile(r"([a-z]+)-([^#_-][^#_]*(?:_[^#_]+)*)\Z")
_END = "#model"


@dataclass(frozen=True, slots=True, order=True)
class Party:
    """One site that takes part, in one role. Party ids are numbers in FATE and text here."""

    role: str
    party_id: str


@dataclass(frozen=True, slots=True)
class PartyModel:
    """What one party holds of a federated model."""

    role: str
    party_id: str
    model_id: str

    @property
    def party(self) -> Party:
        """Whose it is."""
        return Party(self.role, self.party_id)

    @property
    def name(self) -> str:
        """The name of our model: FATE's party model id."""
        return f"{self.role}#{self.party_id}#{self.model_id}"


def party_model(role: object, party_id: object, model_id: object) -> PartyModel:
    """The party model of these; `InvalidName` where they are none."""
    found = PartyModel(str(role), str(party_id), str(model_id))
    if parse(found.name) != found:
        raise InvalidName(
            f"{found.name[:120]!r} is no party model: the role must be one of {', '.join(ROLES)}, "
            "the party id must not be empty or contain '#', and a model id is needed"
        )
    return found


def parse(name: str) -> PartyModel | None:
    """The party model of that name; None if it is the name of something else."""
    role, _, rest = name.partition("#")
    party_id, _, model_id = rest.partition("#")
    if role not in ROLES or not party_id or not model_id:
        return None
    return PartyModel(role, party_id, model_id)


def model_id(roles: Mapping[str, Iterable[int | str]]) -> str:
    """FATE 1.x's id of the model that these parties share: `{"guest": [9999], "host": [10000]}`.

    Numbers are sorted as numbers and texts as texts, as FATE does.
    """
    parts = []
    for role in sorted(roles):
        distinct = set(roles[role])
        numeric = all(isinstance(party, int) for party in distinct)
        ordered = sorted(distinct, key=int if numeric else str)
        parts.append(f"{role}-{'_'.join(str(party) for party in ordered)}")
    return "#".join(parts) + _END


def parties(model_id: str) -> tuple[Party, ...]:
    """Who takes part, as FATE 1.x writes it into the model id; empty where the id does not tell."""
    if not model_id.endswith(_END):
        return ()
    found: list[Party] = []
    for part in model_id.removesuffix(_END).split("#"):
        match = _PARTIES.match(part)
        if match is None:
            return ()
        found += (Party(match[1], party_id) for party_id in match[2].split("_"))
    return tuple(sorted(set(found)))
