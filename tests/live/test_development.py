"""What workers do for a person who develops, on every server."""

import contextlib
import json
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.testing.client import Client
from launcher.testing.serving import Serving, refused, wait_for, wait_for_text
from tests.develop.typed import SERVE, Typed
from tests.machine import SERVERS

pytestmark = pytest.mark.live

SITE = {
    "site_settings.py": """
DEBUG = True
SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "site_urls"
INSTALLED_APPS = ["django.contrib.staticfiles"]
STATICFILES_DIRS = ["assets"]
STATIC_URL = "static/"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
""",
    "site_urls.py": """
import io, warnings
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.templatetags.static import static
from django.urls import path

class Pieces:
    def __init__(self):
        self.left = [b"only ", b"read"]
    def read(self, size=-1):
        return self.left.pop(0) if self.left else b""

def warn(request):
    warnings.warn("this view is old", DeprecationWarning)
    return HttpResponse("warned")

urlpatterns = [
    path("", lambda request: HttpResponse(static("site.css"))),
    path("warn", warn),
    path("file", lambda request: FileResponse(open("assets/site.css", "rb"))),
    path("memory", lambda request: FileResponse(io.BytesIO(b"in\\nlines"))),
    path("reader", lambda request: FileResponse(Pieces())),
    path("stream", lambda request: StreamingHttpResponse(iter([b"one ", b"two"]))),
    path("nothing", lambda request: HttpResponse(status=204)),
    path("echo", lambda request: HttpResponse(request.body)),
    path("raw", lambda request: HttpResponse(request.environ["wsgi.input"].read())),
]
""",
    "assets/site.css": "body { color: black }\n",
}
CSS = SITE["assets/site.css"].encode()


DEV = {"extends": "dev", "bind": "127.0.0.1:0", "reload": False}


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    profile = {**DEV, "server": request.param, "settings": "site_settings"}
    with Serving(tmp_path_factory.mktemp("site"), profile, files=SITE) as serving:
        yield serving


def test_static_files_are_served_as_django_does(site: Serving) -> None:
    answer = site.request("/static/site.css")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, CSS, "text/css")
    again = site.request("/static/site.css", f"If-Modified-Since: {answer.headers['last-modified']}")
    assert (again.status, again.body) == (304, b"")
    assert site.request("/static/site.css", method="HEAD").headers["content-length"] == str(len(CSS))
    assert site.request("/static/missing.css").status == 404


def test_a_line_for_each_request_but_for_static_files(site: Serving) -> None:
    site.request("/static/site.css")
    site.request("/static/missing.css")
    site.request("/")
    site.request("/warn?last")
    said = wait_for_text(site.stdout, "GET /warn?last 200 6 B ", site)
    assert "site.css" not in said
    assert " GET /static/missing.css 404 " in said
    assert " GET / 200 " in said


def test_warnings_of_the_project_are_shown_once(site: Serving) -> None:
    for _ in range(3):
        site.request("/warn")
    said = wait_for_text(site.stderr, "DeprecationWarning: this view is old", site)
    assert said.count("DeprecationWarning: this view is old") == 1
    assert "site-packages" not in said


def test_the_validator_lets_pass_what_django_does(site: Serving) -> None:
    answers = {path: site.request(f"/{path}").body for path in ("file", "memory", "reader", "stream", "nothing")}
    assert answers == {
        "file": CSS, "memory": b"in\nlines", "reader": b"only read", "stream": b"one two", "nothing": b"",
    }  # fmt: skip
    assert site.request("/nothing").status == 204
    body = b"x" * 100_000
    assert site.request("/echo", method="POST", body=body).body == body
    assert site.request("/raw", "Content-Type: text/plain", method="POST", body=b"abc").body == b"abc"
    assert "Traceback" not in site.output


@pytest.mark.parametrize(
    ("server", "url", "path"),
    [
        *((server, "static/", "/shop/static/") for server in SERVERS),
        ("wsgiref", "/static/", "/static/"),
        ("wsgiref", "https://cdn.example/", ""),
    ],
)
def test_static_files_below_a_prefix(server: str, url: str, path: str, tmp_path: Path) -> None:
    files = {**SITE, "site_settings.py": SITE["site_settings.py"].replace('"static/"', json.dumps(url))}
    profile = {**DEV, "server": server, "settings": "site_settings", "url_prefix": "/shop"}
    with Serving(tmp_path, profile, files=files) as serving:
        assert serving.request("/shop/").body.decode() == f"{path or url}site.css"
        assert serving.request(f"{path or '/static/'}site.css").status == (200 if path else 404)
        assert serving.request("/shop/warn").status == 200


def test_a_project_without_django_is_left_alone(tmp_path: Path) -> None:
    with Serving(tmp_path, DEV) as serving:
        assert serving.request("/").status == 200
        assert serving.request("/static/site.css").status == 404


