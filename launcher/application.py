"""The WSGI callable every server is given: the user's own, verified, with the layers the plan asks for.

It runs inside every worker, so it imports little: what only an error, Django or a layer needs comes when needed.
"""

from __future__ import annotations

import gc
import json
import os
import sys

from .instance import refresh
from .lean import TYPE_CHECKING, Record, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence
    from types import ModuleType
    from wsgiref.types import WSGIApplication

T = TypeVar("T")

VARIABLE = "LAUNCHER_APPLICATION"
"""Environment variable that holds the `Spec` as a JSON object."""

DEVELOP = "LAUNCHER_DEVELOP"
"""Environment variable that names the channel to the development loop (launcher.develop.channel)."""

# Source: inspect.CO_VARARGS and inspect.CO_COROUTINE; inspect itself is slow to import.
CO_VARARGS = 0x04
CO_COROUTINE = 0x80
TAKES_LESS = "does not take environ and start_response"

ABSENT = object()

NEVER = 2**31 - 1
"""So many new objects that no garbage is looked for."""


class ApplicationError(Exception):
    """The application cannot be served."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.message = message
        """For a person; may have several lines."""
        self.trace = trace
        """The traceback of the user's code, without our frames; empty where none of it ran."""

    def report(self) -> str:
        """Return the text for a terminal or a log."""
        text = f"serve: {self.message}\n"
        return f"{text}\n{self.trace.rstrip()}\n" if self.trace else text


class Spec(Record):
    """What to serve, and how."""

    target: str
    """`pkg.mod:attr`, `pkg.mod:attr.sub` or `pkg.mod:factory()`."""
    target_origin: str = ""
    settings: str | None = None
    settings_origin: str = ""
    path: Sequence[str] = ()
    """Directories that come first on sys.path."""
    production: bool = False
    """Whether the guard refuses Django settings that belong to development."""
    allow: Sequence[str] = ()
    """Codes of the guard that are waived."""
    middleware: Sequence[Mapping[str, object]] = ()
    """Outermost first: `use` (`pkg.mod:factory`), `options`, `origin`."""
    umask: int | None = None
    url_prefix: str = ""
    trusted_proxies: Sequence[str] | None = None
    """Addresses, networks, `unix`, `*`; None leaves address and scheme as the server gives them."""
    tls: bool = False
    """Whether the server itself speaks TLS: the scheme that is true where no trusted proxy names one."""
    whole_bodies: bool = False
    """Whether bodies of unknown length are read before the application is called: the server does not do it."""
    max_body_size: int | None = None
    """Bytes."""
    access_log: str | None = None
    """A file, or `-` for stdout."""
    access_log_format: str = "combined"
    """Or `short`: for a person who develops, without the static files that were found."""
    warmup: Sequence[str] = ()
    """Paths to be asked for before the worker is ready."""
    warmup_origin: str = ""
    ready_path: str = ""
    validate: bool = False
    """Whether wsgiref.validate watches the target."""
    static_files: bool = False
    """Whether what django.contrib.staticfiles finds is served."""
    static_files_origin: str = ""
    """Who asked for that; empty where a shipped profile did, which knows nothing of the site."""
    development_warnings: bool = False
    """Whether Python's warnings about the modules on `path` are shown."""
    live: bool = False
    """Whether pages load anew in the browser when something that made them was edited."""
    threads: int = 1
    """Threads of the worker, for `live` to leave most of them alone."""


class Step(Record):
    """What is being done with somebody else's code, for the message when it fails."""

    doing: str
    """A clause: `mysite.wsgi cannot be imported`."""
    origin: str
    spec: Spec
    module: str = ""
    """The module that is being imported, where that is what is done."""


def load(environ: MutableMapping[str, str]) -> WSGIApplication:
    """Return the callable to serve; the user's very own where nothing is to be wrapped.

    Reads `VARIABLE`, sets the umask, sys.path and DJANGO_SETTINGS_MODULE. Raises ApplicationError.
    """
    if DEVELOP in environ:
        from .develop.standing import wait

        wait()
    refresh(environ)
    spec = read_spec(environ)
    prepare(spec, environ)
    # What an import makes stays. To search it for garbage costs a start a tenth, and the requests after it again and
    # again; what little there is stays too.
    before = gc.get_threshold()
    gc.set_threshold(NEVER)
    try:
        app = _load(spec, environ)
    finally:
        if gc.get_threshold()[0] == NEVER:  # rather than what the application wants
            gc.set_threshold(*before)
    gc.freeze()
    return app


def _load(spec: Spec, environ: Mapping[str, str]) -> WSGIApplication:
    if DEVELOP in environ:
        from .develop.channel import Channel
        from .develop.worker import develop

        return develop(spec, Channel(environ[DEVELOP]))
    from .middleware.stack import wrap

    return wrap(load_target(spec), spec)


