"""The files that TLS is spoken with: what is wrong with them, before a client finds out.

`_ssl` is what `ssl` is built on: importing `ssl` costs a start 30 ms more.
"""

from __future__ import annotations

import _ssl

from .errors import Exit, Finding
from .lean import Record

STRANGERS = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""What OpenSSL 3.0 says of a key that is another certificate's; the last where it is of another kind."""


class Fault(Record):
    """What is wrong with the file that one option names."""

    option: str
    message: str
    fix: str

    def finding(self) -> Finding:
        return Finding("bad-certificate", f"{self.option}: {self.message}", self.fix, status=Exit.PROFILE)


class _Encrypted(Exception):
    """A key asks for its pass phrase."""


def faults(cert: str, key: str | None, ca: str | None) -> list[Fault]:
    """Return what is wrong for this process's user. A terminal is never asked for a pass phrase."""
    paths = {"tls_cert": cert, "tls_key": key, "tls_ca": ca}
    unreadable = [fault for option, path in paths.items() if path and (fault := _unreadable(option, path))]
    if unreadable:
        return unreadable
    found = _of_chain(cert, key)
    if ca and not _holds_certificates(ca):
        found.append(Fault("tls_ca", f"{ca} holds no certificate, or only part of one", "Write it there in PEM form."))
    return found


def _unreadable(option: str, path: str) -> Fault | None:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except FileNotFoundError:
        return Fault(option, f"{path} does not exist", "Name a file that does.")
    except OSError as error:
        return Fault(option, f"{path} cannot be read: {error.strerror}", "Workers read it, as their own user.")
    return None


def _of_chain(cert: str, key: str | None) -> list[Fault]:
    option, path = ("tls_key", key) if key else ("tls_cert", cert)
    try:
        _ssl._SSLContext(_ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, _refuse)
    except _Encrypted:
        fix = f"Decrypt it, with openssl pkey -in {path} -out NEW, and set tls_key to the new file."
        return [Fault(option, f"the key in {path} is encrypted, and nobody is there to type its pass phrase", fix)]
    except _ssl.SSLError as error:
        if not _holds_certificates(cert):
            fix = "Write the whole chain there in PEM form, the server's own certificate first."
            return [Fault("tls_cert", f"{cert} holds no certificate, or only part of one", fix)]
        if error.reason in STRANGERS:
            fix = "Give the key that the certificate was made for."
            return [Fault(option, f"the key in {path} does not belong to the certificate in {cert}", fix)]
        if error.library == "SSL" and error.reason:
            reason = error.reason.replace("_", " ").lower()
            return [Fault("tls_cert", f"{cert} cannot be used: {reason}", "Have another one made.")]
        if key is None:
            message = f"{cert} holds no whole private key, and tls_key is not set"
            return [Fault("tls_cert", message, "Set tls_key to the file of its key.")]
        return [Fault("tls_key", f"{key} holds no private key, or only part of one", "Write it there in PEM form.")]
    return []


def _holds_certificates(path: str) -> bool:
    try:
        _ssl._SSLContext(_ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except _ssl.SSLError:
        return False
    return True


def _refuse() -> str:
    raise _Encrypted
