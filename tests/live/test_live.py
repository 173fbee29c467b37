"""`live` on every server: what pages are told, and that nobody waits for those who listen."""

import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from launcher.develop.channel import Channel
from launcher.testing.serving import Serving, wait_for
from tests.machine import SERVERS

pytestmark = pytest.mark.live

SITE = """
import os

if "CHANNEL" in os.environ:
    os.environ["LAUNCHER_DEVELOP"] = os.environ["CHANNEL"]  # as the development loop does, which is not here

from launcher.testing.application import app as other


def app(environ, start_response):
    if environ["PATH_INFO"] != "/page":
        return other(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", "5")])
    return [b"<p>hi"]
"""
GRACE_S = 30


class Listener:
    """A page that listens."""

    def __init__(self, serving: Serving, prefix: str = "") -> None:
        self.client = serving.client()
        self.client.get(f"{prefix}/-serve/events", "Accept: text/event-stream", "Connection: close")
        self.heard = b""

    def hear(self, pattern: bytes) -> str:
        """Read until there is something new that matches, and return its group."""
        while not (found := re.search(pattern, self.heard)):
            piece = self.client.sock.recv(65536)
            assert piece, f"it ended after {self.heard!r}"
            self.heard += piece
        self.heard = self.heard[found.end() :]
        return found[1].decode()

    def state(self) -> str:
        return self.hear(rb"data: (\S+)\n\n")


@contextmanager
def listening(serving: Serving, prefix: str = "") -> Iterator[Listener]:
    listener = Listener(serving, prefix)
    with closing(listener.client):
        yield listener


def page_state(serving: Serving, prefix: str = "") -> str:
    answer = serving.request(f"{prefix}/page", "Accept: text/html")
    assert answer.headers["content-type"] == "text/html"
    found = re.search(rb' src="(\S+)" data-state="(\S+)"></script>\n$', answer.body)
    assert found
    assert found[1].decode() == f"{prefix}/-serve/live.js"
    return found[2].decode()


Site = Callable[..., Serving]


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """Return what makes a server of a site with `live`."""
    if request.param != "wsgiref":
        pytest.importorskip({"uwsgi": "pyuwsgi"}.get(request.param, request.param))

    def make(environ: Mapping[str, str] | None = None, **options: Any) -> Serving:
        profile = {
            "server": request.param,
            "bind": ["127.0.0.1:0"],
            "app": "site_with_pages:app",
            "threads": 2,
            "graceful_timeout": f"{GRACE_S}s",
            "live": True,
            "env": environ or {},
            **options,
        }
        return Serving(tmp_path, profile, files={"site_with_pages.py": SITE})

    return make


def test_pages_hear_of_changes(site: Site, tmp_path: Path) -> None:
    directory = tmp_path / "channel"
    directory.mkdir()
    with site({"CHANNEL": str(directory)}) as serving, listening(serving) as listener:
        before = page_state(serving)
        assert listener.state() == before
        Channel(str(directory)).changed([str(tmp_path / "page.html")])
        after = listener.state()
        assert after != before
        assert page_state(serving) == after


def test_stop_does_not_wait_for_those_who_listen(site: Site) -> None:
    with site(threads=4) as serving, listening(serving) as one, listening(serving) as two:
        assert one.state() == two.state()
        began = serving.signal(signal.SIGTERM)
        for listener in (one, two):
            listener.client.rest()
            listener.client.close()
        assert serving.wait() == 0
        assert time.monotonic() - began < GRACE_S / 2


def test_threads_are_left_for_requests(site: Site) -> None:
    with site() as serving, listening(serving) as listener:
        state = listener.state()
        with listening(serving) as further:
            # uWSGI's hold no threads, so that there may be any number of them.
            soon = further.hear(rb"retry: (\d+)\n")
            assert soon == ("200" if "uwsgi" in serving.output.lower() else "1000")
            assert further.state() == state
        for _ in range(4):
            assert serving.request("/page").status == 200


def test_who_has_gone_makes_room(site: Site) -> None:
    with site() as serving:
        with listening(serving) as listener:
            listener.state()

        def finds_room() -> bool:
            with listening(serving) as listener:
                return listener.hear(rb"retry: (\d+)\n") == "200"

        wait_for(finds_room, "room for another")


def test_other_layers_and_logs_are_as_they_were(site: Site, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    also = {"validate": True, "max_body_size": "1KiB", "access_log": str(log), "url_prefix": "/shop"}
    with site(**also) as serving:
        with listening(serving, "/shop") as listener:
            assert listener.state() == page_state(serving, "/shop")
        assert serving.request("/shop/-serve/live.js").headers["content-type"].startswith("text/javascript")
        assert serving.request("/shop/stream?pieces=3").body == b"0\n1\n2\n"
        page = serving.request("/shop/page", "Accept: text/html")
        head = serving.request("/shop/page", "Accept: text/html", method="HEAD")
        assert head.headers["content-length"] == page.headers["content-length"] == str(len(page.body))
        wait_for(lambda: '"HEAD /shop/page' in log.read_text(), "the line of the last")
        assert "-serve" not in log.read_text()
    assert "Traceback" not in serving.output
    assert "disconnected" not in serving.output


def test_next_server_has_another_state(site: Site) -> None:
    states = set()
    for _ in range(2):
        with site(workers=2) as serving:
            states |= {page_state(serving) for _ in range(4)}
    assert len(states) == 2
