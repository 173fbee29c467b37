"""The certificate: the one that `https` asks for, made on the spot for this machine alone, or somebody's own."""

from __future__ import annotations

import os
from datetime import UTC

from .backend import Backend
from .errors import Exit, Finding, LaunchError
from .lean import TYPE_CHECKING, Record
from .options import Options
from .origin import Setting
from .registry import BACKENDS, Registry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

NAMES = ("localhost", "127.0.0.1", "::1")
DAYS = 800
"""How long it lasts; Apple's browsers take none that lasts longer than 825."""
LEFT_DAYS = 30
"""With less to go it is made anew."""
INSTALL = 'Install it: pip install "wsgi-launcher[dev]"; or set tls_cert and tls_key.'


class Place(Record):
    """Where the certificate is, or is going to be."""

    directory: str

    @property
    def cert(self) -> str:
        return os.path.join(self.directory, "localhost.pem")

    @property
    def key(self) -> str:
        return os.path.join(self.directory, "localhost-key.pem")

    @property
    def authority(self) -> str:
        """What a browser is to be given for it to trust the certificate."""
        return os.path.join(self.directory, "ca.pem")


def place_of(environ: Mapping[str, str]) -> Place:
    """Return the user's own place. Source: XDG Base Directory Specification 0.8."""
    state = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):
        state = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".local", "state")
    return Place(os.path.join(state, "serve", "https"))


def settle(
    settings: dict[str, Setting[Any]], backend: Backend, registry: Registry, environ: Mapping[str, str]
) -> list[Finding]:
    """Set tls_cert and tls_key, unless a person has; return why that cannot be, on a server without TLS."""
    asked = settings["https"]
    if settings["tls_cert"].value or settings["tls_key"].value:
        return []
    rule = backend.rule("tls_cert")
    if rule.how == "impossible":
        able = [
            name
            for name in registry.names(BACKENDS)
            if registry.load(BACKENDS, name).rule("tls_cert").how != "impossible"
        ]
        message = f"{backend.name} cannot honour https = true: {rule.note}"
        fix = f"Choose {' or '.join(able)}, or remove the key."
        return [Finding("unsupported-option", message, fix, asked.origin, Exit.SERVER)]
    place = place_of(environ)
    settings["tls_cert"] = Setting(place.cert, asked.origin, (settings["tls_cert"],))
    settings["tls_key"] = Setting(place.key, asked.origin, (settings["tls_key"],))
    return []


def provide(tls_cert: str | None, environ: Mapping[str, str]) -> str:
    """Make the certificate where `tls_cert` is ours, unless a good one is there; return what to say of a new one.

    Raises LaunchError.
    """
    place = place_of(environ)
    if tls_cert != place.cert:
        return ""
    import fcntl

    try:
        _make_private(place.directory)
        lock = os.open(place.directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another start may be about it
            if _days_left(place) >= LEFT_DAYS:
                return ""
            _make(place, DAYS)
        finally:
            os.close(lock)
    except ImportError as error:
        message = "https has its certificate made by the package trustme, which is not installed"
        raise LaunchError(Finding("no-certificate", message, INSTALL, status=Exit.SERVER)) from error
    except OSError as error:
        message = f"the certificate for https cannot be kept in {place.directory}: {error.strerror or error}"
        raise LaunchError(Finding("no-certificate", message, status=Exit.SERVER)) from error
    return f"a new certificate for localhost: browsers trust it once they are given the authority {place.authority}"


def unfit(options: Options, settings: Mapping[str, Setting[Any]]) -> list[Finding]:
    """Return what is wrong with the files that workers are to speak TLS with.

    gunicorn 27.0.1 starts with any files, and answers nobody.
    """
    if options.tls_cert is None:
        return []
    files = (options.tls_cert, options.tls_key, options.tls_ca)
    if options.user is None:
        from .tls import faults

        found = faults(*files)
    else:
        from .child import certificate_faults

        found = certificate_faults(*files, options.user, options.group)
    return [fault.finding()._replace(origin=settings[fault.option].origin) for fault in found]


def _make_private(directory: str) -> None:
    """Make a directory that is the user's alone. Raises OSError."""
    os.makedirs(os.path.dirname(directory), exist_ok=True)
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        if os.lstat(directory).st_uid != os.getuid():
            raise PermissionError(None, "it is another user's") from None
        os.chmod(directory, 0o700)


def _days_left(place: Place) -> float:
    """Return how long a client that trusts the authority will be content; below zero where none is now."""
    import ssl
    import time

    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        server.load_cert_chain(place.cert, place.key)
        client = ssl.create_default_context(cafile=place.authority)
        here = client.wrap_bio(to_client, to_server, server_hostname=NAMES[0])
        there = server.wrap_bio(to_server, to_client, server_side=True)
        for side in (here, there, here):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass  # it is the other's turn
        shown: Any = here.getpeercert()
        return (ssl.cert_time_to_seconds(shown["notAfter"]) - time.time()) / 86400
    except (OSError, ValueError):
        return -1.0


def _make(place: Place, days: float) -> None:
    """Make an authority and what it signs. Nobody keeps its key: whoever trusts it trusts this one certificate."""
    from datetime import datetime, timedelta

    import trustme

    now = datetime.now(UTC)
    authority = trustme.CA(path_length=0, organization_name="serve", organization_unit_name=f"localhost {now:%Y-%m-%d}")
    issued = authority.issue_cert(*NAMES, not_before=now - timedelta(days=1), not_after=now + timedelta(days=days))
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
    for path, content in (
        (place.key, issued.private_key_pem.bytes()),
        (place.cert, chain),
        (place.authority, authority.cert_pem.bytes()),
    ):
        scratch = f"{path}.{os.getpid()}"
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
        os.replace(scratch, path)
