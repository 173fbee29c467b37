"""launcher.child: what a throw-away process is asked."""

import json
import os
import signal
from pathlib import Path

from launcher.application import VARIABLE
from launcher.child import load_application

SITE = """
import os, time
if left := os.fork():
    open("left", "w").write(str(left))
else:
    time.sleep(600)
    os._exit(0)

def app(environ, start_response): ...
"""


def test_a_process_that_the_import_leaves_behind_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / "site_of_tests.py").write_text(SITE)
    spec = {"target": "site_of_tests:app", "path": [str(tmp_path)]}
    answer = load_application({**os.environ, VARIABLE: json.dumps(spec)}, str(tmp_path))
    os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)  # it is there still
    assert answer["ok"], answer
