"""The server that stands by: it is what a cold start would be, and until its time nobody notices it."""

import os
import re
import signal
import ssl
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from launcher.commands.develop import stands_by
from launcher.testing.serving import wait_for
from tests.develop.ahead import Ahead, kill, parent_of
from tests.machine import DJANGO, SERVERS, compile_in, write_tree

pytestmark = pytest.mark.live

MAIN_ONE_LOADS = ("gunicorn", "uwsgi")
"""With preload; on the others a process of its own does."""


def lives(pid: int) -> bool:
    return parent_of(pid) != 0


@pytest.mark.parametrize("server", SERVERS)
def test_it_serves_what_is_saved_and_is_as_a_cold_one(server: str, tmp_path: Path) -> None:
    with Ahead(tmp_path, server) as site:
        cold = site.facts()
        for version in ("1", "2"):
            _, worker = site.stands_by()
            site.release(int(version))
            site.shows(version)
            found = answers_alone(site, worker)
            assert found["random"] != cold["random"]
            told = ("version", "pid", "parent", "random")
            assert {**found, **dict.fromkeys(told)} == {**cold, **dict.fromkeys(told)}
        assert "cold" not in site.reloads()[-1]


def is_stopped(pid: int) -> bool:
    """Source: proc_pid_stat(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def answers_alone(site: Ahead, worker: int) -> Any:
    """Wait for an answer of this process, and return it: the one before may take a moment more to go."""
    return wait_for(lambda: (found := site.facts())["pid"] == worker and found, "that process alone")


@pytest.mark.parametrize("server", SERVERS)
def test_nobody_accepts_before_he_can_answer(server: str, tmp_path: Path) -> None:
    with Ahead(tmp_path, server) as site:
        standing = site.stands_by()
        facts = site.facts()
        serving = facts["parent"], facts["pid"]
        for pid in serving:
            os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: all(map(is_stopped, serving)), "them to stop")
        try:
            with ExitStack() as stack:
                clients = [stack.enter_context(site.client()) for _ in range(3)]
                for client in clients:
                    client.get("/")
                wait_for(lambda: waiting(site.address) == 3, "three connections that nobody has accepted")
                kill(standing)
                wait_for(lambda: not any(map(lives, standing)), "their end")
                for pid in serving:
                    os.kill(pid, signal.SIGCONT)
                assert {client.answer().json()["pid"] for client in clients} == {facts["pid"]}
        finally:
            for pid in serving:
                os.kill(pid, signal.SIGCONT)


def waiting(address: str) -> int:
    """Return how many connections wait to be accepted. Source: proc_net_tcp(5), rx_queue of one that listens."""
    port = int(address.rpartition(":")[2])
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            return int(fields[4].rpartition(":")[2], 16)
    return -1


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("victim", ["main process", "worker"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_one_that_ends_is_replaced_after_the_next_save(server: str, victim: str, number: int, tmp_path: Path) -> None:
    with Ahead(tmp_path, server) as site:
        standing = site.stands_by()
        said = site.output
        os.kill(standing[victim == "worker"], number)
        wait_for(lambda: not any(map(lives, standing)), "its end")
        assert site.facts()["version"] == "0"
        assert site.output == said
        site.release(1)
        site.shows("1")
        _, worker = site.stands_by()
        site.release(2)
        site.shows("2")
        answers_alone(site, worker)
        assert "ended" not in site.output


def test_what_it_leaves_unsaid_spoils_no_page(tmp_path: Path) -> None:
    with Ahead(tmp_path, "wsgiref") as site:
        site.stands_by()
        site.save("VERSION = 1 +\n")
        page = site.broken().body
        main, worker = site.stands_by()
        kill((worker,))
        wait_for(lambda: not lives(main), "its end")
        assert site.broken().body == page


@pytest.mark.parametrize("server", SERVERS)
def test_several_workers_and_those_that_take_their_places(server: str, tmp_path: Path) -> None:
    with Ahead(tmp_path, server, workers=2) as site:
        _, *workers = site.stands_by(workers=1 if server == "gunicorn" else 2)  # there the first comes alone
        site.release(1)
        site.shows("1")
        wait_for(lambda: site.facts()["pid"] in workers, "one of them")
        kill(tuple(workers))
        wait_for(lambda: not any(map(lives, workers)), "their end")
        site.shows("1")
        assert site.facts()["pid"] not in workers


@pytest.mark.parametrize("server", SERVERS)
def test_with_preload(server: str, tmp_path: Path) -> None:
    with Ahead(tmp_path, server, preload=True) as site:
        for version in range(1, 4):
            main, *_ = site.stands_by(workers=0 if server in MAIN_ONE_LOADS else 1)
            site.release(version)
            site.shows(str(version))
            assert site.facts()["parent"] == main


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_is_left_of_it(server: str, number: int, tmp_path: Path) -> None:
    with Ahead(tmp_path, server) as site:
        site.stands_by()
        said = site.output
        site.signal(number)
        assert site.wait() == (-number if number == signal.SIGKILL else 0)
        wait_for(lambda: not site.tree(), "its processes to end")
        assert site.output == said


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
@pytest.mark.parametrize("server", SERVERS)
def test_ctrl_c_goes_to_everybody(server: str, preload: bool, tmp_path: Path) -> None:
    with Ahead(tmp_path, server, preload=preload) as site:
        site.stands_by(workers=0 if preload and server in MAIN_ONE_LOADS else 1)
        said = site.output
        os.killpg(site.pid, signal.SIGINT)
        assert site.wait() == 0
        wait_for(lambda: not site.tree(), "its processes to end")
        assert site.output == said


@pytest.mark.parametrize("server", SERVERS)
def test_nothing_of_the_project_is_loaded_before_it_is_saved(server: str, tmp_path: Path) -> None:
    with Ahead(tmp_path, server, files={"shop/basket.py": "print('loaded', flush=True)\nVERSION = 0\n"}) as site:
        for version in range(1, 4):
            site.stands_by()
            assert site.output.count("loaded\n") == version
            site.save(f"print('loaded', flush=True)\nVERSION = {version}\n")
            site.shows(str(version))


@pytest.mark.parametrize("server", SERVERS)
def test_it_hears_of_another_environment_and_directory(server: str, tmp_path: Path) -> None:
    with Ahead(tmp_path, server, env={"COLOUR": "red"}) as site:
        standing = site.stands_by()
        profile = tmp_path / "profiles" / "kit.toml"
        profile.write_text(profile.read_text().replace('"red"', '"blue"'))
        wait_for(lambda: site.facts()["environ"]["COLOUR"] == "blue", "the other colour")
        site.stands_by()
        assert not any(map(lives, standing))
        site.release(1)
        site.shows("1")
        assert site.facts()["environ"]["COLOUR"] == "blue"


def test_gunicorns_timeout_does_not_count_yet(tmp_path: Path) -> None:
    with Ahead(tmp_path, "gunicorn", worker_timeout=3) as site:
        standing = site.stands_by()
        site.save("import time\ntime.sleep(4)\nVERSION = 1\n")
        site.shows("1")
        found = site.facts()
        assert found["version"] == "1"
        assert found["pid"] in standing
        assert "TIMEOUT" not in site.output


@pytest.mark.parametrize("server", ["gunicorn", "wsgiref"])
def test_a_certificate_that_is_renewed_meanwhile(server: str, tmp_path: Path) -> None:
    certify(tmp_path)
    site = Ahead(tmp_path, server, tls_cert="own.pem", tls_key="own.key")
    site.tls = ssl._create_unverified_context()
    with site:
        site.stands_by()
        certify(tmp_path)
        site.release(1)
        site.shows("1")
        host, _, port = site.address.rpartition(":")
        assert ssl.get_server_certificate((host, int(port))) == (tmp_path / "own.pem").read_text()


def certify(directory: Path) -> None:
    """Make a certificate with its key."""
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    subprocess.run(
        [*words.split(), "-keyout", "own.key", "-out", "own.pem"], cwd=directory, check=True, capture_output=True
    )


@pytest.mark.parametrize(
    ("words", "stands"),
    [
        (("--server", "wsgiref"), True),
        (("--server", "wsgiref", "--no-warm-start"), False),
        (("--server", "wsgiref", "--log-level", "info"), True),
        (("--server", "wsgiref", "--log-file", "serve.log"), False),
        (("--server", "wsgiref", "--pid-file", "serve.pid"), False),
        (("--server", "gunicorn"), True),
        (("--server", "gunicorn", "--log-level", "info"), False),
        (("--server", "gunicorn", "--reuse-port"), False),
        (("--server", "uwsgi"), True),
        (("--server", "uwsgi", "--keepalive", "5"), False),
        (("--server", "uwsgi", "--max-worker-age", "60"), False),
        (("--server", "waitress"), True),
    ],
)
def test_who_stands_by(words: tuple[str, ...], stands: bool, tmp_path: Path) -> None:
    write_tree(tmp_path, DJANGO)
    assert stands_by(compile_in(tmp_path, *words)) is stands


def test_a_log_has_the_lines_of_a_start_once_and_in_their_order(tmp_path: Path) -> None:
    with Ahead(tmp_path, "wsgiref", log_level="info") as site:
        site.stands_by()
        site.release(1)
        site.shows("1")
        parents = [site.facts()["parent"]]
        site.stands_by()
        site.release(2)
        site.shows("2")
        parents.append(site.facts()["parent"])
        serving = re.compile(r"\[(\d+)\] INFO launcher.supervisor: serving")
        wait_for(lambda: serving.findall(site.output)[-1] == str(parents[-1]), "its line, which comes after the answer")
        assert serving.findall(site.output)[-2:] == list(map(str, parents))
