"""Django's system checks and unapplied migrations: `python -P -m launcher.develop.checks [FILE]`.

The development loop starts it once the first answer is possible, so that nobody waits for it. FILE keeps a digest of
what was said, and what would be the same as last time is not said again.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..application import ApplicationError, Spec, Step, load_target, prepare, read_spec, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.core.management.base import BaseCommand

LONGEST = 20
"""Lines that are said; of a site with more faults these are enough to begin with."""
NICENESS = 10


def report(spec: Spec, *, coloured: bool) -> str:
    """Return what is wrong, as Django words it; nothing where nothing is, or where no Django site is served."""
    text = io.StringIO()
    try:
        if spec.settings is None or find_spec("django") is None:
            return ""
        # What wsgi.py does before it asks for the settings belongs to the site: it may be what they need.
        load_target(spec)
        if not run(Step("Django cannot be set up", "", spec), _set_up):
            return ""
        from django.core.management.base import BaseCommand

        command = BaseCommand(text, text, no_color=not coloured, force_color=coloured)
        run(Step("the system checks cannot be run", "", spec), _check, command)
        run(Step("the migrations cannot be compared", "", spec), _check_migrations, command)
    except ApplicationError as error:
        text.write(error.message)
    lines = [line for line in text.getvalue().splitlines() if line.strip()]
    if len(lines) > LONGEST:
        lines[LONGEST:] = [f"... and {len(lines) - LONGEST} lines more: python manage.py check"]
    return "".join(f"{line}\n" for line in lines)


def _set_up() -> bool:
    """Set Django up, if nobody has; return whether the settings are a site's."""
    import django
    from django.apps import apps
    from django.conf import settings

    if not any(map(settings.is_overridden, ("ROOT_URLCONF", "INSTALLED_APPS"))):
        return False
    if not apps.ready:
        django.setup()
    return True


def _check(command: BaseCommand) -> None:
    """Do what runserver does: all checks but those of databases."""
    from django.core.management.base import SystemCheckError

    try:
        command.check()
    except SystemCheckError as error:
        command.stderr.write(str(error), lambda text: text)


def _check_migrations(command: BaseCommand) -> None:
    from django.db import Error

    try:
        command.check_migrations()
    except Error as error:
        reason = str(error).strip().partition("\n")[0]
        command.stderr.write(f"The database does not tell which migrations are applied: {reason}")


def main(argv: Sequence[str]) -> None:
    """Say what is wrong on standard error, and nothing else: what the site itself writes, its workers have written."""
    os.nice(NICENESS)
    if os.getpgid(0) != os.getpid():
        os.setsid()  # Ctrl-C is for the loop, which ends this process
    said = os.dup(2)
    coloured = os.isatty(said) and not os.environ.get("NO_COLOR")
    nothing = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nothing, descriptor)
    spec = read_spec(os.environ)
    prepare(spec._replace(development_warnings=False), os.environ)
    text = report(spec, coloured=coloured).encode("utf-8", "backslashreplace")
    if not argv or _is_news(argv[0], hashlib.sha256(text).hexdigest()):
        os.write(said, text)
    # The site may have started threads that do not end.
    os._exit(0)


def _is_news(path: str, digest: str) -> bool:
    """Leave the digest in the file; return whether there was another."""
    try:
        with open(path) as file:
            known = file.read()
    except FileNotFoundError:
        known = ""
    with open(path, "w") as file:
        file.write(digest)
    return known != digest


if __name__ == "__main__":
    main(sys.argv[1:])
