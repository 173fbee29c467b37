"""Which settings module, and which callable: read from files, not by importing them."""

from __future__ import annotations

import os

from .errors import Exit, Finding, LaunchError, closed, hint_at, unreadable
from .kept_answers import KeptReader
from .kinds import module_complaint
from .lean import TYPE_CHECKING, Record, read_file
from .origin import Layer, Origin, Setting
from .project import Project

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


VARIABLE = "DJANGO_SETTINGS_MODULE"
DJANGO = "django.core.wsgi:get_wsgi_application()"
"""What WSGI_APPLICATION = None means. Source: django.core.servers.basehttp.get_internal_wsgi_application."""

KINDS_OF_PROFILE = (("dev", "development", "local"), ("prod", "production"))
"""Names that a settings package may give the module of a profile."""


class Target(Record):
    """The callable to serve."""

    spec: str
    """`package.module:attribute`, or `package.module:factory()`."""
    origin: Origin

    @property
    def module(self) -> str:
        return self.spec.partition(":")[0]

    @property
    def attribute(self) -> str:
        return self.spec.partition(":")[2].removesuffix("()")


class Search(Record):
    """Where modules are looked for, and who reads them."""

    project: Project
    path: tuple[str, ...]
    """Directories as the worker's sys.path will have them."""
    reader: KeptReader
    environ: Mapping[str, str]
    """What a worker finds in its environment."""

    def shown(self, file: str) -> str:
        return self.project.shown(file)


def choose_settings(
    search: Search,
    said: Setting[Any],
    environ: Mapping[str, str],
    profiles: Sequence[str],
    production: bool,
) -> tuple[Setting[str | None], list[Finding]]:
    """Return the settings module and who chose it.

    A flag or SERVE_SETTINGS; else the profile; else DJANGO_SETTINGS_MODULE; else what manage.py names, where a
    package with modules for development and production is entered by the profile's name. `profiles` are the names
    of the profile and of those it extends, nearest first.
    """
    ambient = environ.get(VARIABLE, "")
    variable = Origin(Layer.ENVIRONMENT, VARIABLE, key=VARIABLE)
    if said.value is not None:
        if ambient and ambient != said.value:
            if said.origin.layer not in (Layer.COMMAND_LINE, Layer.ENVIRONMENT):
                return said, [_conflict(said, ambient)]
            said = said._replace(shadowed=(Setting(ambient, variable), *said.shadowed))
        return said, _missing(search, said)
    if ambient:
        chosen: Setting[str | None] = Setting(ambient, variable, (said,))
    else:
        found = _by_convention(search, profiles)
        if found is None:
            return said, []
        chosen = found._replace(shadowed=(said,))
    findings = _missing(search, chosen)
    if production and not findings and _last(chosen.value) in KINDS_OF_PROFILE[0]:
        message = f"development settings in production: {chosen.value}"
        unset = f"Unset {VARIABLE}" if chosen.origin == variable else f"Make {_sibling(chosen.value)}"
        fix = f'{unset}, or set settings = "..." in profiles/{profiles[0]}.toml.'
        findings.append(Finding("development-settings", message, fix, chosen.origin, Exit.TARGET))
    return chosen, findings


def _last(module: str | None) -> str:
    return (module or "").rpartition(".")[2]


def _sibling(module: str | None) -> str:
    return f"{(module or '').rpartition('.')[0]}.prod".lstrip(".")


def _conflict(said: Setting[Any], ambient: str) -> Finding:
    message = f"two settings modules: {VARIABLE} is {ambient}, and {said.origin} says {said.value}"
    fix = f"Unset {VARIABLE}, or give --settings {ambient}."
    return Finding("settings-conflict", message, fix, said.origin, Exit.TARGET)


def _missing(search: Search, chosen: Setting[Any]) -> list[Finding]:
    module: str = chosen.value
    complaint = module_complaint(module)
    if complaint:
        message = f"settings = {module!r} {complaint}"
        return [Finding("bad-value", message, "", chosen.origin, Exit.TARGET)]
    if search.reader.find(module) is not None or _needs_import(search, module):
        return []
    fix = _what_exists(search, module)
    return [Finding("missing-settings", f"there is no settings module {module}", fix, chosen.origin, Exit.TARGET)]


def _needs_import(search: Search, module: str) -> bool:
    """Return whether an import hook, such as that of an editable install, may know what files do not show."""
    if search.reader.find(module.partition(".")[0]) is not None:
        return False
    from .child import importable  # a process: only when files gave no answer

    return importable(module, search.path)


