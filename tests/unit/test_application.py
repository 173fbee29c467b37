"""launcher.application and launcher.wsgi: what is loaded, and what is said when it is not."""

import gc
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import launcher
from launcher import application
from launcher.application import ApplicationError, load
from tests.exchange import call, forget_modules

ROOT = str(Path(launcher.__file__).parent.parent)

HELLO = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""

DJANGO_WSGI = """
import os
from django.core.wsgi import get_wsgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.dev")
application = get_wsgi_application()
"""

FIT = """
SECRET_KEY = "k" * 50
DEBUG = False
ALLOWED_HOSTS = ["example.org"]
INSTALLED_APPS = []
ROOT_URLCONF = "mysite.urls"
"""


VIEWS = """
import io
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path

def midway():
    yield b"abc"
    raise RuntimeError

def broken(request):
    raise RuntimeError

urlpatterns = [
    path("page", lambda request: HttpResponse("page")),
    path("file", lambda request: FileResponse(io.BytesIO(b"file"))),
    path("stream", lambda request: StreamingHttpResponse([b"abc", b"abc"])),
    path("gone", lambda request: StreamingHttpResponse([b"abc", b"abc"])),
    path("midway", lambda request: StreamingHttpResponse(midway())),
    path("broken", broken),
    path("chunked", lambda request: HttpResponse(request.environ["wsgi.input"].read())),
]
"""

FINISHED = """
from django.core.signals import request_finished
from tests.exchange import call, make_environ

finished = []
request_finished.connect(lambda **_: finished.append(True), weak=False)
for name in ("page", "file", "stream", "midway", "broken", "gone", "chunked"):
    finished.clear()
    environ = make_environ(b"x" * 11, PATH_INFO=f"/shop/{name}", HTTP_HOST="example.org", CONTENT_LENGTH=None)
    if name == "chunked":
        environ.update(REQUEST_METHOD="POST", HTTP_TRANSFER_ENCODING="chunked")
    answer = call(application, environ, read=1 if name == "gone" else None)
    body = b"Server Error" in answer.body if name == "broken" else answer.body
    print(name, answer.status, body, len(finished))
"""

LOSERS = """
def generator(app):
    def wrapped(environ, start_response):
        for chunk in app(environ, start_response):
            yield chunk
    return wrapped

def joined(app):
    return lambda environ, start_response: [b"".join(app(environ, start_response))]

def mapped(app):
    return lambda environ, start_response: map(bytes, app(environ, start_response))

def failing(app):
    def wrapped(environ, start_response):
        app(environ, start_response)
        raise RuntimeError
    return wrapped

def careful(app):
    def wrapped(environ, start_response):
        answer = app(environ, start_response)
        try:
            yield from answer
        finally:
            answer.close()
    return wrapped

def aside(app):
    return lambda environ, start_response: start_response("204 No Content", []) and ()
"""
"""Middleware, most of which loses close()."""


