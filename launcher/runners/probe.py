"""Answer, in a throw-away child, the questions that only an import answers.

`python -P -m launcher.runners.probe settings|application --result-fd N` writes one JSON object to descriptor N.
What the imported code prints goes to stderr. LAUNCHER_APPLICATION is read as a worker reads it.

- `settings` imports the module DJANGO_SETTINGS_MODULE names: `ok`, `wsgi_application`, `defined`, `django`, `file`.
- `application` loads it as a worker would: `ok`, `name`, `settings`, `threads`.
- On failure: `ok` (false), `message`, `traceback`, `nameless`; the exit status is then 4.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from .. import application
from ..application import ApplicationError, Spec, Step
from ..loading import in_time
from ..middleware.stack import wrap

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from types import ModuleType

LONGEST_TRACE = 8_000
LONGEST_MESSAGE = 1_000
"""Characters. Six bytes each at most, so that a pipe (64 KiB) takes the answer whether or not it is being read."""


def main(arguments: list[str]) -> int:
    """Answer the question that the command line asks; return the exit status."""
    match arguments:
        case ["settings" | "application" as question, "--result-fd", number] if number.isdecimal():
            result_fd = int(number)
        case _:
            sys.stderr.write("usage: python -P -m launcher.runners.probe settings|application --result-fd N\n")
            return 2
    # Neither a print nor a process that the imported code starts may get at the result.
    os.set_inheritable(result_fd, False)
    os.dup2(2, 1)
    try:
        with in_time():
            answer = _settings(os.environ) if question == "settings" else _application(os.environ)
    except ApplicationError as error:
        message, trace = error.message[:LONGEST_MESSAGE], error.trace[-LONGEST_TRACE:]
        answer = {"ok": False, "message": message, "traceback": trace, "nameless": _importer() is not None}
    # What UTF-8 cannot say becomes \udc80, which is JSON's way of saying it.
    data = json.dumps(answer, ensure_ascii=False).encode("utf-8", "backslashreplace")
    while data:
        data = data[os.write(result_fd, data) :]
    return 0 if answer["ok"] else 4


def _settings(environ: MutableMapping[str, str]) -> dict[str, Any]:
    name = environ.get("DJANGO_SETTINGS_MODULE")
    if not name:
        raise ApplicationError("DJANGO_SETTINGS_MODULE is not set.")
    path = json.loads(environ.get(application.VARIABLE) or "{}").get("path") or ()
    application.prepend_path(path)
    step = Step(f"the settings module {name} cannot be imported", "", Spec("", settings=name))
    module = application.run(step, _import_settings, name, environ)
    value = getattr(module, "WSGI_APPLICATION", None)
    if value is None and hasattr(module, "CONFIGURATION"):
        value = "configurations.wsgi:application"  # Django's own would not find the importer
    if value is not None and not isinstance(value, str):
        kind = type(value).__name__
        raise ApplicationError(f"WSGI_APPLICATION in {name} is of type {kind}, and is to be a dotted path.")
    return {
        "ok": True,
        "wsgi_application": value,
        "defined": hasattr(module, "WSGI_APPLICATION"),
        "django": hasattr(module, "INSTALLED_APPS") or hasattr(module, "ROOT_URLCONF"),
        "file": getattr(module, "__file__", None),
    }


def _import_settings(name: str, environ: Mapping[str, str]) -> ModuleType:
    """Import settings, also those that a library makes of a class: the one that DJANGO_CONFIGURATION names.

    Source: django-configurations 2.5.1, configurations/importer.py.
    """
    try:
        return application.import_module(name)
    except Exception:  # whatever the library likes to raise where it misses its importer
        importer = _importer()
        if importer is None or not environ.get("DJANGO_CONFIGURATION"):
            raise
    importer.install()
    return application.import_module(name)


def _importer() -> Any:
    """Return the importer of django-configurations, where settings missed it; None otherwise."""
    importer: Any = sys.modules.get("configurations.importer")
    return None if importer is None or importer.installed else importer


def _application(environ: MutableMapping[str, str]) -> dict[str, Any]:
    spec = application.read_spec(environ)
    application.prepare(spec, environ)
    target = application.load_target(spec)
    wrap(target, spec)
    import threading  # here, for the user's code to be the first to import what it patches

    described = target if hasattr(target, "__qualname__") else type(target)
    return {
        "ok": True,
        "name": f"{described.__module__}.{described.__qualname__}",
        "settings": _loaded_settings(),
        "threads": [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()],
    }


def _loaded_settings() -> str | None:
    if "django.conf" not in sys.modules:
        return None
    settings = sys.modules["django.conf"].settings
    module: str | None = settings.SETTINGS_MODULE if settings.configured else None
    return module


if __name__ == "__main__":
    status = main(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # the imported code closed it
    # A thread that the imported code left running must not keep the answer waiting.
    os._exit(status)
