"""Standard output and error, of which a server may lose the readers while it serves."""

import sys


def flush() -> None:
    """Write what a fork would copy, and exec or a sudden end would lose, as far as it can be written.

    Where a pipe has lost its reader, or a disk is full, what could not be written stays for each flush to fail on.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
