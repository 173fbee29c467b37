"""Files that a runner's main process leaves on disk while it lives. What it forks leaves them alone."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from .. import instance
from ..errors import Exit, Finding, LaunchError
from ..lean import write_file

logger = logging.getLogger("launcher.runner")

Mark = tuple[int, int, int]


@contextmanager
def pid_file(path: str | None) -> Iterator[None]:
    """Keep our process id in a file, which appears complete and is removed only while it is still ours.

    Raises LaunchError where it cannot be written.
    """
    if path is None:
        yield
        return
    line = f"{os.getpid()}\n"
    try:
        write_file(path, line.encode(), 0o644)
    except OSError as error:
        message = f"cannot write the pid file {path}: {error.strerror}"
        fix = "Its directory must exist and be writable for the user that starts the server."
        raise LaunchError(Finding("pid-file-refused", message, fix, status=Exit.SERVER)) from error
    try:
        yield
    finally:
        if line == f"{os.getpid()}\n":
            _remove_pid_file(path, line)


def _remove_pid_file(path: str, line: str) -> None:
    try:
        with open(path) as file:
            if file.read() != line:
                return  # a server started after us has put its own there
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.warning("cannot remove the pid file %s: %s", path, error.strerror)


@contextmanager
def socket_files(paths: Iterable[str]) -> Iterator[None]:
    """Remove unix sockets at the end, unless another server has put its own in their places meanwhile."""
    marks = {path: mark for path in paths if (mark := _mark(path)) is not None}
    owner = os.getpid()
    try:
        yield
    finally:
        for path, mark in marks.items():
            if os.getpid() != owner or _mark(path) != mark:
                continue
            try:
                os.unlink(path)
            except OSError as error:
                logger.warning("cannot remove the socket %s: %s", path, error.strerror)


@contextmanager
def record(directory: str | None) -> Iterator[None]:
    """Remove the record of the server at the end."""
    owner = os.getpid()
    try:
        yield
    finally:
        if directory is not None and os.getpid() == owner:
            instance.remove(directory)


def _mark(path: str) -> Mark | None:
    """Return what tells one file from the next of the same name: file systems use an inode number again."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
