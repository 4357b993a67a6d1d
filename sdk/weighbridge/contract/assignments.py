"""Which provider runs each task of a federated job at each party. Pure: a DAG in, assignments out.

A task's configuration is merged key by key, shallow, from four places; the later wins:

| place in the DAG | scope |
|---|---|
| `dag.conf.task` | every task, every party |
| `dag.tasks.<task>.conf` | that task, every party |
| `dag.party_tasks.<site>.conf` | every task of the parties that the site lists |
| `dag.party_tasks.<site>.tasks.<task>.conf` | that task of those parties |

Sites are taken in the order of the document, each first its `conf`, then those of its tasks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from weighbridge.contract import providers
from weighbridge.contract.errors import InvalidName, TooLarge
from weighbridge.contract.federated import Party
from weighbridge.contract.providers import ProviderName
from weighbridge.contract.types.providers import Assignment, DagProblem, Level, Resolution

MAX_ASSIGNMENTS = 20_000
MAX_PROBLEMS = 100
MAX_STEPS = 200_000
"""Configurations that sites lay over others, in all."""
BFIA = "bfia"

Pair = tuple[str, Party]


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of one key of a task's configuration, and where it is set."""

    value: Any
    level: Level
    place: str


Conf = dict[str, Setting]


@dataclass(slots=True)
class _Reader:
    """Reads a DAG that somebody wrote; what is wrong is collected, not raised."""

    problems: list[DagProblem] = field(default_factory=list)
    steps: int = 0

    def wrong(self, place: str, message: str) -> None:
        """Notes a problem, once."""
        problem = DagProblem(place, message)
        if len(self.problems) < MAX_PROBLEMS and problem not in self.problems:
            self.problems.append(problem)

    def mapping(self, value: Any, place: str) -> dict[str, Any]:
        """An object; nothing counts as an empty one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.wrong(place, "must be an object")
            return {}
        return {str(key): item for key, item in value.items()}

    def parties(self, value: Any, place: str) -> list[Party]:
        """A list of `{role, party_id: [ids]}` as distinct parties, in its order."""
        found: dict[Party, None] = {}
        if value is not None and not isinstance(value, list):
            self.wrong(place, "must be a list of {role, party_id}")
            return []
        for index, entry in enumerate(value or []):
            at = f"{place}[{index}]"
            entry = self.mapping(entry, at)
            role, ids = entry.get("role"), entry.get("party_id")
            if not isinstance(role, str) or not role:
                self.wrong(at, "must name a role")
                continue
            if not isinstance(ids, list) or not all(
                isinstance(one, (str, int)) and not isinstance(one, bool) for one in ids
            ):
                self.wrong(at, "party_id must be a list of texts")
                continue
            found |= {Party(role, str(one)): None for one in ids}
        return list(found)

    def conf(self, value: Any, level: Level, place: str) -> Conf:
        """A configuration, with the place of each key."""
        return {
            key: Setting(item, level, place) for key, item in self.mapping(value, place).items()
        }


def resolve(
    schema: Any, default: ProviderName, registered: Callable[[str], bool] = lambda name: True
) -> Resolution:
    """Who runs what. `registered` tells whether a provider is known; one that is not is a problem."""
    reader = _Reader()
    merged = configurations(schema, reader)
    bfia = isinstance(schema, dict) and schema.get("kind") == BFIA
    items = []
    known: dict[str, bool] = {}
    for (task, party), conf in merged.items():
        setting = conf.get("provider")
        place = setting.place if setting else f"dag.tasks.{task}"
        try:
            chosen = _bfia(conf) if bfia else _fate(setting, default)
        except InvalidName as error:
            reader.wrong(f"{place}.provider", error.message)
            continue
        name = str(chosen)
        if name not in known:
            known[name] = registered(name)
        if not known[name]:
            reader.wrong(f"{place}.provider", f"the provider {name} is not registered")
        told = setting is not None and bool(setting.value)
        items.append(
            Assignment(
                task, party.role, party.party_id, name, _level(setting),
                f"{setting.place}.provider" if setting else "",
                str(setting.value) if setting and told else "", known[name],
            )
        )  # fmt: skip
    return Resolution(tuple(items), tuple(reader.problems), str(default))


def _level(setting: Setting | None) -> Level:
    return setting.level if setting else "default"


def _fate(setting: Setting | None, default: ProviderName) -> ProviderName:
    value = setting.value if setting else None
    if value is not None and not isinstance(value, str):
        raise InvalidName(f"{str(value)[:80]!r} is no provider: write name:version@device")
    return providers.choose(value or "", default)


def _bfia(conf: Conf) -> ProviderName:
    """In jobs of that standard provider and version stand apart, and all runs in containers."""
    vendor, version = (conf[key].value if key in conf else None for key in ("provider", "version"))
    if not isinstance(vendor, str) or not isinstance(version, str):
        raise InvalidName("a task of a bfia job needs both `provider` and `version`, as texts")
    return providers.parse(f"{vendor}:{version}@docker")


def configurations(schema: Any, reader: _Reader | None = None) -> dict[Pair, Conf]:
    """The merged configuration of every task at every party, by task and party."""
    reader = reader or _Reader()
    if not isinstance(schema, dict) or not isinstance(schema.get("dag"), dict):
        reader.wrong("dag", "is missing: a DAG is an object with the member `dag`")
        return {}
    dag = schema["dag"]
    everybody = reader.parties(dag.get("parties"), "dag.parties")
    if not everybody and not reader.problems:
        reader.wrong("dag.parties", "names nobody")
    tasks = reader.mapping(dag.get("tasks"), "dag.tasks")
    if not tasks:
        reader.wrong("dag.tasks", "has no task")
    job = reader.mapping(dag.get("conf"), "dag.conf").get("task")
    of_all = reader.conf(job, "dag.conf.task", "dag.conf.task")
    found: dict[Pair, Conf] = {}
    for task, spec in tasks.items():
        place = f"dag.tasks.{task}"
        spec = reader.mapping(spec, place)
        conf = {**of_all, **reader.conf(spec.get("conf"), "dag.tasks.conf", f"{place}.conf")}
        own = reader.parties(spec.get("parties"), f"{place}.parties")
        for party in own:
            if party not in everybody:
                reader.wrong(f"{place}.parties", f"{_shown(party)} is no party of this job")
        for party in own or everybody:
            if len(found) == MAX_ASSIGNMENTS:
                raise TooLarge(
                    f"more than {MAX_ASSIGNMENTS} pairs of task and party", limit=MAX_ASSIGNMENTS
                )
            found[task, party] = dict(conf)
    sites = reader.mapping(dag.get("party_tasks"), "dag.party_tasks")
    for site, spec in sites.items():
        _apply(reader, found, list(tasks), everybody, site, spec)
    return found


def _apply(
    reader: _Reader,
    found: dict[Pair, Conf],
    tasks: list[str],
    everybody: list[Party],
    site: str,
    spec: Any,
) -> None:
    """Lays one site's configurations over those of its parties."""
    place = f"dag.party_tasks.{site}"
    spec = reader.mapping(spec, place)
    conf = reader.conf(spec.get("conf"), "dag.party_tasks.conf", f"{place}.conf")
    parties = reader.parties(spec.get("parties"), f"{place}.parties")
    for party in parties:
        if party not in everybody:
            reader.wrong(f"{place}.parties", f"{_shown(party)} is no party of this job")
    parties = [party for party in parties if party in everybody]
    of_tasks = reader.mapping(spec.get("tasks"), f"{place}.tasks")
    confs = {
        task: reader.conf(
            reader.mapping(inner, f"{place}.tasks.{task}").get("conf"),
            "dag.party_tasks.tasks.conf", f"{place}.tasks.{task}.conf",
        )
        for task, inner in of_tasks.items() if task in tasks
    }  # fmt: skip
    if (conf or any(confs.values())) and not spec.get("parties"):
        reader.wrong(place, "has a conf, but no parties that it is for")
    for where, task, party, laid in _laid(place, tasks, parties, conf, confs):
        reader.steps += 1
        if reader.steps > MAX_STEPS:
            raise TooLarge("the sites of this DAG set too much for too many", limit=MAX_STEPS)
        if (task, party) in found:
            found[task, party] |= laid
        else:
            reader.wrong(where, f"{_shown(party)} does not take part in the task {task}")


def _laid(
    place: str, tasks: list[str], parties: list[Party], conf: Conf, confs: dict[str, Conf]
) -> Iterator[tuple[str, str, Party, Conf]]:
    """What a site lays over which task and party, and from where; the stronger comes later."""
    for task in tasks if conf else ():
        for party in parties:
            yield f"{place}.conf", task, party, conf
    for task, own in confs.items():
        for party in parties if own else ():
            yield f"{place}.tasks.{task}.conf", task, party, own


def _shown(party: Party) -> str:
    return f"{party.role} {party.party_id}"
