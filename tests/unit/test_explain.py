"""What explain prints: stable JSON, TOML that gives the same plan, no secrets."""

import json
import tomllib
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.commands.explain import command_line, explain, toml_key, toml_value
from launcher.document import PlanDocument, plain, plan_document
from launcher.reference import profile_schema
from tests.machine import DJANGO, SERVERS, compile_in, write_tree


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
    printed += explain(plan, "text", "env") + explain(plan, "json", "middleware")
    assert "sesame" not in printed
    assert "***" in printed
    assert plan.command.env_set["DJANGO_SECRET_KEY"] == "sesame-2"
    assert not any("sesame" in word for word in plan.command.argv)


values = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), values, max_size=4))
def test_toml_values_read_back(table: dict[str, object]) -> None:
    text = "".join(f"{toml_key(key)} = {toml_value(value)}\n" for key, value in table.items())
    assert tomllib.loads(text) == table


def test_the_document_does_not_change_when_asked_twice(tmp_path: Path) -> None:
    plan = compile_in(write_tree(tmp_path, DJANGO))
    assert plain(plan_document(plan)) == plain(plan_document(plan))
