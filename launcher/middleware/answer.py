"""The short answers that layers give themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def answer(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    status: str,
    headers: tuple[tuple[str, str], ...] = (),
) -> list[bytes]:
    """Answer with the status as text; without a body to HEAD, whose body not every server drops."""
    body = f"{status}\n".encode("ascii")
    start_response(
        status,
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            *headers,
        ],
    )
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]
