"""`python -m weighbridge.cli` is `weighbridge`."""

from weighbridge.cli.main import entry

if __name__ == "__main__":
    entry()
