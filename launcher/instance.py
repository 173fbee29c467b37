"""The record of a running server: a private directory that says what runs, and how its last reload went.

`serve` makes it just before exec and names it to the server in `VARIABLE`; the server's hooks keep it true;
`serve status`, `reload` and `stop` read it. It is on the path of every start, so that nothing here may be dear.
"""

from __future__ import annotations

import errno
import os
import stat

from .jsontext import to_json
from .lean import TYPE_CHECKING, Record, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping
    from typing import Any


VARIABLE = "LAUNCHER_INSTANCE"
"""Environment variable of the server that names the directory."""

RECORD = "instance.json"
"""What `serve` started, and from which request."""
RELOAD = "reload.json"
"""The last reload: `number`, `phase`, `ok` (null while it lasts), `reason`, `generation`, `since`, `until`."""
ENVIRONMENT = "environment.json"
"""What reloads changed in the environment that workers load the application from: `set` and `drop`."""
BOARD = "workers"
"""The workers (launcher.board)."""
DRAINING = "draining"
"""Exists once the server was told to stop."""
PREFIX = "serve-instance-"
"""What a record is called, before the process id: unlike what others may have there, which nobody may remove."""
LAST_RESORT = "/tmp"
"""Where a record lies if the directories that the environment names cannot be used."""


