"""Run waitress: `python -P -m launcher.runners.waitress [flags] MODULE:ATTRIBUTE`."""

import argparse
import sys
from collections.abc import Sequence

from . import arguments, process
from .arguments import Options, WaitressOptions
from .worker import Serve


def read(argv: Sequence[str]) -> WaitressOptions:
    """Read the flags; ends the process where they make no sense."""
    words = arguments.parser("waitress", threads=4)
    words.add_argument("--max-connections", type=arguments.count(1), metavar="N")
    words.add_argument(
        "--native", type=_native, action="append", default=[], metavar="KEY=VALUE", help="a setting of waitress"
    )
    return arguments.parse(words, argv, WaitressOptions())


def _native(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"'{text}' is not KEY=VALUE")
    return key, value


def prepare(options: Options) -> Serve:
    # Imported in workers only: the supervisor has no use for waitress.
    from . import waitress_server

    assert isinstance(options, WaitressOptions)
    return waitress_server.prepare(options)


if __name__ == "__main__":
    process.run(read, prepare, sys.argv[1:])
