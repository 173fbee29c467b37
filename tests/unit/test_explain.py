"""What explain prints: stable JSON, TOML that gives the same plan, no secrets."""

import json
import os
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.commands.explain import command_line, explain, toml_key, toml_value
from launcher.commands.servers import load_backends, options_text
from launcher.document import PlanDocument, plain, plan_document
from launcher.errors import LaunchError
from launcher.plan import LaunchPlan
from launcher.reference import options_page, profile_schema
from tests.machine import DJANGO, SERVERS, compile_in, registry, write_tree


def test_json_has_what_programs_rely_on(tmp_path: Path) -> None:
    plan = compile_in(write_tree(tmp_path, DJANGO), "--profile", "prod", "--server", "gunicorn", "--workers", "3")
    document = json.loads(explain(plan, "json"))
    assert {"server", "profile", "settings_module", "target", "options", "command", "notes"} <= document.keys()
    workers = document["options"]["workers"]
    assert workers["value"] == 3
    assert workers["origin"] == {"layer": "command line", "source": "--workers", "line": None, "key": "--workers"}
    assert workers["shadowed"][0]["value"] == "auto"
    assert workers["words"] == ["--workers", "3"]
    assert {"argv", "env_set", "env_drop", "cwd"} == document["command"].keys()


def test_the_readme_shows_what_is_printed(tmp_path: Path) -> None:
    plan = compile_in(write_tree(tmp_path, DJANGO), "--profile", "prod", "--server", "gunicorn")
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert (
        f"$ serve explain workers --profile prod --server gunicorn\n{explain(plan, 'text', ['workers'])}\n```" in readme
    )


def test_json_is_what_its_schema_says(tmp_path: Path) -> None:
    plan = compile_in(write_tree(tmp_path, {**DJANGO, "profiles/dev.toml": '[env]\nA = "1"\n'}))
    document = explain(plan, "json")
    jsonschema.validate(json.loads(document), msgspec.json.schema(PlanDocument))
    msgspec.json.decode(document, type=PlanDocument)


@pytest.mark.parametrize("server", SERVERS)
def test_toml_gives_the_same_plan(server: str, tmp_path: Path) -> None:
    root = write_tree(tmp_path, {**DJANGO, "profiles/prod.toml": 'access_log = "-"\numask = "0"\n[env]\nA = "b c"\n'})
    plan = compile_in(root, "--profile", "prod", "--server", server)
    text = explain(plan, "toml")
    tomllib.loads(text)
    jsonschema.validate(tomllib.loads(text), profile_schema())
    (root / "profiles/again.toml").write_text(text)
    again = compile_in(root, "--profile", "again", "--server", server)
    assert again.command.argv == plan.command.argv
    first, second = dict(plan.application), dict(again.application)
    for told in (first, second):
        told.pop("settings_origin")
    assert first == second


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    profile = """
middleware = [{use = "a:b", api_token = "sesame-1"}]
[env]
DJANGO_SECRET_KEY = "sesame-2"
DATABASE_URL = "postgres://u:sesame-3@h/d"
"""
    plan = compile_in(write_tree(tmp_path, {**DJANGO, "profiles/dev.toml": profile}))
    printed = explain(plan, "json") + explain(plan, "text") + explain(plan, "toml") + command_line(plan)
    printed += explain(plan, "text", ["env", "env.DATABASE_URL"]) + explain(plan, "json", ["middleware"])
    assert "sesame" not in printed
    assert "***" in printed
    assert plan.command.env_set["DJANGO_SECRET_KEY"] == "sesame-2"
    assert not any("sesame" in word for word in plan.command.argv)


