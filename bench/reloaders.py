"""Reloaders that are libraries, as programs: `python bench/reloaders.py werkzeug|hupper PORT`, in a Django project.

werkzeug's is what `flask run --debug` uses; hupper's, what Pyramid's `pserve --reload` does.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

sys.path.insert(0, ".")


def application() -> "WSGIApplication":
    for name in ("wsgi", "mysite.wsgi"):
        try:
            return import_module(name).application
        except ModuleNotFoundError:
            continue
    raise SystemExit("no WSGI module here")


def serve_by_waitress() -> None:
    from waitress import serve

    serve(application(), listen=f"127.0.0.1:{sys.argv[2]}")


def main() -> None:
    if sys.argv[1] == "werkzeug":
        from werkzeug.serving import run_simple

        run_simple("127.0.0.1", int(sys.argv[2]), application(), use_reloader=True, threaded=True)
    else:
        import hupper

        sys.path.insert(0, __file__.rpartition("/")[0])
        hupper.start_reloader("reloaders.serve_by_waitress")
        serve_by_waitress()


if __name__ == "__main__":
    main()
