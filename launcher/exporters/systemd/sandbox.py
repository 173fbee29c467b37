"""What a service is kept from. Facts: systemd 252, held by live tests."""

import sys
from collections.abc import Iterable

from ...plan import LaunchPlan

LINES = """\
# The sandbox. What a line costs an application is said where it costs something; loosen it in a drop-in.
NoNewPrivileges=yes
# No capability at all: ports below 1024 are opened by the socket unit.
CapabilityBoundingSet=
# The file system is read-only, but for what is named above and for temporary files.
ProtectSystem=strict
PrivateDevices=yes
PrivateMounts=yes
# Only processes of its own user are in /proc, and users but its own and root are `nobody`.
ProtectProc=invisible
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes
# ctypes, numpy and gevent live with it; a JIT such as PyPy's does not.
MemoryDenyWriteExecute=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# os.chown and os.nice raise PermissionError; without this line they would end the worker.
SystemCallErrorNumber=EPERM
"""


HOMES = ("/home/", "/root/", "/run/user/")
TEMPORARY = ("/tmp/", "/var/tmp/")


def sandbox(plan: LaunchPlan) -> str:
    needed = (plan.command.argv[0], sys.base_prefix, plan.project.root, *(plan.options.python_path or ()))
    return LINES + _temporary(needed) + _homes(needed)


def _temporary(needed: Iterable[str]) -> str:
    if not any(path.startswith(TEMPORARY) for path in needed):
        return "PrivateTmp=yes\n"
    reason = "# Project or interpreter are among temporary files, which a service with its own /tmp would not see.\n"
    return f"{reason}PrivateTmp=no\nReadWritePaths=/tmp /var/tmp\n"


def _homes(needed: Iterable[str]) -> str:
    if not any(path.startswith(HOMES) for path in needed):
        return "ProtectHome=yes\n"
    return "# Project or interpreter are in a home: its user must let the service's user in.\nProtectHome=read-only\n"
