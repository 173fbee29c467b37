"""Python's development warnings, where the project's own code causes them."""

from __future__ import annotations

import os
import re
import sys
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CATEGORIES = (DeprecationWarning, PendingDeprecationWarning, ResourceWarning, SyntaxWarning)


def show_own_warnings(path: Sequence[str]) -> None:
    """Show each of `CATEGORIES` once for a place in the modules that lie in the directories `path`.

    A filter of `warnings` knows a module by its name, or by its file less `.py` where it is being compiled. Whoever
    gave Python filters of his own (-W, PYTHONWARNINGS) is left alone.
    """
    if sys.warnoptions:
        return
    places = [os.path.join(directory, "") for directory in path]
    names = "|".join(sorted({name for place in places for name in own_modules(place)}))
    files = "|".join(map(re.escape, places))
    own = rf"(?:{names})(?:\.|$)|(?:{files})(?!.*(?:site|dist)-packages/)"
    for category in CATEGORIES:
        warnings.filterwarnings("default", category=category, module=own)


def own_modules(place: str) -> Iterator[str]:
    """Yield the modules and packages that an import would take from a directory, rather than what only lies there."""
    for entry in os.listdir(place) if os.path.isdir(place) else ():
        name = entry.removesuffix(".py")
        if name.isidentifier() and name not in sys.stdlib_module_names:
            try:
                spec = find_spec(name)
            except (ImportError, ValueError):  # ValueError: it is being run, and has none
                continue
            if spec is not None and place + entry in (spec.origin, *(spec.submodule_search_locations or ())):
                yield name
