"""The golden corpus: files, argv and environment in, plan or error out.

A case is one text file in `cases/`: sections that begin with `--- name`. `argv`, `environ` and files are the
input, `plan` or `error` the output. `pytest --update-golden` writes the outputs anew, to be read in the diff.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from launcher.document import plain, plan_document
from launcher.errors import LaunchError
from tests.machine import DJANGO, compile_in, host, write_tree

CASES = sorted((Path(__file__).parent / "cases").glob("*.txt"))


def sections_of(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("--- "):
            name = line.removeprefix("--- ").strip()
            found[name] = ""
        elif name:
            found[name] += line + "\n"
    return found


def outcome(case: dict[str, str], root: Path) -> tuple[str, str]:
    files = {
        name: text for name, text in case.items() if name not in ("argv", "environ", "plan", "error", "uses", "uid")
    }
    if "uses" in case:
        files = {**DJANGO, **files}
    write_tree(root, files)
    environ = dict(line.split("=", 1) for line in case.get("environ", "").splitlines())
    machine = host(uid=int(case.get("uid", "1000")))
    try:
        plan = compile_in(root, *shlex.split(case.get("argv", "")), environ=environ, on=machine)
    except LaunchError as error:
        return "error", f"exit {int(error.status)}\n{tidy(str(error), root)}\n"
    document = plain(plan_document(plan))
    short = {
        "server": document["server"],
        "profile": document["profile_files"],
        "settings": f"{document['settings_module']} from {origin(document['options']['settings']['origin'])}",
        "target": f"{document['target']['app']} from {origin(document['target']['origin'])}",
        "options": {
            name: f"{json.dumps(option['value'])} from {origin(option['origin'])}"
            for name, option in document["options"].items()
            if option["origin"]["layer"] != "default" and name not in ("settings",)
        },
        "command": document["command"]["argv"],
        "env": document["command"]["env_set"],
        "dropped": document["command"]["env_drop"],
        "notes": [note["message"] for note in document["notes"]],
    }
    return "plan", tidy(json.dumps(short, indent=1, ensure_ascii=False), root) + "\n"


def origin(document: dict[str, Any]) -> str:
    line = f":{document['line']}" if document["line"] else ""
    return f"{document['source']}{line}" if document["source"] else str(document["layer"])


def tidy(text: str, root: Path) -> str:
    return text.replace(str(root), "ROOT").replace(sys.executable, "PYTHON")


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_golden(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text()
    case = sections_of(text)
    kind, result = outcome(case, tmp_path)
    if request.config.getoption("--update-golden"):
        kept = text.split("--- plan\n")[0].split("--- error\n")[0]
        path.write_text(f"{kept}--- {kind}\n{result}")
        return
    assert {kind: result} == {name: case[name] for name in ("plan", "error") if name in case}


def test_there_are_cases() -> None:
    assert len(CASES) >= 20
