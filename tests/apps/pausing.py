"""The answers, from a worker whose loop pauses when it has looked who asks, from the file `pause` to the end of `paused`."""

import time
from pathlib import Path

from launcher.runners.duties import Duties, Submit
from tests.apps.answers import app as app

PAUSE, PAUSED = Path("pause"), Path("paused")

turn = Duties.turn


def turn_and_pause(self: Duties, submit: Submit, held: int) -> None:
    turn(self, submit, held)
    if PAUSE.exists():
        PAUSE.rename(PAUSED)
        while PAUSED.exists():
            time.sleep(0.01)


Duties.turn = turn_and_pause  # type: ignore[method-assign]  # nothing else comes between a look and what follows