class Project:
    """A directory with code in it, and ways to load that."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, **files: str) -> None:
        """Write `mysite__wsgi="..."` to `mysite/wsgi.py`."""
        for name, text in files.items():
            path = self.root / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if path.parent != self.root:
                (path.parent / "__init__.py").touch()

    def spec(self, target: str, **keys: Any) -> dict[str, str]:
        told = {"target": target, "path": [str(self.root)], **keys}
        return {application.VARIABLE: json.dumps(told)}

    def load(self, target: str, **keys: Any) -> Any:
        return load(self.spec(target, **keys))

    def refusal(self, target: str, **keys: Any) -> ApplicationError:
        with pytest.raises(ApplicationError) as caught:
            self.load(target, **keys)
        return caught.value

    def start(self, target: str, code: str = "", **keys: Any) -> subprocess.CompletedProcess[str]:
        """Import launcher.wsgi as a server does, in a process of its own; then run `code`."""
        environ = {**os.environ, "PYTHONPATH": ROOT, **self.spec(target, **keys)}
        environ.pop("DJANGO_SETTINGS_MODULE", None)
        command = [sys.executable, "-P", "-c", f"from launcher.wsgi import application\n{code}"]
        return subprocess.run(
            command, env=environ, cwd=self.root, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.chdir(tmp_path)
    path, modules, umask = sys.path[:], set(sys.modules), os.umask(0o022)
    os.umask(umask)
    yield Project(tmp_path)
    sys.path[:] = path
    forget_modules(modules)
    os.umask(umask)


class TestLoading:
    def test_without_layers_it_is_the_users_own_callable(self, project: Project) -> None:
        project.write(shop=HELLO)
        loaded = project.load("shop:app")
        assert loaded is sys.modules["shop"].app

    def test_attribute_of_an_attribute(self, project: Project) -> None:
        project.write(shop=f"{HELLO}\nclass holder:\n    inner = staticmethod(app)\n")
        assert project.load("shop:holder.inner") is sys.modules["shop"].app

    def test_factory_is_called(self, project: Project) -> None:
        project.write(shop=f"{HELLO}\ndef make():\n    return app\n")
        assert project.load("shop:make()") is sys.modules["shop"].app

    def test_path_comes_first_in_order_without_duplicates(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project.write(shop=HELLO)
        monkeypatch.setattr(sys, "path", ["/elsewhere", str(project.root), "/second", *sys.path])
        project.load("shop:app", path=[str(project.root), "/second", str(project.root)])
        assert sys.path[:3] == [str(project.root), "/second", "/elsewhere"]
        assert sys.path.count(str(project.root)) == sys.path.count("/second") == 1

    def test_settings_are_set_before_the_target_is_imported(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project.write(shop=f'import os\nseen = os.environ["DJANGO_SETTINGS_MODULE"]\n{HELLO}')
        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "other")
        for key, value in project.spec("shop:app", settings="shop.prod").items():
            monkeypatch.setenv(key, value)
        load(os.environ)
        assert sys.modules["shop"].seen == "shop.prod"

    def test_umask_is_set(self, project: Project) -> None:
        project.write(shop=f"import os\nseen = os.umask(0)\nos.umask(seen)\n{HELLO}")
        project.load("shop:app", umask=0o027)
        assert sys.modules["shop"].seen == 0o027

    @pytest.mark.parametrize(
        ("wanted", "threshold"),
        [("", gc.get_threshold()[0]), ("gc.set_threshold(0)", 0), ("gc.set_threshold(5000)", 5000)],
    )
    def test_no_garbage_is_looked_for_among_what_stays(self, project: Project, wanted: str, threshold: int) -> None:
        project.write(shop=f"import gc\nseen = gc.get_threshold()[0]\nkept = [[]]\n{wanted}\n{HELLO}")
        done = project.start(
            "shop:app",
            "import gc, shop\n"
            "print(shop.seen, any(each is shop.kept for each in gc.get_objects()), gc.get_threshold()[0])",
        )
        assert done.stdout.split() == [str(application.NEVER), "False", str(threshold)], done.stderr

    def test_application_class_and_instance_are_applications(self, project: Project) -> None:
        project.write(
            shop="class App:\n"
            "    def __init__(self, environ, start_response): ...\n"
            "class Made:\n"
            "    def __call__(self, environ, start_response): ...\n"
            "made = Made()\n"
        )
        assert project.load("shop:App") is sys.modules["shop"].App
        assert project.load("shop:made") is sys.modules["shop"].made


class TestWhatThePlanWrote:
    def test_missing_variable_says_who_this_is_for(self) -> None:
        with pytest.raises(ApplicationError, match="LAUNCHER_APPLICATION is not set"):
            load({})

    def test_unknown_key_is_refused(self, project: Project) -> None:
        assert "colour" in project.refusal("shop:app", colour="red").message

    @pytest.mark.parametrize("text", ["{", "[]", "7"])
    def test_no_object_is_refused(self, text: str) -> None:
        with pytest.raises(ApplicationError, match="cannot be read"):
            load({application.VARIABLE: text})

    def test_null_is_an_absent_key(self, project: Project) -> None:
        project.write(shop=HELLO)
        assert project.load("shop:app", umask=None, settings=None, middleware=None) is sys.modules["shop"].app

    @pytest.mark.parametrize("target", ["shop", "shop:", ":app", ""])
    def test_target_without_module_or_attribute_is_refused(self, project: Project, target: str) -> None:
        assert "package.module:name" in project.refusal(target).message


class TestErrors:
    def test_missing_module_is_told_with_its_neighbour(self, project: Project) -> None:
        project.write(mysite__wsgi=HELLO)
        error = project.refusal("mysite.wsgy:app", target_origin="settings/prod.py:12")
        assert error.message == ("settings/prod.py:12: there is no module mysite.wsgy. Did you mean 'mysite.wsgi'?")
        assert error.trace == ""

    def test_missing_package_says_where_it_was_looked_for(self, project: Project) -> None:
        error = project.refusal("nowhere_at_all.wsgi:app")
        assert error.message.startswith(f"there is no module nowhere_at_all. Looked in {project.root}")

    def test_file_in_place_of_a_package_is_named(self, project: Project) -> None:
        project.write(mysite="")
        assert "mysite is the file mysite.py, not a package." in project.refusal("mysite.wsgi:app").message

    def test_module_that_the_target_imports_is_told_apart(self, project: Project) -> None:
        project.write(mysite__wsgi="\nimport corsheaders_not_there\n")
        error = project.refusal("mysite.wsgi:app")
        assert error.message.startswith(
            "mysite.wsgi cannot be imported: it needs the module corsheaders_not_there, which does not exist "
            "(mysite/wsgi.py:2). Is it installed in "
        )
        assert "import corsheaders_not_there" in error.trace

    def test_missing_module_of_the_own_package_is_found_nearby(self, project: Project) -> None:
        project.write(mysite__wsgi="import mysite.view\n", mysite__views="")
        message = project.refusal("mysite.wsgi:app").message
        assert "needs the module mysite.view, which does not exist" in message
        assert message.endswith("Did you mean 'mysite.views'?")

    def test_missing_attribute_is_told_with_a_suggestion(self, project: Project) -> None:
        project.write(shop=HELLO.replace("app(", "application("))
        assert project.refusal("shop:aplication").message == ("shop has no 'aplication'. Did you mean 'application'?")

    def test_missing_attribute_of_something_without_attributes_is_told(self, project: Project) -> None:
        project.write(shop="number = 7\n")
        assert project.refusal("shop:number.app").message == "shop.number has no 'app'. There are none."

    def test_module_that_fails_to_make_an_attribute_is_told(self, project: Project) -> None:
        project.write(shop="def __getattr__(name):\n    raise OSError('no ' + name)\n")
        error = project.refusal("shop:app")
        assert error.message.endswith("OSError: no app (shop.py:2).")
        assert error.trace.count("  File") == 1

    def test_first_line_of_the_reason_is_told_and_notes_stay_in_the_traceback(self, project: Project) -> None:
        project.write(shop="error = ValueError('one\\ntwo')\nerror.add_note('a note')\nraise error\n")
        error = project.refusal("shop:app")
        assert error.message == "shop cannot be imported: ValueError: one (shop.py:3)."
        assert error.trace.endswith("ValueError: one\ntwo\na note\n")

    def test_what_cannot_be_called_is_told(self, project: Project) -> None:
        project.write(shop="app = 7\nmake = None\n")
        assert project.refusal("shop:app").message == "shop:app is of type int: it cannot be called."
        assert project.refusal("shop:make()").message == "shop:make is None: it cannot be called."

    def test_factory_without_parentheses_is_told(self, project: Project) -> None:
        project.write(shop="def create_app(config=None): ...\n")
        assert "write shop:create_app()." in project.refusal("shop:create_app").message

    def test_what_takes_no_environ_is_told(self, project: Project) -> None:
        project.write(shop="class A:\n    def __call__(self, request): ...\napp = A()\n")
        assert project.refusal("shop:app").message == "shop:app does not take environ and start_response."

    @pytest.mark.parametrize("call", ["*words", "self, environ, start_response", "self, *words"])
    def test_what_may_be_called_is_an_application(self, project: Project, call: str) -> None:
        project.write(shop=f"class A:\n    def __call__({call}): ...\napp = A()\n")
        assert callable(project.load("shop:app"))

    def test_static_method_is_an_application(self, project: Project) -> None:
        project.write(shop="class A:\n    @staticmethod\n    def __call__(environ, start_response): ...\napp = A()\n")
        assert callable(project.load("shop:app"))

    def test_factory_that_returns_nothing_is_told(self, project: Project) -> None:
        project.write(shop="def create_app(): ...\n")
        assert project.refusal("shop:create_app()").message == "shop:create_app() is None: it cannot be called."

    @pytest.mark.parametrize(
        "code",
        [
            "async def app(scope, receive, send): ...",
            "class A:\n    async def __call__(self, scope, receive, send): ...\napp = A()",
        ],
    )
    def test_asgi_application_is_told(self, project: Project, code: str) -> None:
        project.write(shop=code)
        assert "is an ASGI application" in project.refusal("shop:app").message

    def test_exception_shows_the_users_frames_only(self, project: Project) -> None:
        project.write(
            mysite__wsgi="import mysite.deep\n",
            mysite__deep='import importlib\nimportlib.import_module("mysite.deeper")\n',
            mysite__deeper="def divide():\n    return 1 / 0\ndivide()\n",
        )
        error = project.refusal("mysite.wsgi:app")
        assert error.message == (
            "mysite.wsgi cannot be imported: ZeroDivisionError: division by zero (mysite/deeper.py:2)."
        )
        files = [line.split('"')[1] for line in error.trace.splitlines() if line.startswith("  File")]
        names = ["wsgi", "deep", "deeper", "deeper"]
        assert files == [str(project.root / "mysite" / f"{name}.py") for name in names]
        assert error.trace.startswith("Traceback (most recent call last):\n")

    def test_chained_exception_is_trimmed_too(self, project: Project) -> None:
        project.write(
            shop="import importlib\ntry:\n    importlib.import_module('not_there_either')\n"
            "except ImportError as error:\n    raise RuntimeError('no luck') from error\n"
        )
        trace = project.refusal("shop:app").trace
        assert "not_there_either" in trace
        assert "importlib/__init__.py" not in trace
        assert "frozen" not in trace

    def test_syntax_error_shows_the_line(self, project: Project) -> None:
        project.write(shop="def app(:\n    pass\n")
        error = project.refusal("shop:app")
        assert "SyntaxError" in error.message
        assert "(shop.py:1)" in error.message
        assert "def app(:" in error.trace
        assert "^" in error.trace
        assert "application.py" not in error.trace

    def test_exit_by_the_users_code_is_reported(self, project: Project) -> None:
        project.write(shop="import sys\nsys.exit(7)\n")
        error = project.refusal("shop:app")
        assert error.message == "shop cannot be imported: the code called sys.exit(7) (shop.py:2)."
        assert "sys.exit(7)" in error.trace

    def test_exit_by_a_factory_without_frames_is_reported(self, project: Project) -> None:
        project.write(shop="import sys\nmake = sys.exit\n")
        assert project.refusal("shop:make()").message == "shop:make() failed: the code called sys.exit()."

    def test_exit_by_the_servers_signal_handler_is_obeyed(self, project: Project) -> None:
        project.write(
            gunicorn_double='def leave():\n    raise SystemExit(1)\n__name__ = "gunicorn.workers.base"\n',
            shop="import gunicorn_double\ngunicorn_double.leave()\n",
        )
        with pytest.raises(SystemExit):
            project.load("shop:app")

    def test_interrupt_passes(self, project: Project) -> None:
        project.write(shop="raise KeyboardInterrupt\n")
        with pytest.raises(KeyboardInterrupt):
            project.load("shop:app")

    def test_factory_that_raises_is_told(self, project: Project) -> None:
        project.write(shop="def make():\n    raise OSError('no database')\n")
        error = project.refusal("shop:make()", target_origin="pyproject.toml:3")
        assert error.message == "pyproject.toml:3: shop:make() failed: OSError: no database (shop.py:2)."
        assert error.trace.count("  File") == 1


TAG = """
def tag(app, **options):
    def tagged(environ, start_response):
        environ["tags"] = environ.get("tags", ()) + (options["name"],)
        return app(environ, start_response)
    return tagged
