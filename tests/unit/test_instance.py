"""launcher.instance: records of servers that run, and of those that are gone."""

import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from launcher import instance

FACTS: Mapping[str, object] = {"project": "/srv/shop", "profile": "prod", "server": "waitress", "since": 1.0}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"TMPDIR": str(tmp_path)}


def test_a_record_is_private_and_found_by_project_and_profile(environ: dict[str, str]) -> None:
    directory = instance.create(environ, FACTS)
    assert os.stat(directory).st_mode & 0o777 == 0o700
    assert os.stat(os.path.join(directory, instance.RECORD)).st_mode & 0o777 == 0o600
    (found,) = instance.find(environ, "/srv/shop", "prod")
    assert (found.directory, found.pid, found.facts["server"]) == (directory, os.getpid(), "waitress")
    assert instance.find(environ, "/srv/shop", "dev") == []
    assert instance.find(environ, "/srv/other", "prod") == []
    instance.remove(directory)
    assert instance.find(environ, "/srv/shop", "prod") == []
    assert not os.path.exists(directory)


def test_a_services_own_directory_comes_before_the_users(environ: dict[str, str], tmp_path: Path) -> None:
    runtime, user = tmp_path / "run", tmp_path / "user"
    runtime.mkdir()
    user.mkdir()
    here = {**environ, "XDG_RUNTIME_DIR": str(user)}
    assert instance.create(here, FACTS).startswith(str(user / "serve"))
    assert instance.create({**here, "RUNTIME_DIRECTORY": f"{runtime}:/elsewhere"}, FACTS).startswith(str(runtime))
    assert len(instance.find({**here, "RUNTIME_DIRECTORY": str(runtime)}, "/srv/shop", "prod")) == 2


def test_the_record_of_a_dead_process_is_removed(environ: dict[str, str]) -> None:
    code = f"from launcher import instance; print(instance.create({environ!r}, {dict(FACTS)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    directory = done.stdout.strip()
    assert os.path.isdir(directory)
    assert instance.find(environ, "/srv/shop", "prod") == []
    assert not os.path.exists(directory)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another group")
def test_the_group_of_workers_may_read_the_record_and_write_beside_it(environ: dict[str, str]) -> None:
    directory = instance.create(environ, FACTS, group=12345)
    record = os.stat(os.path.join(directory, instance.RECORD))
    assert (record.st_mode & 0o777, record.st_gid) == (0o640, 12345)
    found = os.stat(directory)
    assert (found.st_mode & 0o777, found.st_gid) == (0o770, 12345)
    assert [each.directory for each in instance.find_all(environ)].count(directory) == 1
    instance.remove(directory)


def test_a_new_record_sweeps_those_of_the_dead_away(environ: dict[str, str], tmp_path: Path) -> None:
    instance.remove(instance.create(environ, FACTS))
    dead = tmp_path / f"serve-{os.getuid()}" / f"serve-instance-{2**22 + 1}"
    dead.mkdir()
    instance.remove(instance.create(environ, FACTS))
    assert not dead.exists()


def test_a_pid_that_was_used_again_is_no_server(environ: dict[str, str]) -> None:
    directory = instance.create(environ, FACTS)
    instance.renew(directory, {"started": 1})
    assert instance.find(environ, "/srv/shop", "prod") == []


def test_a_project_is_found_by_any_path_that_leads_to_it(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    current = tmp_path / "current"
    current.symlink_to("1")
    directory = instance.create(environ, {**FACTS, "project": str(current)})
    for name, count in {"1": 1, "2": 0, "current": 1}.items():
        assert len(instance.find(environ, str(tmp_path / name), "prod")) == count
    current.unlink()
    current.symlink_to("2")  # a new release
    for name, count in {"1": 0, "2": 1, "current": 1}.items():
        assert len(instance.find(environ, str(tmp_path / name), "prod")) == count
    instance.remove(directory)


def test_a_place_that_cannot_be_used_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "LAST_RESORT", str(tmp_path))
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "nowhere"), "TMPDIR": os.devnull}
    directory = instance.create(environ, FACTS)
    assert directory.startswith(f"{tmp_path}/serve-{os.getuid()}/")
    assert len(instance.find(environ, "/srv/shop", "prod")) == 1
    instance.remove(directory)


def test_what_others_have_in_a_directory_stays(environ: dict[str, str], tmp_path: Path) -> None:
    other = tmp_path / f"serve-{os.getuid()}" / "serve-web"
    other.mkdir(parents=True)
    assert instance.find(environ, "/srv/shop", "prod") == []
    instance.remove(instance.create(environ, FACTS))
    assert other.exists()


def test_a_directory_that_others_may_write_is_refused(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "LAST_RESORT", str(tmp_path))
    base = tmp_path / f"serve-{os.getuid()}"
    base.mkdir()
    base.chmod(0o777)
    with pytest.raises(PermissionError, match="is not private"):
        instance.create(environ, FACTS)
    base.rmdir()
    base.symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="is not private"):
        instance.create(environ, FACTS)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file another's")
def test_a_record_is_believed_only_if_root_or_the_servers_user_wrote_it(environ: dict[str, str]) -> None:
    directory = instance.create(environ, FACTS)
    os.chown(os.path.join(directory, instance.RECORD), 12345, -1)
    assert instance.read(directory) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"pid": "x"}', "\0"])
def test_a_broken_record_is_no_server(text: str, environ: dict[str, str]) -> None:
    directory = instance.create(environ, FACTS)
    Path(directory, instance.RECORD).write_text(text)
    assert instance.read(directory) is None


def test_what_a_full_disk_takes_in_part_takes_no_place(environ: dict[str, str]) -> None:
    directory = instance.create(environ, FACTS)
    before = os.listdir(directory)
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        try:
            instance.renew(directory, {"since": 2.0})
        except OSError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert instance.load(os.path.join(directory, instance.RECORD))["since"] == 1.0
    assert os.listdir(directory) == before


def test_what_reloads_changed_reaches_the_environment_of_workers(environ: dict[str, str]) -> None:
    directory = instance.create(environ, FACTS)
    own = {instance.VARIABLE: directory, "KEPT": "1", "GONE": "1", "OTHER": "old"}
    instance.refresh(own)
    assert own["OTHER"] == "old"
    instance.write(os.path.join(directory, instance.ENVIRONMENT), {"set": {"OTHER": "new"}, "drop": ["GONE"]})
    instance.refresh(own)
    assert own == {instance.VARIABLE: directory, "KEPT": "1", "OTHER": "new"}
    instance.remove(directory)
