"""What a check is, and what it is given."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import SkipTest

from ..address import UNIX_PATH_LIMIT
from ..backend import Backend
from ..errors import Exit, LaunchError
from ..host import Host
from ..plan import LaunchPlan, build
from ..registry import BACKENDS, Registry, read_registry
from ..request import Request
from .serving import Serving, clean_environment, refused, write_project

UNSUPPORTED = "unsupported-option"
"""Code of the finding for what a server cannot do."""

PUBLIC = "PUBLIC"
"""Stands for `Kit.public` in the values of a check."""


class Kit:
    """One backend, a place to work in, and the means to start it."""

    def __init__(self, backend: Backend, registry: Registry, check: "Check", directory: Path) -> None:
        self.backend = backend
        # Socket paths are short, and a test's own directory is deep and closed to other users.
        self.public = Path(tempfile.mkdtemp(prefix="serve-kit-"))
        """A directory that every user may enter, with a short path."""
        self.public.chmod(0o755)
        assert len(str(self.public)) < UNIX_PATH_LIMIT - 20, f"TMPDIR is too deep for sockets: {self.public}"
        self.asks = self._placed(check.asks)
        self._given = self._placed(check.given)
        self._registry = registry
        self._directory = directory
        self._projects = 0

    def close(self) -> None:
        shutil.rmtree(self.public)

    def _placed(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._placed(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._placed(item) for item in value]
        return value.replace(PUBLIC, str(self.public)) if isinstance(value, str) else value

    def how(self, option: str) -> str:
        """Return `exact`, `approximate`, `supplied` or `impossible`."""
        return self.backend.rule(option).how

    def project(self, *, public: bool = False) -> Path:
        """Make a directory for one more project."""
        self._projects += 1
        directory = (self.public if public else self._directory) / f"project{self._projects}"
        directory.mkdir()
        directory.chmod(0o755)  # whatever the umask is
        return directory

    def profile(
        self, also: Mapping[str, Any] | None = None, *, asks: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return a whole profile: what the check asks for (or `asks`), and what this server can do of `also`."""
        base = {"server": self.backend.name, "bind": ["127.0.0.1:0"]}
        whole = {**base, **self._given, **(self.asks if asks is None else self._placed(asks))}
        wished = {name: value for name, value in self._placed(also or {}).items() if name not in whole}
        left_out = self.refused({**whole, **wished}) if wished else ()
        return {**whole, **{name: value for name, value in wished.items() if name not in left_out}}

    def serve(
        self,
        also: Mapping[str, Any] | None = None,
        *,
        asks: Mapping[str, Any] | None = None,
        directory: Path | None = None,
        **how: Any,
    ) -> Serving:
        """Return a server with `profile(also, asks=asks)`; `how` goes to Serving."""
        return Serving(directory or self.project(), self.profile(also, asks=asks), **how)

    def refused_start(self, asks: Mapping[str, Any] | None = None, **how: Any) -> tuple[int, str]:
        """Run a start that must not succeed."""
        return refused(self.project(), self.profile(asks=asks), **how)

    def compile(self, profile: Mapping[str, Any]) -> tuple[LaunchPlan, Path]:
        """Compile a profile without a start; return the plan and its project. Raises LaunchError."""
        directory = self.project()
        write_project(directory, profile, name="kit", files={})
        request = Request({"profile": ("kit",)}, clean_environment(), str(directory))
        return build(request, Host.read(), self._registry), directory

    def refused(self, profile: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the options of a whole profile that the rules of the server refuse."""
        try:
            self.compile(profile)
        except LaunchError as error:
            unsupported = [finding for finding in error.findings if finding.code == UNSUPPORTED]
            return tuple(finding.origin.key for finding in unsupported if finding.origin)
        return ()

    def prove_refused(self, options: tuple[str, ...]) -> None:
        """Start with what the check asks for, and insist on being told what the server cannot do, and who asked."""
        status, said = self.refused_start()
        assert status == Exit.SERVER, f"status {status} instead of {int(Exit.SERVER)}\n{said}"
        for option in options:
            lines = [line for line in said.splitlines() if f"{self.backend.name} cannot honour {option} = " in line]
            assert lines, f"{option} is not refused by name:\n{said}"
            assert "profiles/kit.toml:" in lines[0], f"it is not told who asked for {option}:\n{said}"


@contextmanager
def kit_for(check: "Check", directory: Path) -> Iterator[Kit]:
    """Give the Kit of a check, and clear away what it has made outside of `directory`."""
    registry = read_registry(sys.path)
    kit = Kit(registry.load(BACKENDS, check.server), registry, check, directory)
    try:
        yield kit
    finally:
        kit.close()


@dataclass(frozen=True)
class Check:
    """One behaviour, as options declare it. Call it with an empty directory of its own.

    Where the backend's rules refuse what it asks for, it proves that a start is refused instead.
    """

    name: str
    asks: Mapping[str, Any]
    """Option -> value, as a profile holds them: those that the check is about."""
    function: Callable[[Kit], None]
    given: Mapping[str, Any] = field(default_factory=dict)
    """What has to stand beside them in the profile."""
    by_value: bool = False
    """Whether a server that has the option may still refuse this very value."""
    as_root: bool = False
    """Whether it means nothing without root's rights."""
    about: tuple[str, ...] = ()
    """Options it is about besides; `function` sets them."""
    server: str = ""
    """The entry point of the backend."""

    def __str__(self) -> str:
        return self.name

    @property
    def options(self) -> tuple[str, ...]:
        return (*self.asks, *self.about)

    def __call__(self, directory: Path) -> None:
        if self.as_root and os.geteuid() != 0:
            raise SkipTest("only root can become somebody else")
        with kit_for(self, directory) as kit:
            refused_options = kit.refused(kit.profile())
            for option in self.asks:
                how, is_refused = kit.how(option), option in refused_options
                assert is_refused or how != "impossible", f"{option} is declared impossible, and is accepted"
                assert not is_refused or how == "impossible" or self.by_value, (
                    f"{option} is declared {how}, and {self.asks[option]!r} is refused"
                )
            if not refused_options:
                self.function(kit)
            elif set(refused_options).isdisjoint(self.asks):
                raise SkipTest(f"{self.server} can do it, but not with {', '.join(refused_options)}")
            else:
                kit.prove_refused(refused_options)


def program(name: str) -> str:
    """Return the path of a program that a check needs; skip the check without it."""
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))
    if path is None:
        raise SkipTest(f"{name} is not installed")
    return path
