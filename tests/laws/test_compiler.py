"""Laws of the compiler: whatever is thrown at it, it answers with a plan or with findings."""

import json
import os
import string
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher import cli
from launcher.arguments import read_start
from launcher.backend import Backend
from launcher.commands.explain import explain
from launcher.document import plain, plan_document
from launcher.errors import Exit, LaunchError
from launcher.native import Refusal
from launcher.options import OPTIONS, Options
from launcher.plan import LaunchPlan, build
from launcher.registry import BACKENDS
from launcher.request import Request
from launcher.runners import waitress, wsgiref
from tests.machine import DJANGO, SERVERS, compile_in, host, registry, write_tree

names = st.sampled_from([*OPTIONS, "extends", "native", "workerz", ""])
likely = st.sampled_from(
    [
        "auto",
        "none",
        "off",
        "-",
        "30s",
        "10MiB",
        "unix:/x",
        "fd://3",
        "fd://web.socket",
        ":80",
        "mysite.wsgi:application",
        "prod",
        "0660",
        "*",
    ]
)


class Written(str):
    """A TOML value as it is written: what JSON has no word for."""


written = st.sampled_from(["1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "inf", "nan", "-inf", "0x1F", "1_000"])
scalars = (
    written.map(Written) | st.booleans() | st.integers() | st.floats(allow_nan=False) | likely | st.text(max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)
layered = st.dictionaries(st.sampled_from(["use", "x", "y"]), values, max_size=3)
middleware = st.lists(layered | layered.map(lambda entry: {**entry, "use": "app:mw"}), max_size=3)
profiles = st.builds(
    lambda table, layers: {**table, **layers},
    st.dictionaries(names, values, max_size=6),
    st.just({}) | st.fixed_dictionaries({"middleware": middleware}),
)
flag_words = st.sampled_from(
    [option.flag for option in OPTIONS.values()] + ["--no-preload", "--dry-run", "explain", "app:x", "--workers=3"]
)
variables = st.sampled_from(
    [option.variable for option in OPTIONS.values() if option.variable]
    + ["SERVE_ENV", "SERVE_X", "PORT", "WEB_CONCURRENCY", "DJANGO_SETTINGS_MODULE"]
)
safe_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


def toml(value: Any) -> str:
    from launcher.commands.explain import toml_value

    if isinstance(value, Written):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    return toml_value(value)


def profile_text(table: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in table.items())


def compile_or_findings(
    root: Path, said: dict[str, tuple[str, ...]], environ: dict[str, str]
) -> LaunchPlan | LaunchError:
    try:
        return build(Request(said, environ, str(root)), host(), registry())
    except LaunchError as error:
        for finding in error.findings:
            assert finding.message
            assert "Traceback" not in str(finding)
        assert error.status in range(1, 8)
        return error


@settings(max_examples=150)
@given(
    profile=profiles,
    said=st.dictionaries(
        st.sampled_from(list(OPTIONS)), st.lists(likely | safe_text, min_size=1, max_size=2).map(tuple), max_size=3
    ),
    environ=st.dictionaries(variables, likely | safe_text, max_size=3),
    server=st.sampled_from(SERVERS),
)
def test_anything_compiles_or_is_refused(
    profile: dict[str, Any], said: dict[str, tuple[str, ...]], environ: dict[str, str], server: str
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = write_tree(Path(directory), {**DJANGO, "profiles/prod.toml": profile_text(profile)})
        result = compile_or_findings(root, {"profile": ("prod",), "server": (server,), **said}, environ)
        if isinstance(result, LaunchPlan):
            document = plain(plan_document(result))
            assert all(isinstance(word, str) for word in document["command"]["argv"])
            assert not any(name.startswith("SERVE_") for name in document["command"]["env_set"])


@settings(max_examples=400)
@given(
    entry=st.tuples(
        st.sampled_from(list(OPTIONS)),
        values | st.lists(likely, max_size=3) | st.sampled_from(["30s", "off", "none", 0, 1, 2.5, "1"]),
    )
    | st.tuples(st.just("middleware"), middleware)
    | st.tuples(st.just("env"), st.dictionaries(st.sampled_from(["A", "b c", ""]), values, max_size=2))
    | st.tuples(st.just("native"), st.dictionaries(st.sampled_from(SERVERS), profiles, max_size=2)),
    server=st.sampled_from(SERVERS),
)
def test_any_value_of_one_option_compiles_or_is_refused(entry: tuple[str, Any], server: str) -> None:
    """Alone in its profile, so that nothing else that is wrong keeps the value from the later steps."""
    with tempfile.TemporaryDirectory() as directory:
        root = write_tree(Path(directory), {**DJANGO, "profiles/prod.toml": profile_text(dict([entry]))})
        result = compile_or_findings(root, {"profile": ("prod",), "server": (server,)}, {})
        if isinstance(result, LaunchPlan):
            assert json.loads(json.dumps(plain(plan_document(result))))


@settings(max_examples=60)
@given(st.binary(max_size=80) | st.text(string.printable, max_size=80).map(str.encode))
def test_any_file_is_a_profile_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = write_tree(Path(directory), {**DJANGO, "profiles/x.toml": ""})
        (root / "profiles/x.toml").write_bytes(content)
        compile_or_findings(root, {"profile": ("x",)}, {})


@settings(deadline=None, max_examples=300)
@given(st.lists(flag_words | likely | st.text(max_size=6), max_size=5))
def test_what_the_quick_reader_reads_click_reads_the_same(argv: list[str]) -> None:
    quick = read_start(argv)
    if quick is None:
        return
    seen: list[Any] = []
    with mock.patch("launcher.cli.start", lambda said, environ: seen.append(said)):
        try:
            assert cli.cli.main(list(argv), prog_name="serve", obj={}, standalone_mode=False) in (0, None)
        except click.ClickException as error:
            pytest.fail(f"click refuses {argv}: {error.format_message()}")
    said = {name: texts if isinstance(texts, tuple) else (texts,) for name, texts in seen[0].items()}
    # Of a fact said twice click keeps the last, and the layers refuse the pair: only single ones are compared.
    singles = {name: texts for name, texts in quick.items() if not (len(texts) > 1 and not OPTIONS[name].kind.metavar)}
    assert {name: said.get(name) for name in singles} == singles


@pytest.mark.parametrize("server", SERVERS)
def test_every_option_has_a_rule_or_a_reasoned_refusal(server: str) -> None:
    backend: Backend = registry().load(BACKENDS, server)
    assert {name for name, option in OPTIONS.items() if not option.supplied} <= backend.rules.keys()
    for name, rule in backend.rules.items():
        assert name in OPTIONS
        assert rule.how in ("exact", "approximate", "supplied", "impossible")
        assert rule.how == "exact" or rule.note, f"{server} {name}: {rule.how} needs words"
    owned = {native for rule in backend.rules.values() for native in rule.natives}
    assert backend.reserved.keys().isdisjoint({*OPTIONS, *owned}), "these have an answer already"


SAID = """
--settings=mysite.settings.base --middleware=a:b --production --allow=debug --validate --warmup=/ --ready-path=/ready
--chdir=. --python-path=mysite --env=A=b --env-file=.env --bind=:8001 --bind=unix:/run/x.sock
--protocol=http --protocol=uwsgi --socket-mode=0640 --socket-owner=root --backlog=64 --reuse-port --no-reuse-port
--workers=1 --workers=auto --threads=3 --max-connections=7 --preload --no-preload --request-timeout=7s
--request-timeout=off --worker-timeout=7s --worker-timeout=off --graceful-timeout=7s --graceful-timeout=off
--drain-delay=7s --drain-delay=off --keepalive=7s --keepalive=off --client-timeout=7s --client-timeout=off
--max-requests=7 --max-requests=0 --max-requests-jitter=7 --max-worker-age=7s --max-worker-age=off
--max-worker-memory=7MiB --max-worker-memory=off --user=root --group=root --umask=0 --umask=0027 --pid-file=x
--process-name=x --tls-cert=x --tls-key=x --tls-ca=x --tls-client-cert=optional --reload --watch=x --no-warm-start
--live --static-files --checks --development-warnings --https --open --trusted-proxies= --trusted-proxies=*
--url-prefix=/x --max-request-line=8000 --max-request-line=off --max-header-size=8000 --max-header-size=off
--max-body-size=7 --max-body-size=off --access-log=off --access-log=- --access-log=x --access-log-format=short
--log-level=debug --log-level=info --log-file=- --log-file=x
"""
"""Values that do something and values that do nothing, each of which is said alone."""

NEED = {
    "--max-requests-jitter=7": ("--max-requests=7",),
    "--tls-key=x": ("--tls-cert=x",),
    "--tls-ca=x": ("--tls-cert=x", "--tls-client-cert=optional"),
    "--tls-client-cert=optional": ("--tls-cert=x", "--tls-ca=x"),
}
READERS = {"waitress": waitress.read, "wsgiref": wsgiref.read}
"""Of runners that are ours: they end the process at a word that they cannot read."""


@pytest.mark.parametrize("server", SERVERS)
def test_what_has_an_effect_says_by_what(server: str, tmp_path: Path) -> None:
    root = write_tree(
        tmp_path, {**DJANGO, ".env": "B=c\n", "profiles/bare.toml": "settings = 'mysite.settings.prod'\nbind = ':0'\n"}
    )

    def compiled(*flags: str) -> LaunchPlan:
        return compile_in(root, "--profile", "bare", "--server", server, *flags, on=host(uid=0))

    bare, said = compiled(), {"profile", "server", "app"}
    for flag in SAID.split():
        name = flag.partition("=")[0].removeprefix("--").removeprefix("no-").replace("-", "_")
        said.add(name)
        try:
            plan = compiled(flag, *NEED.get(flag, ()))
        except LaunchError as error:
            assert error.status == Exit.SERVER, (flag, str(error))
            continue
        becomes = explain(plan, "text", [name]).partition("\n  becomes   ")[2].partition("\n")[0]
        assert becomes, flag
        if server in READERS:
            READERS[server](plan.command.argv[4:])
        assert not becomes.startswith("(nothing") or plan.command == bare.command, (flag, becomes)
    assert said == OPTIONS.keys()


@pytest.mark.parametrize("server", SERVERS)
def test_a_plan_does_not_depend_on_this_process(server: str, tmp_path: Path) -> None:
    root = write_tree(tmp_path, DJANGO)
    said = {"profile": ("prod",), "server": (server,)}
    before = plan_document(build(Request(said, {}, str(root)), host(), registry()))
    os.environ["SERVE_WORKERS"] = "77"
    try:
        assert plan_document(build(Request(said, {}, str(root)), host(), registry())) == before
    finally:
        del os.environ["SERVE_WORKERS"]


def test_a_backend_that_is_older_than_an_option_refuses_it() -> None:
    backend: Backend = registry().load(BACKENDS, "gunicorn")
    old = backend._replace(rules={name: rule for name, rule in backend.rules.items() if name != "drain_delay"})
    with pytest.raises(Refusal, match="older than this option"):
        old.rule("drain_delay").words(5.0, Options({}))
