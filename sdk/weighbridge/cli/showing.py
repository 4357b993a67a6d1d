"""`show`: everything about one project, model, version or checkpoint."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weighbridge.cli import parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.filefacts import show_files
from weighbridge.cli.listing import aliases_text, checkpoint_table, version_table
from weighbridge.cli.screen import Screen, clean, describe, human_size, moment, plural
from weighbridge.contract import types
from weighbridge.contract.references import Reference

if TYPE_CHECKING:
    from weighbridge.client import Client

NEWEST = 5
"""How many versions or checkpoints are shown with their model or version."""


def show_arguments(parser: ArgumentParser) -> None:
    """Arguments of `show`."""
    parser.add_argument(
        "ref", metavar="REF", help="PROJECT, PROJECT/MODEL, …@VERSION, …:CHECKPOINT"
    )
    parser.add_argument("--tensors", action="store_true", help="list every tensor")
    parsing.reads(parser)


def show(args: Namespace, context: Context) -> int:
    """Shows what the reference names."""
    target = targets.anything(args.ref)
    with context.registry(args) as registry:
        client = registry.client
        if isinstance(target, str):
            _project(args, context.screen, client, target)
        elif target.checkpoint is not None:
            _checkpoint(args, context.screen, client, target)
        elif target.version is not None:
            _version(args, context.screen, client, target)
        else:
            _model(args, context.screen, client, target)
    return 0


def _project(args: Namespace, screen: Screen, client: "Client", name: str) -> None:
    project = client.project(name)
    if args.json:
        screen.json({"kind": "project", "project": project})
        return
    _title(screen, project.name)
    screen.fields(
        [
            ("description", project.description),
            ("inbox", "open" if project.inbox else "closed"),
            ("safety policy", project.safety),
            ("created", _made(project.created, project.created_by)),
        ]
    )


def _model(args: Namespace, screen: Screen, client: "Client", ref: Reference) -> None:
    model = client.model(ref.project, ref.model)
    card = client.card(ref.project, ref.model)
    versions = client.versions(ref.project, ref.model, limit=NEWEST)
    if args.json:
        screen.json({"kind": "model", "model": model, "card": card.text, "newest": versions.items})
        return
    settings = model.settings
    _title(screen, f"{model.project}/{model.name}")
    screen.fields(
        [
            ("description", model.description),
            ("aliases", aliases_text(model)),
            ("main metric", settings.main_metric),
            ("directions", ", ".join(f"{k}={v}" for k, v in sorted(settings.directions.items()))),
            ("protected aliases", ", ".join(settings.protected_aliases)),
            ("created", _made(model.created, model.created_by)),
        ]
    )
    _mapping(screen, "Tags", model.tags)
    if versions.items:
        screen.heading("Newest versions")
        version_table(screen, versions.items, settings.main_metric)
    if card.text:
        screen.heading("Card")
        screen.line(clean(card.text.rstrip(), keep="\n\t"))


def _version(args: Namespace, screen: Screen, client: "Client", ref: Reference) -> None:
    version = client.version(ref.project, ref.model, targets.selector(ref))
    at = (version.project, version.model, version.number)
    facts = client.version_facts(*at)
    checkpoints = client.checkpoints(*at, limit=NEWEST)
    name = targets.numbered(*at)
    if args.json:
        screen.json(
            {
                "kind": "version",
                "reference": name,
                "version": version,
                "facts": facts,
                "newest_checkpoints": checkpoints.items,
            }
        )
        return
    approval = version.approval
    _title(screen, name)
    screen.fields(
        [
            ("state", version.state),
            ("label", version.label),
            ("aliases", ", ".join(version.aliases)),
            ("approval", " ".join(filter(None, (
                approval.state,
                f"by {approval.by}" if approval.by else "",
                f"at {moment(approval.at)}" if approval.at else "",
                f"({approval.comment})" if approval.comment else "",
            )))),
            ("verdict", _verdict(version)),
            ("formats", ", ".join(version.formats)),
            ("description", version.description),
            ("parents", ", ".join(version.parents)),
            ("promoted from", version.source),
            ("files", f"{plural(version.files, 'file')}, {human_size(version.size)}"),
            ("tensors", _summary(version.claims)),
            ("manifest", version.manifest),
            ("created", _made(version.created, version.created_by)),
            ("published", moment(version.published)),
        ]
    )  # fmt: skip
    _mapping(screen, "Metrics", version.metrics)
    _mapping(screen, "Params", version.params)
    _mapping(screen, "Tags", version.tags)
    _mapping(screen, "Attributes", version.attributes)
    _provenance(screen, version.provenance)
    show_files(screen, facts, tensors=args.tensors)
    if checkpoints.items:
        screen.heading("Newest checkpoints")
        checkpoint_table(screen, checkpoints.items, indent="  ")


def _checkpoint(args: Namespace, screen: Screen, client: "Client", ref: Reference) -> None:
    assert ref.checkpoint is not None
    found = client.checkpoint(ref.project, ref.model, targets.selector(ref), ref.checkpoint)
    at = (found.project, found.model, found.version, found.number)
    facts = client.checkpoint_facts(*at)
    name = targets.numbered(*at)
    if args.json:
        screen.json({"kind": "checkpoint", "reference": name, "checkpoint": found, "facts": facts})
        return
    _title(screen, name)
    screen.fields(
        [
            ("state", found.state),
            ("verdict", _verdict(found)),
            ("formats", ", ".join(found.formats)),
            ("step", str(found.step)),
            ("component", found.component),
            ("name", found.name),
            ("files", f"{plural(found.files, 'file')}, {human_size(found.size)}"),
            ("tensors", _summary(found.claims)),
            ("manifest", found.manifest),
            ("created", _made(found.created, found.created_by)),
        ]
    )
    _mapping(screen, "Metrics", found.metrics)
    _mapping(screen, "Tags", found.tags)
    show_files(screen, facts, tensors=args.tensors)


def _title(screen: Screen, text: str) -> None:
    screen.line(screen.bold(clean(text)))


def _made(at: str, by: str) -> str:
    return f"{moment(at)} by {by}" if by else moment(at)


def _verdict(found: types.Version | types.Checkpoint) -> str:
    release = found.release
    if not release.by:
        return found.verdict
    return f"{found.verdict}, released by {release.by} at {moment(release.at)} ({release.comment})"


def _mapping(screen: Screen, title: str, values: Mapping[str, Any]) -> None:
    if values:
        screen.heading(title)
        screen.fields([(name, describe(value)) for name, value in sorted(values.items())])


def _provenance(screen: Screen, provenance: types.Provenance) -> None:
    commit = provenance.git_commit + (" (with local changes)" if provenance.git_dirty else "")
    pairs = [
        ("git commit", commit if provenance.git_commit else ""),
        ("command", provenance.command),
        ("framework", provenance.framework),
        ("python", provenance.python),
        ("hardware", provenance.hardware),
        ("datasets", ", ".join(provenance.datasets)),
    ]
    if any(value for _, value in pairs):
        screen.heading("Provenance (as its pusher tells)")
        screen.fields(pairs)


def _summary(claims: types.ClaimsSummary | None) -> str:
    """What was claimed of a version's tensors, on one line."""
    if claims is None:
        return ""
    said = [f"{claims.fingerprints:,} fingerprints", f"{claims.statistics:,} statistics"]
    said += [f"{plural(claims.nan, 'tensor')} with NaN"] if claims.nan else []
    said += [f"{plural(claims.inf, 'tensor')} with infinite values"] if claims.inf else []
    return f"{', '.join(said)} (as its pusher claims)"
