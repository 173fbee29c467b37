"""The live conformance kit: proof that a backend does what its rules declare, option by option.

For a backend of your own, in a distribution with the entry point `launcher.backends`, this is the whole test:

    import pytest
    from launcher.testing import checks_for

    @pytest.mark.parametrize("check", checks_for("toy"), ids=str)
    def test_conformance(check, tmp_path):
        check(tmp_path)

Each check writes a small project, starts `python -m launcher` on it, looks from outside, stops it, and fails if a
process, a unix socket or a pid file is left. Where the backend's rules refuse what a check asks for, it proves
instead that the start is refused with exit status 5, by name. Checks need a loopback interface and /proc; some need
root, nginx, ss or openssl, and raise unittest.SkipTest, which pytest knows, where there is none. They share nothing
and may run in parallel.

A check calls for what its name says; `check.options` are the options it is about. The pieces are yours for tests
of your own: `Serving` runs a project, `refused` a start that must fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# Workers import this package on their way to launcher.testing.application: nothing is loaded before it is used.
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .kit import Check


def checks_for(server: str) -> tuple[Check, ...]:
    """Return every check, for the backend with this entry point."""
    from dataclasses import replace

    from .checks import CHECKS

    return tuple(replace(check, server=server) for check in CHECKS)


def unobservable() -> Mapping[str, str]:
    """Return the options that no check is about, each with the reason."""
    from .checks import UNOBSERVABLE

    return UNOBSERVABLE
