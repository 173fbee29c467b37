"""One start, one answer and one stop on each server: what every supported Python must pass."""

from pathlib import Path

import pytest

from launcher.testing.serving import Serving

pytestmark = pytest.mark.live


@pytest.mark.parametrize("server", ["gunicorn", "uwsgi", "waitress", "wsgiref"])
@pytest.mark.parametrize("profile", ["dev", "prod"])
def test_serves_and_stops(server: str, profile: str, tmp_path: Path) -> None:
    with Serving(tmp_path, {"extends": profile, "server": server, "bind": "127.0.0.1:0"}) as serving:
        assert serving.request("/").status == 200
        assert serving.request("/fail").status == 500
        assert serving.output.count("RuntimeError: this path always fails") == 1
        assert serving.stop() == 0