class Instance(Record):
    """One server that runs."""

    directory: str
    pid: int
    """Of the main process."""
    facts: Mapping[str, Any]
    """What `RECORD` holds."""

    def file(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def stopping(self) -> bool:
        """Return whether it was told to stop, and finishes what it has."""
        return os.path.exists(self.file(DRAINING))


def create(environ: Mapping[str, str], facts: Mapping[str, Any], group: int | None = None) -> str:
    """Make the record of the server that this process is about to become, and return its directory.

    `facts` name at least `project` and `profile`. Where `group` is given its members may enter, since workers that
    run as another user write there too. Raises OSError where no place is private and writable.
    """
    problems = []
    for base in dict.fromkeys(_own_bases(environ)):
        try:
            return _create(base, base in _service_directories(environ), facts, group)
        except OSError as error:
            problems.append(error)
    raise problems[0]


def _create(base: str, made: bool, facts: Mapping[str, Any], group: int | None) -> str:
    if not made:
        _make_private(base)
    _sweep(base)
    directory = os.path.join(base, f"{PREFIX}{os.getpid()}")
    remove(directory)
    os.mkdir(directory, 0o700)
    try:
        _fill(directory, facts, group)
    except OSError:
        remove(directory)
        raise
    return directory


def _fill(directory: str, facts: Mapping[str, Any], group: int | None) -> None:
    if group is not None:
        os.chown(directory, -1, group)
        os.chmod(directory, 0o770)
    record = os.path.join(directory, RECORD)
    write(record, {**facts, "pid": os.getpid(), "started": started(os.getpid())})
    if group is not None:
        # The proof of new code reads it, as the user whom the server becomes.
        os.chown(record, -1, group)
        os.chmod(record, 0o640)
        # A main process that executes itself anew opens it as that user.
        board = os.path.join(directory, BOARD)
        os.close(os.open(board, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.chown(board, -1, group)
        os.chmod(board, 0o660)


def find(environ: Mapping[str, str], project: str, profile: str) -> list[Instance]:
    """Return the servers that run for a profile of a project, the oldest first, and remove the records of dead ones."""
    for directory in _records(environ):
        if read(directory) is None and _abandoned(directory):
            remove(directory)
    # A link that names the project may lead elsewhere since the server started: then both paths do.
    root = os.path.realpath(project)
    return [
        instance
        for instance in find_all(environ)
        if instance.facts.get("profile") == profile
        and os.path.realpath(instance.facts.get("project") or os.sep) == root
    ]


def find_all(environ: Mapping[str, str]) -> list[Instance]:
    """Return every server that runs and that this user may see, the oldest first."""
    found = [instance for directory in _records(environ) if (instance := read(directory)) is not None]
    return sorted(found, key=lambda instance: instance.facts.get("since") or 0)


def read(directory: str) -> Instance | None:
    """Return what runs, or None where nothing does any more, or where somebody else may have written the record."""
    owner = _trusted(directory)
    facts = load(os.path.join(directory, RECORD))
    pid, ticks = facts.get("pid"), facts.get("started")
    if owner is None or not isinstance(pid, int) or ticks is None:
        return None
    if _hidden(pid):
        return Instance(directory, pid, facts)
    if started(pid) != ticks:
        return None
    try:
        # Whoever wrote it must be root or run the server: root would otherwise signal whomever a stranger names.
        if owner not in (0, os.stat(f"/proc/{pid}").st_uid):
            return None
    except OSError:
        return None
    return Instance(directory, pid, facts)


def _hidden(pid: int) -> bool:
    """Return whether a process is not to be seen, but ours to signal: then there is nothing to compare.

    A service's own server is, from its ExecReload=, which runs in another user namespace (systemd 252, ProtectProc=
    with PrivateUsers=). The record lies in a directory that ends with the service.
    """
    if os.path.exists(f"/proc/{pid}"):
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return not os.path.exists(f"/proc/{pid}")  # it may be a new process


def started(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot; exec keeps it. None where there is none, or a zombie.

    Source: proc_pid_stat(5), fields 3 and 22.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def load(path: str) -> Mapping[str, Any]:
    """Return what a file of the record holds; nothing where it is missing or no JSON object."""
    import json  # not on the path of a start

    try:
        with open(path, encoding="utf-8", errors="surrogatepass") as file:  # a path need not be UTF-8
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write(path: str, values: Mapping[str, Any]) -> None:
    """Put a file of the record into its place all at once. Raises OSError."""
    write_file(path, to_json(dict(values)).encode("utf-8", "surrogatepass"))


def renew(directory: str, facts: Mapping[str, Any]) -> None:
    """Write into a record what a reload changed in it."""
    path = os.path.join(directory, RECORD)
    write(path, {**load(path), **facts})


def refresh(environ: MutableMapping[str, str]) -> None:
    """Bring an environment up to date with the reloads there were since it was made: a worker does so before it loads.

    A server whose main process cannot change its own environment (uWSGI) brings new settings to new workers so.
    """
    if directory := environ.get(VARIABLE):
        changed = load(os.path.join(directory, ENVIRONMENT))
        for name in changed.get("drop", ()):
            environ.pop(name, None)
        environ.update(changed.get("set", {}))


def draining_file(environ: Mapping[str, str]) -> str:
    """Return the path whose existence says that the server is to stop; empty without a record."""
    directory = environ.get(VARIABLE)
    return os.path.join(directory, DRAINING) if directory else ""


def drain(environ: Mapping[str, str]) -> None:
    """Say that the server is to stop: its ready_path answers 503 from now on."""
    if path := draining_file(environ):
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError:
            pass  # the record is gone, and with it whoever looked there


def remove(directory: str) -> None:
    """Remove a record, as far as it is there and ours."""
    try:
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)
    except OSError:
        pass


def _is_record(name: str) -> bool:
    return name.startswith(PREFIX) and name.removeprefix(PREFIX).isdigit()


def _make_private(base: str) -> None:
    """Make a directory for records, unless it is there and only this user may write in it. Raises OSError."""
    try:
        os.mkdir(base, 0o711)  # members of an instance's group pass through
    except FileExistsError:
        pass
    found = os.lstat(base)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(errno.EACCES, "is not private", base)


def _own_bases(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield where records are made, the best place first: systemd's for the service, the user's, a temporary one.

    Of two that cannot be used, as XDG_RUNTIME_DIR and TMPDIR of somebody else's shell, the last one is left.
    """
    yield from _service_directories(environ)[:1]
    if environ.get("XDG_RUNTIME_DIR"):
        yield os.path.join(environ["XDG_RUNTIME_DIR"], "serve")
    for directory in (environ.get("TMPDIR"), LAST_RESORT):
        if directory:
            yield os.path.join(directory, f"serve-{os.getuid()}")


def _bases(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield where records may be."""
    yield from _own_bases(environ)
    # Of services, whose runtime directories are not named to a person's shell.
    yield from (os.path.join("/run", name) for name in _listed("/run"))


def _service_directories(environ: Mapping[str, str]) -> list[str]:
    """Return what RuntimeDirectory= made. Source: systemd.exec(5)."""
    return [path for path in environ.get("RUNTIME_DIRECTORY", "").split(":") if path]


def _records(environ: Mapping[str, str]) -> list[str]:
    bases = dict.fromkeys(_bases(environ))  # a service's own directory is one of those in /run
    return [os.path.join(base, name) for base in bases for name in _listed(base) if _is_record(name)]


def _listed(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _sweep(base: str) -> None:
    """Remove the records that servers left which were killed."""
    for name in _listed(base):
        if _is_record(name) and not os.path.exists(f"/proc/{name.rpartition('-')[2]}"):
            remove(os.path.join(base, name))


def _abandoned(directory: str) -> bool:
    """Return whether a record is ours and its server has ended. One that is being made holds no facts yet."""
    pid, facts = directory.rpartition("-")[2], load(os.path.join(directory, RECORD))
    now = started(int(pid))
    try:
        return os.lstat(directory).st_uid == os.getuid() and (now is None or facts.get("started", now) != now)
    except OSError:
        return False


def _trusted(directory: str) -> int | None:
    """Return the owner of a record that this user may believe: his own or root's; root believes everyone's."""
    try:
        found = os.lstat(directory), os.lstat(os.path.join(directory, RECORD))
    except OSError:
        return None
    if not stat.S_ISDIR(found[0].st_mode) or not stat.S_ISREG(found[1].st_mode):
        return None
    owner = found[1].st_uid
    return owner if owner in (0, os.getuid()) or os.getuid() == 0 else None
