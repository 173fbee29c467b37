"""Django's static files, served by workers while one develops."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..application import ApplicationError, Spec, Step, at, run

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

APP = "django.contrib.staticfiles"


def serve_static(app: WSGIApplication, spec: Spec) -> WSGIApplication:
    """Answer what is below STATIC_URL with what django.contrib.staticfiles finds, as runserver --insecure does.

    It sees the whole path, url_prefix included. A site without static files is left as it is, and refused with an
    ApplicationError where a person asked for them.
    """
    if not (_is_installed() and static_path(spec)):
        if spec.static_files_origin:
            message = f"static_files needs Django, {APP} in its INSTALLED_APPS, and a path as its STATIC_URL."
            raise ApplicationError(at(spec.static_files_origin, message))
        return app
    from django.contrib.staticfiles.handlers import StaticFilesHandler

    # Django looks at STATIC_URL here, and may not like it.
    return run(Step("static files cannot be served", spec.settings_origin, spec), StaticFilesHandler, app)


def static_path(spec: Spec) -> str:
    """Return the path of Django's STATIC_URL; empty where there is none, or another host has it."""
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return ""
    from django.urls import set_script_prefix

    # Django puts it before a relative STATIC_URL when that is first asked for, and keeps the result.
    set_script_prefix(conf.settings.FORCE_SCRIPT_NAME or f"{spec.url_prefix}/")
    url = urlsplit(conf.settings.STATIC_URL or "")
    # A site at `/` is no static file, whatever Django makes of that.
    return "" if url.netloc or url.path == "/" else url.path


def _is_installed() -> bool:
    registry = sys.modules.get("django.apps")
    return registry is not None and registry.apps.ready and registry.apps.is_installed(APP)
