"""The way in: `serve`, `wsgi-serve`, `python -m launcher`, `manage.py serve`."""

from __future__ import annotations

import gc
import os
import sys

from .arguments import read_start
from .lean import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run one command and return its exit status; a start that succeeds never returns."""
    words = list(sys.argv[1:] if argv is None else argv)
    surroundings = dict(os.environ if environ is None else environ)
    said = read_start(words)
    try:
        if said is None:
            from .cli import main as click_main

            return click_main(words, surroundings)
        # What a start makes goes with exec, or with the process: looking for garbage in it is a twentieth of the way.
        gc.disable()
        from .start import start

        return start(said, surroundings)
    except KeyboardInterrupt:
        return 128 + 2


if __name__ == "__main__":
    sys.exit(main())
