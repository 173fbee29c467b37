"""The compiler: one request becomes one plan, or all the findings that prevent it."""

from __future__ import annotations

import sys

from .accounts import own_group
from .backend import Backend
from .consistency import inconsistencies, leave_out_development
from .draft import draft_of, missing_directory
from .environment import (
    application_facts,
    our_variables,
    overridden,
    profile_variables,
    shut_out,
    shut_out_files,
    shut_out_notes,
)
from .errors import Exit, Finding, LaunchError, hint_at
from .host import Host
from .kept_answers import KeptReader
from .lean import TYPE_CHECKING, Record, TypeVar
from .native import NativeCommand
from .options import OPTIONS, Options
from .origin import Layer, Origin, Setting
from .profiles import Profile
from .project import Project
from .registry import BACKENDS, Registry
from .request import Request
from .target import VARIABLE, Search, Target, choose_settings, find_target, unserved
from .translate import command_of, native_sections, translate
from .workers import Reckoned, reckon_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from .activation import Passed


T = TypeVar("T")

PREFERRED = ("gunicorn", "uwsgi", "waitress")
"""What `server = "auto"` looks for, in order."""


class LaunchPlan(Record):
    """The frozen result. Every command reads this and nothing else."""

    project: Project
    profile: str
    profiles: tuple[Profile, ...]
    """The files behind the profile, lowest first."""
    backend: Backend
    version: str
    """Of the server; empty where it is the standard library's."""
    options: Options
    settings: Mapping[str, Setting[Any]]
    """Name -> value with origin, for every option, and for every entry of a table (`env.DEBUG`)."""
    native: Mapping[str, Setting[Any]]
    """What `[native.SERVER]` of the chosen server passes through."""
    variables: Mapping[str, Setting[str]]
    """What env_file and env put into the environment of the server."""
    target: Target
    application: Mapping[str, Any]
    """What a worker is told of the application (launcher.application reads it)."""
    command: NativeCommand
    reckoned: Reckoned | None
    """How `workers = "auto"` came to its number."""
    left_out: tuple[str, ...]
    """Options of a shipped profile that this server cannot honour; `notes` say why."""
    notes: tuple[Finding, ...]
    passed: tuple[Passed, ...] = ()
    """What was passed in; `bind` names those that are served."""
    looked_at: frozenset[str] = frozenset()
    """Files that settings and target were read from, and paths that were looked for, there or not."""

    @property
    def settings_module(self) -> str | None:
        return self.options.settings


class BrokenProject(LaunchError):
    """Only the project's own code prevents a plan: a file that is saved may mend it."""

    def __init__(self, plan: LaunchPlan, findings: Sequence[Finding]) -> None:
        super().__init__(*findings)
        self.plan = plan
        """All but its target."""


def build(request: Request, host: Host, registry: Registry) -> LaunchPlan:
    """Compile. Raises LaunchError with every finding that could be made."""
    errors: list[Finding] = []
    notes: list[Finding] = []

    def take(findings: Iterable[Finding]) -> None:
        for finding in findings:
            (errors if finding.severity == "error" else notes).append(finding)

    draft = draft_of(request)
    take(draft.findings)
    settings = dict(draft.merged.settings)
    if request.passed:
        from .activation import adopt  # only where there is any

        taken, found = adopt(settings, request.passed)
        settings.update(taken)
        notes += found

    workdir = settings["chdir"].value or draft.project.root
    if missing := missing_directory(workdir, settings["chdir"].origin):
        raise LaunchError(*_once([*errors, missing]))
    project = draft.project._replace(root=workdir)
    path = _search_path(settings, workdir)
    search = Search(project, path, KeptReader(path, workdir), request.environ)
    names = [profile.name for profile in reversed(draft.chain)]

    backend = _attempt(lambda: _choose_server(settings, registry, notes), errors)
    variables, said = profile_variables(settings, search, backend)
    if all(finding.severity != "error" for finding in said):
        worker = {**request.environ, **{name: setting.value for name, setting in variables.items()}}
        search = search._replace(environ=worker)
    chosen, found = choose_settings(
        search,
        settings["settings"],
        request.environ,
        list(dict.fromkeys(names)),
        settings["production"].value,
    )
    settings["settings"] = chosen
    errors += found
    broken: list[Finding] = []
    target = _attempt(lambda: find_target(search, settings["app"], chosen), broken) if not found else None
    errors += broken
    if broken and all(map(_is_the_projects, broken)):
        target = Target("", settings["settings"].origin)
    if target is not None and settings["app"].value is None:
        notes += unserved(search, chosen, target)

    errors += native_sections(draft.merged.native, registry.names(BACKENDS))
    if backend is None:
        raise LaunchError(*_once(errors))
    version = registry.version(backend.distribution) or "" if backend.distribution else ""
    errors += _unfit(backend, version, settings["server"].origin)

    reckoned = None
    if settings["workers"].value == "auto":
        single = backend.rule("workers").how == "impossible"
        reckoned = reckon_workers(host, single=single)
        settings["workers"] = settings["workers"]._replace(value=reckoned.workers)
    notes += leave_out_development(settings)
    notes += _fit_backlog(settings, host)
    _complete_group(settings)
    found = []
    if settings["https"].value:
        from .certificate import settle  # only where it is asked for

        found = settle(settings, backend, registry, request.environ)
    options = Options({name: settings[name].value for name in OPTIONS})
    take((*said, *found, *inconsistencies(options, settings, host)))
    translated = translate(backend, options, settings, draft.merged.native)
    take(translated.findings)
    if target is None or len(errors) > len(broken):
        raise LaunchError(*_once(errors))

    environment = {name: setting.value for name, setting in variables.items()}
    if chosen.value:
        environment[VARIABLE] = chosen.value
    application = application_facts(backend, options, settings, target, search)
    env_set = {**environment, **our_variables(backend, application, translated.hooks)}
    dropped = shut_out(backend, request.environ, env_set)
    notes += shut_out_notes(dropped, backend)
    notes += shut_out_files(backend, workdir, search.shown)
    notes += overridden(environment, request.environ)
    command = command_of(backend, sys.executable, translated, options, env_set=env_set, env_drop=dropped, cwd=workdir)
    plan = LaunchPlan(
        project=draft.project,
        profile=names[0],
        profiles=draft.chain,
        backend=backend,
        version=version,
        options=options,
        settings=settings,
        native=draft.merged.native.get(backend.name, {}),
        variables=variables,
        target=target,
        application=application,
        command=command,
        reckoned=reckoned,
        left_out=translated.left_out,
        notes=tuple(notes),
        passed=request.passed,
        looked_at=search.reader.looked_at(),
    )
    if broken:
        raise BrokenProject(plan, broken)
    search.reader.keep()
    return plan


