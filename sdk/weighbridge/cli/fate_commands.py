"""The commands about FATE's models and their parties. Only data."""

from weighbridge.cli.command import Command

COMMANDS: tuple[Command, ...] = (
    Command(
        "fate ls",
        "read",
        "List the federated versions of a project, and which parties they lack.",
        "parties:ls",
        (
            "weighbridge fate ls models",
            "weighbridge fate ls models --model-id 'guest-9999#host-10000#model' --json",
        ),
        notes="Versions of parties' models (ROLE#PARTY_ID#MODEL_ID) with the same label belong together.",
    ),
    Command(
        "fate show",
        "read",
        "Show every party's part of a federated version, and whether the set is complete.",
        "parties:show",
        ("weighbridge fate show models 'guest-9999#host-10000#model' 202006122009345696314",),
    ),
    Command(
        "fate restore-checkpoints",
        "read",
        "Write a version's checkpoints back into FATE's folders.",
        "fate:restore_checkpoints",
        (
            "weighbridge fate restore-checkpoints "
            "'models/guest#9999#guest-9999#host-10000#model@=202006122009345696314' restored",
        ),
        notes="DIR is a model cache, the folder of that party model or version, or one named "
        "`checkpoint`. What is there and equal is left alone; a complete checkpoint that differs is an "
        "error. The newest comes first, and the marker of each is its last file.",
        resumes=True,
    ),
    Command(
        "fate import",
        "change",
        "Import FATE's model cache: every party, version and checkpoint.",
        "fate:import_",
        (
            "weighbridge fate import model_local_cache --dry-run",
            "weighbridge fate import model_local_cache --project models",
        ),
        notes="Can be run again: what is there and equal is not sent, what differs is an error that "
        "names it. A broken model does not stop the others; the exit code is 6 if any failed.",
        resumes=True,
    ),
    Command(
        "fate upload",
        "change",
        "Send a large archive that FATE exported, for a restore to take in.",
        "fate:upload",
        (
            "weighbridge fate upload model.zip "
            "'models/guest#9999#guest-9999#host-10000#model@=202006122009345696314'",
        ),
        notes="A form holds 10 MB at most (on AWS about 4 MB). What is larger is sent to the store, where it "
        "waits for a day; `flow model import --from-database` for the same role, party, model id and "
        "version takes it in, before it looks at a second store.",
        resumes=True,
    ),
    Command(
        "fate sync",
        "change",
        "Keep a training worker's model cache in step with the registry.",
        "fate:sync",
        (
            "weighbridge fate sync model_local_cache --once",
            "weighbridge fate sync model_local_cache --once --max-to-keep 5 --json",
        ),
        notes="Sends each checkpoint once it is complete, and publishes the model when it is. DIR is a "
        "model cache, the folder of a party model or version, or with --ref any folder that holds "
        "`checkpoint`. With --watch it goes on until the version is published (a whole cache: until it "
        "is interrupted). --pull writes the registry's checkpoints back first.",
        resumes=True,
    ),
)
