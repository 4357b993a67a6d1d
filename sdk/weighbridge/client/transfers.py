"""Plans of uploads: what is there, what to send, what is complete."""

from collections.abc import Iterable

from weighbridge.client.session import Session
from weighbridge.contract import types


class Transfers(Session):
    """The routes under `/api/projects/{project}/uploads`."""

    def plan(
        self,
        project: str,
        want: Iterable[str] = (),
        done: Iterable[types.PutDone] = (),
    ) -> types.Plan:
        """What to do for each wanted blob (up to 1,000), after verifying what was `done`."""
        body = types.PlanRequest(tuple(types.WantedBlob(blob) for blob in want), tuple(done))
        return self.call(types.Plan, "POST", "projects", project, "uploads", body=body)

    def look_parts(self, project: str, parts: Iterable[types.KnownPart]) -> types.LookAnswer:
        """Which of up to 1,000 parts the project holds in some object. Creates nothing."""
        body = types.LookRequest(tuple(parts))
        return self.call(
            types.LookAnswer, "POST", "projects", project, "uploads", "look", body=body
        )

    def open_upload(
        self, project: str, size: int, scheme: int, parts: Iterable[types.Part] = ()
    ) -> types.Upload:
        """Opens a multipart upload of a file whose digest is not known yet, or finds one that was
        left of it by its first `parts`."""
        body = types.NewUpload(size, scheme, tuple(parts))
        return self.call(types.Upload, "POST", "projects", project, "uploads", "open", body=body)

    def sign_parts(
        self,
        project: str,
        upload: str,
        parts: Iterable[types.Part],
        sendonly: bool = False,
        keep: bool = False,
    ) -> types.PartsPlan:
        """What to do for each of up to 1,000 parts; with `sendonly`, no copies are offered; with
        `keep`, `Conflict` where the upload holds other bytes."""
        body = types.PartsRequest(tuple(parts), sendonly, keep)
        at = ("projects", project, "uploads", upload, "parts")
        return self.call(types.PartsPlan, "POST", *at, body=body)

    def complete_upload(self, project: str, upload: str, blob: str) -> types.Stored:
        """Joins the parts and verifies that they are `blob`. Completing twice is one completion."""
        at = ("projects", project, "uploads", upload, "complete")
        return self.call(types.Stored, "POST", *at, body=types.UploadComplete(blob))

    def abort_upload(self, project: str, upload: str) -> types.Deleted:
        """Frees the parts of an unfinished upload."""
        return self.call(types.Deleted, "DELETE", "projects", project, "uploads", upload)
