"""Tracebacks in logs, without the frames by which the server and we call the application."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from ..user_code import trace

if TYPE_CHECKING:
    from types import TracebackType


def show_own_frames() -> None:
    """Have what is raised and not answered, as by a signal's receiver, shown from where it leaves us.

    Formatters are changed in place, in this worker alone: each server makes its own. uWSGI prints by the hook.
    """
    usual, hook = logging.Formatter.formatException, sys.excepthook

    def format_exception(formatter: logging.Formatter, info: Any) -> str:
        text = trace(info[1]) if info[1] is not None else ""  # exc_info=True where nothing was raised
        return text.rstrip("\n") or usual(formatter, info)

    def show(kind: type[BaseException], error: BaseException, found: TracebackType | None) -> None:
        if text := trace(error):
            sys.stderr.write(text)
        else:
            hook(kind, error, found)

    logging.Formatter.formatException = format_exception  # type: ignore[method-assign,assignment]  # `ei` is by place
    sys.excepthook = show
