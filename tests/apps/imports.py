"""An application whose import does what the environment says."""

import logging.config
import os
import select
import signal
import socket
import sys
import threading
from typing import BinaryIO

from tests.apps.answers import app as app

nothing = None


def wait_for(fifo: BinaryIO) -> None:
    """Wait for a byte, in short turns.

    A signal that comes just before a long system call would wait for the call's end: Python looks for signals
    before and after, and nothing interrupts it then.
    """
    while not select.select([fifo], [], [], 0.05)[0]:
        pass


match os.environ.get("TEST_IMPORT", ""):
    case "exit":
        raise SystemExit(23)
    case "exit with words":
        sys.exit("no, thank you")
    case "error":
        raise LookupError("broken code")
    case "slow":
        with open(os.environ["TEST_FIFO"], "rb") as fifo:
            wait_for(fifo)
    case "stubborn":
        with open(os.environ["TEST_FIFO"], "rb") as fifo:
            try:
                wait_for(fifo)
            except SystemExit:
                wait_for(fifo)
    case "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    case "opens":
        connection = socket.create_connection(("127.0.0.1", int(os.environ["TEST_PORT"])))
        threading.Thread(target=threading.Event().wait, name="left-behind", daemon=True).start()
    case "logging":
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
