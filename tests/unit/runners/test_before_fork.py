"""What is closed before workers are forked, in a process of its own: the garbage collector is frozen there."""

import subprocess
import sys
from pathlib import Path

DJANGO = """
import gc, logging, socket, threading
from django.conf import settings

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}})
from django.db import connection
from launcher.runners import before_fork

logging.basicConfig(format="%(message)s")
own, other = socket.socketpair()
before = before_fork.socket_descriptors()
left = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=threading.Event().wait, name="left", daemon=True).start()
connection.ensure_connection()
assert connection.connection is not None
before_fork.make_ready(before)
assert connection.connection is None
assert gc.get_freeze_count() > 0
print(left.getsockname()[1])
"""


def test_django_connections_are_closed_and_the_rest_is_told(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DJANGO], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"preload: an open socket at 127.0.0.1:{done.stdout.strip()} was there before the fork, and workers cannot share it",
        "preload: the thread left was there before the fork, and workers cannot share it",
    ]
