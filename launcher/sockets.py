"""Listening sockets: opened here, handed to whichever server runs.

They are `_socket.socket`s, what `socket.socket` is built on: importing `socket` costs a start 6 ms. Who wants to
accept on one takes it over: `socket.socket(fileno=listen(...).detach())`.
"""

from __future__ import annotations

import _socket
import errno
import os
import stat

from .accounts import group_id, user_id
from .address import Address
from .errors import Exit, Finding, LaunchError
from .lean import TYPE_CHECKING, Record
from .origin import Origin

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


FIRST_DESCRIPTOR = 3
"""Source: sd_listen_fds(3), SD_LISTEN_FDS_START."""

PASSED_BY = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
"""Variables by which sockets are passed to us; the server is not to have them. Source: sd_listen_fds(3)."""
SOCKETS_OURS = "LAUNCHER_SOCKETS_OURS"
"""Environment variable of a server whose listening sockets nobody else may go on listening at."""
SOCKETS_STAY = "LAUNCHER_SOCKETS_STAY"
"""Variable that is set for a server whose listening sockets systemd holds too: what waits in their backlogs as it
stops is for its successor."""

UNLINK = "LAUNCHER_UNLINK"
"""Variable that names the unix sockets which the server is to remove in the end, as PATH names directories."""


class Rights(Record):
    """Who may connect to a unix socket."""

    mode: int | None = None
    """None leaves it to the process's umask."""
    uid: int = -1
    gid: int = -1

    @classmethod
    def of(cls, mode: int | None, owner: str | None) -> Rights:
        """Return the rights for a mode and `USER[:GROUP]`, given by names or numbers that exist."""
        user, _, group = (owner or "").partition(":")
        uid, gid = user_id(user) if user else None, group_id(group) if group else None
        return cls(mode, -1 if uid is None else uid, -1 if gid is None else gid)


ANYONE = Rights()


def paths_to_unlink(value: str) -> tuple[str, ...]:
    """Read what UNLINK holds."""
    return tuple(path for path in value.split(os.pathsep) if path)


def listen(
    address: Address,
    *,
    backlog: int,
    rights: Rights = ANYONE,
    reuse_port: bool = False,
    origin: Origin | None = None,
) -> _socket.socket:
    """Open `address` and listen on it.

    A unix socket that nobody answers on is replaced; one that is answered, and a file that is no socket,
    are left alone. Raises LaunchError (exit status 7) that names the address and, where it can, the holder.
    """
    try:
        if address.kind == "fd":
            return _inherited(address.fd, backlog)
        if address.kind == "unix":
            return _unix(address.path, backlog, rights)
        return _tcp(address, backlog, reuse_port)
    except OSError as error:
        raise LaunchError(_refusal(address, error, origin)) from error


def _resolve(host: str, port: int) -> list[tuple[Any, ...]]:
    """Return what getaddrinfo says. Raises OSError."""
    # Bytes: a name given as text loads Python's IDNA tables, 2 ms of every start.
    try:
        name = host.encode("ascii" if host.isascii() else "idna") if host else None
    except UnicodeError as error:
        raise _socket.gaierror(_socket.EAI_NONAME, "no such name is possible") from error
    return _socket.getaddrinfo(name, port, type=_socket.SOCK_STREAM, flags=_socket.AI_PASSIVE)


def _tcp(address: Address, backlog: int, reuse_port: bool) -> _socket.socket:
    host = address.host or None
    found = _resolve(address.host, address.port)
    # Every interface means IPv4 and IPv6 on one socket where the machine has both.
    if host is None and _dual_stack():
        found = [info for info in found if info[0] == _socket.AF_INET6] or found
    family, _, _, _, where = found[0]
    sock = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0 if host is None else 1)
        sock.bind(where)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _dual_stack() -> bool:
    """Return whether one socket can serve IPv6 and IPv4 here."""
    try:
        sock = _socket.socket(_socket.AF_INET6, _socket.SOCK_STREAM)
    except OSError:
        return False
    try:
        sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0)
    except OSError:
        return False
    finally:
        sock.close()
    return True


def _unix(path: str, backlog: int, rights: Rights) -> _socket.socket:
    abstract = path.startswith("@")
    name = "\0" + path[1:] if abstract else path
    if not abstract:
        _clear_stale(path)
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        # Nobody may connect before mode and owner are right: the file is born with no rights at all.
        before = os.umask(0o777)
        try:
            sock.bind(name)
        finally:
            os.umask(before)
        if not abstract:
            try:
                if (rights.uid, rights.gid) != (-1, -1):
                    os.chown(path, rights.uid, rights.gid)
                os.chmod(path, 0o666 & ~before if rights.mode is None else rights.mode)
            except OSError:
                os.unlink(path)
                raise
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _clear_stale(path: str) -> None:
    """Remove the socket file of a server that is gone; raise OSError if it is in use or something else."""
    try:
        kind = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(kind):
        raise OSError(errno.EISDIR, "is a directory")
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EEXIST, "is a file that is no socket")
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    probe.settimeout(1.0)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    except TimeoutError:  # a full backlog belongs to somebody
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from None
    else:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    finally:
        probe.close()


