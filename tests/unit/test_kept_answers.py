"""Answers about modules that are kept for the next start, and when they are not."""

import ast
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher import kept_answers
from launcher.kept_answers import KeptReader
from tests.machine import write_tree

MODULE, NAME = "shop.settings.prod", "WSGI_APPLICATION"
FILES = {
    "manage.py": 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings.prod")\n',
    "shop/__init__.py": "",
    "shop/settings/__init__.py": "",
    "shop/settings/base.py": f'{NAME} = "shop.wsgi.application"\n',
    "shop/settings/prod.py": "from .base import *\n",
    "shop/wsgi.py": "application = None\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose files were written long ago, as far as the kept answers can tell."""
    monkeypatch.setattr(kept_answers, "TICK_NS", -(10**15))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    return write_tree(tmp_path, FILES)


def ask(project: Path) -> tuple[str | None, bool]:
    """Return what the settings say, and whether that was known without reading them."""
    reader = KeptReader([str(project)], str(project))
    answer = reader.read_name(MODULE, NAME).value
    known = reader._reader is None
    reader.keep()
    return answer, known


def kept(project: Path) -> Path | None:
    return next(project.glob("__pycache__/serve.*"), None)


def test_what_was_read_once_is_known(project: Path) -> None:
    asked = KeptReader([str(project)], str(project))
    reads: list[Callable[[KeptReader], object]] = [
        lambda reader: reader.read_name(MODULE, NAME),
        lambda reader: reader.find(MODULE),
        lambda reader: reader.find("shop.settings"),
        lambda reader: reader.find("nowhere"),
        lambda reader: reader.defines("shop.wsgi", "application"),
        lambda reader: reader.defines("shop.wsgi", "app"),
        lambda reader: reader.names("shop.wsgi"),
        lambda reader: reader.settings_named_in(str(project / "manage.py")),
        lambda reader: reader.settings_named_in(str(project / "nothing.py")),
    ]
    answers = [read(asked) for read in reads]
    asked.keep()
    again = KeptReader([str(project)], str(project))
    assert [read(again) for read in reads] == answers
    assert again._reader is None


CHANGES: dict[str, Callable[[Path], object]] = {
    "a star import's module": lambda at: (at / "shop/settings/base.py").write_text(f'{NAME} = "other.application"\n'),
    "a file of the same size and time": lambda at: _rewritten(at / "shop/settings/base.py"),
    "a package before a module": lambda at: write_tree(at, {"shop/settings/base/__init__.py": f"{NAME} = 'p'\n"}),
    "a module that is gone": lambda at: (at / "shop/settings/base.py").unlink(),
    "an extension module before a module": lambda at: (at / "shop/settings/prod.abi3.so").write_text(""),
    "a package of another name, behind a link": lambda at: _linked(at),
}


def _rewritten(file: Path) -> None:
    found = file.stat()
    file.write_text(file.read_text().replace("shop.wsgi", "shap.wsgi"))
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


def _linked(project: Path) -> None:
    (project / "shop").rename(project / "shop-1")
    write_tree(project, {"shop-2/__init__.py": "", "shop-2/settings/__init__.py": "", "shop-2/settings/prod.py": ""})
    (project / "shop").symlink_to("shop-2")


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_is_read_again(change: str, project: Path) -> None:
    assert ask(project) == ("shop.wsgi.application", False)
    assert ask(project) == ("shop.wsgi.application", True)
    clock = project / "clock"
    clock.touch()
    before = clock.stat().st_ctime_ns
    while clock.stat().st_ctime_ns == before:  # the file system's clock has to tick
        clock.touch()
    CHANGES[change](project)
    answer, known = ask(project)
    assert answer != "shop.wsgi.application"
    assert not known


def test_what_may_change_once_more_unseen_is_not_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_answers, "TICK_NS", 10**15)
    assert ask(project)[1] is False
    assert kept(project) is None


