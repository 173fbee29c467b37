"""What the service manager hears of a supervisor."""

import logging
import os

from ..application import DEVELOP
from ..systemd import notify

logger = logging.getLogger("launcher.supervisor")


def tell(*lines: str) -> None:
    """Tell the service manager, if there is one; a server does not fail because nobody listened."""
    try:
        notify(*lines, environ=os.environ)
    except OSError as error:
        if DEVELOP not in os.environ:  # there it is the loop that has gone, and takes us along
            logger.warning("cannot send %s to NOTIFY_SOCKET: %s", lines[0], error.strerror)