def _attempt(step: Callable[[], T], errors: list[Finding]) -> T | None:
    """Return what `step` returns; None, with its findings kept, where it fails."""
    try:
        return step()
    except LaunchError as error:
        errors += error.findings
        return None


def _is_the_projects(finding: Finding) -> bool:
    """Whether it is the project's code that is to be mended, rather than a profile or the command line."""
    return finding.code == "broken-settings" or (finding.origin is not None and finding.origin.layer == Layer.PROJECT)


def _once(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(dict.fromkeys(findings))


def _search_path(settings: Mapping[str, Setting[Any]], workdir: str) -> tuple[str, ...]:
    """Return sys.path as the workers will have it: ours is a child's of the same interpreter.

    They are started with -P, and so without the directory of the script, which comes first here.
    """
    ours = sys.path if sys.flags.safe_path else sys.path[1:]
    return tuple(dict.fromkeys([*settings["python_path"].value, workdir, *(path for path in ours if path)]))


def _choose_server(settings: dict[str, Setting[Any]], registry: Registry, notes: list[Finding]) -> Backend:
    setting = settings["server"]
    if setting.value != "auto":
        if setting.value not in registry.names(BACKENDS):
            fix = hint_at(setting.value, registry.names(BACKENDS))
            message = f"there is no server '{setting.value}'"
            raise LaunchError(Finding("unknown-server", message, fix, setting.origin, Exit.SERVER))
        chosen: Backend = registry.load(BACKENDS, setting.value)
        return chosen
    names = [*PREFERRED, *(() if settings["production"].value else ("wsgiref",))]
    for name in names:
        backend: Backend = registry.load(BACKENDS, name)
        version = registry.version(backend.distribution)
        if backend.fits(version):
            settings["server"] = setting._replace(value=name)
            missing = names[: names.index(name)]
            why = f"server = auto: {name} {version or ''}".rstrip()
            why += f"; not installed, or too old: {', '.join(missing)}" if missing else " is the first choice"
            notes.append(Finding("server-chosen", why, severity="note", origin=None))
            return backend
    first: Backend = registry.load(BACKENDS, PREFERRED[0])
    message = f"none of {', '.join(PREFERRED)} is installed, and new enough"
    raise LaunchError(Finding("server-missing", message, f"Install one: {first.install}", setting.origin, Exit.SERVER))


def _unfit(backend: Backend, version: str, origin: Origin) -> list[Finding]:
    if backend.fits(version):
        return []
    if not version:
        message = f"{backend.name} is not installed"
        return [Finding("server-missing", message, f"Install it: {backend.install}", origin, Exit.SERVER)]
    message = f"{backend.distribution} {version} is too old: {backend.oldest} or later is needed"
    return [Finding("server-too-old", message, f"Upgrade it: {backend.install}", origin, Exit.SERVER)]


def _fit_backlog(settings: dict[str, Setting[Any]], host: Host) -> list[Finding]:
    """Shorten a backlog that nobody asked for to what the kernel holds; uWSGI would not start with a longer one."""
    setting = settings["backlog"]
    limit = host.somaxconn
    if limit is None or setting.value is None or setting.value <= limit or setting.origin.personal:
        return []
    settings["backlog"] = setting._replace(value=limit)
    message = f"backlog = {setting.value} ({setting.origin}) is cut to net.core.somaxconn, {limit}"
    return [Finding("shortened-default", message, severity="note")]


def _complete_group(settings: dict[str, Setting[Any]]) -> None:
    """Name the user's own group: gunicorn 27.0.1 and uWSGI 2.0.30 would keep root's."""
    user = settings["user"]
    if user.value is None or settings["group"].value is not None:
        return
    group = own_group(user.value)
    if group is not None:
        settings["group"] = Setting(str(group), user.origin, (settings["group"],))
