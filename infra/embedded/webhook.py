"""SeaweedFS's announcements as plain facts: in this bucket, this object is new.

An announcement comes some 3 ms after the write, and once: SeaweedFS does not try again when the
receiver is down or answers an error, whatever its settings say. So each is a hint, and the sweep
finds what was missed. It must be answered at once: what is slow belongs behind a queue.
"""

from typing import Any

_BUCKETS = "/buckets/"
_NEW = frozenset({"create", "update", "rename"})


def objects(body: dict[str, Any]) -> list[tuple[str, str]]:
    """The (bucket, key) that an announcement says was written; nothing for anything else.

    Left out: folders, deletions, parts of unfinished uploads, versions folders and SeaweedFS's own
    files. An unfinished upload that becomes an object is announced under the object's key.
    """
    if body.get("event_type") not in _NEW:
        return []
    message = body.get("message")
    entry = message.get("new_entry") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(entry, dict) or entry.get("is_directory"):
        return []
    path = body.get("key")
    folder, name = message.get("new_parent_path"), entry.get("name")
    if isinstance(folder, str) and isinstance(name, str) and name:
        path = f"{folder.rstrip('/')}/{name}"  # of a rename, `key` is the old one
    if not isinstance(path, str) or not path.startswith(_BUCKETS):
        return []
    bucket, _, key = path.removeprefix(_BUCKETS).partition("/")
    hidden = any(part.endswith(".versions") for part in key.split("/")[:-1])
    if not key or bucket.startswith(".") or key.startswith(".uploads/") or hidden:
        return []
    return [(bucket, key)]
