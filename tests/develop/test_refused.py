"""The development loop where the system refuses it something: it says so, keeps what serves, and tries again."""

import resource
from pathlib import Path

import pytest

from launcher.errors import Exit
from launcher.testing.serving import wait_for
from tests.develop.site import Site

pytestmark = pytest.mark.live

LARGE = f'\n[env]\nLARGE = "{"x" * 200_000}"\n'
"""More than the kernel takes for one variable (execve(2), Linux: 32 pages)."""
TOO_LONG = "Argument list too long (the longest variable is LARGE, with 200000 characters)."


def test_an_environment_that_is_too_large(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        profile = tmp_path / "profiles" / "kit.toml"
        fitting = profile.read_text()
        site.save(fitting + LARGE, "profiles/kit.toml")
        wait_for(lambda: "The next save tries again." in site.output, "the refusal")
        assert TOO_LONG in site.output
        assert site.now() == "0"
        assert "Argument list too long" in site.command("reload").stderr
        site.save(fitting, "profiles/kit.toml")
        site.release(1)
        site.shows("1")
        assert "Traceback" not in site.output


def test_a_first_start_with_one_is_a_finding(tmp_path: Path) -> None:
    site = Site(tmp_path, ready=False, env={"LARGE": "x" * 200_000})
    with site:
        assert site.wait() == Exit.SERVER
        assert TOO_LONG in site.output
        assert "Traceback" not in site.output


def test_no_free_descriptor(tmp_path: Path) -> None:
    with Site(tmp_path, warm_start=False) as site:
        site.release(1)
        site.shows("1")
        usual = resource.prlimit(site.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, (3, usual[1]))
        site.save("", "more/__init__.py")
        wait_for(lambda: "cannot watch what is new: Too many open files." in site.output, "the refusal to watch")
        site.release(2)
        wait_for(lambda: "cannot start the server: Too many open files." in site.output, "the refusal to start")
        assert site.now() == "1"
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, usual)
        site.release(3)
        site.shows("3")
        assert "Traceback" not in site.output
