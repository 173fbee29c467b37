"""Bytecode of the project's modules that is surely that of the source.

Python takes a cached file for good if source and cache agree in whole seconds and in size (importlib, CPython 3.11 to
3.14): of two saves of one size within a second it would run the first.
"""

from __future__ import annotations

import os
import sys
import time
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import cache_from_source
from typing import TYPE_CHECKING, Any

from ..installed import is_installed

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTLED_NS = 2_000_000_000
"""A cache that is so much younger than its source was made of it."""
NO_TIME = 0xFFFFFFFF


class Loader(SourceFileLoader):
    """Reads a cache only if it was made well after the source was written, and makes none before."""

    _modified_ns = 0

    def path_stats(self, path: str) -> Mapping[str, Any]:
        source = os.stat(path)
        self._modified_ns = source.st_mtime_ns
        try:
            cached_ns = os.stat(cache_from_source(path)).st_mtime_ns
        except (OSError, NotImplementedError):
            cached_ns = 0
        trusted = cached_ns - source.st_mtime_ns >= SETTLED_NS
        return {"mtime": source.st_mtime if trusted else NO_TIME, "size": source.st_size}

    def _cache_bytecode(self, source_path: str, bytecode_path: str, data: bytes) -> None:
        if time.time_ns() - self._modified_ns < SETTLED_NS:
            return
        # PEP 552: magic, flags, and then the time in seconds.
        seconds = (self._modified_ns // 1_000_000_000) & NO_TIME
        whole = bytes(data[:8]) + seconds.to_bytes(4, "little") + bytes(data[12:])
        super()._cache_bytecode(source_path, bytecode_path, whole)  # type: ignore[misc]  # not in the stubs


def distrust() -> None:
    """Load what is not installed by `Loader`, wherever it lies."""
    usual = FileFinder.path_hook(
        (ExtensionFileLoader, EXTENSION_SUFFIXES), (Loader, SOURCE_SUFFIXES), (SourcelessFileLoader, BYTECODE_SUFFIXES)
    )

    def hook(path: str) -> Any:
        if is_installed(path):
            raise ImportError(path)
        return usual(path)

    sys.path_hooks.insert(0, hook)
    for path in [path for path in sys.path_importer_cache if not is_installed(path)]:
        del sys.path_importer_cache[path]
