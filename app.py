"""Every Lambda function at a glance: the API's routes, the event handlers, the schedule."""

import json
import os
from typing import Any

from chalice import Chalice, Rate
from chalice.app import CloudWatchEvent, SQSEvent

from chalicelib.api import (
    access,
    checkpoints,
    facades,
    federated,
    models,
    observing,
    pages,
    projects,
    providers,
    uploads,
    versions,
)

app = Chalice(app_name="weighbridge")
app.log.setLevel("INFO")

app.register_middleware(observing.http, "http")

# Forms travel as they are: their files are no text.
app.api.binary_types.append("multipart/form-data")

for module in (
    access, projects, models, versions, checkpoints, uploads, federated, providers, pages,
):  # fmt: skip
    app.register_blueprint(module.routes)
facades.register(app)


def _each(kind: str, event: SQSEvent, handle: Any) -> dict[str, list[dict[str, str]]]:
    """Handles each message; only those that failed come back (partial batch failure)."""
    failed = []
    for record in event:
        identifier = record.to_dict()["messageId"]
        try:
            with observing.message(kind, identifier):
                handle(json.loads(record.body))
        except Exception:
            app.log.exception("message failed: %s", record.body[:1000])
            failed.append({"itemIdentifier": identifier})
    return {"batchItemFailures": failed}


@app.on_sqs_message(
    queue=os.environ.get("WEIGHBRIDGE_INDEX_QUEUE", "weighbridge-index"), batch_size=10
)
def index_object(event: SQSEvent) -> dict[str, list[dict[str, str]]]:
    """S3 said that an object arrived: look at it, and write down what is found."""
    from chalicelib.indexing import objects
    from chalicelib.wiring import stores

    def look(body: dict[str, Any]) -> None:
        key = body["detail"]["object"]["key"]
        observing.about(key.partition("/")[2].partition("/")[0])  # of an inbox by name, else by id
        objects.look(stores(), key)

    return _each("index_object", event, look)


# A message says that a project changed: those of a few seconds are one look at its outbox.
@app.on_sqs_message(
    queue=os.environ.get("WEIGHBRIDGE_RENDER_QUEUE", "weighbridge-render"),
    batch_size=100,
    maximum_batching_window_in_seconds=5,
)
def render_pages(event: SQSEvent) -> dict[str, list[dict[str, str]]]:
    """Something changed in a project: drain its outbox into its history and its pages."""
    from chalicelib.catalogue import drain
    from chalicelib.wiring import stores

    begun: set[str] = set()

    def once(body: dict[str, Any]) -> None:
        """What was told before the drain began, the drain has done; a failure comes back once."""
        project = observing.about(body["project"])
        if project in begun:
            observing.done_before()
            return
        begun.add(project)
        drain.woken(stores(), project)

    return _each("render_pages", event, once)


@app.on_sqs_message(
    queue=os.environ.get("WEIGHBRIDGE_ARCHIVE_QUEUE", "weighbridge-archive"), batch_size=1
)
def archive(event: SQSEvent) -> dict[str, list[dict[str, str]]]:
    """A job that outlasts a request: archives are made and taken apart, second stores are spoken to."""
    from chalicelib.registry import jobs
    from chalicelib.wiring import stores

    facades.know_jobs()

    def work(body: dict[str, Any]) -> None:
        project = observing.about(body["project"])
        jobs.work(stores(), project, body["job"], body.get("share", ""))

    return _each("archive", event, work)


@app.schedule(Rate(5, unit=Rate.MINUTES))
def sweep(event: CloudWatchEvent) -> dict[str, int]:
    """Repairs what events missed and frees what nothing refers to."""
    from dataclasses import asdict

    from chalicelib.catalogue import drain, publish
    from chalicelib.indexing import repair
    from chalicelib.wiring import stores

    with observing.message("sweep", event.to_dict().get("id", "")):
        report = asdict(repair.run(stores()))
        report.pop("settled"), report.pop("waiting")
        drain.everything(stores(), older=drain.LATE_SECONDS)
        publish.publish_static(stores().site)
    app.log.info("sweep %s", json.dumps(report))
    return report