def test_static_files_that_a_person_asks_for_must_be_there(tmp_path: Path) -> None:
    status, said = refused(tmp_path, {"server": "wsgiref", "bind": "127.0.0.1:0", "static_files": True})
    assert status == 4
    assert "profiles/kit.toml:" in said
    assert "static_files needs Django" in said


@pytest.mark.parametrize("reload", [True, False])
def test_another_port_is_taken_where_nobody_asked_for_one(reload: bool, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(socket.create_server(("127.0.0.1", 8000)))
        except OSError:
            pass  # somebody else has it
        with Serving(tmp_path, {"extends": "dev", "reload": reload}) as serving:
            host, _, port = serving.address.partition(":")
            assert (host, 8000 < int(port) <= 8010) == ("127.0.0.1", True)
            said = serving.stderr.read_text()
            assert re.search(rf"serve: 127.0.0.1:8000 is in use.*: serving on {serving.address} instead\n", said)


@pytest.mark.parametrize(
    ("profile", "environ"),
    [
        ({"extends": "dev", "bind": "{}"}, {}),
        ({"extends": "dev"}, {"SERVE_BIND": "{}"}),
        ({"extends": "dev"}, {"PORT": "{port}"}),
        ({"extends": "prod", "server": "waitress"}, {}),
    ],
)
def test_a_port_that_was_asked_for_is_not_replaced(
    profile: dict[str, str], environ: dict[str, str], tmp_path: Path
) -> None:
    asked = bool(environ) or "bind" in profile
    with contextlib.ExitStack() as stack:
        try:
            holder = stack.enter_context(socket.create_server(("127.0.0.1", 0 if asked else 8000)))
            port = holder.getsockname()[1]
        except OSError:
            port = 8000

        def fill(values: dict[str, str]) -> dict[str, str]:
            return {name: text.format(f"127.0.0.1:{port}", port=port) for name, text in values.items()}

        status, said = refused(tmp_path, fill(profile), environ=fill(environ))
    assert status == 7
    assert f"127.0.0.1:{port} is in use" in said
    assert "instead" not in said


@pytest.mark.parametrize("server", ["gunicorn", "wsgiref"])
def test_https_with_a_certificate_of_our_own(server: str, tmp_path: Path) -> None:
    authority = tmp_path / "state" / "serve" / "https" / "ca.pem"
    environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    profile = {"extends": "dev", "server": server, "bind": "127.0.0.1:0", "settings": "site_settings", "https": True}
    for start in ("first", "second"):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with Serving(tmp_path, profile, files=SITE, environ=environ, tls=tls, ready=False) as serving:
            serving.addresses = wait_for(serving.announced, "the start line")
            tls.load_verify_locations(authority)
            with connected(serving.address, tls) as client:
                assert client.ask("/static/site.css").body == CSS
                assert client.ask("/file").body == CSS
            with connected(serving.address) as plain:
                answer = plain.ask("/")
                told = f"This port speaks HTTPS: https://{serving.address}\n"
                assert (answer.status, answer.body.decode()) == (400, told)
                assert plain.rest() == b""
            said = serving.stderr.read_text()
            assert "https://127.0.0.1:" in said
            assert said.count(f"given the authority {authority}") == (start == "first")


def test_https_on_a_server_without_tls_names_those_that_have_it(tmp_path: Path) -> None:
    status, said = refused(tmp_path, {"extends": "dev", "server": "waitress"}, flags=["--https"])
    assert status == 5
    assert "--https: waitress cannot honour https = true: it has no TLS" in said
    assert "Choose gunicorn or wsgiref" in said


@pytest.mark.parametrize("server", SERVERS)
def test_a_debugger_has_the_terminal(server: str, tmp_path: Path) -> None:
    app = (
        "def app(environ, start_response):\n    answer = 41\n    breakpoint()\n"
        '    start_response("200 OK", [])\n    return [str(answer).encode()]\n'
    )
    (tmp_path / "debugged.py").write_text(app)
    words = ("debugged:app", "--server", server, "--bind", "127.0.0.1:0", "--no-reload")
    with Typed(tmp_path, *SERVE, *words) as terminal:
        address = terminal.wait_for(r"http://(127\.0\.0\.1:\d+)")[1]
        with connected(address) as client:
            client.get("/")
            terminal.wait_for(r"\(Pdb\) ")
            terminal.type("answer = answer + 1\n")
            terminal.wait_for(r"\(Pdb\) ")
            terminal.type("continue\n")
            assert client.answer().body == b"42"


def connected(address: str, tls: ssl.SSLContext | None = None) -> Client:
    """Connect, once somebody listens."""

    def connect() -> Client | None:
        try:
            return Client(address, tls=tls)
        except ConnectionRefusedError:
            return None

    return wait_for(connect, "the server to listen")
