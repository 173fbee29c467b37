"""launcher.runners.probe: questions that only an import answers, asked in a child."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import launcher
from launcher.application import VARIABLE
from launcher.errors import LaunchError
from tests.machine import compile_in, write_tree

ROOT = str(Path(launcher.__file__).parent.parent)

APP = "def app(environ, start_response): ...\n"


class Probed(NamedTuple):
    answer: dict[str, Any] | None
    """None where nothing was written."""
    status: int
    stdout: str
    stderr: str


Probe = Callable[..., Probed]


@pytest.fixture
def probe(tmp_path: Path) -> Probe:
    """Write the given files and ask the question."""

    def ask(question: str, *, settings: str = "", spec: dict[str, Any] | None = None, **files: str) -> Probed:
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        environ = {**os.environ, "PYTHONPATH": ROOT, "DJANGO_SETTINGS_MODULE": settings}
        if spec is not None:
            environ[VARIABLE] = json.dumps({"path": [str(tmp_path)], **spec})
        read_end, write_end = os.pipe()
        command = [sys.executable, "-P", "-m", "launcher.runners.probe", question, "--result-fd", str(write_end)]
        try:
            done = subprocess.run(
                command,
                env=environ,
                cwd=tmp_path,
                pass_fds=[write_end],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        finally:
            os.close(write_end)
            with os.fdopen(read_end, "rb") as result:
                data = result.read()
        return Probed(json.loads(data) if data else None, done.returncode, done.stdout, done.stderr)

    return ask


class TestSettings:
    def test_django_settings(self, probe: Probe, tmp_path: Path) -> None:
        code = 'INSTALLED_APPS = []\nWSGI_APPLICATION = "mysite.wsgi.application"\n'
        probed = probe("settings", settings="conf", spec={"target": ""}, conf=code)
        assert probed.answer == {
            "ok": True,
            "wsgi_application": "mysite.wsgi.application",
            "defined": True,
            "django": True,
            "file": str(tmp_path / "conf.py"),
        }
        assert probed.status == 0

    @pytest.mark.parametrize(
        ("code", "defined", "django"),
        [
            ("", False, False),
            ("WSGI_APPLICATION = None\nROOT_URLCONF = 'u'\n", True, True),
            ("ROOT_URLCONF = 'u'\n", False, True),
        ],
    )
    def test_none_and_absent_are_told_apart(self, probe: Probe, code: str, defined: bool, django: bool) -> None:
        answer = probe("settings", settings="conf", spec={"target": ""}, conf=code).answer
        assert answer
        assert (answer["wsgi_application"], answer["defined"], answer["django"]) == (None, defined, django)

    def test_prints_go_to_stderr(self, probe: Probe) -> None:
        code = "import os\nprint('one')\nos.system('echo two')\nos.write(1, b'three\\n')\n"
        probed = probe("settings", settings="conf", spec={"target": ""}, conf=code)
        assert probed.answer
        assert probed.stdout == ""
        assert sorted(probed.stderr.split()) == ["one", "three", "two"]

    def test_application_that_is_no_text_is_refused(self, probe: Probe) -> None:
        probed = probe("settings", settings="conf", spec={"target": ""}, conf="WSGI_APPLICATION = print\n")
        assert probed.answer
        assert "is to be a dotted path" in probed.answer["message"]

    def test_failing_import_is_answered(self, probe: Probe) -> None:
        probed = probe("settings", settings="conf", spec={"target": ""}, conf="import not_there_at_all\n")
        assert probed.answer
        assert probed.answer["ok"] is False
        assert probed.answer["message"].startswith(
            "the settings module conf cannot be imported: it needs the module not_there_at_all"
        )
        assert "conf.py" in probed.answer["traceback"]
        assert "probe.py" not in probed.answer["traceback"]
        assert probed.status == 4

    def test_missing_module_and_missing_variable_are_answered(self, probe: Probe) -> None:
        missing = probe("settings", settings="cong", spec={"target": ""}, conf="").answer
        assert missing
        assert missing["message"] == "there is no settings module cong. Did you mean 'conf'?"
        unset = probe("settings").answer
        assert unset
        assert unset["message"] == "DJANGO_SETTINGS_MODULE is not set."

    def test_exit_of_the_imported_code_is_answered(self, probe: Probe) -> None:
        probed = probe("settings", settings="conf", spec={"target": ""}, conf="raise SystemExit(0)\n")
        assert probed.answer
        assert "called sys.exit(0)" in probed.answer["message"]
        assert probed.status == 4


class TestApplication:
    def test_function_is_named(self, probe: Probe) -> None:
        probed = probe("application", spec={"target": "shop:app"}, shop=APP)
        assert probed.answer == {"ok": True, "name": "shop.app", "settings": None, "threads": []}

    def test_django_is_named_with_the_settings_it_loaded(self, probe: Probe) -> None:
        probed = probe(
            "application",
            spec={"target": "django.core.wsgi:get_wsgi_application()", "settings": "conf"},
            conf="SECRET_KEY = 'k'\n",
        )
        assert probed.answer == {
            "ok": True,
            "name": "django.core.handlers.wsgi.WSGIHandler",
            "settings": "conf",
            "threads": [],
        }

    def test_thread_left_running_is_named_and_does_not_hold_up(self, probe: Probe) -> None:
        code = (
            "import threading\nthreading.Thread(target=threading.Event().wait, name='poller', daemon=False).start()\n"
        )
        probed = probe("application", spec={"target": "shop:app"}, shop=code + APP)
        assert probed.answer
        assert probed.answer["threads"] == ["poller"]
        assert probed.status == 0

    def test_a_warm_up_shows_what_a_view_raised(self, probe: Probe) -> None:
        conf = "SECRET_KEY, ROOT_URLCONF, ALLOWED_HOSTS = 'k', 'urls', ['*']\n"
        urls = (
            "from django.urls import path\ndef view(request):\n    raise LookupError('no such shop')\n"
            "urlpatterns = [path('', view)]\n"
        )
        target = {"target": "django.core.wsgi:get_wsgi_application()", "settings": "conf", "warmup": ["/"]}
        answer = probe("application", spec=target, conf=conf, urls=urls).answer
        assert answer
        said = (
            "the warm-up request for / was answered 500 Internal Server Error: LookupError: no such shop (urls.py:3)."
        )
        assert answer["message"] == said
        assert "in view\n" in answer["traceback"]
        assert "warmup.py" not in answer["traceback"]

    def test_layers_are_tried_too(self, probe: Probe) -> None:
        entry = {"use": "shop:nothing", "origin": "profiles/prod.toml:4"}
        probed = probe("application", spec={"target": "shop:app", "middleware": [entry]}, shop=APP)
        assert probed.answer
        assert probed.answer["message"] == "profiles/prod.toml:4: shop has no 'nothing'. There are: app."

    def test_result_is_out_of_reach_of_what_the_code_starts(self, probe: Probe) -> None:
        code = (
            "import os, subprocess, sys\n"
            "fd = int(sys.argv[-1])\n"
            "code = 'import os, sys; os.fstat(int(sys.argv[1]))'\n"
            "held = subprocess.run([sys.executable, '-c', code, str(fd)], close_fds=False, capture_output=True)\n"
            "assert held.returncode == 1, held\n"
        )
        probed = probe("application", spec={"target": "shop:app"}, shop=code + APP)
        assert probed.answer
        assert probed.answer["ok"], probed.answer

    def test_long_traceback_fits_the_pipe(self, probe: Probe) -> None:
        for letter in ("x", "\\udc80", "\\x1b", "\\U0001f600"):
            code = f"raise ValueError('{letter}' * 200_000)\n"
            probed = probe("application", spec={"target": "shop:app"}, shop=code)
            assert probed.answer
            assert probed.answer["traceback"].endswith("\n")
            assert probed.answer["message"].startswith("shop cannot be imported: ValueError: ")


@pytest.mark.parametrize(
    "arguments", [[], ["settings"], ["other", "--result-fd", "3"], ["settings", "--result-fd", "x"]]
)
def test_wrong_command_line_is_a_usage_error(arguments: list[str]) -> None:
    command = [sys.executable, "-P", "-m", "launcher.runners.probe", *arguments]
    environ = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def test_settings_are_asked_with_what_a_worker_finds(tmp_path: Path) -> None:
    files = {
        "profiles/dev.toml": 'settings = "conf"\nenv_file = ["env"]\nenv = { LAST = "app" }\n',
        "env": "FIRST=one\n",
        "relative": "one.app",
        "conf.py": (
            "import os\nassert open('relative').read() == 'one.app'\n"
            "WSGI_APPLICATION = '.'.join([os.environ['FIRST'], os.environ['LAST']])\n"
        ),
        "one.py": APP,
        "sub/nothing": "",
    }
    assert compile_in(write_tree(tmp_path, files) / "sub").target.spec == "one:app"


CONFIGURATIONS = {
    "profiles/dev.toml": "",
    "mysite/settings.py": (
        "from configurations import Configuration\nclass Dev(Configuration):\n    WSGI_APPLICATION = 'mysite.dev.app'\n"
        "class Bare(Configuration):\n    pass\n"
    ),
    "mysite/dev.py": APP,
    "mysite/wsgi.py": "from configurations.wsgi import application\n",
}


@pytest.mark.parametrize(
    ("named", "target"),
    [("Dev", "mysite.dev:app"), ("Bare", "configurations.wsgi:application"), ("", "mysite.wsgi:application")],
)
def test_settings_of_django_configurations(named: str, target: str, tmp_path: Path) -> None:
    environ = {"DJANGO_CONFIGURATION": named, "PYTHONPATH": ROOT}
    root = write_tree(tmp_path, CONFIGURATIONS)
    assert compile_in(root, "--settings=mysite.settings", environ=environ).target.spec == target


def test_django_configurations_without_a_class_to_take(tmp_path: Path) -> None:
    files = {name: text for name, text in CONFIGURATIONS.items() if not name.endswith("wsgi.py")}
    with pytest.raises(LaunchError, match=r"nothing says which class of mysite\.settings") as caught:
        compile_in(write_tree(tmp_path, files), "--settings=mysite.settings", environ={"PYTHONPATH": ROOT})
    assert 'app = "package.wsgi:application"' in str(caught.value)
