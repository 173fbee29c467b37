"""What is served, and in which surroundings."""

import importlib.util
import json
import os
from unittest import SkipTest

from ..kit import Check, Kit
from ..serving import APP, same, wait_for_text

TAGGED = "launcher.testing.application:Tagged"


def start_line_tells_profile_and_server(kit: Kit) -> None:
    with kit.serve(flags=["--bind", "127.0.0.1:0", APP]) as serving:
        line = next(line for line in serving.output.splitlines() if line.startswith("serve: "))
        assert line.startswith("serve: profile kit, "), f"the start line is: {line}"
        for words in (f", {kit.backend.name}", f"application {APP}", serving.address):
            assert words in line, f"'{words}' is not in: {line}"
        assert serving.report()["pid"] in serving.tree(), "somebody else answers"


def environment_reaches_the_worker(kit: Kit) -> None:
    project = kit.project()
    (project / "elsewhere").mkdir()
    files = {
        "kit.env": "FROM_FILE=file\nBOTH=file\n",
        "lib/kit_settings.py": f'WSGI_APPLICATION = "{APP.replace(":", ".")}"\n',
    }
    asks = {**kit.asks, "settings": "kit_settings"}
    with kit.serve(asks=asks, directory=project, files=files) as serving:
        seen = serving.report("/process")
        environ = seen["environ"]
        wanted = {
            "FROM_TABLE": "a b = c",
            "FROM_FILE": "file",
            "BOTH": "table",
            "DJANGO_SETTINGS_MODULE": "kit_settings",
        }
        same({name: environ.get(name) for name in wanted}, wanted, "environment")
        same(seen["cwd"], str(project / "elsewhere"), "working directory")
        places = [place for place in seen["path"] if place not in ("", ".")]
        same(places[:2], [str(project / "lib"), str(project / "elsewhere")], "the first of sys.path")


def middleware_wraps_in_order(kit: Kit) -> None:
    closed = kit.public / "closed"
    entries = [
        {"use": TAGGED, "tag": "outer", "closed": str(closed)},
        {"use": TAGGED, "tag": "inner", "closed": str(closed)},
    ]
    with kit.serve(asks={"app": "launcher.testing.application:make()", "middleware": entries}) as serving:
        answer = serving.request("/environ")
        same(answer.json()["kit.tags"], "outerinner", "middleware on the way in")
        same(answer.headers.get("x-tag"), "inner, outer", "middleware on the way out")
        wait_for_text(closed, "inner\nouter\n", serving)
        serving.request("/stream?pieces=3")
        wait_for_text(closed, "inner\nouter\ninner\nouter\n", serving)


def guard_refuses_development_settings(kit: Kit) -> None:
    if importlib.util.find_spec("django") is None:
        raise SkipTest("Django is not installed")
    files = {
        "site_settings.py": (
            'DEBUG = True\nSECRET_KEY = "django-insecure-kit"\nALLOWED_HOSTS = ["*"]\nUSE_TZ = True\n'
            'WSGI_APPLICATION = "site_wsgi.application"\n'
        ),
        "site_wsgi.py": (
            "from django.core.wsgi import get_wsgi_application\n\nget_wsgi_application()\n"
            "from launcher.testing.application import app as application\n"
        ),
    }
    asks = {"settings": "site_settings", "production": True}
    status, said = kit.refused_start(asks, files=files)
    # 4 of ours, where the server does not have a status of its own for it.
    assert status != 0, f"it ended as if all were well\n{said}"
    for word in ("DEBUG", "SECRET_KEY", "ALLOWED_HOSTS"):
        assert word in said, f"{word} is not named:\n{said}"
    waived = {**asks, "allow": ["debug", "secret-key", "allowed-hosts"]}
    with kit.serve(asks=waived, files=files) as serving:
        seen = serving.report("/process")["environ"]["DJANGO_SETTINGS_MODULE"]
        same(seen, "site_settings", "DJANGO_SETTINGS_MODULE")


def validator_watches_the_application(kit: Kit) -> None:
    files = {
        "sloppy.py": (
            "from launcher.testing.application import app as good\n\n\n"
            "def app(environ, start_response):\n"
            '    if environ["PATH_INFO"] != "/bad":\n'
            "        return good(environ, start_response)\n"
            '    start_response("200 OK", [("Status", "200")])\n'
            '    return [b"PEP 3333 knows no such header"]\n\n\n'
            "class Site:\n"
            "    app = staticmethod(app)\n"
        )
    }
    with kit.serve(asks={**kit.asks, "app": "sloppy:Site.app"}, files=files) as serving:
        same(serving.report("/echo", method="POST", body=json.dumps(7).encode()), 7, "a body echoed")
        same(len(serving.request("/large?bytes=70000").body), 70000, "length of a large answer")
        try:
            status = serving.request("/bad").status
        except ConnectionError:
            status = 0
        assert status in (0, 500), f"a bad answer went through: {status}"
        wait_for_text(serving.stderr, "AssertionError", serving)


def warm_up_comes_before_the_first_client(kit: Kit) -> None:
    files = {
        "warm.py": (
            "import json\n\nfrom launcher.testing.application import app as good\n\nasked = []\n\n\n"
            "def app(environ, start_response):\n"
            '    asked.append(environ["PATH_INFO"])\n'
            '    if environ["PATH_INFO"] != "/asked":\n'
            "        return good(environ, start_response)\n"
            '    start_response("200 OK", [("Content-Type", "application/json")])\n'
            "    return [json.dumps(asked[:2]).encode()]\n"
        )
    }
    with kit.serve(asks={**kit.asks, "app": "warm:app"}, files=files) as serving:
        same(serving.report("/asked"), ["/", "/sleep"], "the first requests of the worker")


def readiness_is_told(kit: Kit) -> None:
    with kit.serve() as serving:
        same(serving.request("/-/ready").status, 200, "status of the ready_path")
        same(serving.request("/-/other").status, 404, "status of another path")


def files_arrive_whole(kit: Kit) -> None:
    path = kit.public / "large"
    path.write_bytes(os.urandom(300_000))
    with kit.serve() as serving:
        for _ in range(2):
            same(serving.request(f"/given?path={path}").body, path.read_bytes(), "the file")


CHECKS = (
    Check("profile-and-server", {}, start_line_tells_profile_and_server, about=("profile", "server", "app")),
    Check(
        "environment",
        {
            "env": {"FROM_TABLE": "a b = c", "BOTH": "table"},
            "env_file": ["kit.env"],
            "chdir": "elsewhere",
            "python_path": ["lib"],
        },
        environment_reaches_the_worker,
        about=("settings",),
    ),
    Check("middleware", {}, middleware_wraps_in_order, about=("middleware", "app")),
    Check("production", {}, guard_refuses_development_settings, about=("production", "allow")),
    Check("warmup", {"warmup": ["/", "/sleep?s=0"]}, warm_up_comes_before_the_first_client),
    Check("ready-path", {"ready_path": "/-/ready"}, readiness_is_told),
    Check("files", {"access_log": "-"}, files_arrive_whole, about=("app",)),
    Check("validate", {"validate": True}, validator_watches_the_application),
)
