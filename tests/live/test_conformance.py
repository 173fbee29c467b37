"""Every option on every server of ours: what is declared is what happens."""

from dataclasses import replace
from pathlib import Path

import pytest

from launcher.options import OPTIONS
from launcher.testing import checks_for, unobservable
from launcher.testing.kit import Check

pytestmark = pytest.mark.live


@pytest.mark.parametrize("check", checks_for("gunicorn"), ids=str)
def test_gunicorn(check: Check, tmp_path: Path) -> None:
    check(tmp_path)


@pytest.mark.parametrize("check", checks_for("uwsgi"), ids=str)
def test_uwsgi(check: Check, tmp_path: Path) -> None:
    check(tmp_path)


OF_SEVERAL_KINDS = ("bind-fd", "bind-several", "bind-by-hand", "trusted-proxies", "backlog")
"""Checks that listen at TCP addresses and unix sockets at once, which the router of uWSGI cannot."""


@pytest.mark.parametrize(
    "check",
    [each for each in checks_for("uwsgi") if "keepalive" not in each.asks and each.name not in OF_SEVERAL_KINDS],
    ids=str,
)
def test_uwsgi_that_keeps_connections(check: Check, tmp_path: Path) -> None:
    replace(check, given={"keepalive": "5s", **check.given})(tmp_path)


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
