"""What servers import: `launcher.wsgi:application`. The one module of the package that works at import."""

import os

from .application import ApplicationError, load

try:
    application = load(os.environ)
except ApplicationError as error:
    from .errors import Exit
    from .user_code import tell

    tell(error)
    # gunicorn 27.0.1 gives up when a worker leaves with 4 (APP_LOAD_ERROR); with others it tries for ever.
    raise SystemExit(int(Exit.TARGET)) from None
