"""Production: everything that differs between installations comes from the environment.

DJANGO_SECRET_KEY     required
DJANGO_ALLOWED_HOSTS  host names, separated by commas; localhost,127.0.0.1 if unset
DJANGO_DATABASE       path of the SQLite file; db.sqlite3 beside manage.py if unset
DJANGO_HTTPS          1 where visitors reach the site over HTTPS
"""

import os

from django.core.exceptions import ImproperlyConfigured

from .base import *  # noqa: F403
from .base import BASE_DIR, DATABASES

DEBUG = False

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "Production needs the environment variable DJANGO_SECRET_KEY: 50 random characters or more."
    )

ALLOWED_HOSTS = [
    host.strip()
    for host in (os.environ.get("DJANGO_ALLOWED_HOSTS") or "localhost,127.0.0.1").split(",")
    if host.strip()
]

DATABASES["default"]["NAME"] = os.environ.get("DJANGO_DATABASE") or BASE_DIR / "db.sqlite3"

# `manage.py collectstatic` gathers the files here, for the web server in front to serve.
STATIC_ROOT = BASE_DIR / "staticfiles"

# The server in front must set this header on every request, or strip what the visitor sent.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# A redirect to HTTPS that nobody answers locks everybody out, so HTTPS is asked for, never assumed.
_HTTPS = os.environ.get("DJANGO_HTTPS") == "1"
SECURE_SSL_REDIRECT = _HTTPS
SESSION_COOKIE_SECURE = _HTTPS
CSRF_COOKIE_SECURE = _HTTPS
# An hour, for this host name alone: a mistake is soon forgotten. Raise it when all is well.
SECURE_HSTS_SECONDS = 3600 if _HTTPS else 0

X_FRAME_OPTIONS = "DENY"

# Django's default writes to the console only while DEBUG is on; an error would leave no trace.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
