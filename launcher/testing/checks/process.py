"""What the processes are."""

import grp
import importlib.util
import os
import pwd
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

from ..client import DEADLINE_S
from ..kit import Check, Kit
from ..serving import clean_environment, same, wait_for_text

NOBODY = "nobody"


def worker_becomes_the_user(kit: Kit) -> None:
    account = pwd.getpwnam(NOBODY)
    assert_becomes(kit, account.pw_gid)


def worker_becomes_the_group(kit: Kit) -> None:
    assert_becomes(kit, grp.getgrnam("daemon").gr_gid)


def assert_becomes(kit: Kit, gid: int) -> None:
    account = pwd.getpwnam(NOBODY)
    python, environ = python_for(account)
    with kit.serve(directory=kit.project(public=True), python=python, environ=environ) as serving:
        seen = serving.report("/process")
        same((seen["uid"], seen["gid"]), (account.pw_uid, gid), "user and group")
        same(seen["groups"], sorted(os.getgrouplist(NOBODY, gid)), "all groups")
        same(seen["environ"]["HOME"], account.pw_dir, "HOME")


def python_for(account: pwd.struct_passwd) -> tuple[str, dict[str, str]]:
    """Return a Python that another user can run too, and variables with which it finds what this one finds."""
    own = os.path.realpath(sys.base_prefix)
    path = [place for place in sys.path if place and not os.path.realpath(place).startswith(f"{own}{os.sep}lib")]
    environ = {"PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"}
    name = "python{}.{}".format(*sys.version_info)
    for python in (sys.executable, shutil.which(name), f"/usr/bin/{name}"):
        try:
            tried = subprocess.run(
                [str(python), "-c", "import launcher.testing.application"],
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=[],
                env={**clean_environment(), **environ},
                cwd="/",
                capture_output=True,
                check=False,
            )
        except OSError:
            continue
        if tried.returncode == 0:
            return str(python), environ
    raise SkipTest(f"{account.pw_name} can neither run this Python nor read its packages")


def files_have_the_mask(kit: Kit) -> None:
    made = kit.public / "made"
    with kit.serve() as serving:
        same(serving.report("/process")["umask"], "0027", "umask")
        serving.report(f"/file?path={made}")
        same(f"{made.stat().st_mode & 0o777:o}", "640", "mode of a file")


def pid_file_names_the_main_process(kit: Kit) -> None:
    path = kit.public / "kit.pid"
    path.write_text("2147483647\n")  # of a server that was killed
    with kit.serve() as serving:
        wait_for_text(path, f"{serving.pid}\n", serving)
        same(path.read_text(), f"{serving.pid}\n", "the pid file")
        serving.stop_cleanly()
        assert not path.exists(), "the pid file is left behind"


def processes_show_the_name(kit: Kit) -> None:
    if importlib.util.find_spec("setproctitle") is None:
        raise SkipTest("setproctitle is not installed")
    with kit.serve() as serving:
        for pid in {serving.pid, serving.report()["pid"]}:
            wait_for_text(Path(f"/proc/{pid}/cmdline"), "kit-of-serve", serving)


def those_who_are_declared_say_ready(kit: Kit) -> None:
    speaks = kit.backend.notifies
    path = kit.public / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listener.settimeout(DEADLINE_S if speaks else 0.0)
        listener.bind(str(path))
        with kit.serve(environ={"NOTIFY_SOCKET": str(path)}) as serving:
            serving.report()
            serving.stop_cleanly()
            try:
                while "READY=1" not in (said := heard(listener, serving.pid if speaks == "main" else None)):
                    pass
            except OSError:
                assert not speaks, f"it is declared that READY=1 comes from {speaks}, and it does not"
            else:
                assert speaks, f"it is declared to say nothing, and says {said}"


def heard(listener: socket.socket, speaker: int | None) -> list[str]:
    """Return the lines of the next message; none where another than `speaker` sent it. Raises OSError."""
    size = struct.calcsize("3i")
    data, extra, _, _ = listener.recvmsg(4096, socket.CMSG_SPACE(size))
    pid, _, _ = struct.unpack("3i", extra[0][2][:size])
    return data.decode().splitlines() if speaker in (None, pid) else []


CHECKS = (
    Check("user", {"user": NOBODY}, worker_becomes_the_user, as_root=True),
    Check("group", {"user": NOBODY, "group": "daemon"}, worker_becomes_the_group, as_root=True),
    Check("umask", {"umask": "0027"}, files_have_the_mask),
    Check("pid-file", {"pid_file": "PUBLIC/kit.pid"}, pid_file_names_the_main_process),
    Check("readiness", {}, those_who_are_declared_say_ready),
    Check("process-name", {"process_name": "kit-of-serve"}, processes_show_the_name),
)
