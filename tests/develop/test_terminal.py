"""`serve` where it was typed: a debugger can be talked to, and everything ends with Ctrl-C or with the terminal."""

import contextlib
import http.client
import os
import re
import shlex
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from launcher.testing.client import DEADLINE_S, request
from launcher.testing.serving import wait_for, write_project
from tests.develop.typed import SERVE, Typed
from tests.machine import SERVERS

pytestmark = [pytest.mark.live, pytest.mark.parametrize("server", SERVERS)]

APP = """
import os

def app(environ, start_response):
    number = 42
    if environ["PATH_INFO"] == "/stop":
        os.write(1, f"stopped {os.getpid()}\\n".encode())  # in one piece, beside the log
        breakpoint()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [str(number).encode()]
"""

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
"""What readline sends, and colours."""


def project(directory: Path, server: str, **options: Any) -> tuple[str, ...]:
    """Make a project, and return the words that serve it."""
    profile = {"extends": "dev", "server": server, "app": "app:app", "bind": ["127.0.0.1:0"], **options}
    write_project(directory, profile, name="kit", files={"app.py": APP})
    return (*SERVE, "--profile", "kit")


def address_of(typed: Typed) -> str:
    """Return where it serves, once it does."""
    address: str = typed.wait_for(r"http://(127\.0\.0\.1:\d+)")[1]
    assert request(address, "/").body == b"42"
    return address


def release(directory: Path, text: str) -> None:
    fresh = directory / "fresh"
    fresh.write_text(text)
    fresh.replace(directory / "app.py")


class Asking:
    """A request that is asked meanwhile."""

    def __init__(self, address: str, path: str) -> None:
        self.body = b""
        self._address, self._path = address, path
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        # Whoever stops in a debugger may be ended there.
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.body = request(self._address, self._path).body

    def answer(self) -> bytes:
        self._thread.join(DEADLINE_S)
        return self.body


def test_a_debugger_and_ctrl_c(server: str, tmp_path: Path) -> None:
    with Typed(tmp_path, *project(tmp_path, server)) as terminal:
        address = address_of(terminal)
        asking = Asking(address, "/stop")
        terminal.wait_for(r"\(Pdb\) ")
        terminal.type("number = number + 1\n")
        terminal.wait_for(r"\(Pdb\) ")
        terminal.type("c\n")
        assert asking.answer() == b"43"
        asking = Asking(address, "/stop")
        terminal.wait_for(r"\(Pdb\) ")
        terminal.type("\x03")
        assert terminal.process.wait(DEADLINE_S) == 0
        assert terminal.tree() == []
        assert "[" not in ESCAPES.sub("", terminal.rest())  # as each line of a log has it
        asking.answer()


def test_a_debugger_that_is_cut_off_leaves_the_echo_on(server: str, tmp_path: Path) -> None:
    with Typed(tmp_path, *project(tmp_path, server, graceful_timeout=1)) as terminal:
        address = address_of(terminal)
        asking = Asking(address, "/stop")
        worker = terminal.wait_for(r"stopped (\d+)")[1]
        terminal.wait_for(r"\(Pdb\) ")
        wait_for(lambda: not terminal.echoes(), "readline to take the terminal")
        release(tmp_path, APP.replace("42", "43"))
        wait_for(lambda: request(address, "/").body == b"43", "the new code")
        wait_for(lambda: not os.path.exists(f"/proc/{worker}"), "the worker to end")
        wait_for(terminal.echoes, "the echo")
        asking.answer()


@pytest.mark.parametrize("by", ["itself", "a shell"])
@pytest.mark.parametrize("path", ["/", "/stop"])
def test_it_ends_with_its_terminal(server: str, by: str, path: str, tmp_path: Path) -> None:
    words = project(tmp_path, server)
    with Typed(tmp_path, *(("sh", "-i") if by == "a shell" else words)) as terminal:
        if by == "a shell":
            terminal.type(f"{shlex.join(words)}\n")
        asking = Asking(address_of(terminal), path)
        if path == "/stop":
            terminal.wait_for(r"\(Pdb\) ")
        terminal.close()
        wait_for(lambda: not terminal.tree(), "everything to end")
        assert list((tmp_path / "serve").iterdir()) == []  # the record: it was no sudden death
        asking.answer()


def test_it_goes_on_where_nobody_reads_what_it_says(server: str, tmp_path: Path) -> None:
    with Typed(tmp_path, *project(tmp_path, server), pipe=True) as piped:
        address = address_of(piped)
        piped.close()
        for number in ("43", "44"):
            release(tmp_path, APP.replace("42", number))
            wait_for(lambda: request(address, "/").body == number.encode(), "the new code")
        release(tmp_path, "import nothing_of_the_kind")
        wait_for(lambda: b"nothing_of_the_kind" in request(address, "/").body, "the error page")
        release(tmp_path, APP)
        wait_for(lambda: request(address, "/").body == b"42", "the mended code")
        wait_for(lambda: rests(piped), "rest")
        piped.process.send_signal(signal.SIGTERM)
        assert piped.process.wait(DEADLINE_S) == 0
        wait_for(lambda: not piped.tree(), "everything to end")


def rests(typed: Typed) -> bool:
    """Watch for half a second, and return whether a tenth of a processor was enough."""
    before = {pid: ticks(pid) for pid in typed.tree()}
    time.sleep(0.5)
    return sum(ticks(pid) - before.get(pid, 0) for pid in typed.tree()) < 0.05 * os.sysconf("SC_CLK_TCK")


def ticks(pid: int) -> int:
    """Return the time that a process has computed, in clock ticks. Source: proc_pid_stat(5)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
