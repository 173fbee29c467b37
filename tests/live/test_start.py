"""Starts that must fail: status, message, and no traceback of ours."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.machine import DJANGO, SERVERS, write_tree

pytestmark = pytest.mark.live


COMMAND = (sys.executable, "-m", "launcher")


def serve(root: Path, *argv: str, command: Sequence[str] = COMMAND, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SERVE_", "DJANGO_"))}
    clean.pop("PORT", None)
    clean["SERVE_RELOAD"] = "false"  # a loop would wait for the code to be mended
    return subprocess.run(
        [*command, *argv],
        cwd=root,
        env={**clean, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


APP = {
    "app.py": 'def application(environ, start_response):\n    start_response("200 OK", [])\n    return [b"hello"]\n',
    "broken.py": "import no_such_module_here\n\napplication = no_such_module_here.app\n",
    "syntax.py": "def application(:\n",
    "number.py": "application = 7\n",
    "quits.py": "import sys\n\napplication = sys.exit(0)\n",
}


@pytest.mark.parametrize(
    ("argv", "environ", "status", "words"),
    [
        (["--workerz", "3"], {}, 2, ["No such option '--workerz'"]),
        (["--port", "8001"], {}, 2, ["No such option '--port'", "serve --bind 127.0.0.1:8001"]),
        (["8001"], {}, 2, ["'8001' is an address: serve --bind 127.0.0.1:8001"]),
        (["0.0.0.0:8001"], {}, 2, ["'0.0.0.0:8001' is an address: serve --bind 0.0.0.0:8001"]),
        (["app:application", "--threads", "many"], {}, 2, ["--threads: 'many' is not a whole number."]),
        (["app"], {}, 2, ["Of a module, name the application in it: app:app."]),
        (["relod"], {}, 2, ["'relod' is neither a command nor an application"]),
        (["app:application", "--profile", "nope"], {}, 3, ["there is no profile 'nope'", "container, dev, prod"]),
        (["nope:application"], {}, 4, ["there is no module nope"]),
        (["app:nope"], {}, 4, ["module app defines no nope", "application"]),
        ([], {}, 4, ["there is no application to serve"]),
        (["app:application", "--settings", "nope.settings"], {}, 4, ["there is no settings module nope.settings"]),
        (["app:application", "--server", "unicorn"], {}, 5, ["there is no server 'unicorn'. Did you mean 'gunicorn'?"]),
        (
            ["app:application", "--server", "waitress", "--request-timeout", "30"],
            {},
            5,
            ["waitress cannot honour request_timeout = 30s"],
        ),
        (
            ["app:application", "--bind", "unix:/nonexistent/dir/x.sock"],
            {},
            7,
            ["Make the directory /nonexistent/dir first"],
        ),
        (
            ["app:application", "--tls-cert", "app.py"],
            {},
            3,
            ["--tls-cert: ", "/app.py holds no certificate"],
        ),
        (["app:application", "--bind", "192.0.2.1:8000"], {}, 7, ["No interface of this machine"]),
        (["app:application", "--bind", "fd://77"], {}, 7, ["fd://77"]),
    ],
)
def test_a_start_that_cannot_be(
    argv: list[str], environ: Mapping[str, str], status: int, words: list[str], tmp_path: Path
) -> None:
    done = serve(write_tree(tmp_path, APP), *argv, **environ)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("server", ["waitress", "wsgiref", "gunicorn", "uwsgi"])
@pytest.mark.parametrize(
    ("app", "word"),
    [
        ("broken:application", "No module named 'no_such_module_here'"),
        ("syntax:application", "syntax.py"),
        ("number:application", "cannot be called"),
        ("quits:application", "exit"),
    ],
)
def test_an_application_that_cannot_be_loaded_ends_the_server_with_the_users_traceback(
    server: str, app: str, word: str, tmp_path: Path
) -> None:
    done = serve(write_tree(tmp_path, APP), app, "--server", server, "--bind", "127.0.0.1:0")
    said = done.stdout + done.stderr
    # uWSGI gives up at once only with a status of its own.
    assert done.returncode == 4, said
    assert word in said
    assert (
        f"{os.sep}launcher{os.sep}" not in said.replace("launcher/runners", "").split("Traceback")[-1]
        or "Traceback" not in said
    )


def test_an_address_in_use_is_told_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = serve(write_tree(tmp_path, APP), "app:application", "--bind", f"127.0.0.1:{port}")
    assert done.returncode == 7
    assert f"127.0.0.1:{port} is in use by pid {os.getpid()}" in done.stderr


def test_two_addresses_that_are_one_are_told_by_check_and_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    argv = ("app:application", "--profile", "prod", "--bind", f"0.0.0.0:{port}", "--bind", f"127.0.0.1:{port}")
    words = f"127.0.0.1:{port} is bound twice: another address of bind takes it in. Leave one of them out."
    for done in (serve(write_tree(tmp_path, APP), *argv), serve(tmp_path, "check", *argv)):
        assert words in " ".join((done.stdout + done.stderr).split())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_socket_that_cannot_be_given_away_is_removed(tmp_path: Path) -> None:
    path = Path(tempfile.mkdtemp(dir="/tmp")) / "socket"
    path.parent.chmod(0o777)
    code = f"""
