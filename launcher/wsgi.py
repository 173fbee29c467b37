"""What servers import: `launcher.wsgi:application`. The one module of the package that works at import."""

import os

from .application import ApplicationError, failure_status, load

try:
    application = load(os.environ)
except ApplicationError as error:
    from .user_code import tell

    tell(error)
    raise SystemExit(failure_status()) from None