def _inherited(fd: int, backlog: int) -> _socket.socket:
    sock = _socket.socket(fileno=os.dup(fd))
    if not sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
        sock.close()
        raise OSError(errno.EINVAL, "is a socket that does not listen")
    sock.listen(backlog)
    return sock


def move_to(first: int, fds: Sequence[int]) -> None:
    """Move descriptors to the numbers from `first` on, inheritable."""
    import fcntl

    # Out of the way first: a descriptor may stand where another has to go.
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, first + len(fds)) for fd in fds]
    for fd in fds:
        os.close(fd)
    for number, fd in enumerate(high, first):
        os.dup2(fd, number, inheritable=True)
        os.close(fd)


def bound_address(sock: _socket.socket) -> Address:
    """Return what a listening socket is bound to: the real port where 0 was asked for."""
    name = sock.getsockname()
    if sock.family == _socket.AF_UNIX:
        path = os.fsdecode(name)
        return Address("unix", path="@" + path[1:] if path.startswith("\0") else path)
    host = "" if name[0] in ("::", "0.0.0.0") else name[0]
    return Address("tcp", host=host, port=name[1])


def same_place(address: Address, bound: Address) -> bool:
    """Return whether opening `address` would have given a socket that is bound to `bound` (see bound_address)."""
    if address.kind != bound.kind:
        return False
    if address.kind == "unix":
        same = address.path == bound.path
        return same or (not address.abstract and os.path.realpath(address.path) == os.path.realpath(bound.path))
    if address.port != bound.port:
        return False
    host = "" if address.host in ("::", "0.0.0.0") else address.host
    try:
        return host == bound.host or bool(host and _resolve(host, bound.port)[0][4][0] == bound.host)
    except OSError:
        return False


def _refusal(address: Address, error: OSError, origin: Origin | None) -> Finding:
    code, message, fix = "address-refused", f"cannot listen on {address}: {error.strerror or error}", ""
    if isinstance(error, _socket.gaierror):
        code, fix = "address-unknown", "Give the address of one of this machine's interfaces."
    elif error.errno == errno.EADDRINUSE:
        holder = _holder(address)
        if holder == str(os.getpid()):
            code, message = "address-in-use", f"{address} is bound twice: another address of bind takes it in"
            fix = "Leave one of them out."
        else:
            code, message = "address-in-use", f"{address} is in use{_described(holder)}"
            fix = "Stop that server, or choose another address with --bind."
    elif error.errno == errno.EADDRNOTAVAIL:
        code, fix = "address-unknown", "No interface of this machine has that address."
    elif error.errno in (errno.EACCES, errno.EPERM):
        code = "address-not-permitted"
        if address.kind == "tcp":
            fix = 'A port below 1024 needs root: start as root with user = "...", or let systemd open it.'
        elif error.errno == errno.EACCES:
            fix = f"The directory {os.path.dirname(address.path) or '.'} must be writable for this user."
        else:
            fix = "Only root can give a socket to another socket_owner, or remove another user's."
    elif error.errno == errno.EEXIST:
        fix = "Nothing was removed. Choose another path, or remove the file yourself."
    elif error.errno == errno.EISDIR:
        fix = f"Name a file in it: unix:{os.path.join(address.path, 'serve.sock')}."
    elif error.errno == errno.ENOENT:
        fix = f"Make the directory {os.path.dirname(address.path) or '.'} first."
    elif error.errno in (errno.EBADF, errno.ENOTSOCK, errno.EINVAL) and address.kind == "fd":
        fix = "fd:// names a listening socket that systemd or another parent passes in."
    return Finding(code, message, fix, origin, Exit.ADDRESS)


def _holder(address: Address) -> str | None:
    """Return the pid of the process that listens on `address`, where /proc tells."""
    inode = _inode_of(address)
    if inode is None:
        return None
    link = f"socket:[{inode}]"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if any(_readlink(f"/proc/{pid}/fd/{fd}") == link for fd in os.listdir(f"/proc/{pid}/fd")):
                return pid
        except OSError:
            continue
    return None


def _described(pid: str | None) -> str:
    """Return ` by pid 7 (name)`; nothing for a process that is not known, or has gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = [os.path.basename(os.fsdecode(word)) for word in file.read().split(b"\0") if word]
    except OSError:
        return ""
    return f" by pid {pid} ({' '.join(words)[:60]})"


def _readlink(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _inode_of(address: Address) -> str | None:
    """Return the inode of the socket that listens on `address`. Source: proc(5), /proc/net."""
    if address.kind == "unix":
        for fields in _proc_table("/proc/net/unix"):
            if len(fields) > 7 and fields[7] == address.path:
                return fields[6]
        return None
    port = f"{address.port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for fields in _proc_table(table):
            listening = len(fields) > 9 and fields[3] == "0A"
            if listening and fields[1].rpartition(":")[2] == port:
                return fields[9]
    return None


def _proc_table(path: str) -> list[list[str]]:
    try:
        with open(path) as file:
            return [line.split() for line in file][1:]
    except OSError:
        return []
