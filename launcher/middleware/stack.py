"""The layers around the target: the profile's middleware, and ours. What a layer needs comes when it is asked for."""

from __future__ import annotations

import os
import sys

from ..application import DEVELOP, ApplicationError, Step, at, kind, require_callable, resolve, run, shortcoming
from ..instance import draining_file
from ..lean import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from wsgiref.types import WSGIApplication

    from ..application import Spec


def wrap(app: WSGIApplication, spec: Spec) -> WSGIApplication:
    """Put the layers around the target; raises ApplicationError.

    Outermost first: readiness, proxies, refresh, access log, limits, prefix, the user's own, validator. Between the
    user's own, and round the target, stands what sees to the end of Django's requests.
    """
    app = _closing(app, at(spec.target_origin, spec.target))
    if spec.validate:
        from .validator import validate

        app = validate(app)
    for entry in reversed(spec.middleware):
        app = _apply_middleware(app, entry, spec)
    if spec.warmup:
        from ..warmup import warm_up

        warm_up(app, spec.warmup, spec)
    try:
        return _own_layers(app, spec)
    except ValueError as error:
        raise ApplicationError(f"{error}.") from error
    except OSError as error:
        message = f"the access log {spec.access_log} cannot be opened: {error.strerror}."
        raise ApplicationError(message) from error


def _own_layers(app: WSGIApplication, spec: Spec) -> WSGIApplication:
    if spec.url_prefix.strip("/"):
        from .url_prefix import mount

        app = mount(app, spec.url_prefix)
    if spec.static_files:
        # Outside the prefix, which a STATIC_URL such as `/static/` does not begin with.
        from ..develop.static_files import serve_static

        app = serve_static(app, spec)
    if spec.whole_bodies:
        from .whole_body import read_whole_body

        app = read_whole_body(app)
    if spec.max_body_size is not None:
        from .body_limit import limit_body

        app = limit_body(app, spec.max_body_size)
    if spec.access_log is not None and spec.access_log_format == "short":
        from ..develop.static_files import static_path
        from .short_log import log_briefly

        app = log_briefly(app, spec.access_log, static_path(spec))
    elif spec.access_log is not None:
        from .access_log import log_access

        app = log_access(app, spec.access_log)
    # Outside the access log, which is to show the project's requests. Without `live` too the page that told a failure
    # is to learn that it was mended.
    if spec.live or DEVELOP in os.environ:
        from ..develop.events import Events, server_state
        from .live import refresh_pages

        app = refresh_pages(app, Events(server_state, spec.threads // 2), spec.url_prefix, mark=spec.live)
    # Outside the access log, which is to show the client and not the proxy.
    if spec.trusted_proxies is not None:
        from .proxies import trust_proxies

        app = trust_proxies(app, spec.trusted_proxies, tls=spec.tls)
    if spec.ready_path:
        from .ready import tell_readiness

        app = tell_readiness(app, spec.ready_path, draining_file(os.environ))
    return app


def _apply_middleware(app: WSGIApplication, entry: Mapping[str, object], spec: Spec) -> WSGIApplication:
    use, origin = str(entry.get("use", "")), str(entry.get("origin") or "")
    options = cast("Mapping[str, object]", entry.get("options") or {})
    _, factory = resolve(use, origin, spec)
    require_callable(factory, use, origin)
    make = cast("Callable[..., object]", factory)
    wrapped = run(Step(f"middleware {use} failed", origin, spec), make, app, **options)
    if not callable(wrapped):
        message = f"middleware {use} returned {kind(wrapped)} instead of a WSGI application."
        raise ApplicationError(at(origin, message))
    if missing := shortcoming(wrapped):
        message = f"middleware {use} returned something {kind(wrapped)}, which {missing}."
        if hasattr(wrapped, "get_response"):
            message += " What Django calls middleware belongs in MIDDLEWARE of the settings."
        raise ApplicationError(at(origin, message))
    return _closing(cast("WSGIApplication", wrapped), at(origin, f"middleware {use}"))


def _closing(app: WSGIApplication, name: str) -> WSGIApplication:
    """Have Django hear of the end of each request, whatever `app` does."""
    if "django.core.handlers.wsgi" not in sys.modules:
        return app
    from .closing import see_to_the_end

    return see_to_the_end(app, name)
