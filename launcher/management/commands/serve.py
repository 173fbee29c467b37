"""`manage.py serve`: the same command, once "launcher" is among INSTALLED_APPS."""

import os
import sys

from django.core.management.base import BaseCommand

from ...__main__ import main

VARIABLE = "DJANGO_SETTINGS_MODULE"


class Command(BaseCommand):
    help = "Serve this project: see `serve --help`."
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Hand all that follows `serve` to the command of that name, which starts the server as a new program."""
        environ = dict(os.environ)
        said = _initial(VARIABLE)
        # manage.py has set the variable by now; only what a person said may count as said.
        if said is None:
            environ.pop(VARIABLE, None)
        else:
            environ[VARIABLE] = said
        sys.exit(main(argv[2:], environ))

    def handle(self, *args: object, **options: object) -> None:
        """Serve without options: what `call_command("serve")` does."""
        sys.exit(main([]))


def _initial(name: str) -> str | None:
    """Return a variable as this process was given it. Source: proc(5), /proc/pid/environ."""
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return os.environ.get(name)
    start = name.encode() + b"="
    return next((os.fsdecode(entry[len(start) :]) for entry in entries if entry.startswith(start)), None)