def test_where_bytecode_is_not_written_nothing_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        ask(project)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "pycache_prefix", "/somewhere")
        ask(project)
    with monkeypatch.context() as patch:  # root would leave a directory that its owner cannot write
        patch.setattr(os, "geteuid", lambda: project.stat().st_uid + 1)
        ask(project)
    assert kept(project) is None
    assert not (project / "__pycache__").exists()


def test_another_path_or_another_launcher_reads_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(project)
    ours = project / "reader.py"
    ours.write_text("")
    monkeypatch.setattr(kept_answers, "WHO_ANSWERS", (str(ours),))
    other = KeptReader([str(project / "other"), str(project)], str(project))
    assert other._known == {}
    assert other.read_name(MODULE, NAME).value == "shop.wsgi.application"
    other.keep()
    assert KeptReader(other.path, str(project))._known != {}
    ours.write_text("new")
    assert KeptReader(other.path, str(project))._known == {}


def test_whoever_answers_is_looked_at() -> None:
    reached, waiting = {"kept_answers"}, ["syntax"]
    while waiting:
        reached.add(name := waiting.pop())
        tree = ast.parse((Path(kept_answers.__file__).parent / f"{name}.py").read_text())
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level}
        waiting += imported - reached - {"lean"}  # which only spares a start some imports
    assert reached == {Path(file).stem for file in kept_answers.WHO_ANSWERS}


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_bytes(b""),
    "half": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "edited": lambda file: file.write_bytes(file.read_bytes().replace(b"shop.wsgi", b"shap.wsgi")),
    "another format": lambda file: file.write_bytes(b"[" * 1000),
    "large": lambda file: os.truncate(file, 1 << 30),
    "a pipe": lambda file: _replaced(file, os.mkfifo),
    "a directory": lambda file: _replaced(file, Path.mkdir),
    "anybody's": lambda file: file.chmod(0o666),
}


def _replaced(file: Path, make: Callable[[Path], None]) -> None:
    file.unlink()
    make(file)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_we_did_not_write_is_not_believed(damage: str, project: Path) -> None:
    ask(project)
    file = kept(project)
    assert file is not None
    DAMAGES[damage](file)
    assert ask(project) == ("shop.wsgi.application", False)


def test_what_changes_between_two_questions_is_not_mixed(project: Path) -> None:
    assert ask(project) == ("shop.wsgi.application", False)
    slow = KeptReader([str(project)], str(project))
    assert slow.read_name(MODULE, NAME).value == "shop.wsgi.application"
    (project / "new.py").write_text(f"{NAME} = 'other.application'\n")
    (project / "new.py").replace(project / "shop/settings/base.py")
    assert slow.read_name("shop.settings.base", NAME).value == "other.application"
    slow.keep()
    assert ask(project) == ("other.application", False)


def test_what_changes_after_it_was_read_is_not_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_answers, "TICK_NS", 0)
    slow = KeptReader([str(project)], str(project))
    slow.read_name(MODULE, NAME)
    # As if it had been changed in the tick in which it was read.
    monkeypatch.setattr(slow, "_began", (project / "shop/settings/base.py").stat().st_ctime_ns)
    slow.keep()
    assert kept(project) is None


def test_that_a_file_cannot_be_read_is_not_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("launcher.source.read_file", fail)
        assert ask(project) == (None, False)
    assert kept(project) is None


def test_text_that_is_no_unicode_is_kept_as_it_is(project: Path) -> None:
    (project / "shop/settings/base.py").write_text(f"{NAME} = 'a\\ud800b\\udcc3\\udca9'\n")
    assert ask(project) == ("a\ud800b\udcc3\udca9", False)
    assert ask(project) == ("a\ud800b\udcc3\udca9", True)


def test_a_directory_that_cannot_be_written_is_let_be(project: Path) -> None:
    (project / "__pycache__").write_text("")
    assert ask(project) == ("shop.wsgi.application", False)
