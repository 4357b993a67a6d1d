"""The part of the CloudFormation template that Chalice does not make, as pure functions.

`chalice package --merge-template` merges it into its own: maps are merged deeply, lists are replaced,
nothing can be removed. So queues have fixed names, which `app.py` reads from the stage's variables, and
roles stay Chalice's.

    viewers → Cdn ─┬─ /p/*, /static/* → EdgeFunction → Site
                   └─ all else → RestAPI → api_handler
    S3 → rule (inbox/, blobs/) → IndexQueue → index_object      RenderQueue → render_pages
                                      ↓ after 5 receives             ↓
                                 IndexDeadLetters             RenderDeadLetters

ArchiveQueue → archive likewise. That function has a zip of its own, which holds the clients of the
databases that second stores may be in, and may be placed in a private network to reach them.
"""

from infra.template import alarms, cdn, functions, queues, settings, stores
from infra.template.dashboard import dashboard
from infra.template.functions import FUNCTIONS
from infra.template.queues import PREFIXES
from infra.template.stages import Json, queue_names, timeout

__all__ = ["FUNCTIONS", "PREFIXES", "template"]


def template(stage: str) -> Json:
    """What is merged into Chalice's template for a stage of `.chalice/config.json`."""
    names = queue_names(stage)
    keep = stage == "prod"
    return {
        "Parameters": settings.parameters(),
        "Rules": settings.rules(),
        "Conditions": settings.conditions(),
        "Resources": {
            **stores.table(keep),
            **stores.buckets(keep),
            **queues.queue("Index", names["index"], timeout("index_object")),
            **queues.queue("Render", names["render"], timeout("render_pages")),
            **queues.queue("Archive", names["archive"], timeout("archive")),
            **queues.events(),
            **functions.inbox(),
            **functions.rights(),
            **functions.logs(),
            **functions.functions(),
            **functions.gateway(),
            **cdn.cdn(),
            **alarms.alarms(),
            **dashboard(),
        },
        "Outputs": {
            "Table": {"Value": {"Ref": "Table"}},
            "Artifacts": {"Value": {"Ref": "Artifacts"}},
            "Site": {"Value": {"Ref": "Site"}},
            "IndexQueueUrl": {"Value": {"Ref": "IndexQueue"}},
            "RenderQueueUrl": {"Value": {"Ref": "RenderQueue"}},
            "ArchiveQueueUrl": {"Value": {"Ref": "ArchiveQueue"}},
            "InboxRole": {"Value": {"Fn::GetAtt": ["InboxRole", "Arn"]}},
            **cdn.outputs(),
        },
    }
