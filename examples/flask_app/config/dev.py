"""Development: errors in the browser, no secrets."""

WSGI_APPLICATION = "hello.wsgi:application"

DEBUG = True
SECRET_KEY = "for-development-only"
SESSION_COOKIE_SAMESITE = "Lax"

STAGE = "Development"
GREETING = "Hello"
