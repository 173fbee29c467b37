"""Whether the Django settings that were loaded are the planned ones, and fit for production."""

from __future__ import annotations

import ast
import sys
from contextlib import suppress
from importlib.util import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple

from .application import ApplicationError, Spec, at
from .modules import attributes, file_of
from .user_code import short

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

VARIABLE = "DJANGO_SETTINGS_MODULE"

DEVELOPMENT_APPS = (
    "debug_toolbar",
    "django_browser_reload",
    "django_watchfiles",
    "livereload",
    "nplusone",
    "silk",
)


class Fault(NamedTuple):
    code: str
    setting: str
    message: str
    fix: str


def check(spec: Spec, target: ModuleType) -> None:
    """Raise ApplicationError where Django is configured with other settings than planned, or with unfit ones.

    `target` is the module that holds the callable. Does nothing while Django is not configured.
    """
    settings = sys.modules["django.conf"].settings
    if not settings.configured:
        return
    loaded: str | None = settings.SETTINGS_MODULE
    if spec.settings is not None and loaded != spec.settings:
        raise ApplicationError(_disagreement(spec, loaded, target))
    if spec.production:
        faults = [fault for fault in find_faults(settings) if fault.code not in spec.allow]
        if faults:
            raise ApplicationError(_refusal(spec, loaded, faults))


def import_urls() -> None:
    """Import Django's ROOT_URLCONF, and with it the views."""
    settings = sys.modules["django.conf"].settings
    if settings.configured and getattr(settings, "ROOT_URLCONF", None):
        __import__(settings.ROOT_URLCONF)


def find_faults(settings: Any) -> Iterator[Fault]:
    """Find what must not reach production in Django's settings object."""
    if settings.DEBUG:
        yield Fault(
            "debug", "DEBUG", "DEBUG is on: every error page shows source code and settings", "Set DEBUG = False."
        )
    key = _secret_key(settings)
    if not key:
        yield Fault(
            "secret-key", "SECRET_KEY", "SECRET_KEY is empty", "Read a long random one from outside the repository."
        )
    elif key.startswith("django-insecure-"):
        yield Fault(
            "secret-key",
            "SECRET_KEY",
            "SECRET_KEY is the one that startproject wrote: sessions and tokens can be forged",
            "Read a long random one from outside the repository.",
        )
    hosts = [settings.ALLOWED_HOSTS] if isinstance(settings.ALLOWED_HOSTS, str) else list(settings.ALLOWED_HOSTS)
    if not hosts:
        yield Fault(
            "allowed-hosts",
            "ALLOWED_HOSTS",
            "ALLOWED_HOSTS is empty: every request is answered with 400",
            "Name the site's hosts.",
        )
    elif "*" in hosts:
        message = "ALLOWED_HOSTS holds '*': any Host header is believed"
        yield Fault("allowed-hosts", "ALLOWED_HOSTS", message, "Name the site's hosts.")
    apps = [app for app in map(str, settings.INSTALLED_APPS) if app.partition(".")[0] in DEVELOPMENT_APPS]
    if apps:
        yield Fault(
            "development-apps",
            "INSTALLED_APPS",
            f"INSTALLED_APPS holds {', '.join(apps)}, made for development",
            "Add them in the development settings only.",
        )


def _secret_key(settings: Any) -> str:
    try:
        key = settings.SECRET_KEY
    except Exception:  # Django 5.2 raises ImproperlyConfigured when an empty key is read
        return ""
    return key.decode("latin-1") if isinstance(key, bytes) else str(key or "")


def _refusal(spec: Spec, loaded: str | None, faults: list[Fault]) -> str:
    name = loaded or "settings.configure()"
    file = short(file_of(sys.modules.get(loaded or "")))
    place = f" ({file})" if file and not spec.settings_origin.startswith(file) else ""
    lines = [f"production refuses the settings of {name}{place}:"]
    for fault in faults:
        place = _place_of(fault.setting, loaded or "")
        lines.append(f"  {fault.code}: {fault.message}{f' ({place})' if place else ''}. {fault.fix}")
    waiver = ", ".join(f'"{fault.code}"' for fault in faults)
    lines.append(f"To start in spite of this, write in the profile: allow = [{waiver}]")
    return at(spec.settings_origin, "\n".join(lines))


def _disagreement(spec: Spec, loaded: str | None, target: ModuleType) -> str:
    planned = f"the planned settings module is {spec.settings}, but "
    if loaded is None:
        return at(
            spec.settings_origin,
            f"{planned}{target.__name__} called settings.configure().\n"
            f"Remove that call, or remove the settings module from the plan.",
        )
    lines = [f"{planned}the application loaded {loaded}."]
    cause = _find_assignment(target)
    if cause:
        lines.append(f"{cause} assigns {VARIABLE}. Write os.environ.setdefault(...) there.")
    else:
        lines.append(f"Something that {target.__name__} imports sets {VARIABLE}.")
    return at(spec.settings_origin, "\n".join(lines))


def _find_assignment(target: ModuleType) -> str:
    """Return `file:line` of the statement that overrides the variable, empty where there is none to see.

    Looks in the target's own file first, then in the modules loaded from its top-level package.
    """
    top = target.__name__.partition(".")[0]
    family = [module for name, module in sorted(sys.modules.items()) if name == top or name.startswith(f"{top}.")]
    for module in [target, *family]:
        for node in ast.walk(_parsed(module)):
            if _assigns(node):
                return _at(module, node)
    return ""


def _place_of(setting: str, module_name: str) -> str:
    """Return `file:line` of the statement that gave `setting` its value last, empty where there is none to see."""
    module = sys.modules.get(module_name)
    for node in reversed(list(_statements(_parsed(module)))):
        if isinstance(node, ast.ImportFrom) and any(each.name in ("*", setting) for each in node.names):
            name = "." * node.level + (node.module or "")
            with suppress(ImportError):
                name = resolve_name(name, attributes(module).get("__package__") or "")
            if setting in attributes(sys.modules.get(name)):
                return _place_of(setting, name)
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            places = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(each, ast.Name) and each.id == setting for place in places for each in ast.walk(place)):
                return _at(module, node)
    return ""


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Walk through what a module does, and not through what its functions and classes do."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from _statements(child)


def _parsed(module: ModuleType | None) -> ast.AST:
    """Return the syntax tree of a module, an empty one where it has no source that can be read."""
    try:
        with open(file_of(module), "rb") as source:
            return ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def _at(module: ModuleType | None, node: ast.AST) -> str:
    return f"{short(file_of(module))}:{node.lineno}"  # type: ignore[attr-defined]  # a statement or a call


def _assigns(node: ast.AST) -> bool:
    """Whether `node` is `os.environ[VARIABLE] = ...`, or an `os.environ.update(...)` of it."""
    if isinstance(node, ast.Assign):
        return any(
            isinstance(place, ast.Subscript) and _is_name(place.slice) and _ends_with_environ(place.value)
            for place in node.targets
        )
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    if node.func.attr != "update" or not _ends_with_environ(node.func.value):
        return False
    keys = [key for given in node.args if isinstance(given, ast.Dict) for key in given.keys]
    return any(map(_is_name, keys)) or any(word.arg == VARIABLE for word in node.keywords)


def _is_name(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value == VARIABLE


def _ends_with_environ(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (
        isinstance(node, ast.Name) and node.id == "environ"
    )