def broken(app): raise ValueError("unlucky")
def empty(app): return None
class Other:
    def __init__(self, get_response): self.get_response = get_response
    def __call__(self, request): return self.get_response(request)
number = 3
"""


class TestMiddleware:
    def test_first_entry_is_outermost_and_options_are_passed(self, project: Project) -> None:
        project.write(shop=HELLO, tags=TAG)
        entries = [{"use": "tags:tag", "options": {"name": name}} for name in "abc"]
        environ: dict[str, Any] = {}
        project.load("shop:app", middleware=entries)(environ, lambda *_: None)
        assert environ["tags"] == ("a", "b", "c")

    @pytest.mark.parametrize(
        ("use", "options", "message"),
        [
            ("nowhere_here:f", {}, "there is no module nowhere_here."),
            ("tags:tog", {}, "tags has no 'tog'. Did you mean 'tag'?"),
            ("tags:number", {}, "tags:number is of type int: it cannot be called."),
            ("tags:broken", {}, "middleware tags:broken failed: ValueError: unlucky (tags.py:7)."),
            ("tags:empty", {"size": 1}, "middleware tags:empty failed: TypeError: empty() got an unexpected"),
            ("tags:empty", {}, "middleware tags:empty returned None instead of a WSGI application."),
            (
                "tags:Other",
                {},
                "middleware tags:Other returned something of type Other, which does not take environ and ",
            ),
            ("tags", {}, "'tags' is not of the form package.module:name."),
        ],
    )
    def test_wrong_entry_is_told_with_its_origin(
        self, project: Project, use: str, options: dict[str, Any], message: str
    ) -> None:
        project.write(shop=HELLO, tags=TAG)
        entry = {"use": use, "options": options, "origin": "profiles/prod.toml:12"}
        error = project.refusal("shop:app", middleware=[entry])
        assert error.message.startswith(f"profiles/prod.toml:12: {message}")


class TestLayers:
    def test_validator_is_innermost(self, project: Project) -> None:
        project.write(
            shop='def app(environ, start_response):\n    start_response("200 OK", [])\n    return ["text"]\n',
            tags=TAG,
        )
        entry = {"use": "tags:tag", "options": {"name": "a"}}
        answer = call(project.load("shop:app", validate=True, middleware=[entry]))
        assert isinstance(answer.error, AssertionError)

    def test_access_log_shows_the_client_and_the_whole_path(self, project: Project) -> None:
        from tests.exchange import make_environ

        project.write(shop=HELLO)
        app = project.load(
            "shop:app",
            access_log=str(project.root / "access.log"),
            trusted_proxies=["192.0.2.0/24"],
            url_prefix="/shop/",
            max_body_size=100,
        )
        forwarded = {"HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_X_FORWARDED_PROTO": "https"}
        environ = make_environ(PATH_INFO="/shop/a", **forwarded)
        assert call(app, environ).body == b"hello"
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", "/a")
        assert environ["wsgi.url_scheme"] == "https"
        assert call(app, make_environ(PATH_INFO="/a")).status == "404 Not Found"
        assert call(app, make_environ(b"x" * 101, PATH_INFO="/shop")).status.startswith("413")
        first, second, third = (project.root / "access.log").read_text().splitlines()
        assert first.startswith("203.0.113.9 - - [")
        assert '"GET /shop/a HTTP/1.1" 200 5 ' in first
        assert '"GET /a HTTP/1.1" 404 ' in second
        assert '"GET /shop HTTP/1.1" 413 ' in third

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies: 10.0.0.1/8 has host bits set."),
            ({"url_prefix": "shop"}, "url_prefix 'shop' does not begin with a slash."),
            ({"access_log": "no/such/dir"}, "the access log no/such/dir cannot be opened: No such file"),
        ],
    )
    def test_layer_that_cannot_be_made_is_told(self, project: Project, keys: dict[str, Any], message: str) -> None:
        project.write(shop=HELLO)
        assert project.refusal("shop:app", **keys).message.startswith(message)


class TestTheModuleThatServersImport:
    def test_bare_application_is_loaded_without_heavy_imports(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # it would import them
        project.write(shop=HELLO)
        heavy = ("ast", "dataclasses", "inspect", "logging", "traceback", "importlib.metadata", "django")
        code = (
            "import sys, shop\nassert application is shop.app\n"
            f"print([name for name in {heavy!r} if name in sys.modules])"
        )
        done = project.start("shop:app", code)
        assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)

    def test_report_goes_to_stderr_in_one_write_with_status_4(self, project: Project) -> None:
        project.write(shop="raise ValueError('bad')\n")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            environ = {**os.environ, "PYTHONPATH": ROOT, **project.spec("shop:app", target_origin="p.py:1")}
            command = [sys.executable, "-P", "-c", "import launcher.wsgi"]
            status = subprocess.run(
                command, env=environ, stderr=theirs.fileno(), cwd=project.root, timeout=60, check=False
            ).returncode
            # What was not written is told by the end.
            theirs.close()
            writes = [ours.recv(65536), ours.recv(65536)]
        assert status == 4
        assert writes[1] == b""
        assert writes[0].decode() == (
            "serve: p.py:1: shop cannot be imported: ValueError: bad (shop.py:1).\n\n"
            "Traceback (most recent call last):\n"
            f'  File "{project.root}/shop.py", line 1, in <module>\n'
            "    raise ValueError('bad')\n"
            "ValueError: bad\n"
        )

    def test_exit_of_the_users_code_becomes_status_4(self, project: Project) -> None:
        project.write(shop="raise SystemExit(0)\n")
        assert project.start("shop:app").returncode == 4


class TestDjango:
    def test_planned_settings_are_served_without_a_wrapper(self, project: Project) -> None:
        project.write(mysite__wsgi=DJANGO_WSGI, mysite__prod=FIT, mysite__urls="urlpatterns = []\n")
        code = "import sys\nprint(application is sys.modules['mysite.wsgi'].application)"
        done = project.start("mysite.wsgi:application", code, settings="mysite.prod", production=True)
        assert (done.stdout, done.stderr) == ("True\n", "")

    @pytest.mark.parametrize(
        "statement",
        [
            'os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.dev"',
            'os.environ.update({"DJANGO_SETTINGS_MODULE": "mysite.dev"})',
            'os.environ.update(DJANGO_SETTINGS_MODULE="mysite.dev")',
        ],
    )
    def test_assignment_in_wsgi_is_found(self, project: Project, statement: str) -> None:
        lines = DJANGO_WSGI.splitlines()
        lines[3] = statement
        project.write(mysite__wsgi="\n".join(lines), mysite__prod=FIT, mysite__dev=FIT)
        done = project.start("mysite.wsgi:application", settings="mysite.prod", settings_origin="profiles/prod.toml:3")
        assert done.returncode == 4
        assert done.stderr == (
            "serve: profiles/prod.toml:3: the planned settings module is mysite.prod, but the application loaded "
            "mysite.dev.\nmysite/wsgi.py:4 assigns DJANGO_SETTINGS_MODULE. Write os.environ.setdefault(...) "
            "there.\n"
        )

    def test_assignment_elsewhere_in_the_package_is_found(self, project: Project) -> None:
        project.write(
            mysite__wsgi=f"import mysite.boot\n{DJANGO_WSGI}",
            mysite__boot='from os import environ\nenviron["DJANGO_SETTINGS_MODULE"] = "mysite.dev"\n',
            mysite__prod=FIT,
            mysite__dev=FIT,
        )
        done = project.start("mysite.wsgi:application", settings="mysite.prod")
        assert "mysite/boot.py:2 assigns DJANGO_SETTINGS_MODULE" in done.stderr

    def test_settings_configured_by_hand_are_no_planned_module(self, project: Project) -> None:
        project.write(
            mysite__wsgi="from django.conf import settings\nsettings.configure()\n" + DJANGO_WSGI,
            mysite__prod=FIT,
        )
        done = project.start("mysite.wsgi:application", settings="mysite.prod")
        assert done.returncode == 4
        assert "mysite.wsgi called settings.configure()" in done.stderr

    def test_missing_settings_module_is_told_with_its_origin(self, project: Project) -> None:
        project.write(mysite__wsgi=DJANGO_WSGI, mysite__prod=FIT)
        done = project.start("mysite.wsgi:application", settings="mysite.prof", settings_origin="profiles/prod.toml:3")
        assert done.stderr == (
            "serve: profiles/prod.toml:3: there is no settings module mysite.prof. Did you mean 'mysite.prod'?\n"
        )

    UNFIT = FIT.replace("False", "True").replace("example.org", "*").replace("[]", '["debug_toolbar"]')

    def test_production_guard_tells_every_fault_at_once(self, project: Project) -> None:
        project.write(mysite__wsgi=DJANGO_WSGI, mysite__dev=self.UNFIT.replace('"k"', '"django-insecure-k"'))
        project.write(debug_toolbar="")
        done = project.start("mysite.wsgi:application", production=True, target_origin="p.toml:1")
        assert done.returncode == 4
        head, *faults, waiver = done.stderr.splitlines()
        assert head == "serve: production refuses the settings of mysite.dev (mysite/dev.py):"
        codes = [line.split(":")[0].strip() for line in faults]
        assert codes == ["debug", "secret-key", "allowed-hosts", "development-apps"]
        assert waiver.endswith('allow = ["debug", "secret-key", "allowed-hosts", "development-apps"]')
        assert "(mysite/dev.py:2)" in faults[1]

    def test_production_guard_says_where_a_setting_was_made(self, project: Project) -> None:
        project.write(
            mysite__wsgi=DJANGO_WSGI.replace("mysite.dev", "mysite.settings"),
            mysite__settings__base=FIT,
            mysite__settings__parts__hosts="def unrelated():\n    ALLOWED_HOSTS = []\n\n\nALLOWED_HOSTS = ['*']\n",
        )
        (project.root / "mysite/settings/__init__.py").write_text(
            "from .base import *\n"
            "if True:\n"
            "    SECRET_KEY, DEBUG = '', True\n"
            "from mysite.settings.parts.hosts import ALLOWED_HOSTS\n"
            "try:\n"
            "    from .local import *\n"
            "    from ....beyond import DEBUG\n"
            "except ImportError:\n"
            "    INSTALLED_APPS += ['silk']\n"
        )
        (project.root / "silk.py").touch()
        done = project.start("mysite.wsgi:application", production=True, settings_origin="mysite/settings/__init__.py")
        head, *faults, _ = done.stderr.splitlines()
        assert head == "serve: mysite/settings/__init__.py: production refuses the settings of mysite.settings:"
        here = "mysite/settings/__init__.py"
        places = [f"{here}:3", f"{here}:3", "mysite/settings/parts/hosts.py:5", f"{here}:9"]
        assert [re.findall(r"\((.*)\)", line) for line in faults] == [[place] for place in places]

    def test_waived_faults_are_not_told(self, project: Project) -> None:
        project.write(mysite__wsgi=DJANGO_WSGI, mysite__dev=FIT.replace("False", "True"), mysite__urls=VIEWS)
        assert project.start("mysite.wsgi:application", production=True, allow=["debug"]).returncode == 0
        assert project.start("mysite.wsgi:application", production=True, allow=["secret-key"]).returncode == 4

    def test_production_does_not_start_with_views_that_cannot_be_imported(self, project: Project) -> None:
        project.write(mysite__wsgi=DJANGO_WSGI, mysite__dev=FIT, mysite__urls="from mysite import views\n")
        done = project.start("mysite.wsgi:application", production=True)
        assert done.returncode == 4
        assert done.stderr.startswith("serve: the URLs cannot be imported: ImportError")
        assert "mysite/urls.py" in done.stderr
        assert project.start("mysite.wsgi:application").returncode == 0

    def test_development_is_not_guarded(self, project: Project) -> None:
        project.write(mysite__wsgi=DJANGO_WSGI, mysite__dev=FIT.replace("False", "True"))
        assert project.start("mysite.wsgi:application").returncode == 0

    def test_request_finished_is_sent_once_through_every_layer(self, project: Project) -> None:
        project.write(mysite__wsgi=DJANGO_WSGI, mysite__dev=FIT + "MIDDLEWARE = []\n", mysite__urls=VIEWS)
        done = project.start(
            "mysite.wsgi:application",
            FINISHED,
            access_log="access.log",
            trusted_proxies=[],
            url_prefix="/shop",
            max_body_size=10,
        )
        assert done.stdout == (
            "page 200 OK b'page' 1\n"
            "file 200 OK b'file' 1\n"
            "stream 200 OK b'abcabc' 1\n"
            "midway 200 OK b'abc' 1\n"
            "broken 500 Internal Server Error True 1\n"
            "gone 200 OK b'abc' 1\n"
            "chunked 413 Content Too Large b'413 Content Too Large\\n' 1\n"
        )
        assert (project.root / "access.log").read_text().count("\n") == 7

    @pytest.mark.parametrize("around", ["target", "profile"])
    @pytest.mark.parametrize("way", ["generator", "joined", "mapped", "failing"])
    def test_request_finished_is_sent_though_middleware_loses_close(
        self, project: Project, way: str, around: str
    ) -> None:
        wrapped = f"{DJANGO_WSGI}from mysite import lost\napplication = lost.{way}(application)\n"
        project.write(
            mysite__wsgi=DJANGO_WSGI if around == "profile" else wrapped,
            mysite__dev=FIT + "MIDDLEWARE = []\n",
            mysite__urls=VIEWS,
            mysite__lost=LOSERS,
        )
        layers = [{"use": f"mysite.lost:{name}", "origin": "dev.toml:4"} for name in ("careful", way)]
        done = project.start(
            "mysite.wsgi:application",
            FINISHED,
            url_prefix="/shop",
            max_body_size=10,
            middleware=[] if around == "target" else layers,
        )
        assert [line[-2:] for line in done.stdout.splitlines()] == [" 1"] * 7, done.stdout
        blame = "mysite.wsgi:application" if around == "target" else f"dev.toml:4: middleware mysite.lost:{way}"
        place = " (the generator of mysite/lost.py:3)" if way == "generator" else ""
        assert f"serve: {blame} loses close(){place}: GET /page ended" in done.stderr
        assert done.stderr.count("loses close()") == 1

    def test_middleware_that_answers_or_closes_by_itself_is_not_blamed(self, project: Project) -> None:
        project.write(
            mysite__wsgi=f"{DJANGO_WSGI}from mysite import lost\napplication = lost.careful(application)\n",
            mysite__dev=FIT + "MIDDLEWARE = []\n",
            mysite__urls=VIEWS,
            mysite__lost=LOSERS,
        )
        for name, finished in (("careful", "1"), ("aside", "0")):
            layers = [{"use": f"mysite.lost:{name}"}]
            done = project.start("mysite.wsgi:application", FINISHED, middleware=layers, url_prefix="/shop")
            assert [line[-1] for line in done.stdout.splitlines()] == [finished] * 7, done.stdout
            assert "loses" not in done.stderr

    def test_factory_of_django_itself_is_guarded(self, project: Project) -> None:
        project.write(mysite__prod=FIT.replace('"k" * 50', '""').replace('"example.org"', ""))
        done = project.start(
            "django.core.wsgi:get_wsgi_application()",
            settings="mysite.prod",
            production=True,
            settings_origin="profiles/prod.toml:3",
        )
        assert done.returncode == 4
        assert done.stderr.startswith("serve: profiles/prod.toml:3: production refuses")
        assert "secret-key: SECRET_KEY is empty" in done.stderr
        assert "allowed-hosts: ALLOWED_HOSTS is empty" in done.stderr

    def test_application_that_only_imports_django_is_not_checked(self, project: Project) -> None:
        project.write(shop=f"import django.conf\n{HELLO}")
        assert project.start("shop:app", settings="shop", production=True).returncode == 0


Scan = Callable[[Any], list[str]]


@pytest.fixture
def scan() -> Scan:
    from launcher.guard import find_faults

    return lambda settings: [fault.code for fault in find_faults(settings)]


class Settings:
    DEBUG = False
    SECRET_KEY: str | bytes = "k" * 50
    ALLOWED_HOSTS: Any = ["example.org"]
    INSTALLED_APPS: Any = ["django.contrib.auth"]


class TestGuard:
    def test_fit_settings_have_no_faults(self, scan: Scan) -> None:
        assert scan(Settings()) == []

    @pytest.mark.parametrize("key", ["", b"", "django-insecure-abc", b"django-insecure-abc", None])
    def test_unfit_secret_keys(self, scan: Scan, key: Any) -> None:
        settings = Settings()
        settings.SECRET_KEY = key
        assert scan(settings) == ["secret-key"]

    @pytest.mark.parametrize("hosts", [[], (), ["*"], ["a", "*"], "*"])
    def test_unfit_hosts(self, scan: Scan, hosts: Any) -> None:
        settings = Settings()
        settings.ALLOWED_HOSTS = hosts
        assert scan(settings) == ["allowed-hosts"]

    @pytest.mark.parametrize("app", ["silk", "debug_toolbar.apps.DebugToolbarConfig", "nplusone.ext.django"])
    def test_development_apps_by_module_or_config(self, scan: Scan, app: str) -> None:
        settings = Settings()
        settings.INSTALLED_APPS = [app]
        assert scan(settings) == ["development-apps"]

    def test_app_of_a_similar_name_is_fine(self, scan: Scan) -> None:
        settings = Settings()
        settings.INSTALLED_APPS = ["silky", "mysite.silk"]
        assert scan(settings) == []
