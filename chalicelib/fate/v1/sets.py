"""`/v1/model/deploy` and `/migrate`: children and copies for every party of a model, all or none."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chalicelib.fate import deploying, making, migrating, parties, pipeline, shards, steps
from chalicelib.fate.making import Plan, SetFailed
from chalicelib.fate.parties import Outcomes
from chalicelib.fate.shards import Shard
from chalicelib.fate.v1.wire import ARGUMENT, FAILED, Answer, Asked, Refused, verb
from weighbridge.contract.errors import (
    AlreadyExists,
    InvalidRequest,
    NotFound,
    RegistryError,
)
from weighbridge.contract.federated import Party, PartyModel

NOTHING = "nothing was made, because another party failed"
ATTEMPTS = 3


def planned(
    tasks: Sequence[tuple[Party, Callable[[], Plan]]], outcomes: Outcomes
) -> dict[Party, Plan]:
    """Plans for many parties, several at a time; who fails is noted."""

    def one(task: tuple[Party, Callable[[], Plan]]) -> Plan | RegistryError:
        try:
            return task[1]()
        except RegistryError as error:
            return error

    found: dict[Party, Plan] = {}
    with ThreadPoolExecutor(making.AT_ONCE) as pool:
        for (party, _), plan in zip(tasks, pool.map(one, tasks), strict=True):
            if isinstance(plan, RegistryError):
                outcomes.failed(party, plan)
            else:
                found[party] = plan
    return found


def _made(
    asked: Asked, plans: dict[Party, Plan], outcomes: Outcomes, text: str
) -> SetFailed | None:
    """Makes a whole set, and notes for each party what became of it."""
    by_model: dict[PartyModel, Party] = {plan.party: party for party, plan in plans.items()}
    for party in plans:
        outcomes.done(party, text)
    try:
        making.make_set(asked.at, asked.by, asked.writable(), list(plans.values()))
    except SetFailed as failed:
        outcomes.spoil(NOTHING)
        outcomes.failed(by_model[failed.party], failed.error)
        return failed
    return None


def _components(asked: Asked) -> list[str] | None:
    given = asked.fields.get("cpn_list")
    if isinstance(given, str):
        given = [word for word in given.strip(" []").replace(" ", "").split(",") if word]
    if not given:
        return None
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise InvalidRequest("cpn_list must be a list of component names")
    return given


def _source(asked: Asked) -> tuple[list[Shard], Shard]:
    """The parties' versions that are to be deployed, and the initiator's."""
    model_id, label = asked.need("model_id", "model_version")
    found = shards.of_federated(asked.at, asked.project, model_id, label)
    for shard in found:
        try:
            record = shards.record_of(asked.at, shard)
        except NotFound:
            continue
        role, party_id = record.initiator
        if (shard.party.role, shard.party.party_id) == (role, party_id):
            if pipeline.older_than(record, (1, 5, 0)) or not record.roles:
                break
            return found, shard
    raise Refused(
        404,
        f"there is no initiator's record of model {model_id[:200]!r}, version {label[:100]!r}, with "
        "roles and of FATE 1.5 or later",
        status=404,
    )


@verb("model/deploy", "write")
def deploy(asked: Asked) -> Answer:
    """Makes a child model for every party."""
    found, initiator = _source(asked)
    record = shards.record_of(asked.at, initiator)
    roles = {r: ids for r, ids in parties.of_roles(record.roles).items() if r != "local"}
    given = asked.object("predict_dsl") or asked.object("dsl")
    held = {shard.party.party: shard for shard in found}
    wanted = {
        component: steps.choice(told if isinstance(told, dict) else {})
        for component, told in asked.object("components_checkpoint").items()
    }
    outcomes = Outcomes()
    for _ in range(ATTEMPTS):
        label = making.job_id(asked.at)
        outcomes = Outcomes(dict.fromkeys(parties.listed(roles), (0, "")))
        tasks: list[tuple[Party, Callable[[], Plan]]] = []
        for party in parties.listed(roles):
            shard = held.get(party)
            if shard is None:
                outcomes.failed(party, _absent(party))
                continue

            def one(shard: Shard = shard, label: str = label) -> Plan:
                own = shards.record_of(asked.at, shard)
                graph = deploying.graph(own, _components(asked), given)
                return deploying.plan(asked.at, shard, label, graph, wanted)

            tasks.append((party, one))
        plans = planned(tasks, outcomes)
        if not outcomes.all_well:
            outcomes.spoil(NOTHING)
            break
        text = f"deployed as version {label}; load this version, not its parent"
        failed = _made(asked, plans, outcomes, text)
        if failed is None or not isinstance(failed.error, AlreadyExists):
            break  # else the fresh version was taken in the same microsecond: another one
    data = {
        "model_id": initiator.party.model_id, "model_version": label, **outcomes.data(),
    }  # fmt: skip
    if outcomes.all_well:
        return Answer(data, job_id=label)
    return Answer(data, ARGUMENT, "no child was made; `detail` says why")


def _absent(party: Party) -> str:
    return (
        f"this registry holds no such model of {party.role} {party.party_id}: import it here first"
    )


@verb("model/migrate", "write")
def migrate(asked: Asked) -> Answer:
    """Copies a model to other party ids."""
    asked.need("model_id", "model_version")
    missing = [
        name
        for name in ("migrate_initiator", "role", "migrate_role", "execute_party", "job_parameters")
        if not asked.fields.get(name)
    ]
    if missing:
        raise Refused(ARGUMENT, f"required argument are missing: {','.join(missing)}")
    model_id, label = asked.need("model_id", "model_version")
    try:
        change = migrating.change(asked.fields)
    except migrating.Uneven as error:
        raise Refused(FAILED, error.message) from None
    executing = parties.listed(parties.of_roles(asked.fields["execute_party"], "execute_party"))
    job = making.job_id(asked.at)
    target = asked.text("unify_model_version") or job
    outcomes = Outcomes()
    tasks: list[tuple[Party, Callable[[], Plan]]] = []
    for party in executing:

        def one(party: Party = party) -> Plan:
            shard = shards.find(
                asked.at, asked.project, party.role, party.party_id, model_id, label
            )
            return migrating.plan(asked.at, shard, change, target)

        tasks.append((party, one))
    outcomes.by_party = dict.fromkeys(executing, (0, ""))
    plans = planned(tasks, outcomes)
    if outcomes.all_well:
        _made(asked, plans, outcomes, f"migrated to {change.model_id}, version {target}")
    else:
        outcomes.spoil(NOTHING)
    data: dict[str, Any] = outcomes.data()
    if not outcomes.all_well:
        return Answer(data, ARGUMENT, "nothing was migrated; `detail` says why", job)
    source = shards.find(
        asked.at, asked.project, executing[0].role, executing[0].party_id, model_id, label
    )
    doubtful = migrating.doubtful(shards.record_of(asked.at, source))
    for party, plan in plans.items():
        told = data["detail"][party.role][party.party_id]
        told["party_model_id"], told["model_version"] = plan.party.name, target
        told["may_name_old_parties"] = doubtful
    data["model_id"], data["model_version"] = change.model_id, target
    return Answer(data, job_id=job)
