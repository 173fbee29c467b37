"""A small Flask application that remembers whom it greets."""

import os

from flask import Flask

from .pages import pages

# The launcher says here which settings module to use. Django coined the name; no Django is meant.
SETTINGS_VARIABLE = "DJANGO_SETTINGS_MODULE"


def create_app(settings: str | None = None) -> Flask:
    """An application configured by the upper-case values of a module.

    `settings` is its name; without one, the environment's, and then config.dev.
    """
    app = Flask(__name__)
    app.config.from_object(settings or os.environ.get(SETTINGS_VARIABLE) or "config.dev")
    app.register_blueprint(pages)
    return app
