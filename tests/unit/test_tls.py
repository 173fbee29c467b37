"""launcher.tls: which file is wrong, and what to do."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.child import certificate_faults
from launcher.testing.checks.process import python_for
from launcher.tls import faults


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("files")
    kinds = {"server": "ec -pkeyopt ec_paramgen_curve:P-256", "other": "ec -pkeyopt ec_paramgen_curve:P-256"}
    for name, kind in {**kinds, "rsa": "rsa:2048", "weak": "rsa:512"}.items():
        words = f"req -x509 -newkey {kind} -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        openssl(directory, words)
    openssl(directory, "ec -in server.key -aes128 -passout pass:secret -out old.key")
    openssl(directory, "pkey -in server.key -aes128 -passout pass:secret -out locked.key")
    cert, key = ((directory / f"server.{kind}").read_text() for kind in ("pem", "key"))
    texts = {
        "both.pem": cert + key,
        "locked.pem": cert + (directory / "locked.key").read_text(),
        "half.pem": cert[:300],
        "chain.pem": cert + cert[:300],
        "half.key": key[:100],
        "junk": "hello\n",
        "empty": "",
    }
    for name, text in texts.items():
        (directory / name).write_text(text)
    return directory


def openssl(directory: Path, words: str) -> None:
    subprocess.run(["openssl", *words.split()], cwd=directory, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("cert", "key", "option", "message"),
    [
        ("server.pem", "server.key", "", ""),
        ("both.pem", None, "", ""),
        ("missing", "server.key", "tls_cert", "missing does not exist"),
        ("server.pem", ".", "tls_key", ". cannot be read: Is a directory"),
        ("half.pem", "server.key", "tls_cert", "half.pem holds no certificate, or only part of one"),
        ("chain.pem", "server.key", "tls_cert", "chain.pem holds no certificate, or only part of one"),
        ("junk", "server.key", "tls_cert", "junk holds no certificate"),
        ("empty", None, "tls_cert", "empty holds no certificate"),
        ("server.key", "server.pem", "tls_cert", "server.key holds no certificate"),
        ("weak.pem", "weak.key", "tls_cert", "weak.pem cannot be used: ee key too small"),
        ("server.pem", None, "tls_cert", "server.pem holds no whole private key, and tls_key is not set"),
        ("server.pem", "half.key", "tls_key", "half.key holds no private key, or only part of one"),
        ("server.pem", "junk", "tls_key", "junk holds no private key"),
        ("server.pem", "other.key", "tls_key", "other.key does not belong to the certificate in server.pem"),
        ("server.pem", "rsa.key", "tls_key", "rsa.key does not belong to the certificate in server.pem"),
        ("server.pem", "locked.key", "tls_key", "locked.key is encrypted"),
        ("server.pem", "old.key", "tls_key", "old.key is encrypted"),
        ("locked.pem", None, "tls_cert", "locked.pem is encrypted"),
    ],
)
def test_the_file_that_is_wrong_is_named(
    cert: str, key: str | None, option: str, message: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    found = faults(cert, key, None)
    assert [fault.option for fault in found] == ([option] if option else [])
    assert all(message in fault.message and fault.fix for fault in found)


def test_an_authority_is_looked_at_too(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    assert faults("both.pem", None, "other.pem") == []
    assert [fault.option for fault in faults("server.pem", "other.key", "junk")] == ["tls_key", "tls_ca"]
    assert [fault.option for fault in faults("nowhere", "server.key", "missing")] == ["tls_cert", "tls_ca"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_workers_read_the_files_as_their_own_user(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python, environ = python_for(pwd.getpwnam("nobody"))
    monkeypatch.setattr(sys, "executable", python)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    cert, key = "/etc/hostname", str(files / "server.key")
    assert [fault.option for fault in certificate_faults(cert, key, None, "root", "root")] == ["tls_cert"]
    (fault,) = certificate_faults(cert, key, None, "nobody", "nogroup")
    assert (fault.option, fault.message) == ("tls_key", f"{key} cannot be read: Permission denied")
