"""An application that hangs while it is loaded: by the first worker, by a proof of new code, or by a later worker."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from launcher.testing.serving import Serving, wait_for
from tests.machine import SERVERS

pytestmark = pytest.mark.live

SOON = """
import launcher.loading
launcher.loading.LOADING_S = 1.0
"""
SITE = """
import os, time
from pathlib import Path
if Path(__file__).with_name("hangs").exists():
    time.sleep(600)
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
"""
WHERE = 'hanging_site.py", line 5 in <module>'


def site(directory: Path, server: str, *, ready: bool = True) -> Serving:
    (directory / "sitecustomize.py").write_text(SOON)
    options: dict[str, Any] = {"app": "hanging_site:app", "server": server, "bind": "127.0.0.1:0", "preload": False}
    files, environ = {"hanging_site.py": SITE}, {"PYTHONPATH": str(directory)}
    return Serving(directory, options, files=files, environ=environ, ready=ready)


@pytest.mark.parametrize("server", SERVERS)
def test_a_first_worker_that_hangs_ends_the_start(server: str, tmp_path: Path) -> None:
    (tmp_path / "hangs").touch()
    with site(tmp_path, server, ready=False) as serving:
        assert serving.wait() == 4
        assert serving.output.count(WHERE) == 1


@pytest.mark.parametrize("server", SERVERS)
def test_a_later_import_that_hangs_says_where_and_hurts_nobody(server: str, tmp_path: Path) -> None:
    with site(tmp_path, server) as serving:
        (tmp_path / "hangs").touch()
        refused = serving.command("reload")
        assert refused.returncode == 4
        assert "the import did not end within 1 s" in refused.stderr
        assert WHERE in refused.stderr
        os.kill(int(serving.request("/").body), signal.SIGKILL)
        wait_for(lambda: "Timeout (0:00:01)!" in serving.output, "the end of one that hangs")
        (tmp_path / "hangs").unlink()
        assert serving.request("/").status == 200
        assert WHERE in serving.messages
