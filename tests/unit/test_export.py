"""`serve export`: from plan to files, and against what is installed."""

import grp
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.commands.export import compare, exporter, json_text, render, site_name, text, write
from launcher.errors import Exit, LaunchError
from launcher.exporter import Exporter, start_words
from launcher.exporters.systemd import EXPORTER
from launcher.options import OPTIONS
from launcher.registry import EXPORTERS, EntryPoint, Registry
from tests.machine import DJANGO, SERVERS, compile_in, host, write_tree

SANDBOX = sys.modules["launcher.exporters.systemd.sandbox"]
"""The module, whose function the package has under the same name."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "my site"
    return write_tree(root, {**DJANGO, "site.env": "A=1\n", "profiles/prod.toml": "threads = 2\n"})


@pytest.fixture(autouse=True)
def not_among_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tests work is no place for a site."""
    monkeypatch.setattr(SANDBOX, "TEMPORARY", ())


def units(root: Path, *argv: str, words: tuple[str, ...] = ()) -> dict[str, str]:
    plan = compile_in(root, "--profile=prod", *argv, on=host(uid=0))
    return dict(render(EXPORTER, plan, "site", words))


def line(unit: str, key: str) -> str:
    (found,) = [entry for entry in unit.splitlines() if entry.startswith(f"{key}=")]
    return found.partition("=")[2]


# The words of the start

SAID = [
    ("--profile=prod",),
    ("--profile=prod", "--workers", "auto", "--server=gunicorn", "--preload", "--no-validate", "--max-requests=0", "--max-requests-jitter=0", "--allow="),
    ("--profile=prod", "--bind=:8000", "--bind=unix:a.sock", "--keepalive=off", "--umask=0027", "--settings=mysite.settings.dev", "--no-production"),
    ("--profile=profiles/prod.toml", "--access-log=-", "--log-file=x.log", "--env=A=b c", "--env=B=", "--env-file=site.env"),
    ("--profile=prod", "mysite.wsgi:application", "--middleware=a:b", "--max-body-size=none", "--max-header-size=1KiB", "--trusted-proxies=unix"),
]  # fmt: skip


@pytest.mark.parametrize("argv", SAID)
def test_the_words_give_the_same_plan_again(argv: tuple[str, ...], root: Path) -> None:
    environ = {"SERVE_BACKLOG": "77", "PORT": "9000", "DJANGO_SETTINGS_MODULE": ""}
    plan = compile_in(root, *argv, environ=environ)
    again = compile_in(root, *start_words(plan))
    for name in OPTIONS:
        assert again.options.value(name) == plan.options.value(name) or name == "profile", name
    assert again.command == plan.command._replace(env_set=again.command.env_set, env_drop=())


def test_what_files_say_is_left_to_the_files(root: Path) -> None:
    assert start_words(compile_in(root, "--profile=prod")) == ("--profile=prod", "--server=gunicorn")


def test_a_secret_is_not_written_down(root: Path) -> None:
    with pytest.raises(LaunchError, match="--env: DB_PASSWORD would be written down") as caught:
        start_words(compile_in(root, "--env=DB_PASSWORD=x"))
    assert caught.value.status == Exit.USAGE


# systemd


