"""What the process of a server finds in its environment: variables of the profile, and what is said to our own code."""

from __future__ import annotations

import os

from .backend import Backend
from .errors import Exit, Finding
from .jsontext import to_json
from .layers import entries, over
from .lean import TYPE_CHECKING
from .options import OPTIONS, Options
from .origin import Setting
from .target import VARIABLE, Search, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any


APPLICATION_VARIABLE = "LAUNCHER_APPLICATION"
ALIASES = {"PORT": "bind", "WEB_CONCURRENCY": "workers"}
"""Well-known variables, and what they set where the surroundings of `serve` have them."""
OURS = ("SERVE_", "LAUNCHER_")
"""How variables begin that are read by us alone."""


def profile_variables(
    settings: Mapping[str, Setting[Any]], search: Search, backend: Backend | None
) -> tuple[dict[str, Setting[str]], list[Finding]]:
    """Return the variables that the profile sets: env_file's, then env's over them."""
    variables: dict[str, Setting[str]] = {}
    findings: list[Finding] = []
    for path in settings["env_file"].value:
        from .envfile import read_env_file  # where there is one

        read, problems = read_env_file(path, search.shown(path), settings["env_file"].origin)
        for name, setting in read:
            variables[name] = over(variables.get(name), setting)
        findings += problems
    for name, setting in entries(settings, "env"):
        variables[name] = over(variables.get(name), setting)
    for name, setting in variables.items():
        if not name or "=" in name or "\0" in name:
            message = f"{name!r} is no name of a variable"
            findings.append(Finding("bad-value", message, "", setting.origin, Exit.PROFILE))
        elif "\0" in setting.value:
            message = f"the value of {name} holds a NUL, and no variable can"
            findings.append(Finding("bad-value", message, "", setting.origin, Exit.PROFILE))
        elif backend is not None and (fix := _instead_of(name, backend)):
            message = f"the environment of the server cannot set {name}"
            findings.append(Finding("misplaced-key", message, fix, setting.origin, Exit.PROFILE))
        elif name in ALIASES:
            message = f"{name} is for the application alone: it does not set {ALIASES[name]}"
            findings.append(Finding("no-effect", message, "", setting.origin, severity="note"))
    return variables, findings


def _instead_of(name: str, backend: Backend) -> str:
    """Return what to do instead of giving the server a variable, where that would have no effect, or one unseen."""
    if name == VARIABLE:
        return 'Write settings = "package.settings.prod": serve sets the variable from it.'
    if name.startswith("SERVE_"):
        key = name.removeprefix("SERVE_").lower()
        if key in OPTIONS:
            place = "the profile" if OPTIONS[key].anywhere else "[tool.serve] of pyproject.toml"
            return f"It would set {key}: write that in {place}."
        return "Call it otherwise: names that begin with SERVE_ are for options of serve."
    if name.startswith("LAUNCHER_"):
        return "Call it otherwise: names that begin with LAUNCHER_ are what serve tells a server."
    if name != "PORT" and _is_shut_out(name, backend):  # a port is given by bind, whatever the server finds there
        return f"Set options in the profile, and words of the server's own in [native.{backend.name}]."
    return ""


def application_facts(
    backend: Backend, options: Options, settings: Mapping[str, Setting[Any]], target: Target, search: Search
) -> dict[str, Any]:
    """Return what launcher.application needs to know, and nothing that it does not."""
    middleware, static = settings["middleware"], settings["static_files"]
    trusted = options.trusted_proxies
    if trusted is None and backend.believes_anyone:
        trusted = ()
    told: dict[str, Any] = {
        "target": target.spec,
        "target_origin": str(target.origin),
        "settings": options.settings,
        "settings_origin": str(settings["settings"].origin),
        "path": [*(options.python_path or ()), search.project.root],
        "production": options.production,
        "allow": list(options.allow or ()),
        "middleware": [
            {
                "use": entry.use,
                "options": dict(entry.options),
                "origin": str(middleware.origin._replace(line=entry.line or middleware.origin.line)),
            }
            for entry in options.middleware or ()
        ],
        "umask": options.umask,
        "url_prefix": (options.url_prefix or "").rstrip("/"),
        "trusted_proxies": None if trusted is None else list(trusted),
        "tls": bool(options.tls_cert) if trusted is not None else None,
        # With the uwsgi protocol a front server has read it, and tells the length.
        "whole_bodies": not backend.gives_lengths and options.protocol != "uwsgi",
        "max_body_size": options.max_body_size,
        "access_log": None if options.access_log in (None, "off") else options.access_log,
        "access_log_format": "short" if options.access_log_format == "short" else None,
        "warmup": list(options.warmup or ()),
        "warmup_origin": str(settings["warmup"].origin) if options.warmup else None,
        "ready_path": options.ready_path,
        "validate": options.validate,
        "static_files": options.static_files,
        "static_files_origin": str(static.origin) if options.static_files and static.origin.personal else None,
        "development_warnings": options.development_warnings,
        "live": options.live,
        "threads": options.threads if options.live else None,
    }
    # No proxy at all, and a umask of 0, are something to ask for; elsewhere what is empty, 0 or false asks for nothing.
    # A project that is broken has no target yet.
    also_empty = ("target", "umask", "trusted_proxies")
    return {key: value for key, value in told.items() if value or (key in also_empty and value is not None)}


def our_variables(backend: Backend, application: Mapping[str, Any], hooks: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that tell our own code in the server's processes what to do."""
    variables = {APPLICATION_VARIABLE: to_json(application)}
    if hooks and backend.hook_variable:
        variables[backend.hook_variable] = to_json(hooks)
    return variables


def shut_out(backend: Backend, environ: Mapping[str, str], env_set: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables of `environ` that the server must not see."""
    return tuple(
        sorted(
            name for name in environ if (_is_shut_out(name, backend) or name.startswith(OURS)) and name not in env_set
        )
    )


def _is_shut_out(name: str, backend: Backend) -> bool:
    return any(name == word or (word[-1] == "*" and name.startswith(word[:-1])) for word in backend.shut_out)


def shut_out_notes(names: Iterable[str], backend: Backend) -> list[Finding]:
    """Note each variable that the server must not see, but for those that we have read or have a note on already."""
    fix = f"set options in a profile, native ones in [native.{backend.name}]"
    return [
        Finding("shut-out", f"{name} is kept from the server: {fix}", severity="note")
        for name in names
        if name not in ALIASES and not name.startswith(OURS)
    ]


def shut_out_files(backend: Backend, workdir: str, shown: Callable[[str], str]) -> list[Finding]:
    """Warn of each file of the project's that the server would read if it were started by hand."""
    fix = f"Write what it sets as options, or in [native.{backend.name}], and take the file away."
    found = [os.path.join(workdir, name) for name in backend.shut_out_files]
    return [
        Finding("shut-out", f"{shown(file)} is not read", fix, severity="warning")
        for file in found
        if os.path.exists(file)
    ]


def overridden(environment: Mapping[str, str], environ: Mapping[str, str]) -> list[Finding]:
    """Note each variable that the profile sets and the surroundings had otherwise."""
    return [
        Finding("overridden-variable", f"{name} of the surroundings is replaced by the profile's", severity="note")
        for name, value in environment.items()
        if name != VARIABLE and environ.get(name, value) != value
    ]
