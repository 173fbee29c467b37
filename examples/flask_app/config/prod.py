"""Production: the key comes from the environment.

HELLO_SECRET_KEY  required; signs the session cookie
HELLO_HTTPS       1 where visitors reach the application over HTTPS
"""

import os

WSGI_APPLICATION = "hello.wsgi:application"

DEBUG = False
SECRET_KEY = os.environ.get("HELLO_SECRET_KEY", "")
if not SECRET_KEY:
    raise RuntimeError("Production needs the environment variable HELLO_SECRET_KEY: 50 random characters or more.")
SESSION_COOKIE_SAMESITE = "Lax"
# A browser sends a secure cookie over HTTPS only: without it, no name would be remembered.
SESSION_COOKIE_SECURE = os.environ.get("HELLO_HTTPS") == "1"

STAGE = "Production"
GREETING = "Good day"
