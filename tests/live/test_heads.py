"""What a request is, and what its head means: the same on every server, but for what is named here."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from launcher.testing.serving import Serving
from tests.machine import SERVERS

pytestmark = pytest.mark.live

BEHIND_A_ROUTER = "uwsgi that keeps connections"
NOTHING = 0
"""The status of an answer that never comes: the connection is closed."""

REFUSED = {
    "no version": ("GET /", 400),
    "garbage": ("hello", 400),
    "lower-case method": ("get / HTTP/1.1", 400),
    "short method": ("GO / HTTP/1.1", 400),
    "method of 21 letters": ("X" * 21 + " / HTTP/1.1", 400),
    "method with a bracket": ("G(T / HTTP/1.1", 400),
    "two spaces": ("GET  / HTTP/1.1", 400),
    "tab": ("GET\t/ HTTP/1.1", 400),
    "space in the target": ("GET /a b HTTP/1.1", 400),
    "space at the end": ("GET / HTTP/1.1 ", 400),
    "lower-case protocol": ("GET / http/1.1", 400),
    "raw byte in the target": ("GET /\xe9 HTTP/1.1", 400),
    "raw byte in the query": ("GET /?\xe9 HTTP/1.1", 400),
    "NUL in the target": ("GET /\0 HTTP/1.1", 400),
    "no path": ("GET hello HTTP/1.1", 400),
    "star": ("GET * HTTP/1.1", 400),
    "authority": ("CONNECT example.org:443 HTTP/1.1", 400),
    "unknown scheme": ("GET ftp://example.org/ HTTP/1.1", 400),
    "user in the target": ("GET http://me@example.org/ HTTP/1.1", 400),
    "HTTP/2": ("GET / HTTP/2.0", 505),
    "no host": ("GET / HTTP/1.1\r\nX: Host: a", 400),
    "two hosts": ("GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400),
    "the same host twice": ("GET / HTTP/1.1\r\nHost: a\r\nHost: a", 400),
    "line feed in the host": ("GET / HTTP/1.1\r\nHost: a\nX: b", 400),
    "expectation": ("GET / HTTP/1.1\r\nExpect: wonders", 417),
    "no colon": ("GET / HTTP/1.1\r\nName", 400),
    "empty name": ("GET / HTTP/1.1\r\n: b", 400),
    "name with a bracket": ("GET / HTTP/1.1\r\nA(: b", 400),
    "space before the colon": ("GET / HTTP/1.1\r\nA : b", 400),
    "folded": ("GET / HTTP/1.1\r\nA: b\r\n c", 400),
    "NUL in a value": ("GET / HTTP/1.1\r\nA: b\0c", 400),
    "CR in a value": ("GET / HTTP/1.1\r\nA: b\rc", 400),
    "two content types": ("GET / HTTP/1.1\r\nContent-Type: a/b\r\nContent-Type: c/d", 400),
    "length with a sign": ("POST / HTTP/1.1\r\nContent-Length: +5", 400),
    "negative length": ("POST / HTTP/1.1\r\nContent-Length: -5", 400),
    "words as length": ("POST / HTTP/1.1\r\nContent-Length: abc", 400),
    "empty length": ("POST / HTTP/1.1\r\nContent-Length: ", 400),
    "list of lengths": ("POST / HTTP/1.1\r\nContent-Length: 5, 5", 400),
    "two lengths": ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6", 400),
    "the same length twice": ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5", 400),
    "chunks and a length": ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", 400),
    "chunks in HTTP/1.0": ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked", 400),
    "unknown coding": ("POST / HTTP/1.1\r\nTransfer-Encoding: wonders", 501),
    "empty coding": ("POST / HTTP/1.1\r\nTransfer-Encoding: ", 501),
    "chunked twice": ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 501),
    "long line": (f"GET /{'x' * 8200} HTTP/1.1", 414),
    "many headers": ("GET / HTTP/1.1\r\n" + "\r\n".join(f"X-{number}: a" for number in range(101)), 431),
    "long header": (f"GET / HTTP/1.1\r\nA: {'x' * 70_000}", 431),
}

# uWSGI 2.0.30 reads headers itself. What is in them it passes on, whatever it is, and some requests it drops.
BY_UWSGI = {
    "name with a bracket": 200,
    "space before the colon": 200,
    "folded": 200,
    "NUL in a value": 200,
    "two content types": 200,
    "no colon": NOTHING,
    "empty name": NOTHING,
    "CR in a value": NOTHING,
    "long header": NOTHING,
}
OTHERWISE: Mapping[str, Mapping[str, int]] = {
    "gunicorn": {"HTTP/2": 400, "chunked twice": 400},
    "uwsgi": BY_UWSGI,
    BEHIND_A_ROUTER: {**BY_UWSGI, "garbage": NOTHING, "CR in a value": 400},
}

MEANT: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "encoded": (
        "GET /a%20b%2F%e2%82%ac?x=%20?y HTTP/1.1",
        {"PATH_INFO": "/a b/\xe2\x82\xac", "QUERY_STRING": "x=%20?y"},
    ),
    "no code": ("GET /%zz%2%% HTTP/1.1", {"PATH_INFO": "/%zz%2%%"}),
    "NUL": ("GET /a%00b HTTP/1.1", {"PATH_INFO": "/a\0b"}),
    "dots": ("GET /a/./b/../../.. HTTP/1.1", {"PATH_INFO": "/a/./b/../../.."}),
    "slashes": ("GET //a//b/ HTTP/1.1", {"PATH_INFO": "/a//b/"}),
    "fragment": ("GET /a?b#c HTTP/1.1", {"PATH_INFO": "/a", "QUERY_STRING": "b"}),
    "fragment, no query": ("GET /a#c?d HTTP/1.1", {"PATH_INFO": "/a", "QUERY_STRING": ""}),
    "other characters": ('GET /"<>\\^`{|}[];=+ HTTP/1.1', {"PATH_INFO": '/"<>\\^`{|}[];=+'}),
    "URL": ("GET HTTP://b:1/%41/../?c HTTP/1.1", {"PATH_INFO": "/A/../", "QUERY_STRING": "c", "HTTP_HOST": "b:1"}),
    "URL without a path": ("GET http://b?c HTTP/1.1", {"PATH_INFO": "/", "QUERY_STRING": "c", "HTTP_HOST": "b"}),
    "star": ("OPTIONS * HTTP/1.1", {"PATH_INFO": "*"}),
    "method": ("M-SEARCH / HTTP/1.1", {"REQUEST_METHOD": "M-SEARCH"}),
    "HTTP/1.0": ("GET / HTTP/1.0\r\nX-Host: a", {"HTTP_HOST": None, "SERVER_PROTOCOL": "HTTP/1.0"}),
    "cookies": ("GET / HTTP/1.1\r\nCookie: a=1\r\nX-A: 1\r\nCookie: b=2,3", {"HTTP_COOKIE": "a=1; b=2,3"}),
    "headers": ("GET / HTTP/1.1\r\nX-A: 1\r\nX-B: 2\r\nx-a:3", {"HTTP_X_A": "1, 3", "HTTP_X_B": "2"}),
    "empty": ("GET / HTTP/1.1\r\nX-A:", {"HTTP_X_A": ""}),
    "raw bytes": ("GET / HTTP/1.1\r\nX-A: \xe2\t\xac", {"HTTP_X_A": "\xe2\t\xac"}),
    "token": ("GET / HTTP/1.1\r\nX!#$%&'*+.^`|~: 1", {"HTTP_X!#$%&'*+.^`|~": "1"}),
    "underscore": ("GET / HTTP/1.1\r\nX_A: 1", {"HTTP_X_A": None}),
}
UNDERSCORE: Mapping[str, object] = {"HTTP_X_A": "1"}
"""In uWSGI, which has no means against it, X_A and X-A are one."""

ECHO = """
from launcher.testing.application import show_environ

