"""Which server is taken, and what is said of those that are not there."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from gunicorn.config import KNOWN_SETTINGS

from launcher.backends.gunicorn import HOOKS
from launcher.commands.servers import servers_document, servers_text
from launcher.errors import Exit, LaunchError
from tests.machine import DJANGO, VERSIONS, compile_in, registry, write_tree

OLD = {"gunicorn": "20.1.0"}
UWSGI = {"pyuwsgi": "2.0.30.post1"}


@pytest.mark.parametrize(
    ("profile", "versions", "chosen"),
    [
        ("prod", VERSIONS, "gunicorn"),
        ("prod", {**OLD, **UWSGI}, "uwsgi"),
        ("prod", {"waitress": "3.0.2"}, "waitress"),
        ("dev", OLD, "wsgiref"),
    ],
)
def test_auto_takes_the_first_that_fits(profile: str, versions: Mapping[str, str], chosen: str, tmp_path: Path) -> None:
    root = write_tree(tmp_path, DJANGO)
    assert compile_in(root, "--profile", profile, "--server", "auto", versions=versions).backend.name == chosen


@pytest.mark.parametrize(
    ("server", "versions", "message"),
    [
        ("uwsgi", OLD, 'uwsgi is not installed. Install it: pip install "wsgi-launcher[uwsgi]"'),
        ("gunicorn", OLD, 'gunicorn 20.1.0 is too old: 25.1 or later is needed. Upgrade it: pip install "wsgi-'),
        ("auto", OLD, "none of gunicorn, uwsgi, waitress is installed, and new enough"),
        ("guniorn", {}, "there is no server 'guniorn'. Did you mean 'gunicorn'?"),
    ],
)
def test_a_server_that_cannot_be_had(server: str, versions: Mapping[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(LaunchError) as caught:
        compile_in(write_tree(tmp_path, DJANGO), "--profile", "prod", "--server", server, versions=versions)
    assert message in " ".join(str(caught.value).split())
    assert caught.value.status == Exit.SERVER


def test_servers_says_which_fit() -> None:
    document = servers_document(registry({**OLD, **UWSGI}))
    fit = {name: (each["installed"], each["fit"]) for name, each in document.items()}
    assert fit == {
        "gunicorn": ("20.1.0", False),
        "uwsgi": ("2.0.30.post1", True),
        "waitress": (None, False),
        "wsgiref": ("standard library", True),
    }
    text = servers_text(registry({**OLD, **UWSGI}))
    assert "20.1.0, too old: 25.1 or later is needed" in text
    assert 'not installed: pip install "wsgi-launcher[waitress]"' in text


def test_every_setting_of_gunicorn_that_is_a_function_is_known() -> None:
    assert {setting.name for setting in KNOWN_SETTINGS if callable(setting.default)} <= set(HOOKS)
