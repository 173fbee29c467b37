"""What servers import: `launcher.wsgi:application`. The one module of the package that works at import."""

import os

from .application import ApplicationError, load

try:
    application = load(os.environ)
except ApplicationError as error:
    from .user_code import tell

    tell(error)
    # The exit status of a target that cannot be loaded; gunicorn 27.0.1 gives up on it (APP_LOAD_ERROR).
    raise SystemExit(4) from None
