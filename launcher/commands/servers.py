"""`serve servers`: what is installed, which version, and what each can do."""

from typing import Any

from ..backend import Backend
from ..options import OPTIONS
from ..registry import BACKENDS, Registry


def load_backends(registry: Registry) -> list[Backend]:
    """Return every backend there is, by name. Raises LaunchError if one is broken."""
    return [registry.load(BACKENDS, name) for name in registry.names(BACKENDS)]


def servers_document(registry: Registry) -> dict[str, Any]:
    """Return what `--format json` prints."""
    return {
        backend.name: {
            "installed": registry.version(backend.distribution) if backend.distribution else "standard library",
            "fit": backend.fits(registry.version(backend.distribution)),
            "needs": backend.oldest,
            "summary": backend.summary,
            "options": {
                name: {"how": backend.rule(name).how, "note": backend.rule(name).note or None} for name in OPTIONS
            },
        }
        for backend in load_backends(registry)
    }


def servers_text(registry: Registry) -> str:
    rows = []
    for backend in load_backends(registry):
        version = registry.version(backend.distribution) if backend.distribution else "standard library"
        state = version or f"not installed: {backend.install}"
        if version and not backend.fits(version):
            state += f", too old: {backend.oldest} or later is needed"
        rows.append((backend.name, state, backend.summary))
    width = max(len(row[1]) for row in rows)
    return "\n".join(f"{name:10s}{state:{width + 2}s}{summary}" for name, state, summary in rows)


def options_text(backends: list[Backend]) -> str:
    """Return the table of options by servers, and below it every difference in words."""
    width = max(map(len, OPTIONS)) + 2
    lines = ["".ljust(width) + "".join(f"{backend.name:16s}" for backend in backends).rstrip()]
    for name in OPTIONS:
        lines.append((name.ljust(width) + "".join(f"{backend.rule(name).shown:16s}" for backend in backends)).rstrip())
    lines.append("")
    for backend in backends:
        for name in backend.rules:
            rule = backend.rule(name)
            if rule.note:
                lines.append(f"{backend.name} {name}: {rule.shown}, {rule.note}")
    return "\n".join(lines)
