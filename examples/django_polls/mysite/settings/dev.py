"""Development: errors in the browser, a database in this folder, no secrets."""

from .base import *  # noqa: F403

DEBUG = True
SECRET_KEY = "django-insecure-for-development-only"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
