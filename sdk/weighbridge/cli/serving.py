"""`serve`: hands over to `serve_command`, which starts the server's own programs."""

from argparse import ArgumentParser, Namespace

from weighbridge.cli.context import Context


def serve_arguments(parser: ArgumentParser) -> None:
    """Arguments of `serve`."""
    from weighbridge.cli import serve_command

    serve_command.add_arguments(parser)


def serve(args: Namespace, context: Context) -> int:
    """Runs the whole registry on this machine."""
    from weighbridge.cli import serve_command

    return serve_command.run(args)