def shell(plan: LaunchPlan, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Type the command that is printed, with `env` in the place of the server."""
    line = command_line(plan._replace(command=plan.command._replace(parts=(("", ("env",)),))))
    environ = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run(["sh", "-c", line], env=environ, capture_output=True, text=True, check=False)


def test_the_command_takes_secrets_from_the_shell_or_refuses(tmp_path: Path) -> None:
    files = {
        ".env": "DJANGO_SECRET_KEY=sesame\nPLAIN='a b'\n",
        "profiles/dev.toml": "env_file = '.env'\n[env]\n'a.KEY' = 'sesame'\nEMPTY_KEY = ''\n",
    }
    plan = compile_in(write_tree(tmp_path, {**DJANGO, **files}))
    told = shell(plan, DJANGO_SECRET_KEY="from $HOME's shell", a_KEY="x")
    assert told.returncode == 0, told.stderr
    assert {"DJANGO_SECRET_KEY=from $HOME's shell", "a.KEY=x", "EMPTY_KEY=", "PLAIN=a b"} <= {*told.stdout.split("\n")}
    refused = shell(plan, DJANGO_SECRET_KEY="x")
    assert refused.returncode != 0
    assert "a_KEY: it is secret, and so not written here: export it (profiles/dev.toml:3)" in refused.stderr
    assert "DJANGO_SECRET_KEY: it is secret, and so not written here: export it (.env:1)" in shell(plan).stderr


def test_the_command_refuses_where_middleware_has_a_secret(tmp_path: Path) -> None:
    profile = 'middleware = [{use = "a:b", api_token = "sesame"}]\n'
    refused = shell(compile_in(write_tree(tmp_path, {**DJANGO, "profiles/dev.toml": profile})))
    assert refused.returncode != 0
    assert "LAUNCHER_APPLICATION: it holds a secret" in refused.stderr
    assert "start with serve (profiles/dev.toml:1)" in refused.stderr


def test_entries_are_explained_with_what_they_beat(tmp_path: Path) -> None:
    profile = "env_file = '.env'\n[env]\nA = true\n[native.gunicorn]\nlimit_request_fields = 7\n"
    root = write_tree(tmp_path, {**DJANGO, ".env": "A=first\nB=2\nA=second\n", "profiles/dev.toml": profile})
    plan = compile_in(root, "--server", "gunicorn", "--env", "A=7")
    said = """\
env.A = "7"
  from      --env (command line)
  beats     "1" from profiles/dev.toml:3
  beats     "second" from .env:3
  beats     "first" from .env:1
"""
    assert explain(plan, "text", ["env.A"]) + "\n" == said
    env = explain(plan, "text", ["env"])
    assert "".join(f"  {line}\n" for line in said.splitlines()) in env
    assert 'env.B = "2"\n    from      .env:2 (profile)' in env
    assert "SERVE_ENV" not in env
    assert "env.B" in explain(plan, "text")
    for word in ("native", "native.gunicorn", "native.gunicorn.limit_request_fields"):
        assert explain(plan, "text", [word, "--threads"]).startswith(
            "native.gunicorn.limit_request_fields = 7\n"
            "  from      profiles/dev.toml:5 (profile)\n"
            "  becomes   --limit-request-fields 7\n"
            "threads = 8\n"
        )
    both = json.loads(explain(plan, "json", ["env.B", "workers"]))
    assert both["env.B"]["origin"]["line"] == 2
    assert both["workers"] == json.loads(explain(plan, "json"))["options"]["workers"]
    assert tomllib.loads(explain(plan, "toml", ["env.A", "native"])) == {
        "env": {"A": "7"},
        "native": {"gunicorn": {"limit_request_fields": 7}},
    }
    for word, hint in (("env.AA", "Did you mean 'env.A'?"), ("native.uwsgi", "native.gunicorn.limit_request_fields")):
        with pytest.raises(LaunchError, match=f"nothing is set by {word}. .*{hint[:-1]}"):
            explain(plan, "text", [word])


values = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), values, max_size=4))
def test_toml_values_read_back(table: dict[str, object]) -> None:
    text = "".join(f"{toml_key(key)} = {toml_value(value)}\n" for key, value in table.items())
    assert tomllib.loads(text) == table


@pytest.mark.parametrize(
    ("server", "option", "how"),
    [
        ("gunicorn", "threads", "exact"),
        ("uwsgi", "trusted_proxies", "approximate"),
        ("gunicorn", "request_timeout", "supplied by us"),
        ("wsgiref", "request_timeout", "impossible"),
    ],
)
def test_how_an_option_is_honoured_is_said_in_the_same_words_everywhere(
    server: str, option: str, how: str, tmp_path: Path
) -> None:
    plan = compile_in(write_tree(tmp_path, DJANGO), "--server", server)
    assert f"\n  {server:9s} {how}" in explain(plan, "text", [option])
    backends = load_backends(registry())
    head, *rows = options_text(backends).splitlines()
    row = next(row for row in rows if row.startswith(f"{option} "))
    assert row[head.index(server) :].startswith(how)
    page = options_page(backends)
    assert f"\n- {server}: {how}" in page[page.index(f"### `{option}`") :].partition("\n\n###")[0]


@pytest.mark.parametrize("server", ["gunicorn", "uwsgi", "waitress", "wsgiref"])
@pytest.mark.parametrize("profile", ["dev", "prod"])
def test_every_option_has_words_or_what_does_it_without(server: str, profile: str, tmp_path: Path) -> None:
    plan = compile_in(write_tree(tmp_path, DJANGO), "--profile", profile, "--server", server)
    for name, option in json.loads(explain(plan, "json"))["options"].items():
        assert bool(option["words"]) != bool(option["wordless"]), name


def test_the_document_does_not_change_when_asked_twice(tmp_path: Path) -> None:
    plan = compile_in(write_tree(tmp_path, DJANGO))
    assert plain(plan_document(plan)) == plain(plan_document(plan))