def test_whole_units(root: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The units as a person reads them: `pytest --update-golden` writes them anew, to be read in the diff."""
    monkeypatch.setattr("sys.executable", "/srv/site/.venv/bin/python")
    monkeypatch.setattr("sys.base_prefix", "/usr")
    argv = ("--server=gunicorn", "--bind=127.0.0.1:8000", "--bind=unix:/run/site.sock", "--env-file=site.env")
    for name, unit in units(root, *argv).items():
        golden = Path(__file__).parents[1] / "golden" / "units" / name
        text = unit.replace(str(root), "/srv/site")
        if request.config.getoption("--update-golden"):
            golden.write_text(text)
        assert golden.read_text() == text


@pytest.mark.parametrize("server", SERVERS)
def test_units_of_every_server(server: str, root: Path) -> None:
    service, socket = units(root, f"--server={server}").values()
    assert line(service, "Type") == "notify"
    assert line(service, "WorkingDirectory") == str(root)
    assert line(service, "ExecStart") == f":{sys.executable} -P -m launcher --profile=prod --server={server}"
    assert line(service, "TimeoutStopSec") == "40s"
    assert line(socket, "ListenStream") == "127.0.0.1:8000"
    assert line(socket, "Backlog") == "1024"
    assert "SocketMode" not in socket
    assert line(service, "WatchdogSec") == "30s"
    assert line(service, "NotifyAccess") == ("all" if server == "uwsgi" else "main")


def test_units_are_well_formed_text(root: Path) -> None:
    for unit in units(root).values():
        assert unit.endswith("\n")
        assert "\n\n\n" not in unit


def test_what_the_plan_says_becomes_lines(root: Path) -> None:
    words = ("watchdog=7s",)
    argv = [
        "--bind=:8000",
        "--bind=unix:/run/s.sock",
        "--bind=unix:@s",
        "--graceful-timeout=2",
        "--drain-delay=1",
        "--umask=0027",
    ]
    argv += ["--socket-owner=root:daemon", "--socket-mode=0600", "--max-connections=10", "--reuse-port"]
    argv += ["--log-file=/var/log/a b/x.log", "--user=daemon", "--pid-file=/run/x.pid", "--env-file=site.env"]
    service, socket = units(root, "--server=gunicorn", *argv, words=words).values()
    assert [entry for entry in socket.splitlines() if entry.startswith("Listen")] == [
        "ListenStream=8000", "ListenStream=/run/s.sock", "ListenStream=@s",
    ]  # fmt: skip
    for key, value in {"SocketUser": "root", "SocketGroup": "daemon", "SocketMode": "0600", "BindIPv6Only": "both", "ReusePort": "yes"}.items():  # fmt: skip
        assert line(socket, key) == value
    wanted = {"TimeoutStopSec": "13s", "UMask": "0027", "LimitNOFILE": "1044", "ReadWritePaths": '"/var/log/a b"'}
    wanted |= {
        "WatchdogSec": "7s",
        "User": "daemon",
        "Group": str(grp.getgrnam("daemon").gr_gid),
    }
    wanted |= {"LoadCredential": f"env-1:{root}/site.env"}
    for key, value in wanted.items():
        assert line(service, key) == value
    start = line(service, "ExecStart")
    assert start.endswith(" --user=none --group=none --pid-file=none --env-file=%d/env-1")
    assert "DynamicUser" not in service


def test_a_template_leaves_to_each_site_what_is_its_own(root: Path) -> None:
    files = units(root, "--env-file=site.env", words=("template=yes",))
    assert list(files) == ["site@.service", "site@.socket"]
    service, socket = files.values()
    assert line(socket, "ListenStream") == "/run/site/%i.sock"
    assert line(service, "StateDirectory") == "site/%i"
    assert line(service, "ExecStart").endswith("--bind=fd://site --env-file=%d/env-1,%d/env-site")


def test_a_server_that_says_nothing_is_not_waited_for(root: Path) -> None:
    plan = compile_in(root, "--profile=prod")
    quiet = plan._replace(backend=plan.backend._replace(notifies=""))
    service = render(EXPORTER, quiet, "site", ())["site.service"]
    assert line(service, "Type") == "exec"
    assert "Notify" not in service
    assert "Watchdog" not in service


def test_the_watchdog_waits_for_the_longest_request(root: Path) -> None:
    argv = ("--server=uwsgi", "--threads=1", "--request-timeout=60s")
    assert line(units(root, *argv)["site.service"], "WatchdogSec") == "120s"
    assert line(units(root, *argv, words=("watchdog=9s",))["site.service"], "WatchdogSec") == "9s"
    assert "Watchdog" not in units(root, *argv, words=("watchdog=off",))["site.service"]


def test_a_service_alone_keeps_its_sockets_with_systemd(root: Path) -> None:
    argv = ["--server=gunicorn", "--bind=127.0.0.1:8000", "--bind=unix:/run/web/a.sock", "--bind=unix:/run/web/b.sock"]
    argv += ["--bind=unix:/run/serve-site/c.sock", "--bind=unix:@d"]
    files = units(root, *argv, words=("socket=no",))
    assert list(files) == ["site.service"]
    service = files["site.service"]
    runtime = [entry for entry in service.splitlines() if entry.startswith("RuntimeDirectory=")]
    assert runtime == ["RuntimeDirectory=serve-site", "RuntimeDirectory=web"]
    assert line(service, "RuntimeDirectoryPreserve") == "restart"
    assert line(service, "Environment") == f"FDSTORE={line(service, 'FileDescriptorStoreMax')}"
    assert line(service, "After") == "network.target"
    assert "site.socket" not in service
    assert "Requires" not in service


def test_a_project_among_temporary_files_is_seen(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert line(units(root)["site.service"], "PrivateTmp") == "yes"
    monkeypatch.setattr(SANDBOX, "TEMPORARY", (f"{root.parent}/",))
    service = units(root)["site.service"]
    assert line(service, "PrivateTmp") == "no"
    assert line(service, "ReadWritePaths") == "/tmp /var/tmp"


def test_a_project_in_a_home_is_readable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.base_prefix", "/usr")
    plan = compile_in(root, "--profile=prod")
    command = plan.command._replace(parts=(("", ("/usr/bin/python3",)),))
    assert line(render(EXPORTER, plan._replace(command=command), "x", ())["x.service"], "ProtectHome") == "yes"
    monkeypatch.setattr("sys.base_prefix", "/home/me/python")
    assert line(render(EXPORTER, plan, "x", ())["x.service"], "ProtectHome") == "read-only"


@pytest.mark.parametrize(
    ("argv", "words", "said"),
    [
        (["--bind=fd://3"], [], "fd://3 names no address"),
        (["--bind=127.0.0.1:0"], [], "leaves the port open"),
        (["--bind=localhost:8000"], [], "localhost:8000 is a name"),
        (["--bind=unix:/run/serve-site/x.sock"], [], "would vanish when the service stops"),
        (["--bind=unix:/run/x\\"], [], "a value of the plan is empty, or begins or ends"),
        (["--bind=fd://3"], ["socket=no"], "fd://3 names no address"),
        (["--bind=:80"], ["socket=no"], ":80 is for root to open"),
        (["--bind=unix:/run/a.sock"], ["socket=no"], "unix:/run/a.sock cannot be opened in the sandbox"),
        (["--bind=unix:/srv/x/a.sock"], ["socket=no"], "Bind unix:/run/site/site.sock."),
        ([], ["socket=no", "template=yes"], "the instances of a template differ by their sockets"),
        ([], ["watchdog=dog"], "--with watchdog=dog is no measure"),
        ([], ["wtchdog=3"], "takes no 'wtchdog'. Did you mean 'watchdog'?"),
        ([], ["watchdog"], "--with watchdog is not NAME=VALUE"),
    ],
)
def test_what_cannot_be_a_unit_is_refused(argv: list[str], words: list[str], said: str, root: Path) -> None:
    with pytest.raises(LaunchError) as caught:
        units(root, *argv, words=tuple(words))
    assert said in str(caught.value)
    assert caught.value.status == Exit.USAGE


@given(name=st.text())
def test_a_name_is_one_or_is_refused(name: str) -> None:
    plan: Any = SimpleNamespace(project=SimpleNamespace(root=f"/srv/{name}"))
    assert "/" not in site_name(plan)
    assert site_name(plan).strip("-.") == site_name(plan) != ""


# The command

FILES = {"a.txt": "one\ntwo\n", "b.txt": "three\n"}


def test_one_file_is_printed_as_it_is_and_several_below_their_paths() -> None:
    assert text({"a.txt": "one\n"}, "/etc") == "one\n"
    assert text(FILES, "/etc") == "# /etc/a.txt\none\ntwo\n\n# /etc/b.txt\nthree\n"


def test_what_was_written_does_not_differ(tmp_path: Path) -> None:
    assert write(FILES, str(tmp_path)) == [f"{tmp_path}/a.txt", f"{tmp_path}/b.txt"]
    assert compare(FILES, str(tmp_path)) == {}
    (tmp_path / "a.txt").write_text("one\n2\n")
    (tmp_path / "b.txt").unlink()
    assert compare(FILES, str(tmp_path)) == {
        "a.txt": f"--- {tmp_path}/a.txt\n+++ a.txt (exported)\n@@ -1,2 +1,2 @@\n one\n-2\n+two\n",
        "b.txt": f"--- {tmp_path}/b.txt\n+++ b.txt (exported)\n@@ -0,0 +1 @@\n+three\n",
    }
    with pytest.raises(LaunchError, match=r"cannot write .*nowhere/a\.txt: No such file"):
        write(FILES, str(tmp_path / "nowhere"))


@pytest.mark.parametrize("there", ["[Service]\nExecStart=/usr/bin/other\n", ""])
def test_what_is_not_its_own_is_not_replaced(there: str, tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text(there)
    with pytest.raises(LaunchError, match=r"b\.txt is something else: .*\n  Give another --name, or remove the file\."):
        write(FILES, str(tmp_path))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("b.txt", there)]


def test_units_say_for_which_profile_of_which_project_they_are(root: Path, tmp_path: Path) -> None:
    write(units(root), str(tmp_path))
    write(units(root, "--threads=3", words=("socket=no",)), str(tmp_path))
    write_tree(root, {"profiles/blog.toml": 'extends = "prod"\n'})
    other = compile_in(root, "--profile=blog", on=host(uid=0))
    with pytest.raises(LaunchError) as caught:
        write(render(EXPORTER, other, "site", ()), str(tmp_path))
    assert len(caught.value.findings) == 2
    assert f"systemd` for profile prod of {root}'" in str(caught.value)


def test_json_holds_files_and_differences() -> None:
    assert json.loads(json_text(FILES, "/etc")) == {"directory": "/etc", "files": FILES, "differs": None}
    assert json.loads(json_text(FILES, "/etc", {}))["differs"] == {}


def test_an_unknown_kind_is_refused_with_a_suggestion() -> None:
    points = {EXPORTERS: (EntryPoint("systemd", "launcher.exporters.systemd:EXPORTER", "wsgi-launcher"),)}
    found: Exporter = exporter(Registry({}, points), "systemd")
    assert found is EXPORTER
    with pytest.raises(LaunchError, match=r"there is no exporter 'sytemd'\. Did you mean 'systemd'"):
        exporter(Registry({}, points), "sytemd")


def test_the_command_line(root: Path, tmp_path: Path) -> None:
    def serve(*words: str, status: int) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "launcher", "export", *words],
            cwd=root, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    words = ("systemd", "--profile=prod", "--name=web")
    assert serve(*words, status=0).startswith("# /etc/systemd/system/web.service\n# Written by")
    assert serve(*words, f"--check={tmp_path}", status=1).startswith(f"--- {tmp_path}/web.service\n")
    assert serve(*words, f"--output={tmp_path}", status=0) == f"{tmp_path}/web.service\n{tmp_path}/web.socket\n"
    assert serve(*words, "--check", str(tmp_path), status=0) == ""
    assert json.loads(serve(*words, "--check", str(tmp_path), "--format=json", status=0))["differs"] == {}


def test_the_development_loop_is_not_exported(root: Path) -> None:
    plan = compile_in(root, on=host(uid=0))
    with pytest.raises(LaunchError, match=r"^dev.toml \(shipped\):11: the profile dev is for somebody at work"):
        render(EXPORTER, plan, "site", ())
    assert render(EXPORTER, compile_in(root, "--no-reload", on=host(uid=0)), "site", ())
