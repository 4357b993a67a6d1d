"""`python -m infra.embedded`: the process behind `weighbridge serve`."""

import sys

from infra.embedded import options, server
from weighbridge.contract.errors import InvalidRequest


def main(argv: list[str]) -> int:
    """Runs the server that `argv` asks for; answers the exit code."""
    try:
        asked = options.parse(argv)
    except InvalidRequest as error:
        print(f"weighbridge serve: {error.message}", file=sys.stderr)
        return 2
    return server.run(asked)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