def read_spec(environ: Mapping[str, str]) -> Spec:
    """Read what the plan wrote. Raises ApplicationError; an unknown key is an error, not a silence."""
    text = environ.get(VARIABLE)
    if not text:
        raise ApplicationError(f"{VARIABLE} is not set: launcher.wsgi is for servers that `serve` starts.")
    try:
        values = json.loads(text)
        return Spec(**{key: value for key, value in values.items() if value is not None})
    except (ValueError, TypeError, AttributeError) as error:
        raise ApplicationError(f"{VARIABLE} cannot be read: {error}.") from error


def prepare(spec: Spec, environ: MutableMapping[str, str]) -> None:
    """Set up the process as the user's code expects it, before any of that code is imported."""
    if spec.umask is not None:
        os.umask(spec.umask)
    prepend_path(spec.path)
    if spec.settings is not None:
        environ["DJANGO_SETTINGS_MODULE"] = spec.settings
    if spec.development_warnings:
        from .develop.own_warnings import show_own_warnings

        show_own_warnings(spec.path)


def prepend_path(path: Sequence[str]) -> None:
    """Put directories first on sys.path, each once."""
    first = list(dict.fromkeys(path))
    sys.path[:] = first + [entry for entry in sys.path if entry not in first]


def load_target(spec: Spec) -> WSGIApplication:
    """Import the user's callable and check it and its settings. Raises ApplicationError."""
    reference, is_factory = spec.target.removesuffix("()"), spec.target.endswith("()")
    module, found = resolve(reference, spec.target_origin, spec)
    if is_factory:
        require_callable(found, reference, spec.target_origin)
        factory = cast("Callable[[], object]", found)
        found = run(Step(f"{spec.target} failed", spec.target_origin, spec), factory)
    _require_application(found, spec.target, spec.target_origin)
    if "django.conf" in sys.modules:
        from . import guard

        guard.check(spec, module)
        if spec.production:
            # Django imports views with the first request: broken ones are to stop a start or a reload, not visitors.
            run(Step("the URLs cannot be imported", "", spec), guard.import_urls)
    return cast("WSGIApplication", found)


def resolve(reference: str, origin: str, spec: Spec) -> tuple[ModuleType, object]:
    """Import `pkg.mod:attr.sub` and return module and object."""
    module_name, colon, attribute = reference.partition(":")
    if not (module_name and colon and attribute):
        raise ApplicationError(at(origin, f"'{reference}' is not of the form package.module:name."))
    step = Step(f"{module_name} cannot be imported", origin, spec, module_name)
    module = run(step, import_module, module_name)
    found: object = module
    done = module_name
    for name in attribute.split("."):
        holder, found = found, run(step, getattr, found, name, ABSENT)
        if found is ABSENT:
            from .errors import hint_at

            members = getattr(holder, "__dict__", {}).items()
            known = [word for word, value in members if not word.startswith("_") and callable(value)]
            raise ApplicationError(at(origin, f"{done} has no '{name}'. {hint_at(name, known)}"))
        done = f"{done}.{name}"
    return module, found


def import_module(name: str, /) -> ModuleType:
    __import__(name)
    return sys.modules[name]


def run(step: Step, function: Callable[..., T], /, *args: object, **options: object) -> T:
    """Call into somebody else's code and turn whatever it raises into an ApplicationError."""
    try:
        return function(*args, **options)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        from . import user_code

        if user_code.is_server_exit(error):
            raise
        raise user_code.failure(step, error) from error


def require_callable(found: object, reference: str, origin: str) -> None:
    if not callable(found):
        raise ApplicationError(at(origin, f"{reference} is {kind(found)}: it cannot be called."))


def _require_application(found: object, reference: str, origin: str) -> None:
    """Refuse what is no WSGI application as far as one can tell without calling it."""
    require_callable(found, reference, origin)
    if missing := shortcoming(found):
        message = f"{reference} {missing}."
        if missing == TAKES_LESS and hasattr(found, "__code__") and not reference.endswith("()"):
            message += f" If it makes the application, write {reference}()."
        raise ApplicationError(at(origin, message))


def shortcoming(found: object) -> str:
    """Return in what a callable is no WSGI application, as far as one can tell without calling it, or nothing."""
    code, receiver = getattr(found, "__code__", None), 0
    if code is None and not isinstance(found, type):
        called = next(vars(base)["__call__"] for base in type(found).__mro__ if "__call__" in vars(base))
        code, receiver = getattr(called, "__code__", None), 1  # a static method has none
    if code is None:
        return ""
    if code.co_flags & CO_COROUTINE:
        return "is an ASGI application: it is asynchronous, and servers here speak WSGI"
    if code.co_argcount - receiver < 2 and not code.co_flags & CO_VARARGS:
        return TAKES_LESS
    return ""


def kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def at(origin: str, message: str) -> str:
    """Put the place that asked for it before a message."""
    return f"{origin}: {message}" if origin else message
