"""The command line, by click: help, commands, and every start that is not plain."""

import errno
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from . import __version__
from .arguments import looks_like_address, looks_like_app
from .draft import meant
from .errors import Exit, LaunchError, did_you_mean
from .flags import OptionCommand, Said, takes, takes_options
from .instance import Instance
from .options import OPTIONS
from .start import compile_plan, open_streams, report, request_of, start, working_directory

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a file or a terminal says that takes no more output."""
ELSEWHERE = {
    **dict.fromkeys(("--port", "--host", "--address"), "Both go into --bind: serve --bind 127.0.0.1:8001"),
    **dict.fromkeys(("--app", "--wsgi"), "It stands by itself: serve mysite.wsgi:application"),
}
"""What other launchers call it -> what to do here."""


class _DefaultGroup(click.Group):
    """A group whose first word may also be an option or an application: then it is a start."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "--help", "-h", "--version"):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        start_command = self.commands["run"]
        start_command.format_options(ctx, formatter)


def _format(*forms: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--format", "form", type=click.Choice(forms), default=forms[0], help="How to print it.")


@click.group(cls=_DefaultGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="serve")
def cli() -> None:
    """Serve a Django or WSGI project.

    `serve` alone develops; `serve --profile prod` is production. Any option works with explain and check too.
    """


def _app(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and looks_like_address(value):  # as runserver takes it
        address = value if ":" in value else f"127.0.0.1:{value}"
        raise click.UsageError(f"'{value}' is an address: serve --bind {address}")
    if value is None or looks_like_app(value):
        return value
    if value in cli.commands:
        hint = f"The command comes first: serve {value} ..."
    elif os.path.isfile(f"{value}.py"):
        hint = f"Of a module, name the application in it: {value}:app."
    else:
        hint = did_you_mean(value, cli.commands)
    said = f"'{value}' is neither a command nor an application such as mysite.wsgi:application."
    raise click.UsageError(f"{said} {hint}".rstrip())


@cli.command(cls=OptionCommand, hidden=True)
@takes_options
@click.option("--dry-run", is_flag=True, help="Print the native command, quoted for a shell, and start nothing.")
@click.argument("app", required=False, callback=_app)
@click.pass_obj
def run(environ: Mapping[str, str], said: Said, dry_run: bool) -> int:
    """Start the server."""
    if not dry_run:
        return start(said, environ)
    from .commands.explain import command_line

    click.echo(command_line(compile_plan(request_of(said, environ))))
    return Exit.FINE


@cli.command(cls=OptionCommand)
@takes_options
@_format("text", "json", "toml")
@click.argument("option", nargs=-1)
@click.pass_obj
def explain(environ: Mapping[str, str], said: Said, form: str, option: tuple[str, ...]) -> int:
    """Show every value, where it came from, and what it became.

    OPTION may also be an entry, such as env.NAME or native.gunicorn, and an application, as for a start.
    """
    from .commands import explain as command

    apps = tuple(word for word in option if looks_like_app(word) and not command.is_entry(word))
    said = {**said, "app": apps} if apps else said
    only = [word for word in option if word not in apps]
    click.echo(command.explain(compile_plan(request_of(said, environ)), form, only))
    return Exit.FINE


@cli.command(cls=OptionCommand)
@takes_options
@_format("text", "json")
@click.argument("app", required=False, callback=_app)
@click.pass_obj
def check(environ: Mapping[str, str], said: Said, form: str) -> int:
    """Say everything that would go wrong, before it does."""
    from .commands.check import check as run_checks
    from .document import finding_document, plain
    from .registry import read_registry

    try:
        plan = compile_plan(request_of(said, environ))
        findings = run_checks(plan, environ, read_registry(sys.path))
        summary = f"{plan.backend.name}, profile {plan.profile}, {plan.target.spec}: nothing wrong"
    except LaunchError as error:
        findings, summary = error.findings, ""
    if form == "json":
        click.echo(json.dumps([plain(finding_document(finding)) for finding in findings], indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(f"{finding.severity}: {finding}")
        if not findings:
            click.echo(summary)
    return Exit.FINDINGS if any(finding.severity == "error" for finding in findings) else Exit.FINE


def _running(said: Said, environ: Mapping[str, str]) -> tuple[str, list[Instance]]:
    """Return the profile that is meant and the servers that run with it."""
    from . import instance

    project, profile = meant(request_of(said, environ))
    return profile, instance.find(environ, project, profile)


@cli.command(cls=OptionCommand)
@takes("profile", "chdir")
@_format("text", "json")
@click.option("--all", "everything", is_flag=True, help="Of all projects and profiles.")
@click.option("--pid", type=int, help="Of this server alone.")
@click.pass_obj
def status(environ: Mapping[str, str], said: Said, form: str, everything: bool, pid: int | None) -> int:
    """Show what runs with this profile: workers, their age and memory, the last reload."""
    from .commands.control import the_one
    from .commands.status import status_document, status_text
    from .instance import find_all

    profile, found = ("", find_all(environ)) if everything else _running(said, environ)
    documents = [status_document(each) for each in found if pid in (None, each.pid)]
    if form == "json":
        click.echo(json.dumps(documents, indent=2, ensure_ascii=False))
    elif documents:
        click.echo("\n".join(map(status_text, documents)))
    else:
        the_one(found, profile, pid)  # which says that there is none
    return Exit.FINE if documents and all(each["ready"] for each in documents) else Exit.NOT_READY


def _acts_on_one(function: Callable[[Instance], int]) -> Callable[..., int]:
    """Give a command the running server that is meant."""

    @takes("profile", "chdir")
    @click.option("--pid", type=int, help="Which server, where several run with this profile.")
    @click.pass_obj
    def command(environ: Mapping[str, str], said: Said, pid: int | None) -> int:
        from .commands.control import the_one

        profile, found = _running(said, environ)
        return function(the_one(found, profile, pid))

    command.__doc__ = function.__doc__
    return command


@cli.command("reload", cls=OptionCommand)
@_acts_on_one
def reload_(running: Instance) -> int:
    """Load new code, settings and profile: proven first, the old code serves on if they are broken."""
    from .commands import control

    return control.reload(running)


@cli.command("stop", cls=OptionCommand)
@_acts_on_one
def stop(running: Instance) -> int:
    """Let requests in flight finish, and stop the server."""
    from .commands import control

    return control.stop(running)


@cli.command(hidden=True)
@click.argument("directory")
@click.argument("descriptor", type=int)
@click.pass_obj
def prove(environ: Mapping[str, str], directory: str, descriptor: int) -> int:
    """Say whether a running server may load the code that is on disk now; servers ask this before a reload."""
    from .commands.prove import prove as run_proof

    return run_proof(directory, descriptor, environ)


@cli.command(cls=OptionCommand)
@takes_options
@click.option("--name", default="", help="Name of the site; otherwise that of the project's directory.")
@click.option("--output", metavar="DIR", help="Write the files there, instead of printing them.")
@click.option(
    "--check",
    "installed",
    metavar="[DIR]",
    is_flag=False,
    flag_value="",
    help="Show how what is installed differs; exit status 1 where it does.",
)
@click.option("--with", "words", metavar="NAME=VALUE", multiple=True, help="A word of the exporter's own.")
@_format("text", "json")
@click.argument("kind")
@click.argument("app", required=False, callback=_app)
@click.pass_obj
def export(
    environ: Mapping[str, str],
    said: Said,
    name: str,
    output: str | None,
    installed: str | None,
    words: Sequence[str],
    form: str,
    kind: str,
) -> int:
    """Write a plan down for another program: `serve export systemd --profile prod`."""
    from .commands import export as command
    from .host import Host
    from .registry import read_registry

    exporter = command.exporter(read_registry(sys.path), kind)
    # What is exported is started by root, whoever exports it.
    plan = compile_plan(request_of(said, environ), Host.read()._replace(uid=0))
    if not plan.options.production:
        print(f"serve: the profile {plan.profile} is not for production; there is --profile prod", file=sys.stderr)
    files = command.render(exporter, plan, name, words)
    directory = installed or output or exporter.directory
    differences = None if installed is None else command.compare(files, directory)
    written = [] if output is None else command.write(files, output)
    if form == "json":
        click.echo(command.json_text(files, directory, differences))
    elif differences is not None:
        click.echo("".join(differences.values()), nl=False)
    elif output is not None:
        click.echo("\n".join(written))
    else:
        click.echo(command.text(files, directory), nl=False)
    return Exit.FINDINGS if differences else Exit.FINE


@cli.command()
@click.option("--options", is_flag=True, help="Every option by every server.")
@_format("text", "json")
def servers(options: bool, form: str) -> int:
    """List the servers: installed or not, and what each can do."""
    from .commands import servers as command
    from .registry import read_registry

    registry = read_registry(sys.path)
    if form == "json":
        click.echo(json.dumps(command.servers_document(registry), indent=2))
    elif options:
        click.echo(command.options_text(command.load_backends(registry)))
    else:
        click.echo(command.servers_text(registry))
    return Exit.FINE


@cli.command()
@_format("text", "json")
@click.option("--chdir", help=OPTIONS["chdir"].help)
def profiles(form: str, chdir: str | None) -> int:
    """List the profiles, the file of each, and those that it extends."""
    from .commands import profiles as command
    from .project import find_project

    here = working_directory()
    project = find_project(chdir or here, here)
    document, findings = command.profiles_document(project)
    click.echo(json.dumps(document, indent=2) if form == "json" else command.profiles_text(document))
    return report(LaunchError(*dict.fromkeys(findings))) if findings else Exit.FINE


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command line and return its exit status."""
    open_streams()
    try:
        status = cli.main(list(argv), prog_name="serve", obj=environ, standalone_mode=False)
    except LaunchError as error:
        return report(error)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        return 128 + 2
    except OSError as error:
        if error.errno not in FULL:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # which takes what is left at the end
        print(f"serve: the output cannot be written: {error.strerror}", file=sys.stderr)
        return Exit.USAGE
    except click.NoSuchOption as error:
        hint = ELSEWHERE.get(error.option_name)
        print(
            f"serve: {error.format_message() if hint is None else f'No such option {error.option_name!r}. {hint}'}",
            file=sys.stderr,
        )
        return Exit.USAGE
    except click.ClickException as error:
        print(f"serve: {error.format_message()}", file=sys.stderr)
        return Exit.USAGE
    return int(status or 0)
