"""What an application that is loaded before the fork must not take into its workers.

A socket that two processes share mixes their answers up, and a thread is not copied at all.
"""

import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Collection
from typing import Any

logger = logging.getLogger("launcher.runner")


def make_ready(own: Collection[int], say: Callable[[str], object] = logger.warning) -> None:
    """Close what we know how to close, report the rest by name, and keep the garbage collector off what is shared.

    `own` are descriptors of sockets that belong to the server, `say` is where its warnings go.
    """
    close_known()
    for what in (*open_sockets(own), *live_threads()):
        say(f"preload: {what} was there before the fork, and workers cannot share it")
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def close_known() -> None:
    """Close Django's connections to databases, pools of them, and to caches: each opens anew when it is needed."""
    connections: Any = getattr(sys.modules.get("django.db"), "connections", None)
    if connections is not None:
        for connection in connections.all(initialized_only=True):
            connection.close()
            if hasattr(connection, "close_pool"):
                connection.close_pool()
    caches: Any = getattr(sys.modules.get("django.core.cache"), "caches", None)
    if caches is not None:
        caches.close_all()


def socket_descriptors() -> set[int]:
    """Return the descriptors of this process that are sockets."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.add(int(name))
        except OSError:
            pass  # the directory's own, which is closed by now
    return found


def open_sockets(own: Collection[int]) -> list[str]:
    """Return the sockets of this process but for `own`, in words."""
    found = []
    for descriptor in sorted(socket_descriptors().difference(own)):
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            found.append(f"an open socket {_ends(sock)}")
    return found


def _ends(sock: socket.socket) -> str:
    try:
        return f"to {_words(sock.getpeername())}"
    except OSError:
        return f"at {_words(sock.getsockname())}"


def _words(address: Any) -> str:
    if isinstance(address, tuple):
        return ":".join(map(str, address[:2]))
    return os.fsdecode(address) if address else "an unnamed socket"


def live_threads() -> list[str]:
    """Return the threads of this process besides the main one, in words."""
    return [f"the thread {each.name}" for each in threading.enumerate() if each is not threading.main_thread()]