def _what_exists(search: Search, module: str) -> str:
    """Return a hint at the modules beside the one that is missing."""
    package, _, name = module.rpartition(".")
    found = search.reader.find(package) if package else None
    places = [*search.path, *(found.package_path or () if found else ())]
    if told := closed(places, search.shown):
        return told
    from .source import find_module  # where something is missing

    top = module.partition(".")[0]
    if search.reader.find(top) is None and find_module(top, [os.path.join(search.project.root, "src")]) is not None:
        return f'{top} is in src: write python_path = ["src"] in the profile.'
    if package and (found is None or found.package_path is None):
        return f"Looked in {search.project.root}, and on sys.path."
    directory = found.package_path[0] if found is not None and found.package_path else search.project.root
    names = [
        entry.removesuffix(".py")
        for entry in sorted(os.listdir(directory))
        if entry.removesuffix(".py").isidentifier()
        and (entry.endswith(".py") or os.path.isdir(os.path.join(directory, entry)))
    ]
    return hint_at(name, [entry for entry in names if entry not in ("__pycache__", "__init__")])


def _by_convention(search: Search, profiles: Sequence[str]) -> Setting[str | None] | None:
    """Read manage.py; enter the package that it names, or that holds what it names, by the profile's name."""
    manage = search.project.file("manage.py")
    named = search.reader.settings_named_in(manage)
    if named is None:
        return None
    origin = Origin(Layer.PROJECT, search.shown(manage), named.line)
    module = named.module
    packages = [module, module.rpartition(".")[0]] if _last(module) in sum(KINDS_OF_PROFILE, ()) else [module]
    for package in packages:
        found = search.reader.find(package) if package else None
        if found is None or found.package_path is None:
            continue
        for candidate in _candidates(profiles):
            inside = search.reader.find(f"{package}.{candidate}")
            if inside is not None and inside.file:
                where = Origin(Layer.PROJECT, search.shown(inside.file), key=f"{candidate}.py for the profile")
                return Setting(f"{package}.{candidate}", where if f"{package}.{candidate}" != module else origin)
    return Setting(module, origin)


def _candidates(profiles: Sequence[str]) -> list[str]:
    names: dict[str, None] = {}
    for profile in profiles:
        names[profile] = None
        for kind in KINDS_OF_PROFILE:
            if profile in kind:
                names.update(dict.fromkeys(kind))
    return list(names)


def find_target(search: Search, app: Setting[Any], settings: Setting[str | None]) -> Target:
    """Return the application: `app`, or what the settings module's WSGI_APPLICATION says.

    Raises LaunchError (exit status 4) where there is none, or where files show that it cannot exist.
    """
    if app.value is not None:
        return _checked(search, _read_spec(search, app.value, app.origin))
    if settings.value is None:
        _require_readable(search, search.project.file("manage.py"))  # what it names was looked for
        fix = (
            'Name it: `serve package.module:application`, settings = "package.settings" in a profile,\n'
            "or run serve in the directory of manage.py."
        )
        raise LaunchError(Finding("no-target", "there is no application to serve", fix, None, Exit.TARGET))
    answer = search.reader.read_name(settings.value, "WSGI_APPLICATION")
    hooked = answer.kind == "missing" and not answer.file  # known to an import hook only, or the start was refused
    if hooked or answer.kind == "unknown":
        return _from_child(search, settings)
    if answer.kind in ("missing", "syntax"):
        where = Origin(Layer.PROJECT, search.shown(answer.file), answer.line) if answer.file else settings.origin
        message = f"settings module {settings.value} cannot be read: {answer.reason}"
        raise LaunchError(Finding("broken-settings", message, "", where, Exit.TARGET))
    if answer.kind == "literal":
        where = Origin(Layer.PROJECT, search.shown(answer.file or ""), answer.line, "WSGI_APPLICATION")
        if answer.value is None:
            return Target(DJANGO, where)
        return _checked(search, _read_spec(search, answer.value, where))
    django = any(search.reader.defines(settings.value, name) for name in ("ROOT_URLCONF", "INSTALLED_APPS"))
    found = search.reader.find(settings.value)
    where = Origin(Layer.PROJECT, search.shown(found.file) if found and found.file else settings.value)
    if django:
        return Target(DJANGO, where)
    raise LaunchError(_nothing_named(search, settings.value, where))


def _require_readable(search: Search, file: str) -> None:
    """Raise LaunchError where there is such a file and this user cannot read it."""
    try:
        read_file(file)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise LaunchError(unreadable(search.shown(file), error)) from error


def unserved(search: Search, settings: Setting[str | None], target: Target) -> list[Finding]:
    """Return a warning where a project names an ASGI application alone: Django's own for WSGI is served then."""
    module = settings.value
    if target.spec != DJANGO or module is None or not search.reader.defines(module, "ASGI_APPLICATION"):
        return []
    message = f"{module} has ASGI_APPLICATION and no WSGI_APPLICATION: Django's views are served, websockets are not"
    fix = "Run an ASGI server beside this one for what only it can serve."
    return [Finding("asgi-not-served", message, fix, target.origin, severity="warning")]


