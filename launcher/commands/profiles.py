"""`serve profiles`: which profiles exist, and the files each is made of."""

from collections.abc import Mapping

from ..errors import Finding, LaunchError
from ..origin import DEFAULT
from ..profiles import available, load_chain, shipped_directory
from ..project import Project


def profiles_document(project: Project) -> tuple[dict[str, list[str]], list[Finding]]:
    """Return profile -> files, the one that counts first, then what it extends; and what is wrong with any."""
    found: dict[str, list[str]] = {}
    findings: list[Finding] = []
    for name, paths in available(project).items():
        try:
            chain = [profile.path for profile in reversed(load_chain(name, project, DEFAULT))]
        except LaunchError as error:
            chain = list(paths[:1])
            findings += error.findings
        found[name] = [_shown(path, project) for path in chain]
    return found, findings


def profiles_text(document: Mapping[str, list[str]]) -> str:
    return "\n".join(f"{name:12s}{' over '.join(paths)}" for name, paths in document.items())


def _shown(path: str, project: Project) -> str:
    if path.startswith(shipped_directory()):
        return f"{path.rpartition('/')[2]} (shipped)"
    return project.shown(path)
