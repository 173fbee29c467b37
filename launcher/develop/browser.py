"""The browser of the person who develops."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress


def open_browser(url: str) -> None:
    """Show `url`, as the standard library's webbrowser does; return at once, and say nothing where that fails."""
    # In a process of its own, since browsers talk, and some stay; the thread is there to take its exit status.
    threading.Thread(target=_open, args=(url,), daemon=True).start()


def _open(url: str) -> None:
    with suppress(OSError):
        subprocess.run(
            [sys.executable, "-P", "-m", "webbrowser", "-t", url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            check=False,
        )
