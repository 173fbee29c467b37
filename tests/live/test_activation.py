"""Servers that are started by a connection, with sockets that somebody else has opened."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from launcher.testing.client import request
from launcher.testing.serving import Serving, Typed, clean_environment, free_address, write_project
from tests.machine import SERVERS

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="needs systemd-socket-activate"),
]


def activated(
    directory: Path, *flags: str, listen: Sequence[str], bind: Sequence[str], fdname: str = "", server: str = "waitress"
) -> Serving:
    """Return `serve`, started by systemd-socket-activate at the first connection to the first of `listen`."""
    write_project(directory, {"server": server, "bind": list(bind), "graceful_timeout": "5s"}, name="kit", files={})
    words = ["systemd-socket-activate", *(f"--listen={where.removeprefix('unix:')}" for where in listen)]
    words += [f"--fdname={fdname}"] if fdname else []
    # It clears the environment but for a few names.
    words += [f"--setenv={name}" for name in clean_environment() if name.startswith(("PYTHON", "COV"))]
    words += [sys.executable, "-P", "-m", "launcher", "--profile", "kit", *flags]
    return Serving(directory, {}, command=Typed(words, os.environ, (listen[0],)))


def lines(serving: Serving) -> list[str]:
    """Return what `serve` itself has said."""
    return [line for line in serving.stderr.read_text().splitlines() if line.startswith("serve: ")]


@pytest.mark.parametrize("server", SERVERS)
def test_every_server_serves_the_sockets_that_are_passed(server: str, tmp_path: Path) -> None:
    unix = f"unix:{tmp_path}/site.sock"
    places = [free_address(), unix, free_address()]
    # bind names them in another order than they are passed in.
    with activated(tmp_path, listen=places, bind=[unix, places[2], places[0]], server=server) as serving:
        for place in places:
            assert request(place, "/").status == 200
        assert len(lines(serving)) == 1, lines(serving)
        assert lines(serving)[0].endswith(f"{unix} http://{places[2]} http://{places[0]}")
        # Nothing but the three sockets is inherited: an original kept open would never refuse anybody.
        assert listening(serving.pid) == 3
    # The file is not ours to remove.
    assert (tmp_path / "site.sock").exists()


def listening(pid: int) -> int:
    """Return how many descriptors a process has of sockets that listen. Source: proc(5), /proc/net."""
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6", "unix")]
    inodes = {line.split()[9] for table in tables[:2] for line in table if line.split()[3] == "0A"}
    inodes |= {line.split()[6] for line in tables[2] if line.split()[3] == "00010000"}  # __SO_ACCEPTCON
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) > 2]
    return sum(1 for link in links if re.sub(r"\D", "", link) in inodes)


@pytest.mark.parametrize("server", SERVERS)
def test_sockets_are_found_by_name(server: str, tmp_path: Path) -> None:
    places = [free_address(), free_address()]
    with activated(tmp_path, listen=places, bind=["fd://web"], fdname="web", server=server) as serving:
        assert [request(place, "/").status for place in places] == [200, 200]
        assert lines(serving)[0].endswith(f"http://{places[0]} http://{places[1]}")


def test_what_bind_does_not_name_is_closed_and_said(tmp_path: Path) -> None:
    places = [free_address(), free_address()]
    own = f"unix:{tmp_path}/own.sock"
    with activated(tmp_path, listen=places, bind=[places[0], own]) as serving:
        assert request(own, "/").status == 200
        said = "\n".join(lines(serving))
        assert f"{places[1]} (descriptor 4, unknown) is closed: bind does not name it" in said
        assert f"{own} (profiles/kit.toml:3) is not among the sockets that were passed in" in said
        assert listening(serving.pid) == 2
    assert not (tmp_path / "own.sock").exists()


def test_explain_shows_where_a_socket_came_from(tmp_path: Path) -> None:
    place = free_address()
    write_project(tmp_path, {"bind": [place]}, name="kit", files={})
    words = [sys.executable, "-P", "-m", "launcher", "explain", "--profile", "kit"]
    # The command is given the socket, and ends as soon as it has told.
    code = (
        "import os, socket, sys\n"
        "host, port = sys.argv[1].split(':')\n"
        "listener = socket.create_server((host, int(port)))\n"
        "os.dup2(listener.fileno(), 3)\n"
        "os.set_inheritable(3, True)\n"
        "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='web')\n"
        "os.execv(sys.argv[2], sys.argv[2:])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, place, *words],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r'^bind +\["fd://3"\] +LISTEN_FDS', done.stdout, re.MULTILINE), done.stdout
    assert f"LISTEN_FDS: {place} (descriptor 3, web) is served: it was passed in." in done.stdout
