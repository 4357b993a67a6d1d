"""The commands about providers of federated jobs. Only data."""

from weighbridge.cli.command import Command

COMMANDS: tuple[Command, ...] = (
    Command(
        "providers ls",
        "read",
        "List the providers of federated jobs, or the components of one.",
        "providers:ls",
        (
            "weighbridge providers ls",
            "weighbridge providers ls --device k8s --json",
            "weighbridge providers ls acme:2.1.0@k8s",
        ),
    ),
    Command(
        "providers resolve",
        "read",
        "Show which provider runs each task of a DAG at each party, and where that is said.",
        "providers:resolve",
        (
            "weighbridge providers resolve dag.yaml",
            "weighbridge providers resolve dag.json --default fate:2.2.0@docker --json",
        ),
        notes="The exit code is 2 if the DAG has problems. YAML needs the extra `fate`: "
        "pip install 'weighbridge[fate]'; JSON needs nothing.",
    ),
    Command(
        "providers register",
        "change",
        "Register a provider, or replace what is known of it.",
        "providers:register",
        (
            "weighbridge providers register acme:2.1.0@k8s --metadata image=acme/algo:2.1.0 "
            "--metadata namespace=fate",
            "weighbridge providers register acme:2.1.0@k8s --metadata image=acme/algo:2.1.0 "
            "--metadata namespace=fate --components components.json --dry-run",
        ),
        notes="A local provider needs path (and may have venv), docker needs base_url and image, k8s "
        "needs image and namespace (and may have config, as JSON).",
    ),
    Command(
        "providers rm",
        "change",
        "Remove a provider with its components.",
        "providers:remove",
        ("weighbridge providers rm acme:2.1.0@k8s --dry-run",),
    ),
)
