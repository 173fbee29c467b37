"""The pages of the application."""

import os

from flask import Blueprint, current_app, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

LONGEST_NAME = 60

pages = Blueprint("pages", __name__)


@pages.get("/")
def index() -> ResponseReturnValue:
    name = session.get("name")
    return render_template("hello/index.html", name=name, longest_name=LONGEST_NAME)


@pages.post("/")
def introduce() -> ResponseReturnValue:
    """Remember the name in the visitor's own session; an empty one is forgotten."""
    name = request.form.get("name", "").strip()[:LONGEST_NAME]
    if name:
        session["name"] = name
    else:
        session.pop("name", None)
    return redirect(url_for(".index"))


@pages.get("/whoami/")
def whoami() -> ResponseReturnValue:
    """Say which configuration and which process answer, and what the server told the application."""
    return {
        "stage": current_app.config["STAGE"],
        "debug": current_app.debug,
        "url_scheme": request.scheme,
        "remote_addr": request.remote_addr,
        "server_software": request.environ.get("SERVER_SOFTWARE"),
        "pid": os.getpid(),
    }
