"""`doctor`: a running registry, examined from outside."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from weighbridge.cli import exits
from weighbridge.cli.context import Context
from weighbridge.cli.screen import clean, plural
from weighbridge.contract import names

if TYPE_CHECKING:
    from weighbridge.doctor import Finding

_WORDS = {"ok": "ok", "warning": "warning", "fail": "FAIL", "skipped": "skipped"}
_MOST_SECONDS = 3600


def doctor_arguments(parser: ArgumentParser) -> None:
    """Arguments of `doctor`."""
    parser.add_argument(
        "address",
        metavar="URL",
        nargs="?",
        help="the registry (default: $WEIGHBRIDGE_URL, else what login or serve stored)",
    )
    parser.add_argument(
        "--project", metavar="P", help="make the scratch model in this project, which must exist"
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        default=60,
        help="how long an event or a page may take (60)",
    )
    parser.add_argument("--read-only", action="store_true", help="write nothing")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST_SECONDS:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 1 to {_MOST_SECONDS}")
    return int(text)


def doctor(args: Namespace, context: Context) -> int:
    """Examines, one line per check; 1 if any failed."""
    from weighbridge import config
    from weighbridge.doctor import Options, Visit, examine
    from weighbridge.doctor.visit import PROJECT

    project = names.project_name(args.project) if args.project else PROJECT
    options = Options(project, float(args.wait), args.read_only)
    screen = context.screen

    def tell(finding: "Finding") -> None:
        if not args.json:
            screen.line(f"{_WORDS[finding.level]:<8} {finding.check:<14} {clean(finding.seen)}")
            if finding.remedy and finding.level != "ok":
                screen.line(f"{'':<23} → {clean(finding.remedy)}")
            screen.out.flush()

    visit = Visit(config.load(args.address), options, tell)
    fine = examine(visit)
    if args.json:
        found = [asdict(finding) for finding in visit.findings]
        screen.json({"url": visit.url, "ok": fine, "checks": found})
    else:
        failed = sum(finding.level == "fail" for finding in visit.findings)
        warned = sum(finding.level == "warning" for finding in visit.findings)
        screen.line()
        screen.line(
            f"{visit.url}: {plural(len(visit.findings), 'check')}, {failed} failed, "
            f"{plural(warned, 'warning')}"
        )
    return 0 if fine else exits.DIFFERENT
