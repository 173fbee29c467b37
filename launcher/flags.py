"""The declared options as click's: parameters, and help that shows them by group."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from .kinds import Flag
from .option import Option
from .options import OPTIONS

Said = Mapping[str, tuple[str, ...]]

GROUPS = {
    "application": "What is served",
    "listening": "Where it listens",
    "workers": "Workers",
    "timeouts": "How long things take",
    "recycling": "When workers are replaced",
    "process": "The process",
    "tls": "TLS",
    "development": "Development",
    "requests": "Proxies and limits",
    "logs": "Logs",
}


class OptionCommand(click.Command):
    """A command that takes every option, shown by group."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            option = OPTIONS.get(parameter.name or "")
            title = GROUPS[option.group] if option else "This command"
            records.setdefault(title, []).append(record)
        for title in ("This command", *GROUPS.values()):
            if title in records:
                with formatter.section(title):
                    formatter.write_dl(records[title])


def _declared(option: Option[Any]) -> click.Option:
    """Return click's option for a declaration. Values stay text: the layers read them."""
    if isinstance(option.kind, Flag):
        return click.Option([f"{option.flag}/--no-{option.flag[2:]}", option.name], default=None, help=option.help)
    return click.Option([option.flag, option.name], multiple=True, metavar=option.kind.metavar, help=option.help)


def takes(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command these options; it is called with `said` instead of the single values."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters: list[click.Parameter] = [_declared(OPTIONS[name]) for name in names if name != "app"]

        def with_said(**values: Any) -> Any:
            said = {}
            for name in names:
                value = values.pop(name, None)
                if isinstance(value, bool):
                    said[name] = ("true" if value else "false",)
                elif value:
                    said[name] = (value,) if isinstance(value, str) else tuple(value)
            return function(said=said, **values)

        with_said.__doc__ = function.__doc__
        with_said.__name__ = function.__name__
        with_said.__click_params__ = [*parameters, *reversed(getattr(function, "__click_params__", []))][::-1]  # type: ignore[attr-defined]
        return with_said

    return decorate


takes_options = takes(*OPTIONS)
