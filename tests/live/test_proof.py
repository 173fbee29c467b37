"""The proof before a reload: what is on disk now, against the server that runs."""

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher import instance
from launcher.commands.prove import fixed_options
from launcher.commands.status import status_document
from launcher.instance import Instance
from launcher.record import plan_facts
from launcher.runners.reload import DONE, Reload, Verdict
from launcher.sockets import PASSED_BY
from launcher.testing.serving import wait_for
from tests.machine import compile_in

pytestmark = pytest.mark.live

DEADLINE_S = 60
POLLS = Path(__file__).resolve().parents[2] / "examples" / "django_polls"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "polls"
    shutil.copytree(POLLS, root, ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__"))
    return root


@pytest.fixture
def running(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """A server whose main process we are, as far as the proof can tell: it inherits our environment."""
    for name in [name for name in os.environ if name.startswith(("SERVE_", "DJANGO_", "XDG_RUNTIME"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("DJANGO_SECRET_KEY", "x" * 50)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    command = [sys.executable, "-m", "launcher", "--profile", "prod", "--server", "waitress", "--bind", "127.0.0.1:0"]
    environ = {**os.environ, **dict.fromkeys(PASSED_BY, "0")}  # said to another process
    with subprocess.Popen([*command, "--threads", "2"], cwd=project, env=environ, stderr=subprocess.DEVNULL) as server:
        try:

            def ready() -> list[Instance]:
                assert server.poll() is None
                found = instance.find(os.environ, str(project), "prod")
                return [each for each in found if status_document(each)["ready"]]

            yield wait_for(ready, "the server")[0]
        finally:
            server.terminate()


def verdict_on(running: Instance) -> Verdict:
    reload = Reload(running.directory, 2, {})
    while (verdict := reload.poll()) is None:
        assert select.select([reload], [], [], DEADLINE_S)[0]
    assert instance.load(running.file(instance.RELOAD))["phase"] == "proving"
    reload.end("" if verdict.ok else verdict.reason)
    record = instance.load(running.file(instance.RELOAD))
    assert (record["phase"], record["ok"], record["reason"]) == (DONE, verdict.ok, verdict.reason)
    return verdict


def test_what_has_not_changed_is_good(running: Instance) -> None:
    verdict = verdict_on(running)
    assert (verdict.ok, verdict.reason, dict(verdict.changed)) == (True, "", {})
    assert "--threads" in verdict.argv
    assert not {*PASSED_BY} & {*verdict.set}


def test_what_the_guard_refuses_is_told_in_the_line(running: Instance, project: Path) -> None:
    settings = project / "mysite" / "settings" / "prod.py"
    settings.write_text(settings.read_text() + "\nDEBUG = True\n")
    verdict = verdict_on(running)
    assert not verdict.ok
    assert "refuses the settings" in verdict.reason
    assert "DEBUG" in verdict.reason
    assert "\n" not in verdict.reason


def test_changed_options_are_named_once(running: Instance, project: Path) -> None:
    profile = project / "profiles" / "prod.toml"
    profile.write_text(profile.read_text() + '\n[env]\nSHOP_COLOUR = "green"\n')
    os.environ["SHOP_SIZE"] = "large"  # not the plan's: it stays as it is
    verdict = verdict_on(running)
    assert dict(verdict.changed) == {"env": {"SHOP_COLOUR": "green"}}
    assert verdict.set["SHOP_COLOUR"] == "green"
    environ = {**os.environ, "SHOP_COLOUR": "red"}
    verdict.apply(environ)
    assert (environ["SHOP_COLOUR"], environ["SHOP_SIZE"]) == ("green", "large")
    assert dict(verdict_on(running).changed) == {}


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("mysite/urls.py", "import no_such_module", "the URLs cannot be imported"),
        ("mysite/settings/prod.py", "from .base import *\nDEBUG = True\n", "production refuses the settings"),
        ("profiles/prod.toml", "workerz = 3\n", "profiles/prod.toml:1: unknown key 'workerz'"),
        ("profiles/prod.toml", "workers = [\n", "profiles/prod.toml"),
        ("profiles/prod.toml", 'bind = ["127.0.0.1:1"]\n', None),
        (
            "profiles/prod.toml",
            'warmup = ["/no-such-page/"]\n',
            "the warm-up request for /no-such-page/ was answered 404",
        ),
    ],
)
def test_what_is_broken_is_refused_in_one_line(
    file: str, text: str, reason: str | None, running: Instance, project: Path
) -> None:
    path = project / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    verdict = verdict_on(running)
    if reason is None:  # the address on the command line beats the profile's
        assert verdict.ok
        return
    assert not verdict.ok
    assert reason in verdict.reason
    assert "\n" not in verdict.reason


def test_what_only_a_restart_brings_is_refused_by_name(running: Instance, project: Path) -> None:
    (project / "profiles").mkdir(exist_ok=True)
    (project / "profiles/prod.toml").write_text('backlog = 7\npid_file = "server.pid"\n')
    told = "a reload cannot change backlog (profiles/prod.toml:1), pid_file (profiles/prod.toml:2): restart the server"
    assert verdict_on(running).reason == told


def test_a_proof_that_is_given_up_leaves_no_process(running: Instance) -> None:
    reload = Reload(running.directory, 2, {})
    process = reload._process
    reload.stop()
    assert process.returncode is not None
    assert instance.load(running.file(instance.RELOAD))["instead"] == "the server stops"


def test_a_record_that_cannot_be_written_refuses_the_reload_and_ends_nobody(running: Instance) -> None:
    """A full disk is the cause, mostly; here a directory is in the way."""
    for name in (instance.RELOAD, instance.ENVIRONMENT):
        in_the_way = Path(f"{running.file(name)}.{os.getpid()}")
        in_the_way.mkdir()
        reload = Reload(running.directory, 2, {})
        verdict = wait_for(reload.poll, "the verdict")
        reload.end(verdict.reason)
        assert not verdict.ok
        assert verdict.reason == f"{running.file(name)} cannot be written: Is a directory"
        in_the_way.rmdir()
    reload = Reload(running.directory, 2, {})
    assert wait_for(reload.poll, "the verdict").ok
    Path(f"{running.file(instance.RECORD)}.{os.getpid()}").mkdir()
    reload.end()
    assert instance.load(running.file(instance.RELOAD))["ok"]


def test_uwsgi_takes_no_other_words_behind_its_router(project: Path) -> None:
    words = ("--profile", "prod", "--server", "uwsgi")
    plans = [compile_in(project, *words, "--threads", each) for each in ("2", "3")]
    facts = plan_facts(plans[0])
    changed = {
        name: value for name, value in plan_facts(plans[1])["options"].items() if facts["options"][name] != value
    }
    assert changed == {"threads": 3}
    assert fixed_options(plans[1], Instance("", 1, facts), changed) == []
    routed = compile_in(project, *words, "--threads", "3", "--keepalive", "5s")
    assert fixed_options(routed, Instance("", 1, plan_facts(routed)), changed) == ["threads"]
    gunicorn = compile_in(project, "--profile", "prod", "--server", "gunicorn", "--threads", "3")
    assert fixed_options(gunicorn, Instance("", 1, plan_facts(gunicorn)), changed) == []
    assert fixed_options(gunicorn, Instance("", 1, facts), {}) == ["server"]
