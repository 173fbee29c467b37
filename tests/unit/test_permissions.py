"""What this user may not read is never taken for what is not there."""

import json
import os
import pwd
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.application import ApplicationError, load
from launcher.errors import Exit, LaunchError
from launcher.profiles import available
from launcher.project import Project
from launcher.start import working_directory
from tests.machine import DJANGO, compile_in, write_tree


@pytest.fixture
def root() -> Iterator[Path]:
    """A project that everybody may read, for a test that nobody runs who may read more."""
    # Root's own temporary files are for root alone.
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        project = write_tree(Path(directory) / "site", {**DJANGO, "profiles/prod.toml": "threads = 2\n"})
        if os.getuid() != 0:
            yield project
        else:
            user = pwd.getpwnam("nobody").pw_uid
            for path in [project, *project.rglob("*")]:
                os.chown(path, user, -1)
            os.setresuid(user, user, 0)
            try:
                if not os.access(__file__, os.R_OK) or not os.access(project, os.W_OK):
                    pytest.skip("the user nobody cannot reach this checkout, or its temporary files")
                yield project
            finally:
                os.setresuid(0, 0, 0)
        for above, inside, _ in os.walk(directory):
            for name in inside:
                os.chmod(os.path.join(above, name), 0o755)


def refused(root: Path, *argv: str) -> tuple[str, int]:
    with pytest.raises(LaunchError) as caught:
        compile_in(root, "--profile", "prod", *argv)
    return str(caught.value), caught.value.status


@pytest.mark.parametrize("mode", [0o000, 0o600], ids=["closed", "may be listed"])
def test_profiles_that_cannot_be_read_are_not_passed_over(mode: int, root: Path) -> None:
    (root / "profiles").chmod(mode)
    said, status = refused(root)
    assert said.startswith("profiles/prod.toml: cannot be read: Permission denied.")
    assert "Give this user the right" in said
    assert status == Exit.PROFILE


def test_profiles_that_cannot_be_listed_are_not_passed_over(root: Path) -> None:
    (root / "profiles").chmod(0o300)
    assert compile_in(root, "--profile", "prod").options.threads == 2
    with pytest.raises(LaunchError, match=r"^profiles: cannot be read: Permission denied"):
        available(Project(str(root), str(root)))


def test_a_profile_that_cannot_be_read_says_what_to_do(root: Path) -> None:
    (root / "profiles/prod.toml").chmod(0o000)
    said, _ = refused(root)
    assert said.startswith("profiles/prod.toml: cannot be read: Permission denied.\n  Give this user the right")


def test_a_worker_tells_the_place_of_modules_that_cannot_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.chmod(0o300)
    monkeypatch.setattr(sys, "path", [str(root), *sys.path])
    told = {"target": "elsewhere_:app", "path": [str(root)]}
    with pytest.raises(
        ApplicationError, match=r"^there is no module elsewhere_. This user cannot read \S+site: it takes"
    ):
        load({"LAUNCHER_APPLICATION": json.dumps(told)})


def test_a_project_that_cannot_be_searched_is_not_passed_over(root: Path) -> None:
    root.chmod(0o600)
    said, _ = refused(root)
    assert said.startswith(f"{root}/manage.py: cannot be read: Permission denied.")


@pytest.mark.parametrize(
    ("directory", "mode", "place"),
    [
        ("mysite/settings", 0o000, "mysite/settings"),
        ("mysite/settings", 0o600, "mysite/settings"),
        (".", 0o300, "."),
    ],
)
def test_modules_that_cannot_be_read_are_told_by_their_place(directory: str, mode: int, place: str, root: Path) -> None:
    (root / directory).chmod(mode)
    said, status = refused(root, "--settings", "mysite.settings.live")
    assert "there is no settings module mysite.settings.live" in said
    assert f"This user cannot read {place}: it takes the rights to list it and to search it." in said
    assert status == Exit.TARGET


def test_a_directory_is_no_profile(tmp_path: Path) -> None:
    write_tree(tmp_path, {"profiles/prod.toml/notes": "", "profiles/old.toml": ""})
    assert "prod.toml: is no file." in refused(tmp_path)[0]
    assert "old" in available(Project(str(tmp_path), str(tmp_path)))
    assert len(available(Project(str(tmp_path), str(tmp_path)))["prod"]) == 1


def test_a_link_to_nothing_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/prod.toml").symlink_to("/nonexistent/prod.toml")
    assert "prod.toml: is a link that leads nowhere." in refused(tmp_path)[0]


def test_a_working_directory_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    with pytest.raises(LaunchError, match="the working directory is there no more"):
        working_directory()
