"""`project create|set|rm` and `inbox grant`."""

import shlex
from argparse import ArgumentParser, Namespace
from dataclasses import replace

from weighbridge.cli import parsing, removing
from weighbridge.cli.context import Context
from weighbridge.cli.screen import human_size, moment
from weighbridge.contract import names, types
from weighbridge.contract.errors import AlreadyExists, Conflict, InvalidRequest, NotFound

QUOTAS = ("bytes", "versions", "models")


def create_arguments(parser: ArgumentParser) -> None:
    """Arguments of `project create`."""
    parser.add_argument("name", metavar="NAME", help="unique, whatever its case")
    parser.add_argument("--description", metavar="D", default="", help="what it is for")
    parsing.changes(parser)


def create(args: Namespace, context: Context) -> int:
    """Creates a project."""
    name = names.project_name(args.name)
    with context.registry(args) as registry:
        if args.dry_run:
            try:
                taken = registry.client.project(name).name
            except NotFound:
                made = types.Project(name, args.description)
            else:
                raise AlreadyExists(f"there is a project {taken!r} already", project=taken)
        else:
            made = registry.client.create_project(name, args.description)
    if args.json:
        context.screen.json({"dry_run": args.dry_run, "project": made})
    else:
        verb = "would create" if args.dry_run else "created"
        context.screen.line(f"{verb} the project {made.name}")
    return 0


def show_arguments(parser: ArgumentParser) -> None:
    """Arguments of `project show`."""
    parser.add_argument("name", metavar="PROJECT", help="the project")
    parsing.reads(parser)


def show(args: Namespace, context: Context) -> int:
    """Shows a project with what is used of its quota."""
    name = names.project_name(args.name)
    with context.registry(args) as registry:
        project, usage = registry.client.project(name), registry.client.project_usage(name)
    if args.json:
        context.screen.json({"project": project, "usage": usage})
        return 0
    pairs = [
        ("project", project.name), ("description", project.description),
        ("inbox", "open" if project.inbox else "closed"), ("safety policy", project.safety),
    ]  # fmt: skip
    for kind in QUOTAS:
        used, most = getattr(usage, kind), getattr(project.quota, kind)
        text = (amount_text(kind, used) if used else "0") + (
            f" of {amount_text(kind, most)}" if most else ""
        )
        pairs.append((kind, text))
    pairs.append(("open uploads", f"{usage.open_uploads:,}"))
    context.screen.fields(pairs, indent="")
    return 0


def change_arguments(parser: ArgumentParser) -> None:
    """Arguments of `project set`."""
    parser.add_argument("name", metavar="PROJECT", help="the project")
    parser.add_argument("--description", metavar="D", help="what it is for")
    parser.add_argument(
        "--inbox", choices=("on", "off"), help="whether plain S3 clients may write to its inbox"
    )
    parser.add_argument(
        "--safety",
        choices=("warn", "block"),
        help="what becomes of files that can execute code: shown (warn), or held back (block)",
    )
    for kind in QUOTAS:
        parser.add_argument(
            f"--quota-{kind}",
            metavar="SIZE" if kind == "bytes" else "N",
            help=f"how many {kind} it may hold{', such as 500GiB' if kind == 'bytes' else ''}; 0: any",
        )
    parsing.changes(parser)


def change(args: Namespace, context: Context) -> int:
    """Changes a project; what is not named stays."""
    name = names.project_name(args.name)
    wanted = {kind: getattr(args, f"quota_{kind}") for kind in QUOTAS}
    wanted = {kind: text for kind, text in wanted.items() if text is not None}
    if not wanted and args.description is None and args.inbox is None and args.safety is None:
        raise InvalidRequest(
            "there is nothing to change: give --description, --inbox, --safety or --quota-…"
        )
    amounts = {kind: _amount(kind, text) for kind, text in wanted.items()}
    inbox = None if args.inbox is None else args.inbox == "on"
    with context.registry(args) as registry:
        quota = None
        if amounts:  # what is not named stays
            quota = replace(registry.client.project(name).quota, **amounts)
        if args.dry_run:
            project = registry.client.project(name)
            project = replace(
                project,
                description=project.description if args.description is None else args.description,
                inbox=project.inbox if inbox is None else inbox,
                safety=args.safety or project.safety,
                quota=quota or project.quota,
            )
        else:
            project = registry.client.change_project(
                name, args.description, inbox, args.safety, quota
            )
    if args.json:
        context.screen.json({"dry_run": args.dry_run, "project": project})
        return 0
    verb = "would become" if args.dry_run else "is now"
    if args.description is not None:
        context.screen.line(f"{project.name}: the description {verb} {args.description!r}")
    if inbox is not None:
        context.screen.line(f"{project.name}: the inbox {verb} {'open' if inbox else 'closed'}")
    if args.safety is not None:
        context.screen.line(f"{project.name}: the safety policy {verb} {project.safety}")
    for kind in amounts:
        most = getattr(project.quota, kind)
        context.screen.line(f"{project.name}: the quota of {kind} {verb} {amount_text(kind, most)}")
    return 0


