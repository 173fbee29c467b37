import os
import socket
from pathlib import Path

import pytest

from launcher.systemd import notify


def test_nothing_is_sent_where_nobody_asked() -> None:
    assert not notify("READY=1", environ={})
    assert not notify("READY=1", environ={"NOTIFY_SOCKET": ""})


@pytest.mark.parametrize("abstract", [False, True])
def test_lines_are_one_message(tmp_path: Path, abstract: bool) -> None:
    name = f"@notify-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name[1:] if abstract else name)
        assert notify("READY=1", "STATUS=up", environ={"NOTIFY_SOCKET": name})
        assert listener.recv(100) == b"READY=1\nSTATUS=up"


@pytest.mark.parametrize("name", ["/nonexistent/notify", "vsock:2:1", "relative"])
def test_socket_that_cannot_be_reached_is_an_error(name: str) -> None:
    with pytest.raises(OSError):
        notify("READY=1", environ={"NOTIFY_SOCKET": name})
