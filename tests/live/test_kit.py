"""The conformance kit itself: it notices what a server leaves behind, and what it only claims."""

import os
import signal
import sys
from pathlib import Path

import pytest

from launcher.testing import checks_for
from launcher.testing.serving import Serving, Typed, clean_environment, session_members, toml_text

pytestmark = pytest.mark.live

SERVER = """
import os, signal, subprocess, sys
from wsgiref.simple_server import make_server

from launcher.testing.application import app

with make_server("127.0.0.1", 0, app) as server:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(STATUS))
    BEFORE
    print(f"serve: profile kit, http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
    server.serve_forever()
"""


def typed(directory: Path, *, before: str = "pass", status: int = 0) -> Serving:
    """Return a server of one file that does something once, and ends with a status of its own."""
    script = SERVER.replace("BEFORE", before).replace("STATUS", str(status))
    command = Typed([sys.executable, "-c", script], clean_environment(), ())
    return Serving(directory, {"pid_file": str(directory / "kit.pid")}, command=command)


def test_clean_server_passes(tmp_path: Path) -> None:
    with typed(tmp_path) as serving:
        assert serving.report()["pid"] == serving.pid
        assert serving.tree() == (serving.pid,)
        assert serving.address in serving.output
    assert serving.process.returncode == 0


def test_process_left_behind_is_killed_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launcher.testing.serving.GONE_S", 0.2)
    left = "subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])"
    with (
        pytest.raises(AssertionError, match=r"the processes .* to end after the main one"),
        typed(tmp_path, before=left) as serving,
    ):
        assert len(serving.tree()) == 2
    assert not list(session_members(serving.pid))


def test_file_left_behind_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"left behind by the server: .*kit\.pid"), typed(tmp_path):
        (tmp_path / "kit.pid").write_text("1\n")


def test_status_of_a_failure_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="after SIGTERM the server ended with status 3"), typed(tmp_path, status=3):
        pass


def test_server_that_ends_before_it_answers_shows_its_output(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"(?s)ended with status 9.*no such luck"),
        typed(tmp_path, before="print('no such luck', flush=True); os._exit(9)"),
    ):
        pytest.fail("it was served")


def test_error_inside_kills_everything(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not to be"), typed(tmp_path) as serving:
        fail_while_stopped(serving)
    assert serving.process.returncode == -signal.SIGKILL


def fail_while_stopped(serving: Serving) -> None:
    os.kill(serving.pid, signal.SIGSTOP)  # it could not end by itself
    raise AssertionError("not to be")


LIAR = """
from launcher.backends.wsgiref import BACKEND as HONEST
from launcher.native import Rule

def nothing(value, options):
    return ()

LIES = dict.fromkeys(("threads", "keepalive", "graceful_timeout", "max_requests", "log_file"), Rule("exact", nothing))
LIES["protocol"] = Rule("impossible", nothing)
BACKEND = HONEST._replace(name="liar", rules={**HONEST.rules, **LIES})
"""


@pytest.fixture
def liar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a backend installed that accepts what it then forgets."""
    site = tmp_path / "site"
    metadata = site / "serve_liar-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "serve_liar.py").write_text(LIAR)
    (metadata / "entry_points.txt").write_text("[launcher.backends]\nliar = serve_liar:BACKEND\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")])))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("threads", "waited .* in vain for the request to reach the application|a fourth request was answered"),
        ("keepalive-off", "it does not say Connection: close"),
        ("graceful-timeout-ends", "the server did not end within 3 s"),
        ("max-requests", "in vain for another worker"),
        ("log-file", "no message in the file|No such file"),
        ("protocol", "protocol is declared impossible, and is accepted"),
    ],
)
@pytest.mark.usefixtures("liar")
def test_lie_is_found_out(name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = (check for check in checks_for("liar") if check.name == name)
    (tmp_path / "work").mkdir()
    monkeypatch.setattr("launcher.testing.serving.DEADLINE_S", 3.0)
    with pytest.raises((AssertionError, FileNotFoundError), match=told):
        check(tmp_path / "work")


def test_toml_text_is_read_back() -> None:
    import tomllib

    values = {
        "app": "a:b",
        "env": {"A b": 'x "quoted" \\ é\n'},
        "bind": ["unix:/x", ":0"],
        "workers": 2,
        "preload": True,
    }
    assert tomllib.loads(toml_text(values)) == values
