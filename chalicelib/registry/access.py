"""Credentials for plain S3 writers: limited to one project's inbox."""

from chalicelib.registry import keys, outbox, projects
from chalicelib.registry.stores import Stores, iso
from weighbridge.contract.errors import Conflict, InvalidRequest, Unsupported
from weighbridge.contract.types import InboxGrant

MAX_DAYS = 365


def grant_inbox(stores: Stores, by: str, project: str, days: int) -> InboxGrant:
    """Credentials that can put objects under `inbox/<project>/` and nothing else."""
    if not 1 <= days <= MAX_DAYS:
        raise InvalidRequest(f"days must be from 1 to {MAX_DAYS}, not {days}")
    record = projects.find(stores, project)
    if not record.project.inbox:
        raise Conflict(
            f"the inbox of {record.project.name} is off; turn it on first "
            f"(`weighbridge project set {record.project.name} --inbox on`)"
        )
    if stores.grants is None:
        raise Unsupported("this server hands out no inbox credentials: no role is configured")
    prefix = keys.inbox_prefix(record.project.name)
    found = stores.grants.grant(prefix, days * 86400)
    event = outbox.entry(
        stores, record.id, "inbox.granted", by, subject=prefix, details={"days": days}
    )
    stores.table.write(event)
    outbox.wake(stores, record.id)
    return InboxGrant(
        record.project.name, found.bucket, prefix, found.endpoint, found.region,
        found.access_key, found.secret_key, found.session_token,
        iso(found.expires) if found.expires else "",
    )  # fmt: skip
