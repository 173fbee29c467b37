"""The WSGI callable, `application`."""

from . import create_app

application = create_app()
