"""What the record of a running server says of its plan."""

from __future__ import annotations

from .lean import TYPE_CHECKING
from .options import OPTIONS
from .plan import LaunchPlan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .request import Request


def shown_options(plan: LaunchPlan) -> dict[str, Any]:
    """Return every option as TOML would hold it."""
    return {name: option.show(plan.options.value(name)) for name, option in OPTIONS.items()}


def plan_facts(plan: LaunchPlan) -> dict[str, Any]:
    """Return what `serve status` tells of a plan, and what a reload compares."""
    return {
        "project": plan.project.root,
        "profile": plan.profile,
        "server": plan.backend.name,
        "version": plan.version,
        "settings": plan.settings_module,
        "target": plan.target.spec,
        "options": shown_options(plan),
        "native": {key: setting.value for key, setting in plan.native.items()},
    }


def request_facts(request: Request, env: Mapping[str, str]) -> dict[str, Any]:
    """Return what makes the request again from the environment `env` of the server that it started."""
    return {
        "said": {name: list(texts) for name, texts in request.said.items()},
        "cwd": request.cwd,
        "replaced": {name: value for name, value in request.environ.items() if env.get(name) != value},
        "added": [name for name in env if name not in request.environ],
        "passed": [[each.fd, each.name, str(each.address or "")] for each in request.passed],
    }
