"""The commands about checkpoints and which of them are kept."""

from weighbridge.cli.command import Command

READ: tuple[Command, ...] = (
    Command(
        "checkpoint ls",
        "read",
        "List the checkpoints of a version.",
        "listing:checkpoint_ls",
        (
            "weighbridge checkpoint ls vision/digits@1",
            "weighbridge checkpoint ls vision/digits@1 --component encoder --order step --json",
            "weighbridge checkpoint ls vision/digits@1 --by loss --order min --limit 3",
            "weighbridge checkpoint ls vision/digits@1 --step 5..10 --name epoch --tag kind=auto",
        ),
    ),
    Command(
        "checkpoint pull",
        "read",
        "Download the files of a checkpoint (the last one unless named) and verify them.",
        "fetching:checkpoint_pull",
        (
            "weighbridge checkpoint pull vision/digits@1 --to checkpoint",
            "weighbridge checkpoint pull vision/digits@1:best=loss --to checkpoint",
        ),
        resumes=True,
    ),
    Command(
        "checkpoint resume",
        "read",
        "Download the last complete checkpoint of a version, to go on from there.",
        "series:resume",
        (
            "weighbridge checkpoint resume vision/digits@1 --to work",
            "weighbridge checkpoint resume vision/digits@1 --component encoder --to work --json",
        ),
        notes="Open versions too. Files there that differ are replaced. A version without a "
        "checkpoint is no error: it says so, and the exit code is 0.",
        resumes=True,
    ),
    Command(
        "retention show",
        "read",
        "Show which checkpoints a version, or each version of a model, keeps.",
        "retaining:show",
        ("weighbridge retention show vision/digits@1", "weighbridge retention show vision/digits"),
    ),
)

CHANGE: tuple[Command, ...] = (
    Command(
        "checkpoint push",
        "change",
        "Publish files as a checkpoint of a version.",
        "publishing:checkpoint_push",
        (
            "weighbridge checkpoint push vision/digits@1 epoch-5.safetensors --step 5 "
            "--metric loss=0.31",
            "weighbridge checkpoint push vision/digits@1 out/ --step 10 --component encoder",
        ),
        notes="Component, step and name identify a checkpoint: equal content twice is one.",
        resumes=True,
    ),
    Command(
        "checkpoint promote",
        "change",
        "Make a checkpoint the next version of its model, without copying a byte.",
        "series:promote",
        (
            "weighbridge checkpoint promote vision/digits@1:best=loss --label 2.0 --alias staging",
            "weighbridge checkpoint promote vision/digits@1:3 --dry-run",
        ),
        notes="The version has the checkpoint's metrics and says where it comes from. The checkpoint "
        "may be evicted later. The exit code is 10 if the project's safety policy holds the checkpoint, "
        "or the version, back.",
    ),
    Command(
        "checkpoint pin",
        "change",
        "Keep a checkpoint whatever the retention says.",
        "series:pin",
        ("weighbridge checkpoint pin vision/digits@1:3",),
    ),
    Command(
        "checkpoint unpin",
        "change",
        "Give a pinned checkpoint back to the retention.",
        "series:unpin",
        ("weighbridge checkpoint unpin vision/digits@1:3",),
    ),
    Command(
        "checkpoint prune",
        "change",
        "Evict the checkpoints of a version that its retention does not keep.",
        "retaining:prune",
        (
            "weighbridge checkpoint prune vision/digits@1 --dry-run",
            "weighbridge checkpoint prune vision/digits@1 --yes",
        ),
        notes="That happens by itself after each new checkpoint; this does it now, for all, and says "
        "what it frees. Bytes are deleted by the next sweeps.",
    ),
    Command(
        "retention set",
        "change",
        "Say which checkpoints a version, or each version of a model, keeps.",
        "retaining:change",
        (
            "weighbridge retention set vision/digits --keep-last 3 --keep-best loss=min:2",
            "weighbridge retention set vision/digits@1 --keep-every 1000 --max-age 30d --dry-run",
            "weighbridge retention set vision/digits@1 --keep-all",
        ),
        notes="A checkpoint is kept if any rule keeps it. These replace the rules there were.",
    ),
    Command(
        "retention clear",
        "change",
        "Take back the retention of a version (its model's counts then), or of a model.",
        "retaining:clear",
        ("weighbridge retention clear vision/digits@1",),
    ),
)