def _nothing_named(search: Search, settings: str, where: Origin) -> Finding:
    found = search.reader.find(settings)
    if found is not None and found.package_path is not None:
        message = f"{settings} is a package, and settings are in its modules"
        fix = f'Write settings = "{settings}.NAME" in the profile. {_what_exists(search, f"{settings}.")}'
        return Finding("no-wsgi-application", message, fix, where, Exit.TARGET)
    message = f"settings module {settings} has no WSGI_APPLICATION"
    fix = 'Add WSGI_APPLICATION = "package.wsgi.application", or name the application: `serve package.module:app`.'
    return Finding("no-wsgi-application", message, fix, where, Exit.TARGET)


def _from_child(search: Search, settings: Setting[str | None]) -> Target:
    """Import the settings module in a child process and ask it."""
    from .child import read_settings

    module = settings.value or ""
    answer = read_settings(module, search.path, search.environ, search.project.root)
    if not answer.get("ok"):
        if answer.get("nameless"):
            return _of_configurations(search, settings)
        told = answer["message"]
        message = told if module in told else f"settings module {module} cannot be imported: {told}"
        raise LaunchError(
            Finding("broken-settings", message, answer.get("traceback") or "", settings.origin, Exit.TARGET)
        )
    where = Origin(Layer.PROJECT, search.shown(answer.get("file") or module), key="WSGI_APPLICATION")
    if answer["wsgi_application"] is None:
        if answer["defined"] or answer["django"]:
            return Target(DJANGO, where)
        raise LaunchError(_nothing_named(search, module, where))
    return _checked(search, _read_spec(search, str(answer["wsgi_application"]), where))


def _of_configurations(search: Search, settings: Setting[str | None]) -> Target:
    """Return the application of the nearest wsgi.py: with django-configurations it names the class of the settings.

    They cannot be imported without DJANGO_CONFIGURATION, which it sets. Source: "Quickstart" of its 2.5.1.
    """
    package = settings.value or ""
    while package:
        package = package.rpartition(".")[0]
        module = f"{package}.wsgi".lstrip(".")
        found = search.reader.find(module)
        if found is not None and found.file and search.reader.defines(module, "application") is not False:
            return Target(f"{module}:application", Origin(Layer.PROJECT, search.shown(found.file)))
    message = f"nothing says which class of {settings.value} django-configurations is to take"
    fix = 'Set DJANGO_CONFIGURATION, as by env = {DJANGO_CONFIGURATION = "Prod"}, or app = "package.wsgi:application".'
    raise LaunchError(Finding("broken-settings", message, fix, settings.origin, Exit.TARGET))


def _read_spec(search: Search, text: str, origin: Origin) -> Target:
    """Read `module:callable`, `module:factory()`, a dotted path, or a module that has an `application`."""
    if "(" in text and not text.endswith("()"):
        message = f"{text!r} calls with arguments, and a factory is called with none"
        fix = "Write a function of your own that gives them and returns the application: package.module:function()."
        raise LaunchError(Finding("bad-target", message, fix, origin, Exit.TARGET))
    module, colon, attribute = text.partition(":")
    if not colon:
        factory = "()" if text.endswith("()") else ""
        dotted = text.removesuffix("()")
        if not factory and search.reader.find(dotted) is not None:  # `serve mysite.wsgi`
            names = [name for name in ("application", "app") if search.reader.defines(dotted, name) is not False]
            return Target(f"{dotted}:{names[0] if names else 'application'}", origin)
        module, _, attribute = dotted.rpartition(".")
        attribute += factory
    parts = [*module.split("."), *attribute.removesuffix("()").split(".")]
    if not all(part.isidentifier() for part in parts):
        message = f"{text!r} is not module:callable"
        fix = "Write package.module:callable, package.module:factory() or package.module.callable."
        raise LaunchError(Finding("bad-target", message, fix, origin, Exit.TARGET))
    return Target(f"{module}:{attribute}", origin)


def _checked(search: Search, target: Target) -> Target:
    """Refuse a target that files show to be missing."""
    if search.reader.find(target.module) is None:
        if _needs_import(search, target.module):
            return target
        message = f"there is no module {target.module} to take {target.attribute} from"
        fix = _what_exists(search, target.module)
        raise LaunchError(Finding("missing-target", message, fix, target.origin, Exit.TARGET))
    first = target.attribute.partition(".")[0]
    if search.reader.defines(target.module, first) is False:
        found = search.reader.find(f"{target.module}.{first}")
        if found is None:
            message = f"module {target.module} defines no {first}"
            hint = hint_at(first, search.reader.names(target.module))
            raise LaunchError(Finding("missing-target", message, hint, target.origin, Exit.TARGET))
    return target
