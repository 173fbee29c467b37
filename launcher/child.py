"""Questions that only an import answers, asked in a throw-away child process.

Nothing here is on the path of a start whose files speak for themselves.
"""

import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .accounts import group_id, user_id
from .application import VARIABLE
from .loading import LOADING_S

if TYPE_CHECKING:
    from .tls import Fault


def read_settings(module: str, path: Sequence[str], environ: Mapping[str, str], cwd: str) -> dict[str, Any]:
    """Import a settings module as a worker would; return what it says of WSGI_APPLICATION (launcher.runners.probe)."""
    told = {"DJANGO_SETTINGS_MODULE": module, VARIABLE: json.dumps({"target": "", "path": list(path)})}
    return _ask("settings", {**environ, **told}, cwd)


def load_application(
    environ: Mapping[str, str], cwd: str, user: str | None = None, group: str | None = None
) -> dict[str, Any]:
    """Load the application as a worker would, as the user whom workers become.

    `environ` says how (`application.VARIABLE`).
    """
    return _ask("application", environ, cwd, _rights(user, group))


def against_user(environ: Mapping[str, str], user: str, group: str | None) -> str:
    """Return why the user whom workers become cannot run this Python, and read this package; empty where he can."""
    rights = _rights(user, group)
    if not rights:
        return ""
    command = [sys.executable, "-P", "-c", "import launcher"]
    try:
        done = subprocess.run(
            command, cwd="/", env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, check=False, **rights
        )
    except OSError as error:
        return str(error.strerror)
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return (said or [f"it ends with status {done.returncode}"])[-1] if done.returncode else ""


def certificate_faults(cert: str, key: str | None, ca: str | None, user: str, group: str | None) -> list["Fault"]:
    """Return what is wrong with the files of TLS for the user whom workers become: it is workers that read them."""
    from .tls import Fault, faults

    rights = _rights(user, group)
    if not rights:
        return faults(cert, key, ca)
    code = "import json, sys; from launcher.tls import faults; print(json.dumps(faults(*json.loads(sys.argv[1]))))"
    command = [sys.executable, "-P", "-c", code, json.dumps([cert, key, ca])]
    try:
        done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False, **rights)
    except OSError:
        return []  # this user cannot run Python: `against_user` is there to say so
    return [Fault(*words) for words in json.loads(done.stdout or "[]")]


def _rights(user: str | None, group: str | None) -> dict[str, Any]:
    """Return what makes a child another user's: files that the import makes must not be root's."""
    uid = user_id(user) if user else None
    gid = group_id(group) if group else None
    if os.geteuid() != 0 or uid is None or gid is None:
        return {}
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return {"user": uid, "group": gid, "extra_groups": [gid]}
    return {"user": uid, "group": gid, "extra_groups": os.getgrouplist(account.pw_name, gid)}


def importable(module: str, path: Sequence[str]) -> bool:
    """Return whether an import system with its hooks finds a module, without running it beyond its packages."""
    code = (
        "import importlib.util, sys; sys.path[:0] = sys.argv[2:]; sys.exit(not importlib.util.find_spec(sys.argv[1]))"
    )
    command = [sys.executable, "-P", "-c", code, module, *path]
    try:
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=LOADING_S, check=False
        )
    except subprocess.TimeoutExpired:
        return True  # whoever loads it says that it hangs
    return done.returncode == 0


def _ask(
    question: str, environ: Mapping[str, str], cwd: str, rights: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    command = [sys.executable, "-P", "-m", "launcher.runners.probe", question, "--result-fd", str(write_end)]
    began = time.monotonic()
    # Neither pipe is read to its end: what the import has started may hold it open.
    with os.fdopen(read_end, "rb") as answers, os.fdopen(os.memfd_create("said"), "w+b") as said:
        try:
            child = subprocess.Popen(
                command, cwd=cwd, env=dict(environ), pass_fds=[write_end], stdin=subprocess.DEVNULL,
                stdout=said, stderr=subprocess.STDOUT, **(rights or {}),
            )  # fmt: skip
        except OSError as error:
            who = f" as user {rights['user']}" if rights else ""
            return {"ok": False, "message": f"{sys.executable} cannot be run{who} in {cwd}: {error.strerror}"}
        finally:
            os.close(write_end)
        with child:
            child.wait()
        if answer := answers.read():
            result: dict[str, Any] = json.loads(answer)
            return result
        said.seek(0)
        tail = said.read().decode(errors="replace").strip()
    if time.monotonic() - began >= LOADING_S:
        message = f"the import did not end within {LOADING_S:g} s"
    else:
        message = f"the process that imports it ended with status {child.returncode}"
    return {"ok": False, "message": message, "traceback": tail}