def app(environ, start_response):
    (body,) = show_environ(environ, {}).body
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture(params=[*SERVERS, BEHIND_A_ROUTER])
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def serve(server: str, directory: Path, bind: str = "127.0.0.1:0") -> Serving:
    kept = {"keepalive": "30s"} if server != "uwsgi" else {}
    # uWSGI waits so long for a body of some strange length before it closes.
    profile = {"server": server.split()[0], "bind": bind, "app": "site_echo:app", "client_timeout": "1s", **kept}
    return Serving(directory, profile, name="prod", files={"site_echo.py": ECHO})


def told(serving: Serving, head: str) -> bytes:
    host = "" if "Host: " in head else "\r\nHost: a"
    with serving.client() as client:
        client.send(f"{head}{host}\r\nConnection: close\r\n\r\n{'12345' if head.startswith('POST') else ''}")
        return client.rest()


def test_what_is_no_request_is_refused(server: str, tmp_path: Path) -> None:
    with serve(server, tmp_path) as serving:
        answers = {name: told(serving, head) for name, (head, _) in REFUSED.items()}
        assert "Traceback" not in serving.output
    found = {name: int(said[9:12] or NOTHING) for name, said in answers.items()}
    assert found == {**{name: status for name, (_, status) in REFUSED.items()}, **OTHERWISE.get(server, {})}
    assert all(said.lower().count(b"\r\nconnection: close\r\n") == 1 for said in answers.values() if said)


def test_what_a_request_means(server: str, tmp_path: Path) -> None:
    with serve(server, tmp_path) as serving:
        for name, (head, meant) in MEANT.items():
            expected = UNDERSCORE if name == "underscore" and "uwsgi" in server else meant
            seen = environ_of(told(serving, head))
            assert {key: seen.get(key) for key in expected} == expected, name


def test_a_peer_by_a_unix_socket_decides_no_path(server: str, tmp_path: Path) -> None:
    with serve(server, tmp_path, f"unix:{tmp_path}/socket") as serving:
        contradiction = "X-Forwarded-Proto: http\r\nX-Forwarded-SSL: on"
        seen = environ_of(told(serving, f"GET /a HTTP/1.1\r\nSCRIPT_NAME: /a\r\nPATH_INFO: /b\r\n{contradiction}"))
        assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["wsgi.url_scheme"]) == ("", "/a", "http")


def environ_of(said: bytes) -> Any:
    head, _, body = said.partition(b"\r\n\r\n")
    assert head[9:12] == b"200", said[:300]
    return json.loads(body)
