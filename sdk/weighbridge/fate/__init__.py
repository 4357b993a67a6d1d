"""FATE's training side: its model cache brought into the registry, kept in step with it, and back.

    from weighbridge import Registry
    from weighbridge.fate import ModelCheckpoint, import_cache, restore_checkpoints, sync

A party's model is a model named `role#party_id#model_id`, its model version a version with that label.
Reading FATE's YAML files needs the extra `fate`.
"""

from weighbridge.fate.importing import import_cache
from weighbridge.fate.model_checkpoint import ModelCheckpoint
from weighbridge.fate.reports import ImportReport, StepReport, SyncReport, TreeReport
from weighbridge.fate.restoring import restore_checkpoints
from weighbridge.fate.syncing import sync

__all__ = [
    "ImportReport",
    "ModelCheckpoint",
    "StepReport",
    "SyncReport",
    "TreeReport",
    "import_cache",
    "restore_checkpoints",
    "sync",
]
