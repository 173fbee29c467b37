"""Whether the Django settings that were loaded are the planned ones, and fit for production."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from .application import ApplicationError, Spec, at
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
        yield Fault("debug", "DEBUG is on: every error page shows source code and settings", "Set DEBUG = False.")
    key = _secret_key(settings)
    if not key:
        yield Fault("secret-key", "SECRET_KEY is empty", "Read a long random one from outside the repository.")
    elif key.startswith("django-insecure-"):
        yield Fault(
            "secret-key",
            "SECRET_KEY is the one that startproject wrote: sessions and tokens can be forged",
            "Read a long random one from outside the repository.",
        )
    hosts = [settings.ALLOWED_HOSTS] if isinstance(settings.ALLOWED_HOSTS, str) else list(settings.ALLOWED_HOSTS)
    if not hosts:
        yield Fault(
            "allowed-hosts",
            "ALLOWED_HOSTS is empty: every request is answered with 400",
            "Name the site's hosts.",
        )
    elif "*" in hosts:
        yield Fault("allowed-hosts", "ALLOWED_HOSTS holds '*': any Host header is believed", "Name the site's hosts.")
    apps = [app for app in map(str, settings.INSTALLED_APPS) if app.partition(".")[0] in DEVELOPMENT_APPS]
    if apps:
        yield Fault(
            "development-apps",
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
    file = getattr(sys.modules.get(loaded or ""), "__file__", None)
    lines = [f"production refuses the settings of {name}{f' ({short(file)})' if file else ''}:"]
    lines += [f"  {fault.code}: {fault.message}. {fault.fix}" for fault in faults]
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
        file = getattr(module, "__file__", None)
        if not file or not file.endswith(".py"):
            continue
        try:
            with open(file, "rb") as source:
                tree = ast.parse(source.read())
        except (OSError, SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if _assigns(node):
                return f"{short(file)}:{node.lineno}"  # type: ignore[attr-defined]  # only statements and calls
    return ""


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
