"""`/v1/model/load` and `/bind`: giving a deployed model to an online service.

We do not call serving systems. We note who published what, count it, and say where the buffers are
fetched from.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from chalicelib.fate import making, parties, shards
from chalicelib.fate.parties import Outcomes
from chalicelib.fate.shards import Shard
from chalicelib.fate.v1 import refreshing
from chalicelib.fate.v1.archives import transfer_url
from chalicelib.fate.v1.wire import ARGUMENT, FAILED, Answer, Asked, Refused, verb
from chalicelib.registry import publications
from chalicelib.registry.ports import ConditionFailed
from weighbridge.contract.errors import InvalidRequest, NotFound
from weighbridge.contract.federated import Party

MAX_SERVINGS = 100


def _meant(asked: Asked) -> tuple[dict[str, list[str]], str, str]:
    """The roles, the model id and the version that a request means."""
    job = asked.text("job_id")
    if job and not asked.fields.get("job_parameters"):
        found = shards.labelled(asked.at, asked.project, job)
        guest = next((s for s in found if s.party.role == "guest"), None)
        if guest is None:
            raise Refused(ARGUMENT, f"there is no guest's model of version {job[:100]!r}")
        roles = shards.told(asked.at, guest).get("roles", {})
        return parties.of_roles(roles), guest.party.model_id, job
    parameters = asked.fields.get("job_parameters")
    if not isinstance(parameters, dict):
        raise Refused(ARGUMENT, "give job_id, or initiator, role and job_parameters")
    common = parameters.get("common")
    told: Mapping[str, Any] = common if isinstance(common, dict) else parameters
    model_id, label = told.get("model_id"), told.get("model_version") or job
    if not model_id or not label:
        raise Refused(ARGUMENT, "job_parameters must name model_id and model_version")
    parties.of_initiator(asked.fields.get("initiator"))
    return parties.of_roles(asked.fields.get("role")), str(model_id), str(label)


def _published(asked: Asked, kind: str, details: Mapping[str, Any]) -> Outcomes:
    """Notes a publication for every party but the arbiters, once all of them are found fit."""
    roles, model_id, label = _meant(asked)
    outcomes, fit = Outcomes(), {}
    if kind == "loaded":
        refreshing.refresh(asked, parties.listed(roles, without="arbiter"), model_id, label)
    for party in parties.listed(roles, without="arbiter"):
        try:
            shard = shards.find(
                asked.at, asked.project, party.role, party.party_id, model_id, label
            )
        except NotFound as error:
            outcomes.failed(party, error)
            continue
        if shards.told(asked.at, shard).get("parent"):
            outcomes.failed(party, _of_parent(asked, shard))
            continue
        fit[party] = shard
        outcomes.done(party, "success")
    if not outcomes.all_well:
        outcomes.spoil(f"not {kind}, because another party failed")
        return outcomes
    for party, shard in fit.items():
        _note(asked, kind, details, outcomes, party, shard)
    return outcomes


def _note(
    asked: Asked,
    kind: str,
    details: Mapping[str, Any],
    outcomes: Outcomes,
    party: Party,
    shard: Shard,
) -> None:
    url = transfer_url(shard)
    try:
        publications.record(asked.at, asked.by, shard.found, kind, {**details, "url": url})
    except ConditionFailed:
        outcomes.failed(party, "the version was deleted meanwhile")
    else:
        outcomes.done(party, f"{kind}; its buffers are at {url}")


def _of_parent(asked: Asked, shard: Shard) -> str:
    """Says which version to load where a trained model's was given."""
    children = sorted(
        other.model_version
        for other in shards.search(
            asked.at, asked.project, role=shard.party.role, party_id=shard.party.party_id,
            model_id=shard.party.model_id, label="",
        )
        if shards.told(asked.at, other).get("parent_info", {}).get("parent_model_version")
        == shard.model_version
    )  # fmt: skip
    text = f"version {shard.model_version} is a trained model; only deployed ones can be loaded"
    if children:
        return f"{text}: use version {children[-1]}, its last deployment"
    return f"{text}: run `flow model deploy` and use the version that it answers"


@verb("model/load", "write")
def load(asked: Asked) -> Answer:
    """Publishes a deployed model for every party."""
    job = making.job_id(asked.at)
    outcomes = _published(asked, "loaded", {"job_id": job})
    if outcomes.all_well:
        return Answer(outcomes.data(), job_id=job)
    return Answer(outcomes.data(), ARGUMENT, "nothing was loaded; `detail` says why", job)


@verb("model/bind", "write")
def bind(asked: Asked) -> Answer:
    """Gives a deployed model to a service by its id."""
    (service,) = asked.need("service_id")
    servings = asked.fields.get("servings") or []
    if not isinstance(servings, list) or len(servings) > MAX_SERVINGS:
        raise InvalidRequest(f"servings must be a list of {MAX_SERVINGS} addresses at most")
    if not all(isinstance(one, str) and len(one) <= 300 for one in servings):
        raise InvalidRequest("servings must be a list of addresses")
    outcomes = Outcomes()
    with suppress(NotFound):
        outcomes = _published(asked, "bound", {"service_id": service, "servings": servings})
    for party, (code, text) in outcomes.by_party.items():
        if code:
            raise Refused(FAILED, f"not bound: {party.role} {party.party_id}: {text}")
    return Answer()
