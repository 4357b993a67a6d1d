"""Every key of the artifact bucket, built and parsed side by side; `keys` hands them on."""

import hashlib
import re

_RANDOM = re.compile(r"[0-9a-f]{20}\Z")


def blob_object(project_id: str, random: str) -> str:
    """The object of a blob: a random key, because an upload needs it before any digest exists."""
    return f"blobs/{project_id}/{random}"


def batch_object(project_id: str, random: str, blob_id: str) -> str:
    """The object of one of many blobs planned together: all of a batch are listed by one prefix.

    The name is bound to the blob. With a random part that only we choose, an object under it exists
    only if its PUT was signed for this blob, so nobody can report it as another.
    """
    bound = hashlib.sha256(f"{random} {project_id} {blob_id}".encode()).hexdigest()[:32]
    return f"blobs/{project_id}/{random}-{bound}"


def batch_of(project_id: str, key: str, blob_id: str) -> str | None:
    """The prefix of the batch that `key` was made in for this blob; None if it was not."""
    random = key.removeprefix(f"blobs/{project_id}/").partition("-")[0]
    bound = batch_object(project_id, random, blob_id)
    return f"blobs/{project_id}/{random}-" if _RANDOM.match(random) and key == bound else None


def archives_folder(project_id: str) -> str:
    """The folder of the archives of a project: made for a download or a store, gone after a day."""
    return f"archives/{project_id}/"


def archive_object(project_id: str, random: str) -> str:
    """The object of one archive."""
    return f"{archives_folder(project_id)}{random}.zip"


def manifest_object(project_id: str, digest: str) -> str:
    """The object of a manifest."""
    return f"manifests/{project_id}/{digest}.json"


def manifest_pages(project_id: str, model_id: str, number: int) -> str:
    """The folder of the file pages of an open version."""
    return f"manifests/{project_id}/pages/{model_id}/{number}/"


def claims_folder(project_id: str, model_id: str, number: int) -> str:
    """The folder of what was claimed of a version's tensors, and of its checkpoints'."""
    return f"manifests/{project_id}/claims/{model_id}/{number}/"


def claims_object(project_id: str, model_id: str, number: int, random: str) -> str:
    """One page of claims."""
    return f"{claims_folder(project_id, model_id, number)}{random}.json"


def facts_object(project_id: str, blob_id: str) -> str:
    """The object of a tensor table that outgrows an item."""
    return f"facts/{project_id}/{blob_id}.json"


def parts_object(project_id: str, blob_id: str) -> str:
    """The object of a blob's part list."""
    return f"parts/{project_id}/{blob_id}.json"


def reindex_object(project_id: str) -> str:
    """No object: what a message to the indexer names to have a reindexing job continued."""
    return f"reindex/{project_id}"


def project_of_object(key: str) -> str | None:
    """The project id of a blob's object key."""
    parts = key.split("/")
    return parts[1] if len(parts) == 3 and parts[0] == "blobs" else None


def inbox_prefix(project_name: str) -> str:
    """Where plain S3 writers drop the checkpoints of a project."""
    return f"inbox/{project_name}/"
