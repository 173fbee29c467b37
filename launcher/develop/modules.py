"""What modules say of themselves, without asking them."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def attributes(module: object) -> Mapping[str, Any]:
    """Return what a module holds; nothing where something else stands in `sys.modules`, which may answer anything.

    To ask a lazy one would load it. Source: importlib.util._LazyModule, CPython 3.11 to 3.14.
    """
    found: Mapping[str, Any] = object.__getattribute__(module, "__dict__") if isinstance(module, ModuleType) else {}
    return found