import os
from launcher.address import Address
from launcher.sockets import Rights, listen
os.setgid(65534)
os.setuid(65534)
listen(Address("unix", path={str(path)!r}), backlog=1, rights=Rights(uid=0))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Only root can give a socket to another socket_owner" in done.stderr
    assert not path.exists()
    path.parent.rmdir()


def test_a_live_unix_socket_is_not_stolen_and_a_file_is_not_removed(tmp_path: Path) -> None:
    write_tree(tmp_path, APP)
    path = tmp_path / "live.sock"
    with socket.socket(socket.AF_UNIX) as holder:
        holder.bind(str(path))
        holder.listen()
        done = serve(tmp_path, "app:application", "--bind", f"unix:{path}")
    assert done.returncode == 7
    assert "is in use" in done.stderr
    plain = tmp_path / "plain"
    plain.write_text("precious")
    done = serve(tmp_path, "app:application", "--bind", f"unix:{plain}")
    assert done.returncode == 7
    assert "is a file that is no socket" in done.stderr
    assert plain.read_text() == "precious"
    done = serve(tmp_path, "app:application", "--bind", f"unix:{tmp_path}")
    assert f"is a directory. Name a file in it: unix:{tmp_path}/serve.sock." in " ".join(done.stderr.split())


def test_a_failed_start_removes_its_own_sockets_only(tmp_path: Path) -> None:
    write_tree(tmp_path, APP)
    held, own = tmp_path / "held.sock", tmp_path / "own.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(held))
        listener.listen()
        done = serve(tmp_path, "app:application", "--bind", f"unix:{held}", "--bind", f"unix:{own}")
    assert done.returncode == 7
    assert held.exists()
    assert not own.exists()


def test_a_refused_address_leaves_no_other_socket_behind(tmp_path: Path) -> None:
    write_tree(tmp_path, APP)
    done = serve(tmp_path, "app:application", "--bind", "unix:a.sock", "--bind", "unix:/nonexistent/b.sock")
    assert done.returncode == 7
    assert not (tmp_path / "a.sock").exists()


@pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv to give a right away"
)
def test_a_port_that_is_not_permitted(tmp_path: Path) -> None:
    limit = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if limit < 2:
        pytest.skip("every port is permitted on this machine")
    write_tree(tmp_path, APP)
    without = ["setpriv", "--bounding-set=-net_bind_service", sys.executable, "-m", "launcher"]
    done = serve(tmp_path, "app:application", "--bind", f"127.0.0.1:{limit - 1}", command=without)
    assert done.returncode == 7, done.stderr
    assert "needs root" in done.stderr


def test_all_findings_of_several_files_at_once(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            **DJANGO,
            "pyproject.toml": "[tool.serve]\nthreadz = 3\n",
            "profiles/dev.toml": 'keepalive = "5 parsecs"\nbind = ["8000"]\n',
        },
    )
    done = serve(tmp_path, "--settings", "mysite.settings.nope", SERVE_BACKLOG="x")
    for word in [
        "pyproject.toml:2: unknown key 'threadz'",
        "profiles/dev.toml:1:",
        "profiles/dev.toml:2:",
        "SERVE_BACKLOG",
        "mysite.settings.nope",
    ]:
        assert word in done.stderr, done.stderr


def test_a_native_flag_that_the_server_lacks_is_told_with_its_line(tmp_path: Path) -> None:
    text = 'app = "app:application"\nbind = "127.0.0.1:0"\n[native.gunicorn]\nworker_conections = 3\n'
    write_tree(tmp_path, {**APP, "profiles/dev.toml": f"{text}[native.uwsgi]\nstats-server = ':0'\nstatz = ':0'\n"})
    for server, found in {
        "gunicorn": "profiles/dev.toml:4: gunicorn has no --worker-conections. Did you mean 'worker_connections'?",
        "uwsgi": "profiles/dev.toml:7: uwsgi has no --statz. Did you mean 'stats'?",
    }.items():
        done = serve(tmp_path, "check", "--server", server)
        assert (done.returncode, done.stdout) == (1, f"error: {found}\n"), done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("server", SERVERS)
def test_a_user_who_cannot_run_this_python_is_told_before_the_start(server: str, tmp_path: Path) -> None:
    write_tree(tmp_path, APP)
    hidden = tmp_path / "hidden"
    hidden.mkdir(0o700)
    python = hidden / "python"
    python.symlink_to(sys.executable)
    argv = ("app:application", "--profile", "prod", "--server", server, "--user", "nobody", "--bind", "127.0.0.1:0")
    command, path = (str(python), "-P", "-m", "launcher"), os.pathsep.join(filter(None, sys.path))
    words = f"--user: the user nobody cannot run {python}: Permission denied."
    done = serve(tmp_path, *argv, command=command, PYTHONPATH=path)
    assert (done.returncode, done.stdout) == (5, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 2
    assert words in serve(tmp_path, "check", *argv, command=command, PYTHONPATH=path).stdout
