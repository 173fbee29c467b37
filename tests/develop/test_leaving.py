"""Servers that were told to go: whoever ignores it is told again, and nobody else."""

import math
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from launcher.develop.leaving import KILL_AFTER_S, Leaving
from launcher.develop.terms import Running
from launcher.testing.client import DEADLINE_S
from launcher.testing.serving import wait_for

pytestmark = pytest.mark.live

DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ignores it", flush=True)
input()
signal.signal(signal.SIGTERM, signal.SIG_DFL)
input()
"""
POLITE = """
import os, signal
signal.signal(signal.SIGTERM, lambda number, frame: os.write(1, b"told\\n"))
print("waits", flush=True)
while True:
    signal.pause()
"""


@contextmanager
def child(code: str) -> "Iterator[tuple[subprocess.Popen[str], Running]]":
    """Start a process in a server's stead, and wait for its first line."""
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process, Running(process.pid, socket.socket(), 0.0, 0, (), "", page=False)
        finally:
            process.kill()


def test_one_that_ignores_it_is_told_until_it_hears() -> None:
    leaving = Leaving()
    with child(DEAF) as (process, server):
        leaving.tell(server, signal.SIGTERM, 60)
        for _ in range(3):
            wait_for(lambda: leaving.due() <= time.monotonic(), "another try")
            leaving.look()
        assert process.poll() is None
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()

        def ended() -> bool:
            leaving.look()
            return process.poll() is not None

        wait_for(ended, "its end")
        assert process.returncode == -signal.SIGTERM
        assert leaving.bury(process.pid)
        assert (len(leaving), leaving.due()) == (0, math.inf)


def test_one_that_hears_it_is_told_once_and_killed_in_the_end() -> None:
    leaving = Leaving()
    with child(POLITE) as (process, server):
        assert process.stdout is not None
        leaving.tell(server, signal.SIGTERM, 0.1 - KILL_AFTER_S)
        assert process.stdout.readline() == "told\n"
        wait_for(lambda: leaving.due() <= time.monotonic(), "the end of its time")
        leaving.look()
        assert process.wait(DEADLINE_S) == -signal.SIGKILL
        assert process.stdout.read() == ""
