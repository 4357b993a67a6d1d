"""A registry that ForML's mlflow provider kept on a tracking server, read by its REST API (2.0)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from weighbridge import config
from weighbridge.contract import pep440
from weighbridge.contract.errors import IntegrityError, InvalidName, NotFound, TransferError
from weighbridge.generations import names
from weighbridge.http import Pool
from weighbridge.retries import Retries

_NUMBER = "mlflow.source.git.commit"
"""The tag that holds a release's version, and a generation's number once it is closed."""
_PARENT = "mlflow.parentRunId"
_LEVEL, _REPOID = "forml.level", "forml.repoid"
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Server:
    """A tracking server."""

    url: str
    pool: Pool = field(default_factory=Pool)

    def _asked(self, method: str, path: str, body: object = None) -> bytes:
        headers = {"Accept": "*/*"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        reply = Retries().send(self.pool, method, self.url + path, headers, data, server=self.url)
        if reply.status == 404:
            raise NotFound(f"{self.url} has no {path.partition('?')[0]}")
        if reply.status != 200:
            raise TransferError(f"{self.url} answered {path.partition('?')[0]} with {reply.status}")
        return reply.body

    def listed(self, what: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """All experiments, or runs, that a search finds."""
        token = ""
        while True:
            asked = {**body, "max_results": PAGE, **({"page_token": token} if token else {})}
            answer = self._asked("POST", f"/api/2.0/mlflow/{what}/search", asked)
            try:
                page = json.loads(answer)
            except ValueError:
                raise TransferError(f"{self.url} is no MLflow tracking server") from None
            yield from page.get(what, [])
            token = page.get("next_page_token", "")
            if not token:
                return

    def artifact(self, run: str, path: str) -> bytes:
        """A file of a run."""
        query = urlencode({"path": path, "run_uuid": run})
        return self._asked("GET", f"/get-artifact?{query}")


@dataclass(frozen=True, slots=True)
class MlflowRelease:
    """One release: its run, and the runs of its generations by number."""

    server: Server
    project: str
    label: str
    run: str
    runs: Mapping[int, str]

    def package(self, workplace: Path) -> Path:
        """The package as a file."""
        target = workplace / names.PACKAGE
        target.write_bytes(self.server.artifact(self.run, names.PACKAGE))
        return target

    def generations(self) -> list[int]:
        """The numbers of the closed generations."""
        return sorted(self.runs)

    def tag(self, generation: int) -> bytes:
        """The bytes of a generation's tag."""
        return self.server.artifact(self.runs[generation], names.TAG)

    def state(self, generation: int, sid: str) -> bytes:
        """The bytes of a state."""
        return self.server.artifact(self.runs[generation], f"{sid}.bin")


@dataclass(frozen=True, slots=True)
class Mlflow:
    """The virtual registry `repoid` on a tracking server."""

    url: str
    repoid: str = ""

    def releases(self) -> Iterator[MlflowRelease]:
        """Every release, by project; those of a project in the order of their versions."""
        server = Server(config.normal_url(self.url))
        for experiment in server.listed("experiments", {"view_type": "ACTIVE_ONLY"}):
            project, _, repoid = str(experiment["name"]).partition("@")
            if repoid == self.repoid:
                yield from self._of(server, project, str(experiment["experiment_id"]))

    def _of(self, server: Server, project: str, experiment: str) -> list[MlflowRelease]:
        body = {"experiment_ids": [experiment], "run_view_type": "ACTIVE_ONLY"}
        found: dict[str, pep440.Version] = {}
        numbered: dict[str, dict[int, str]] = {}
        for run in server.listed("runs", body):
            tags = {t["key"]: t["value"] for t in run.get("data", {}).get("tags", [])}
            if tags.get(_REPOID, "") != self.repoid or _NUMBER not in tags:
                continue
            name, number = str(run["info"]["run_id"]), tags[_NUMBER]
            if tags.get(_LEVEL) == "release":
                try:
                    found[name] = pep440.parse(number)
                except InvalidName:
                    continue
            elif tags.get(_LEVEL) == "generation" and number.isdecimal():
                parent = numbered.setdefault(tags.get(_PARENT, ""), {})
                if int(number) in parent:
                    raise IntegrityError(
                        f"{project} at {self.url} has generation {number} twice under one release: its "
                        "provider does not detect concurrent trainings"
                    )
                parent[int(number)] = name
        return [
            MlflowRelease(server, project, version.text, run, numbered.get(run, {}))
            for run, version in sorted(found.items(), key=lambda pair: pair[1])
        ]
