"""`cost`: what the registry would cost on AWS in a month."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from weighbridge.cli import parsing
from weighbridge.cli.context import Context
from weighbridge.contract import names
from weighbridge.contract.types import Project

if TYPE_CHECKING:
    from weighbridge.client import Client

LOOKED_BACK = 30
MOST_EVENTS = 10_000
"""Events of a project that are counted; of more the rate is that of the newest."""
_MOST = 1e12
_COUNTED = {
    "version.published": "pushes", "checkpoint.published": "checkpoints_a_day",
    "alias.moved": "aliases",
}  # fmt: skip


def cost_arguments(parser: ArgumentParser) -> None:
    """Arguments of `cost`."""
    parser.add_argument("projects", metavar="PROJECT", nargs="*", help="these only (default: all)")
    measured = f"(default: as in the last {LOOKED_BACK} days)"
    for name, what in (
        ("pushes", f"versions that are published {measured}"),
        ("checkpoints", f"checkpoints that are published {measured}"),
        ("aliases", f"moves of aliases {measured}"),
        ("pulls", "pulls, which leave no trace in the registry (100)"),
        ("reads", "other requests that read (1,000)"),
    ):
        parser.add_argument(f"--{name}", metavar="N", type=_amount, help=f"a day: {what}")
    parser.add_argument(
        "--out-gb", metavar="GB", type=_amount, default=0.0,
        help="a month: what is pulled from outside the region (0)",
    )  # fmt: skip
    parser.add_argument(
        "--free-tier", action="store_true",
        help="leave out what an account without other uses gets for nothing",
    )  # fmt: skip
    parsing.reads(parser)


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount <= _MOST:
        raise ArgumentTypeError(f"{text!r} is no amount from 0 to {_MOST:.0e}")
    return amount


def cost(args: Namespace, context: Context) -> int:
    """Estimates the bill of a month, line by line."""
    from weighbridge.costs import Use, estimate

    with context.registry(args) as registry:
        client = registry.client
        wanted = [names.project_name(name) for name in args.projects]
        chosen = [client.project(name) for name in wanted] or list(client.iter_projects())
        usages = [client.project_usage(project.name) for project in chosen]
        happened = _happened(client, chosen)

    def rate(name: str, given: float | None) -> float:
        return happened[name] if given is None else given

    use = Use(
        len(chosen), sum(u.versions for u in usages), int(happened["checkpoints"]),
        sum(u.bytes for u in usages), rate("pushes", args.pushes),
        rate("checkpoints_a_day", args.checkpoints), rate("aliases", args.aliases),
        100.0 if args.pulls is None else args.pulls,
        1000.0 if args.reads is None else args.reads, args.out_gb,
    )  # fmt: skip
    bill = estimate(use, free_tier=args.free_tier)
    screen = context.screen
    if args.json:
        screen.json({"use": use, "bill": bill})
        return 0
    screen.table(
        ("", "a month", "", "dollars"),
        [
            (line.name, _short(line.amount), line.unit, f"{line.dollars:,.2f}")
            for line in bill.lines
        ],
        "<><>",
    )  # fmt: skip
    screen.line(f"in all {bill.total:,.2f} dollars, of which {bill.idle:,.2f} when nothing is done")
    screen.remark(
        f"prices of {bill.region} as listed on {bill.day}, without taxes; a day has "
        f"{_short(use.pushes)} pushes, {_short(use.checkpoints_a_day)} checkpoints, {_short(use.pulls)} pulls, "
        f"{_short(use.reads)} other reads (docs/cost.md says what is assumed)"
    )
    return 0


def _short(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:.3g}"


def _happened(client: "Client", projects: list[Project]) -> dict[str, float]:
    """What the histories of the projects say of a day, and how many checkpoints were published in all that
    was looked at."""
    now = datetime.now(UTC)
    oldest = now - timedelta(days=LOOKED_BACK)
    found = dict.fromkeys((*_COUNTED.values(), "checkpoints"), 0.0)
    for project in projects:
        counts = dict.fromkeys(_COUNTED.values(), 0)
        last = max(oldest, datetime.fromisoformat(project.created))
        for seen, event in enumerate(client.iter_events(project.name)):
            moment = datetime.fromisoformat(event.at)
            if moment < oldest:
                break
            if seen == MOST_EVENTS:
                last = moment
                break
            if event.kind in _COUNTED:
                counts[_COUNTED[event.kind]] += 1
        days = max((now - last).total_seconds() / 86400, 1.0)
        for name, count in counts.items():
            found[name] += count / days
        found["checkpoints"] += counts["checkpoints_a_day"]
    return found
