"""A Procfile, as foreman, honcho and their like read it."""

import shlex
from collections.abc import Mapping

from launcher.exporter import Exporter, start_words
from launcher.plan import LaunchPlan


def render(plan: LaunchPlan, name: str, *, process: str = "web") -> Mapping[str, str]:
    """Return a Procfile of one process."""
    head = f"# For profile {plan.profile} of {plan.project.root}"
    return {"Procfile": f"{head}\n{process}: {shlex.join(('serve', *start_words(plan)))}\n"}


EXPORTER = Exporter("a Procfile of one process", ".", render)
