import os

import pytest

from launcher.address import Address
from launcher.runners.arguments import Options, parse, parser
from launcher.sockets import paths_to_unlink


def read(*argv: str) -> Options:
    return parse(parser("waitress", threads=4), [*argv, "module:app"], Options())


def test_defaults() -> None:
    options = read("--fd", "3")
    assert (options.fd, options.bind, options.application) == ([3], [], "module:app")
    assert (options.threads, options.backlog, options.log_level) == (4, 1024, "info")
    assert (options.client_timeout, options.keepalive, options.graceful_timeout) == (30, 5, 30)
    assert [options.max_header_size, options.max_body_size, options.identity] == [None, None, None]


def test_what_is_repeated_adds_up() -> None:
    options = read("--bind", "127.0.0.1:80", "--bind", "unix:/a")
    assert options.bind == [Address("tcp", host="127.0.0.1", port=80), Address("unix", path="/a")]


def test_rights_of_sockets() -> None:
    rights = read("--fd", "3", "--socket-mode", "0660", "--socket-owner", "root:root").rights
    assert rights == (0o660, 0, 0)
    assert read("--fd", "3", "--socket-owner", "0").rights == (None, 0, -1)


@pytest.mark.parametrize(
    "argv",
    [
        ["--bind", "here"],
        ["--fd", "-1"],
        ["--threads", "1.5"],
        ["--threads", "\u0663"],
        ["--keepalive", "-1"],
        ["--keepalive", "inf"],
        ["--graceful-timeout", "soon"],
        ["--max-header-size", "0"],
        ["--socket-mode", "01000"],
        ["--socket-mode", "-1"],
        ["--group", "no-such-group"],
        ["--log-level", "loud"],
    ],
)
def test_values_that_cannot_be_end_with_usage(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read("--fd", "3", *argv)
    assert caught.value.code == 2


def test_paths_to_unlink() -> None:
    assert paths_to_unlink("") == ()
    assert paths_to_unlink(os.pathsep.join(["/a", "", "/b"])) == ("/a", "/b")
