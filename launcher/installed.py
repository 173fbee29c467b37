"""Which files are the project's, and which the standard library's, somebody's package's or ours."""

from __future__ import annotations

import os

LIBRARY = os.path.join(os.path.dirname(os.path.abspath(os.__file__)), "")
OURS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")
PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def is_installed(path: str) -> bool:
    """Whether a file or directory is the standard library's or somebody's package, rather than the project's."""
    if not path:
        return False
    path = os.path.join(path, "")
    return path.startswith((LIBRARY, OURS)) or any(part in path for part in PACKAGES) or f".zip{os.sep}" in path
