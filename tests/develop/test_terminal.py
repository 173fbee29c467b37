"""`serve` on a terminal: a debugger can be talked to, and Ctrl-C ends everything."""

import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from launcher.testing.client import DEADLINE_S, request
from launcher.testing.serving import clean_environment, session_members, wait_for, write_project

pytestmark = pytest.mark.live

APP = """
def app(environ, start_response):
    number = 42
    if environ["PATH_INFO"] == "/stop":
        breakpoint()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [str(number).encode()]
"""


class Terminal:
    """A terminal on which `serve` was typed."""

    def __init__(self, directory: Path, server: str) -> None:
        profile = {"server": server, "app": "app:app", "bind": ["127.0.0.1:0"], "reload": True}
        write_project(directory, profile, name="kit", files={"app.py": APP})
        self.shown = ""
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "launcher", "--profile", "kit"],
            cwd=directory, env={**clean_environment(), "XDG_RUNTIME_DIR": str(directory), "TERM": "xterm"},
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: os.login_tty(slave) if hasattr(os, "login_tty") else None,
        )  # fmt: skip
        os.close(slave)

    def read_until(self, text: str) -> None:
        end = time.monotonic() + DEADLINE_S
        while text not in self.shown:
            assert time.monotonic() < end, f"waited in vain for {text!r}\n{self.shown}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.shown += os.read(self.master, 65536).decode(errors="replace")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        for pid in session_members(self.process.pid):
            os.kill(pid, 9)
        self.process.wait()
        os.close(self.master)


@pytest.mark.parametrize("server", ["gunicorn", "uwsgi", "waitress", "wsgiref"])
def test_a_debugger_and_ctrl_c(server: str, tmp_path: Path) -> None:
    with Terminal(tmp_path, server) as terminal:
        terminal.read_until("Ctrl-C stops")
        found = re.search(r"http://(127\.0\.0\.1:\d+)", terminal.shown)
        assert found
        answers: list[bytes] = []
        asking = threading.Thread(target=lambda: answers.append(request(found[1], "/stop").body))
        asking.start()
        terminal.read_until("(Pdb) ")
        terminal.type("number = number + 1\n")
        terminal.type("c\n")
        asking.join(DEADLINE_S)
        assert answers == [b"43"]
        terminal.type("\x03")
        wait_for(lambda: terminal.process.poll() is not None, "the end")
        assert terminal.process.returncode == 0
        assert list(session_members(terminal.process.pid)) == []
