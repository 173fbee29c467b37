"""`preload`, on every server: what workers cannot share is told, and a stop while the application is loaded."""

import os
import signal
import socket
from pathlib import Path

import pytest

from launcher.testing.client import DEADLINE_S
from launcher.testing.serving import Serving, wait_for
from tests.machine import SERVERS

pytestmark = pytest.mark.live

SITE = """
import socket, threading
from launcher.testing.application import app

other = socket.create_connection(("127.0.0.1", {port}))
threading.Thread(target=threading.Event().wait, name="left-behind", daemon=True).start()
"""


@pytest.mark.parametrize("server", SERVERS)
def test_what_workers_cannot_share_is_told_by_name(server: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        profile = {"server": server, "bind": "127.0.0.1:0", "preload": True, "workers": 2, "app": "site_of_tests:app"}
        files = {"site_of_tests.py": SITE.format(port=port)}
        with Serving(tmp_path, profile, files=files) as serving:
            for what in (f"an open socket to 127.0.0.1:{port}", "the thread left-behind"):
                line = f"preload: {what} was there before the fork, and workers cannot share it"
                wait_for(lambda: line in serving.output, line)
            assert serving.output.count("preload: ") == 2


STARTS = """
import subprocess
from launcher.testing.application import app

daemon = subprocess.Popen(["sleep", "600"], close_fds=False, start_new_session=True)
open("daemon", "w").write(str(daemon.pid))
"""


@pytest.mark.parametrize("server", SERVERS)
def test_a_program_that_the_import_starts_keeps_no_address(server: str, tmp_path: Path) -> None:
    profile = {"server": server, "bind": "127.0.0.1:0", "preload": True, "app": "site_of_tests:app"}
    with Serving(tmp_path, profile, files={"site_of_tests.py": STARTS}) as serving:
        serving.stop_cleanly()
        try:
            host, port = serving.address.split(":")
            socket.create_server((host, int(port))).close()
        finally:
            os.kill(int((tmp_path / "daemon").read_text()), signal.SIGKILL)


LOADS = """
import time
from launcher.testing.application import app

open("loads", "x").close()
while True:
    time.sleep(0.01)  # Python would note a signal, and begin one long sleep all the same
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_signal_ends_a_load_without_a_traceback(number: int, server: str, tmp_path: Path) -> None:
    profile = {"server": server, "bind": f"unix:{tmp_path}/socket", "preload": True, "app": "site_of_tests:app"}
    with Serving(tmp_path, profile, files={"site_of_tests.py": LOADS}, ready=False) as serving:
        wait_for((tmp_path / "loads").exists, "the load")
        serving.process.send_signal(number)
        assert serving.process.wait(DEADLINE_S) == 0
        assert "Traceback" not in serving.output, serving.output
    assert not (tmp_path / "socket").exists()
