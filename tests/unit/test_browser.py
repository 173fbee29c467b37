"""launcher.develop.browser: it opens a page, and is neither waited for nor heard."""

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.testing.serving import wait_for

CALL = "from launcher.develop.browser import open_browser; open_browser('https://localhost:1/'); "


def run(code: str, browser: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", "-c", CALL + code],
        env={**os.environ, "BROWSER": browser},
        capture_output=True,
        text=True,
        check=True,
    )


def fake_browser(directory: Path, script: str) -> str:
    path = directory / "browser"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"{shlex.quote(str(path))} %s"


def test_it_is_given_the_url_and_is_not_heard(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    browser = fake_browser(tmp_path, f'echo noise; echo noise >&2; echo "$@" > {seen}.part; mv {seen}.part {seen}')
    done = run("import time, threading; [each.join() for each in threading.enumerate()[1:]]", browser)
    assert (done.stdout, done.stderr) == ("", "")
    assert wait_for(lambda: seen.exists() and seen.read_text(), "the browser") == "https://localhost:1/\n"


def test_a_browser_that_stays_is_not_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    browser = fake_browser(tmp_path, f"echo $$ > {tmp_path}/pid; cat {fifo}")
    run(f"import os\nwhile not os.path.exists({str(tmp_path / 'pid')!r}): pass", browser)
    fifo.write_text("it stayed, and may go\n")  # opens only while somebody reads


@pytest.mark.parametrize("browser", ["no-such-browser-here %s", "false %s"])
def test_no_browser_is_no_news(browser: str) -> None:
    done = run("import threading; [each.join() for each in threading.enumerate()[1:]]", browser)
    assert (done.stdout, done.stderr) == ("", "")
