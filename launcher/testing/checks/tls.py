"""TLS, with certificates made on the spot."""

import ssl
import subprocess
from pathlib import Path

from ..client import Client
from ..kit import Check, Kit, program
from ..serving import Serving, same

SERVER = {"tls_cert": "PUBLIC/server.pem", "tls_key": "PUBLIC/server.key"}
CLIENTS = {"tls_ca": "PUBLIC/ca.pem"}


def make_certificates(directory: Path) -> None:
    """Write `ca`, `server`, `client`, each as NAME.pem with NAME.key, and `stranger`, whom nobody vouches for."""
    openssl = program("openssl")

    def make(name: str, *words: str) -> None:
        subprocess.run(
            [
                openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", *words,
            ],
            cwd=directory,
            check=True,
            capture_output=True,
        )  # fmt: skip

    make("ca", "-addext", "keyUsage=critical,keyCertSign")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE")
    make("server", *signed, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    make("client", *signed)
    make("stranger")


def client_context(directory: Path, name: str = "") -> ssl.SSLContext:
    """Return how a client speaks that trusts the kit's CA, and shows the certificate `name`."""
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    if name:
        context.load_cert_chain(directory / f"{name}.pem", directory / f"{name}.key")
    return context


def https_is_spoken(kit: Kit) -> None:
    make_certificates(kit.public)
    tls = client_context(kit.public)
    with kit.serve({"threads": 4}, tls=tls) as serving:
        seen = serving.report("/environ")
        same(seen["wsgi.url_scheme"], "https", "wsgi.url_scheme")
        body = b"x" * 200_000
        assert serving.request("/echo", method="POST", body=body).body == body, "the body was changed"
        with Client(serving.address) as plain:
            plain.get("/")
            ending = plain.rest()
            assert not ending.startswith(b"HTTP/1.1 2"), "plain HTTP is served too"
        # Whoever connects and says nothing holds up nobody.
        with Client(serving.address):
            serving.report()
        assert "https://" in serving.output, "the start line does not say https"
        half_a_renewal_changes_nothing(kit, serving)


def half_a_renewal_changes_nothing(kit: Kit, serving: Serving) -> None:
    """A certificate that is only half written is no reason to turn anybody away; a reload refuses it."""
    cert = kit.public / "server.pem"
    whole = cert.read_text()
    cert.write_text(whole[: len(whole) // 2])
    serving.report()
    done = serving.command("reload")
    assert f"{cert} holds no certificate" in done.stderr, f"the reload does not say what is wrong:\n{done.stderr}"
    serving.report()
    cert.write_text(whole)
    done = serving.command("reload")
    same(done.returncode, 0, f"status of a reload with a whole certificate ({done.stderr})")
    serving.report()


def clients_must_show_a_certificate(kit: Kit) -> None:
    make_certificates(kit.public)
    with kit.serve(tls=client_context(kit.public, "client")) as serving:
        for name in ("", "stranger"):
            assert turned_away(serving, client_context(kit.public, name)), f"{name or 'nobody'} was served"
        serving.report()


def clients_may_show_a_certificate(kit: Kit) -> None:
    make_certificates(kit.public)
    with kit.serve(tls=client_context(kit.public, "client")) as serving:
        with Client(serving.address, tls=client_context(kit.public)) as client:
            same(client.ask("/", "Connection: close").status, 200, "status for a client without certificate")
        assert turned_away(serving, client_context(kit.public, "stranger")), "a stranger was served"


def turned_away(serving: Serving, tls: ssl.SSLContext) -> bool:
    """Return whether a handshake, or in TLS 1.3 what follows it, fails."""
    try:
        with Client(serving.address, tls=tls) as client:
            return client.ask("/", "Connection: close").status != 200
    except OSError:
        return True


CHECKS = (
    Check("tls", SERVER, https_is_spoken),
    Check("tls-client-required", {**SERVER, **CLIENTS, "tls_client_cert": "required"}, clients_must_show_a_certificate),
    Check("tls-client-optional", {**SERVER, **CLIENTS, "tls_client_cert": "optional"}, clients_may_show_a_certificate),
)
