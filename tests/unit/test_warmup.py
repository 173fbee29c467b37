"""launcher.warmup: requests before a worker counts as ready."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.application import ApplicationError, load
from tests.exchange import forget_modules

APP = """
asked = []

def app(environ, start_response):
    path = environ["PATH_INFO"]
    asked.append((path, environ["QUERY_STRING"], environ["HTTP_HOST"]))
    if path == "/raises":
        raise RuntimeError("no database")
    start_response({"/missing": "404 Not Found"}.get(path, "200 OK"), [])
    return [b"ok"]
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "site_to_warm.py").write_text(APP)
    before = set(sys.modules)
    path = sys.path.copy()
    yield
    forget_modules(before)
    sys.path[:] = path


def spec(root: Path, *paths: str) -> dict[str, str]:
    told = {"target": "site_to_warm:app", "path": [str(root)], "warmup": paths}
    return {"LAUNCHER_APPLICATION": json.dumps(told)}


def test_every_path_is_asked_for_once_before_the_worker_is_ready(tmp_path: Path) -> None:
    app = load(spec(tmp_path, "/", "/shop?page=2"))
    assert app.__globals__["asked"] == [("/", "", "localhost"), ("/shop", "page=2", "localhost")]


def test_a_worker_whose_warm_up_fails_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(ApplicationError, match="warm-up request for /missing was answered 404 Not Found"):
        load(spec(tmp_path, "/", "/missing"))
    with pytest.raises(ApplicationError, match="warm-up request for /raises failed") as raised:
        load(spec(tmp_path, "/raises"))
    assert "no database" in raised.value.trace
