"""What the process of a server finds in its environment: variables of the profile, and what is said to our own code."""

from __future__ import annotations

from .backend import Backend
from .envfile import read_env_file
from .errors import Exit, Finding
from .jsontext import to_json
from .lean import TYPE_CHECKING
from .options import Options
from .origin import Setting
from .target import VARIABLE, Search, Target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


APPLICATION_VARIABLE = "LAUNCHER_APPLICATION"
ALIASES = ("PORT", "WEB_CONCURRENCY")


def profile_variables(settings: Mapping[str, Setting[Any]], search: Search, errors: list[Finding]) -> dict[str, str]:
    """Return the variables that the profile sets: env_file's, then env's over them."""
    variables: dict[str, str] = {}
    for path in settings["env_file"].value:
        read, problems = read_env_file(path, search.shown(path), settings["env_file"].origin)
        variables.update(read)
        errors += problems
    variables.update(settings["env"].value)
    for name in variables:
        origin = settings.get(f"env.{name}", settings["env_file"]).origin
        if name == VARIABLE:
            fix = 'Write settings = "package.settings.prod": serve sets the variable from it.'
            errors.append(Finding("misplaced-key", f"env sets {VARIABLE}", fix, origin, Exit.PROFILE))
        elif not name or "=" in name or "\0" in name + variables[name]:
            errors.append(Finding("bad-value", f"{name!r} is no name of a variable", "", origin, Exit.PROFILE))
    if settings["settings"].value:
        variables[VARIABLE] = settings["settings"].value
    return variables


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
        "ready_path": options.ready_path,
        "validate": options.validate,
        "static_files": options.static_files,
        "static_files_origin": str(static.origin) if options.static_files and static.origin.personal else None,
        "development_warnings": options.development_warnings,
        "live": options.live,
        "threads": options.threads if options.live else None,
    }
    empty: tuple[object, ...] = (None, False, "", [], 0)
    # 0 is a umask that a person may want; elsewhere it asks for nothing.
    return {
        key: value
        for key, value in told.items()
        if key in ("target", "path") or (value not in empty or (key == "trusted_proxies" and value == []))
        or (key == "umask" and value == 0 and value is not False)
    }  # fmt: skip


def our_variables(
    backend: Backend, options: Options, application: Mapping[str, Any], hooks: Mapping[str, Any]
) -> dict[str, str]:
    variables = {APPLICATION_VARIABLE: to_json(application)}
    if hooks and backend.hook_variable:
        variables[backend.hook_variable] = to_json(hooks)
    return variables


def shut_out(backend: Backend, environ: Mapping[str, str], env_set: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables of `environ` that the server must not see."""
    exact = {name for name in backend.shut_out if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in backend.shut_out if name.endswith("*"))
    ours = ("SERVE_", "LAUNCHER_")
    return tuple(
        sorted(
            name for name in environ if (name in exact or name.startswith((*prefixes, *ours))) and name not in env_set
        )
    )


def shut_out_note(name: str, backend: Backend) -> Finding:
    # What is an option of ours has been read, or its own note says why not.
    known = name in ALIASES or name.startswith(("SERVE_", "LAUNCHER_"))
    message = f"{name} is kept from the server: set options in a profile, native ones in [native.{backend.name}]"
    return Finding("shut-out", message, severity="quiet" if known else "note")


def overridden(environment: Mapping[str, str], environ: Mapping[str, str]) -> list[Finding]:
    """Note each variable that the profile sets and the surroundings had otherwise."""
    return [
        Finding("overridden-variable", f"{name} of the surroundings is replaced by the profile's", severity="note")
        for name, value in environment.items()
        if name != VARIABLE and environ.get(name, value) != value
    ]
