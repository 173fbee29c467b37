"""Notices that files change: by watchfiles, or by looking where there are no events or no watchfiles."""

from __future__ import annotations

import os
import re
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from watchfiles._rust_notify import RustNotify

STEP_MS = 2
IDLE_STEP_MS = 25
"""watchfiles 1.x looks every so many milliseconds for what the kernel has reported, and once more whether that was
all. Looking often costs two percent of a processor: only while somebody edits."""
IDLE_AFTER_MS = 20_000
LONGEST_MS = 200
"""What a burst may take until something is done about it."""
LOOK_S = 0.5
UNSEEN_NS = 5_000_000_000
"""What changed so long ago may have gone unseen when watchfiles gives up."""
SILENT = ("nfs", "nfs4", "cifs", "smb3", "9p", "vboxsf", "fuse", "virtiofs", "prl_fs", "vmhgfs")
"""Types of file system that report no event for what another machine writes."""


class Watcher:
    """Watches directories, each for what lies in it directly. `fileno()` is readable when something has changed."""

    def __init__(self, directories: Iterable[str], *, poll: bool = False) -> None:
        self.directories = frozenset(directories)
        self.trouble = ""
        """Why files are looked at after all."""
        self._late_s = 2 * LOOK_S if poll else 3 * IDLE_STEP_MS / 1000
        """How long after a change it is known at the latest."""
        self._names = _names(self.directories)
        self._found: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        # What is watched is fixed before the thread begins: nothing is missed that changes once we exist.
        watch = self._looking() if poll else self._listening()
        self._thread = threading.Thread(target=watch, name="watcher", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        return self._reader

    def changes(self) -> set[str]:
        """Return the paths that have changed since the last call."""
        try:
            os.read(self._reader, 4096)
        except BlockingIOError:
            pass
        with self._lock:
            found, self._found = self._found, set()
        return found

    def last_changes(self) -> set[str]:
        """Return what has changed up to now, and close: where another watches already, nothing is missed."""
        time.sleep(self._late_s)
        found = self.changes()
        self.close()
        return found

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._reader)
        os.close(self._writer)

    def _tell(self, paths: Iterable[str]) -> None:
        with self._lock:
            self._found.update(paths)
        os.write(self._writer, b".")

    def _listening(self) -> Callable[[], None]:
        try:
            notify = _notify(self._names)
        except UnicodeError:
            return self._give_up("the name of a directory is not UTF-8")
        except (OSError, RuntimeError) as error:
            return self._give_up(f"{str(error).partition(' about ')[0].rstrip('.')} (sysctl fs.inotify)")

        def listen() -> None:
            step = IDLE_STEP_MS
            while not self._stop.is_set():
                try:
                    answer = notify.watch(LONGEST_MS, step, IDLE_AFTER_MS, self._stop)
                except Exception as error:
                    # Such as a name that is not UTF-8 (watchfiles 1.3); no more comes of it then.
                    notify.close()
                    self.trouble = str(error) or type(error).__name__
                    look = self._looking()
                    since_ns = time.time_ns() - UNSEEN_NS
                    self._tell(path for path, stamp in self._listing().items() if stamp[0] > since_ns)
                    look()
                    return
                step = IDLE_STEP_MS if answer == "timeout" else STEP_MS
                if isinstance(answer, set):
                    self._tell(each for _, path in answer for each in self._by_all_names(path))
            notify.close()

        return listen

    def _give_up(self, why: str) -> Callable[[], None]:
        self.trouble = why
        self._late_s = 2 * LOOK_S
        return self._looking()

    def _by_all_names(self, path: str) -> Iterator[str]:
        directory, name = os.path.split(path)
        yield from (os.path.join(each, name) for each in self._names.get(directory, [directory]))
        yield from self._names.get(path, ())

    def _looking(self) -> Callable[[], None]:
        first = self._listing()

        def look() -> None:
            before = first
            while not self._stop.wait(LOOK_S):
                now = self._listing()
                if now != before:
                    self._tell(path for path in now.keys() | before.keys() if now.get(path) != before.get(path))
                    before = now

        return look

    def _listing(self) -> dict[str, tuple[int, int, int]]:
        found = {}
        for directory in self.directories:
            try:
                with os.scandir(directory) as entries:
                    listed = list(entries)
            except OSError:
                continue
            for entry in listed:
                try:
                    status = entry.stat()
                except OSError:
                    continue  # gone meanwhile, or a link to nothing, as editors make for a lock
                if entry.is_dir():
                    found[entry.path] = 0, 0, status.st_ino
                else:
                    found[entry.path] = status.st_mtime_ns, status.st_size, status.st_ino
        return found


def _names(directories: Iterable[str]) -> dict[str, list[str]]:
    """Return all names of each directory by its first: links give it several, and the kernel tells of one."""
    found: dict[tuple[int, int], list[str]] = {}
    for directory in sorted(directories):
        try:
            status = os.stat(directory)
        except OSError:
            continue  # gone meanwhile
        found.setdefault((status.st_dev, status.st_ino), []).append(directory)
    return {names[0]: names for names in found.values()}


def _notify(directories: Iterable[str]) -> RustNotify:
    """Have the kernel tell of what lies in these directories.

    Raises OSError or RuntimeError where it tells no more, UnicodeError where watchfiles does not take a name.
    """
    from watchfiles._rust_notify import RustNotify  # `watchfiles.watch` cannot look at a directory alone

    while True:
        readable = [directory for directory in directories if os.access(directory, os.R_OK)]
        try:
            # Not to ignore what is not permitted: that would ignore the limit of watches too (watchfiles 1.3).
            return RustNotify(readable, False, False, 0, False, False)
        except FileNotFoundError:
            continue  # gone meanwhile


def why_poll(root: str) -> str:
    """Return why files have to be looked at again and again; empty where they do not."""
    try:
        import watchfiles  # noqa: F401  # only whether it is there
    except ImportError:
        return 'watchfiles is not installed: pip install "wsgi-launcher[dev]"'
    kind = _file_system(root)
    return f"{kind} reports no changes" if kind.partition(".")[0] in SILENT else ""


def _file_system(path: str) -> str:
    """Return the type of the file system that holds a path. Source: proc_pid_mountinfo(5)."""
    path, best, kind = os.path.join(os.path.realpath(path), ""), "", ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                left, _, right = line.partition(" - ")
                point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), left.split()[4])
                if len(point) >= len(best) and path.startswith(os.path.join(point, "")):
                    best, kind = point, right.split()[0]
    except OSError:
        pass
    return kind
