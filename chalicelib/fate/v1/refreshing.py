"""`enable_model_store`: before a model is loaded, the second store is given what it lacks, and we what
only the store has."""

import hashlib
import json
import time
from collections.abc import Sequence

from chalicelib.engines import moving
from chalicelib.fate import work
from chalicelib.fate.v1.archives import WAIT
from chalicelib.fate.v1.wire import OPERATING, Asked, Refused
from chalicelib.registry import jobs, projects
from weighbridge.contract import federated
from weighbridge.contract.federated import Party


def refresh(asked: Asked, parties: Sequence[Party], model_id: str, label: str) -> None:
    """Brings the versions of these parties and the store in step; `Refused` if that fails or takes
    longer than a request may. Does nothing unless the server's configuration enables it."""
    configured = moving.configured()
    if not configured.enabled or configured.address is None:
        return
    public, secret = moving.given(configured.address)
    project_id = projects.find(asked.at, asked.project).id
    queued = []
    for party in parties:
        name = federated.party_model(party.role, party.party_id, model_id).name
        asked.who.require("write", asked.project, name)
        args = {"role": party.role, "party_id": party.party_id, "model_id": model_id,
                "model_version": label, "address": public}  # fmt: skip
        key = hashlib.sha256(json.dumps([work.REFRESH, name, label]).encode()).hexdigest()
        job = jobs.submit(
            asked.at, project_id, work.REFRESH, asked.by, args, secrets=secret, key=key
        )
        queued.append((party, job))
    deadline = time.monotonic() + WAIT
    for party, job in queued:
        ended = jobs.waited(asked.at, job, max(0.0, deadline - time.monotonic()))
        who = f"{party.role} {party.party_id}"
        if not ended.ended:
            raise Refused(
                OPERATING,
                f"the model store is still being brought in step for {who}: load again in a moment",
            )
        if ended.state == "failed":
            why = ended.error.get("message", "it failed")
            raise Refused(OPERATING, f"the model store of {who}: {why}")
