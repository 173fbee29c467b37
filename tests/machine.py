"""A machine that tests make up: what is installed on it, and how large it is."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from launcher.arguments import read_start
from launcher.host import Host
from launcher.plan import LaunchPlan, build
from launcher.registry import BACKENDS, EntryPoint, Registry
from launcher.request import Request

VERSIONS = {"gunicorn": "27.0.1", "pyuwsgi": "2.0.30.post1", "waitress": "3.0.2", "setproctitle": "1.3.7"}
SERVERS = ("gunicorn", "uwsgi", "waitress", "wsgiref")

LIKE_ANYONE: Sequence[str] = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""Words before a command, for it to have no rights that only root has."""


def registry(versions: Mapping[str, str] = VERSIONS) -> Registry:
    """Return the built-in backends, with these distributions installed."""
    points = tuple(EntryPoint(name, f"launcher.backends.{name}:BACKEND", "wsgi-launcher") for name in SERVERS)
    return Registry(versions, {BACKENDS: points})


def host(cpus: int = 2, memory: int | None = None, uid: int = 1000) -> Host:
    """Return a host of a given size."""
    return Host(
        cpus=cpus,
        cpus_why=f"{cpus} CPUs",
        memory=memory,
        memory_why="memory limit",
        somaxconn=4096,
        uid=uid,
    )


def compile_in(
    root: Path,
    *argv: str,
    environ: Mapping[str, str] | None = None,
    on: Host | None = None,
    versions: Mapping[str, str] = VERSIONS,
) -> LaunchPlan:
    """Compile a command line typed in `root`."""
    said = read_start(argv)
    assert said is not None, f"not a plain start: {argv}"
    return build(Request(said, environ or {}, str(root)), on or host(), registry(versions))


def write_tree(root: Path, files: Mapping[str, str]) -> Path:
    """Write files below `root`, and return it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


DJANGO: Mapping[str, str] = {
    "manage.py": 'import os\n\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings.dev")\n',
    "mysite/__init__.py": "",
    "mysite/settings/__init__.py": "",
    "mysite/settings/base.py": 'ROOT_URLCONF = "mysite.urls"\nWSGI_APPLICATION = "mysite.wsgi.application"\n',
    "mysite/settings/dev.py": "from .base import *\n\nDEBUG = True\n",
    "mysite/settings/prod.py": "from .base import *\n\nDEBUG = False\n",
    "mysite/wsgi.py": "application = object()\n",
}
"""A project as files; it is read, never imported."""


def words_of(plan: LaunchPlan, option: str) -> Sequence[str]:
    return plan.command.trace.get(option, ())
