"""`preload`: what an application leaves behind that workers cannot share is told, on every server."""

import socket
from pathlib import Path

import pytest

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
                wait_for(lambda line=line: line in serving.output, line)  # type: ignore[misc]
            assert serving.output.count("preload: ") == 2
