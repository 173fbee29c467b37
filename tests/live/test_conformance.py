"""Every option on every server of ours: what is declared is what happens."""

from pathlib import Path

import pytest

from launcher.options import OPTIONS
from launcher.testing import checks_for, unobservable
from launcher.testing.kit import Check

pytestmark = pytest.mark.live

SERVERS = ("gunicorn", "uwsgi", "waitress", "wsgiref")


@pytest.mark.parametrize("check", checks_for("gunicorn"), ids=str)
def test_gunicorn(check: Check, tmp_path: Path) -> None:
    check(tmp_path)


@pytest.mark.parametrize("check", checks_for("uwsgi"), ids=str)
def test_uwsgi(check: Check, tmp_path: Path) -> None:
    check(tmp_path)


@pytest.mark.parametrize("check", checks_for("waitress"), ids=str)
def test_waitress(check: Check, tmp_path: Path) -> None:
    check(tmp_path)


@pytest.mark.parametrize("check", checks_for("wsgiref"), ids=str)
def test_wsgiref(check: Check, tmp_path: Path) -> None:
    check(tmp_path)


def test_every_option_has_a_check_or_a_reason() -> None:
    checked = {option for check in checks_for("wsgiref") for option in check.options}
    assert checked.isdisjoint(unobservable())
    assert checked | set(unobservable()) == set(OPTIONS)
