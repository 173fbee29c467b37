"""launcher.certificate: when one is made, where, and for whom."""

import os
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import certificate
from launcher.certificate import Place, place_of, provide
from launcher.errors import LaunchError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def place(environ: dict[str, str]) -> Place:
    return place_of(environ)


def content(place: Place) -> list[bytes]:
    return [Path(path).read_bytes() for path in (place.cert, place.key, place.authority)]


@pytest.mark.parametrize("state", ["", "not/absolute"])
def test_without_a_state_directory_it_is_below_the_home(state: str) -> None:
    environ = {"HOME": "/home/dev", "XDG_STATE_HOME": state}
    assert place_of(environ).cert == "/home/dev/.local/state/serve/https/localhost.pem"


def test_it_is_private_and_is_told_once(environ: dict[str, str], place: Place) -> None:
    assert place.authority in provide(place.cert, environ)
    assert stat.S_IMODE(os.stat(place.directory).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(place.key).st_mode) == 0o600
    made = content(place)
    assert provide(place.cert, environ) == ""
    assert content(place) == made
    assert sorted(os.listdir(place.directory)) == ["ca.pem", "localhost-key.pem", "localhost.pem"]


def test_somebody_elses_certificate_is_none_of_its_business(environ: dict[str, str], place: Place) -> None:
    assert provide("/etc/ssl/mine.pem", environ) == provide(None, environ) == ""
    assert not os.path.exists(place.directory)


@pytest.mark.parametrize(("days", "again"), [(29.5, True), (31, False), (-1, True)])
def test_one_that_is_about_to_expire_is_made_anew(
    environ: dict[str, str], place: Place, days: float, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "DAYS", days + 1 if days < 0 else days)
    provide(place.cert, environ)
    made = content(place)
    monkeypatch.undo()
    assert bool(provide(place.cert, environ)) == again
    assert (content(place) != made) == again


@pytest.mark.parametrize("part", ["cert", "key", "authority"])
@pytest.mark.parametrize("damage", ["gone", "empty", "garbage", "another"])
def test_one_that_is_damaged_is_made_anew(
    environ: dict[str, str], place: Place, part: str, damage: str, tmp_path: Path
) -> None:
    provide(place.cert, environ)
    path = Path(getattr(place, part))
    if damage == "another":
        other = {"XDG_STATE_HOME": str(tmp_path / "other")}
        provide(place_of(other).cert, other)
        path.write_bytes(Path(getattr(place_of(other), part)).read_bytes())
    elif damage == "gone":
        path.unlink()
    else:
        path.write_text("" if damage == "empty" else "-----BEGIN NONSENSE-----\n")
    assert provide(place.cert, environ)
    assert provide(place.cert, environ) == ""


@pytest.mark.parametrize("name", certificate.NAMES)
def test_a_client_that_trusts_the_authority_is_content(environ: dict[str, str], place: Place, name: str) -> None:
    provide(place.cert, environ)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(place.cert, place.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = ssl.create_default_context(cafile=place.authority).wrap_bio(to_client, to_server, server_hostname=name)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (here, there):
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    here.do_handshake()


def test_a_directory_that_others_may_read_is_closed(environ: dict[str, str], place: Place) -> None:
    os.makedirs(place.directory, 0o755)
    provide(place.cert, environ)
    assert stat.S_IMODE(os.stat(place.directory).st_mode) == 0o700


def test_a_place_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ = {"XDG_STATE_HOME": str(tmp_path / "file")}
    with pytest.raises(LaunchError, match=r"cannot be kept in .*/file/serve/https: Not a directory"):
        provide(place_of(environ).cert, environ)


def test_without_trustme_the_extra_is_named(environ: dict[str, str], place: Place, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['trustme'] = None\nfrom launcher.certificate import provide\n"
        f"provide({place.cert!r}, {environ!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "trustme, which is not installed" in done.stderr
    assert 'pip install "wsgi-launcher[dev]"' in done.stderr