def amount_text(kind: str, amount: int) -> str:
    """An amount of what a quota limits; 0 is no limit."""
    if not amount:
        return "none"
    return human_size(amount) if kind == "bytes" else f"{amount:,}"


def _amount(kind: str, text: str) -> int:
    if kind == "bytes":
        from weighbridge import config

        return config.size(text, "--quota-bytes")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise InvalidRequest(f"--quota-{kind} is {text[:40]!r}; write a whole number, 0 for any")
    return int(text)


def remove_arguments(parser: ArgumentParser) -> None:
    """Arguments of `project rm`."""
    parser.add_argument("name", metavar="PROJECT", help="the project, which must be empty")
    removing.options(parser)


def remove(args: Namespace, context: Context) -> int:
    """Deletes an empty project."""
    return removing.remove(names.project_name(args.name), args, context)


def inbox_grant_arguments(parser: ArgumentParser) -> None:
    """Arguments of `inbox grant`."""
    parser.add_argument("project", metavar="PROJECT", help="its inbox must be open (project set)")
    parser.add_argument(
        "--days", metavar="N", type=parsing.positive, default=7, help="how long (default: 7)"
    )
    parsing.changes(parser)


def inbox_grant(args: Namespace, context: Context) -> int:
    """Prints credentials as a shell's environment."""
    name, screen = names.project_name(args.project), context.screen
    with context.registry(args) as registry:
        if args.dry_run:
            project = registry.client.project(name)
            if not project.inbox:
                raise Conflict(
                    f"the inbox of {name} is closed: `weighbridge project set {name} --inbox on`"
                )
            if args.json:
                screen.json({"dry_run": True, "project": project.name, "days": args.days})
            else:
                screen.line(
                    f"would issue credentials that may write to the inbox of {project.name} "
                    f"for {args.days} days"
                )
            return 0
        grant = registry.client.grant_inbox(name, args.days)
    if args.json:
        screen.json({"dry_run": False, "grant": grant, "environment": environment(grant)})
        return 0
    until = f" until {moment(grant.expires)} (UTC)" if grant.expires else ""
    screen.line(f"# Write-only, for the inbox of {grant.project}{until}.")
    for variable, value in environment(grant).items():
        screen.line(f"export {variable}={shlex.quote(value)}")
    prefix = grant.prefix.rstrip("/")
    target = f"s3://{grant.bucket}/{prefix}/MODEL/LABEL/checkpoint/COMPONENT/100#epoch/"
    screen.line("# For example, a checkpoint (step 100, name epoch) of the version labelled LABEL:")
    screen.line(f"#   aws s3 cp out/ '{target}' --recursive")
    screen.line(f"#   printf '' | aws s3 cp - '{target}_SUCCESS'")
    return 0


def environment(grant: types.InboxGrant) -> dict[str, str]:
    """The variables that S3 clients read."""
    values = {
        "AWS_ACCESS_KEY_ID": grant.access_key,
        "AWS_SECRET_ACCESS_KEY": grant.secret_key,
        "AWS_SESSION_TOKEN": grant.session_token,
        "AWS_REGION": grant.region,
        "AWS_DEFAULT_REGION": grant.region,
        "AWS_ENDPOINT_URL": grant.endpoint,
        "AWS_ENDPOINT_URL_S3": grant.endpoint,
    }
    return {name: value for name, value in values.items() if value}
