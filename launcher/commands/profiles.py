"""`serve profiles`: which profiles exist and where they were found."""

from collections.abc import Sequence
from typing import Any

from ..profiles import available, shipped_directory
from ..project import Project


def profiles_document(project: Project) -> dict[str, list[str]]:
    """Return profile -> files, the one that counts first."""
    return {name: [_shown(path, project) for path in paths] for name, paths in available(project).items()}


def profiles_text(project: Project) -> str:
    rows: Sequence[tuple[str, Any]] = list(profiles_document(project).items())
    return "\n".join(f"{name:12s}{' over '.join(paths)}" for name, paths in rows)


def _shown(path: str, project: Project) -> str:
    if path.startswith(shipped_directory()):
        return f"{path.rpartition('/')[2]} (shipped)"
    return project.shown(path)
