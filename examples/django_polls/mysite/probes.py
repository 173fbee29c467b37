"""Two small views that show how the site is being served."""

import os
import time

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

LONGEST_MS = 10_000


def whoami(request: HttpRequest) -> JsonResponse:
    """Say which settings and which process answer, and what the server told the application."""
    meta = request.META
    software = meta.get("SERVER_SOFTWARE")
    if software is None and "uwsgi.version" in meta:
        # uWSGI 2.0.30 sets no SERVER_SOFTWARE, but its version, as bytes.
        software = "uWSGI/" + meta["uwsgi.version"].decode("latin-1")
    return JsonResponse(
        {
            "settings": settings.SETTINGS_MODULE,
            "debug": settings.DEBUG,
            "url_scheme": meta.get("wsgi.url_scheme"),
            "remote_addr": meta.get("REMOTE_ADDR"),
            "server_software": software,
            "pid": os.getpid(),
        }
    )


def slow(_request: HttpRequest, ms: int) -> HttpResponse:
    """Answer after `ms` milliseconds, at most LONGEST_MS: something to have in flight during a reload."""
    ms = min(ms, LONGEST_MS)
    time.sleep(ms / 1000)
    return HttpResponse(f"Slept {ms} ms.\n", content_type="text/plain; charset=utf-8")
