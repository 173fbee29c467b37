"""The end of listening, where a uWSGI stops whose sockets are nobody else's.

uWSGI 2.0.30 listens until its process ends: the kernel goes on accepting for workers that accept no more, and resets
these connections then. So the door is closed before the workers are told, and those inside are answered.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from . import door

if TYPE_CHECKING:
    from collections.abc import Iterable

SO_ATTACH_FILTER = 26
"""Source: socket(7), asm-generic/socket.h."""
WITHOUT_SYN = b"".join(
    struct.pack("HBBI", *step)
    for step in (
        (0x30, 0, 0, 13),  # the byte of TCP's flags
        (0x45, 0, 1, 0x02),  # SYN?
        (0x06, 0, 0, 0),  # then nothing is taken of the packet
        (0x06, 0, 0, 0xFFFFFFFF),  # of any other all
    )
)
"""BPF: those who have knocked come in, and nobody else. Source: struct sock_filter, linux/filter.h."""
STEPS = 4
UNACKED = 24
"""Where struct tcp_info has tcpi_unacked: of a socket that listens, how many wait to be accepted. Source:
tcp_get_info in Linux's tcp.c."""
POLL_S = 0.01
UNSEEN_S = 0.05
"""What is given to those who are about to come in."""
CONNECTING = b"02"
"""In /proc/net/unix, of a connection that waits to be accepted: it has the path of the socket that listens. Source:
unix_seq_show in Linux's af_unix.c."""


def close(descriptors: Iterable[int], limit_s: float) -> None:
    """Let nobody in any more, and wait until workers have accepted all who were there, but no longer than this.

    Whoever knocks at a TCP socket is not heard, knocks again a second later, and is refused once the server has ended.
    A unix socket refuses at once, and still gives workers who is inside (unix_accept in Linux's af_unix.c).
    Where only root may set a filter (Linux 6.18.44), a connection that is being made at that moment stays unheard.
    """
    end = time.monotonic() + limit_s
    with ExitStack() as held:
        listeners = [held.enter_context(socket.socket(fileno=os.dup(descriptor))) for descriptor in descriptors]
        for listener in listeners:
            if listener.family == socket.AF_UNIX or not _is_deaf(listener):
                door.shut(listener)
        time.sleep(min(UNSEEN_S, limit_s))
        while any(map(_waiting, listeners)) and time.monotonic() < end:
            time.sleep(POLL_S)


def _is_deaf(listener: socket.socket) -> bool:
    """Have a socket hear nobody who knocks; return whether that is permitted."""
    program = ctypes.create_string_buffer(WITHOUT_SYN)
    try:
        told = struct.pack("HP", STEPS, ctypes.addressof(program))
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, told)
    except PermissionError:
        return False
    return True


def _waiting(listener: socket.socket) -> int:
    if listener.family == socket.AF_UNIX:
        return _waiting_at(os.fsencode(listener.getsockname()).replace(b"\0", b"@"))
    count: int = struct.unpack_from("I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), UNACKED)[0]
    return count


def _waiting_at(path: bytes) -> int:
    with open("/proc/net/unix", "rb") as file:
        lines = [line.rstrip(b"\n").split(None, 7) for line in file]
    return sum(words[5::2] == [CONNECTING, path] for words in lines)
