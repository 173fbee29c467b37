"""Sockets that were passed in, against what `bind` says."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from launcher.activation import Passed, adopt, passed_sockets
from launcher.address import Address, parse_address
from launcher.errors import Finding
from launcher.origin import Layer, Origin, Setting

PROFILE = Setting(
    tuple(map(parse_address, ("127.0.0.1:8000", "unix:/run/x.sock"))), Origin(Layer.PROFILE, "profiles/prod.toml", 3)
)
TCP = Passed(3, "web", Address("tcp", "127.0.0.1", 8000))
UNIX = Passed(4, "web", Address("unix", path="/run/x.sock"))
OTHER = Passed(5, "other", Address("tcp", "127.0.0.1", 9000))
FILE = Passed(6, "stored", None)


def adopted(bind: Setting[Any], *passed: Passed) -> tuple[Setting[Any], list[Finding]]:
    taken, found = adopt({"bind": bind, "reuse_port": Setting(True, bind.origin)}, passed)
    assert not taken or taken["reuse_port"].value is False
    return taken.get("bind", bind), found


def served(bind: Setting[tuple[Address, ...]], *passed: Passed) -> tuple[list[str], list[str]]:
    setting, found = adopted(bind, *passed)
    return [str(address) for address in setting.value], [
        f"{each.severity}: {each.message}" for each in found if each.severity != "note"
    ]


def test_addresses_become_the_descriptors_that_listen_on_them() -> None:
    setting, found = adopted(PROFILE, UNIX._replace(fd=3), TCP._replace(fd=4))
    assert [str(address) for address in setting.value] == ["fd://4", "fd://3"]
    assert str(setting.origin) == "LISTEN_FDS"
    assert setting.shadowed[0].value == PROFILE.value
    assert [str(each) for each in found] == [
        "LISTEN_FDS: 127.0.0.1:8000 (descriptor 4, web) is served: it was passed in.",
        "LISTEN_FDS: unix:/run/x.sock (descriptor 3, web) is served: it was passed in.",
    ]


def test_what_does_not_match_is_said() -> None:
    assert served(PROFILE, TCP, OTHER) == (
        ["fd://3", "unix:/run/x.sock"],
        [
            "warning: unix:/run/x.sock (profiles/prod.toml:3) is not among the sockets that were passed in: serve opens it",
            "warning: 127.0.0.1:9000 (descriptor 5, other) is closed: bind does not name it",
        ],
    )
    assert served(PROFILE, FILE)[0] == ["127.0.0.1:8000", "unix:/run/x.sock"]


def test_a_name_stands_for_every_socket_of_that_name() -> None:
    bind = PROFILE._replace(value=(parse_address("fd://web"),))
    assert served(bind, TCP, UNIX) == (["fd://3", "fd://4"], [])


def test_a_bind_that_nobody_asked_for_gives_way() -> None:
    shipped = PROFILE._replace(origin=Origin(Layer.SHIPPED, "prod.toml (shipped)", 7))
    assert served(shipped, OTHER) == (["fd://5"], [])


def test_one_socket_that_comes_twice_is_served_once() -> None:
    assert served(PROFILE, TCP, UNIX, TCP._replace(fd=7)) == (["fd://3", "fd://4"], [])


@pytest.mark.parametrize(
    ("bind", "bound", "same"),
    [
        (":8000", Address("tcp", "", 8000), True),
        ("0.0.0.0:8000", Address("tcp", "", 8000), True),
        ("localhost:8000", Address("tcp", "127.0.0.1", 8000), True),
        ("[0:0::1]:8000", Address("tcp", "::1", 8000), True),
        (":8000", Address("tcp", "127.0.0.1", 8000), False),
        ("127.0.0.1:8000", Address("tcp", "", 8000), False),
        ("127.0.0.1:0", Address("tcp", "127.0.0.1", 8000), False),
        ("unix:@web", Address("unix", path="@web"), True),
        ("unix:/run/./x.sock", Address("unix", path="/run/x.sock"), True),
    ],
)
def test_same_place(bind: str, bound: Address, same: bool) -> None:
    setting = PROFILE._replace(value=(parse_address(bind),))
    assert (served(setting, TCP._replace(address=bound))[0] == ["fd://3"]) == same


@pytest.mark.parametrize("environ", [{}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}])
def test_what_is_meant_for_another_process_is_not_ours(environ: dict[str, str]) -> None:
    assert passed_sockets(environ, os.getpid()) == ()


def test_descriptors_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket() as idle, (tmp_path / "file").open("w") as file:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        monkeypatch.setattr("launcher.activation.FIRST_DESCRIPTOR", listener.fileno())
        for other in (idle, file):
            assert passed_sockets_at(monkeypatch, other.fileno()) == Passed(other.fileno(), "unknown", None)
        found = passed_sockets_at(monkeypatch, listener.fileno(), "web")
        assert found == Passed(listener.fileno(), "web", Address("unix", path=str(tmp_path / "sock")))


def passed_sockets_at(monkeypatch: pytest.MonkeyPatch, fd: int, *names: str) -> Passed:
    monkeypatch.setattr("launcher.activation.FIRST_DESCRIPTOR", fd)
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": "7", "LISTEN_FDNAMES": ":".join(names)}
    (found,) = passed_sockets(environ, 7)
    return found
