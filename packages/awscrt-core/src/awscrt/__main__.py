"""``python -m awscrt``: what is installed, and the commands that features bring."""

from __future__ import annotations

import argparse
import sys
from typing import Optional, Sequence

from awscrt import plugins
from awscrt._version import __version__

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="awscrt", description="The AWS common runtime for Python.")
    parser.add_argument("--version", action="version", version=f"awscrt {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command in plugins.commands():
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.help)
        command.configure(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run a command; the exit status is its result.

    :param argv: arguments, without the program's name; default: those of the process
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 2
    return arguments.run(arguments) or 0


if __name__ == "__main__":
    sys.exit(main())
