"""What modules say of themselves, without asking them."""

from __future__ import annotations

import os
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_held = vars(ModuleType)["__dict__"]


def attributes(module: object) -> Mapping[str, Any]:
    """Return what a module holds; nothing where something else stands in `sys.modules`, which may answer anything.

    To ask a lazy one would load it. Source: importlib.util._LazyModule, CPython 3.11 to 3.14. Nor is isinstance asked,
    which believes what an object says of itself: a library of cffi 2.0.0 says that it is a module, and holds nothing.
    """
    found: Mapping[str, Any] = _held.__get__(module) if issubclass(type(module), ModuleType) else {}
    return found


def file_of(module: object) -> str:
    """Return the absolute path of a module's file; empty where there is none."""
    file = attributes(module).get("__file__")
    if not (isinstance(file, str) and file):
        return ""
    return file if file.startswith(os.sep) else os.path.abspath(file)


def spec_of(module: object) -> ModuleSpec | None:
    """Return what a module was imported by; None where there is nothing of that kind."""
    spec = attributes(module).get("__spec__")
    return spec if issubclass(type(spec), ModuleSpec) else None
