"""`login`, `logout`, `whoami`, `open`, `proxy`, `version`: which server, as whom."""

import os
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from weighbridge.cli import addresses, parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.screen import clean, moment
from weighbridge.cli.tokens import scope_text
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.references import Reference

if TYPE_CHECKING:
    from weighbridge.client import Client


def login_arguments(parser: ArgumentParser) -> None:
    """Arguments of `login`."""
    parser.add_argument("address", metavar="URL", help="such as https://models.example.org")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--token", metavar="T", help="the token (others on this machine may see it)")
    given.add_argument(
        "--token-stdin", action="store_true", help="read the token from standard input"
    )
    parser.add_argument("--ca-file", metavar="F", help="certificates to trust besides the system's")
    parser.add_argument("--dry-run", action="store_true", help="check the token, and store nothing")


def login(args: Namespace, context: Context) -> int:
    """Checks a token and stores it for its server."""
    from weighbridge import config

    url = config.normal_url(args.address)
    token = _token(args, context)
    with context.connect(url, token, args.ca_file) as registry:
        who = registry.client.whoami()
    screen = context.screen
    if args.dry_run:
        screen.line(f"would sign in to {url} as {clean(who.principal)}")
        return 0
    stored = config.save_server(url, token, args.ca_file)
    screen.line(f"signed in to {url} as {clean(who.principal)}")
    screen.remark(f"stored in {stored}")
    for name in ("WEIGHBRIDGE_URL", "WEIGHBRIDGE_TOKEN"):
        if os.environ.get(name):
            screen.remark(f"note: {name} is set and goes before what is stored")
    return 0


def _token(args: Namespace, context: Context) -> str:
    if args.token is not None:
        return str(args.token).strip()
    if args.token_stdin:
        token = context.stdin.readline().strip()
        if not token:
            raise InvalidRequest("there is no token on standard input")
        return token
    if token := os.environ.get("WEIGHBRIDGE_TOKEN", ""):
        return token
    if not context.stdin.isatty():
        raise InvalidRequest("give the token with --token-stdin, as there is no terminal to ask on")
    from getpass import getpass

    return getpass("Token: ").strip()


def logout_arguments(parser: ArgumentParser) -> None:
    """Arguments of `logout`."""
    parser.add_argument("address", metavar="URL", nargs="?", help="the server to forget")
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be done, and do nothing"
    )


def logout(args: Namespace, context: Context) -> int:
    """Forgets a server; the token itself stays good until it is revoked or expires."""
    from weighbridge import config

    # The environment does not count here: only what is stored can be forgotten.
    stored = {name: v for name, v in os.environ.items() if name != "WEIGHBRIDGE_URL"}
    url = config.normal_url(args.address) if args.address else config.load(env=stored).url
    if args.dry_run:
        context.screen.line(f"would forget {url} and its token")
    elif config.forget(url):
        context.screen.line(f"forgot {url} and its token")
    else:
        context.screen.line(f"nothing is stored for {url}")
    return 0


def whoami_arguments(parser: ArgumentParser) -> None:
    """Arguments of `whoami`."""
    parsing.reads(parser)


def whoami(args: Namespace, context: Context) -> int:
    """Shows server, principal and scopes."""
    with context.registry(args) as registry:
        url, who = registry.url, registry.client.whoami()
    if args.json:
        context.screen.json(
            {
                "url": url,
                "principal": who.principal,
                "scopes": who.scopes,
                "expires": who.expires,
            }
        )
        return 0
    context.screen.fields(
        [
            ("server", url),
            ("principal", who.principal),
            *(("may" if i == 0 else "and", scope_text(s)) for i, s in enumerate(who.scopes)),
            ("expires", moment(who.expires) or "never"),
        ],
        indent="",
    )
    return 0


def open_catalogue_arguments(parser: ArgumentParser) -> None:
    """Arguments of `open`."""
    parser.add_argument("ref", metavar="REF", nargs="?", help="the page to open (default: home)")
    parser.add_argument("--browser", action="store_true", help="open it in the browser")
    parsing.reads(parser)


def open_catalogue(args: Namespace, context: Context) -> int:
    """Prints a one-time sign-in link that leads to a page."""
    target = None if args.ref is None else targets.anything(args.ref)
    with context.registry(args) as registry:
        page = "/" if target is None else _page(registry.client, target)
        ticket = registry.client.ticket()
    url = ticket.url + ("?" + urlencode({"next": page}) if page != "/" else "")
    if args.json:
        context.screen.json({"url": url, "expires": ticket.expires, "page": page})
    else:
        context.screen.line(url)
        context.screen.remark(f"signs a browser in once, until {moment(ticket.expires)} (UTC)")
    if args.browser:
        import webbrowser

        if not webbrowser.open(url):
            context.screen.remark("no browser was found; open the link yourself")
    return 0


def _page(client: "Client", target: str | Reference) -> str:
    if isinstance(target, str):
        return addresses.project(client.project(target).name)
    model = client.model(target.project, target.model)
    page = addresses.model(model.project, model.name, model.id)
    if target.version is None:
        return page
    found = client.version(target.project, target.model, target.version)
    return addresses.version(page, found.number, checkpoints=target.checkpoint is not None)


def proxy_arguments(parser: ArgumentParser) -> None:
    """Arguments of `proxy`."""
    parser.add_argument(
        "--listen",
        metavar="ADDR",
        default="127.0.0.1:8471",
        help="loopback address and port (default: 127.0.0.1:8471)",
    )
    parsing.server(parser)


def proxy(args: Namespace, context: Context) -> int:
    """Forwards to the configured server until it is stopped."""
    from weighbridge import config
    from weighbridge import proxy as forwarding

    chosen = config.load(args.url)
    return forwarding.run(args.listen, chosen.url, chosen.token, chosen.ca_file)


def version_arguments(parser: ArgumentParser) -> None:
    """Arguments of `version`."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def version(args: Namespace, context: Context) -> int:
    """Prints the version of this program; asks no server."""
    import platform

    from weighbridge import __version__

    if args.json:
        context.screen.json({"version": __version__, "python": platform.python_version()})
    else:
        context.screen.line(f"weighbridge {__version__}")
    return 0
