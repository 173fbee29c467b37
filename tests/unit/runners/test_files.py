import os
import socket
from pathlib import Path

import pytest

from launcher.errors import Exit, LaunchError
from launcher.runners.files import pid_file, socket_files


def test_pid_file_replaces_a_stale_one_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("a long line of old\n")
    with pid_file(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
    assert list(tmp_path.iterdir()) == []


def test_pid_file_that_is_gone_already_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with pid_file(str(path)):
        path.unlink()


def test_pid_file_cannot_be_a_directory(tmp_path: Path) -> None:
    with pytest.raises(LaunchError) as caught, pid_file(str(tmp_path)):
        pass
    assert caught.value.status == Exit.SERVER
    assert list(tmp_path.parent.glob(f"{tmp_path.name}.*")) == []


def test_no_pid_file_is_asked_for() -> None:
    with pid_file(None):
        pass


def bound(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    return sock


def test_sockets_are_removed_and_successors_are_not(tmp_path: Path) -> None:
    ours, taken, gone = (tmp_path / name for name in ("ours", "taken", "gone"))
    with bound(ours), bound(gone):
        first = bound(taken)
        with socket_files([str(path) for path in (ours, taken, gone, tmp_path / "missing")]):
            ours.chmod(0o600)
            gone.unlink()
            first.close()
            taken.unlink()
            second = bound(taken)
        second.close()
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
