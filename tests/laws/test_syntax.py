"""Whatever is read from the source of a module is what importing it gives."""

import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from unittest import mock

from hypothesis import event, given, settings
from hypothesis import strategies as st

from launcher import kept_answers
from launcher.kept_answers import KeptReader
from launcher.source import find_module
from launcher.syntax import Reader

PACKAGE = "law_settings"
HEADER = "import typing\nfrom contextlib import suppress, nullcontext\n"

WORDS = {
    "name": ("A", "B", "C", "_D"),
    "module": ("base", "prod", "local", "sub", "sub.deep", "nope", ""),
    "there": ("base", "local", "sub", "A"),
    "constant": ('"x"', '"y"', '("x" "y")', "None", "True", "0", '""'),
    "value": (
        *("<constant>",) * 4,
        *("<name>", '"<%s>" % <name>', 'f"{<name>}-{<name>}"', '<name> + "z"', "<name> or <constant>"),
        *("[<name>, {1: <constant>}]", "str(<constant>)", "__name__ + <constant>", "<name> == <constant>"),
    ),
    "test": (
        *("True", "False", "typing.TYPE_CHECKING", '__name__ == "__main__"', "not <name>", "<name> == <constant>"),
        *("TYPE_CHECKING", "not (<name> and <name>)", 'len("x") == 1', 'len("x") == 2', "unbound"),
    ),
    "caught": (
        *(" ImportError", " ImportError", " ModuleNotFoundError as _D", " (KeyError, ImportError)", " NameError"),
        *(" Exception as C", " KeyError", " Exception"),
    ),
    "manager": ("suppress(ImportError)", "suppress(Exception)", 'nullcontext("x")'),
    "statement": (
        *("<name> = <value>", "<name> = <constant>", "<name> = <name> = <value>", "<name>: str = <value>") * 3,
        *("<name>: str", "<name>, <name> = <value>, <value>", '<name>, <name> = "xy"', "<name> += <value>"),
        *("del <name>", "pass", '"text"', "import os", "unbound", 'len("x")', "assert not <name>", "change()"),
        *("from .<module> import *", "from .<module> import <name>", "from .<module> import <name> as <name>") * 3,
        *(f"from {PACKAGE}.<module> import *", "from . import <there>", f"import {PACKAGE}.<there> as <name>"),
        *("from os import *", "from contextlib import *"),
        *("__all__ = ['<name>', '<name>']", "__all__ = ['<name>']", "__all__ += ['<name>']"),
        *("raise ImportError", "raise KeyError", "globals()['<name>'] = <constant>"),
        *("len([<name> := <constant>])", "def <name>(): pass", "class <name>: A = B = 'inner'"),
        *("def change(v=<constant>):\n    global <name>\n    <name> = v", "def __getattr__(name): return <constant>"),
        *("from typing import TYPE_CHECKING", "TYPE_CHECKING = <constant>"),
    ),
    "write": ("from . import <there> as A; A.<name> = <constant>",),
    "compound": (
        *("if <test>:\n<block>else:\n<block>", "if <test>:\n<block>", "with <manager> as <name>:\n<block>") * 2,
        *("try:\n<block>except<caught>:\n<block>", "try:\n<block>except<caught>:\n<block>except:\n<block>") * 2,
        *("try:\n<block>except<caught>:\n<block>else:\n<block>finally:\n<block>", "try:\n<block>finally:\n<block>"),
        *(
            "for <name> in 'x':\n<block>",
            "for <name> in ():\n<block>else:\n<block>",
            "while <test>:\n<block>    break\n",
        ),
        *(
            "match <value>:\n  case <constant>:\n<block>  case <name>:\n<block>",
            "try:\n<block>except*<caught>:\n<block>",
        ),
    ),
    "prelude": ("", "A = B = 'a'", "A = B = C = _D = 'a'", "A = 'a'; B = None; C = False"),
}


def expand(draw: st.DrawFn, text: str, depth: int) -> str:
    """Replace each <word> by one of its meanings."""

    def one(found: re.Match[str]) -> str:
        word = found[1]
        if word == "block":
            lines = lines_of(draw, depth - 1)
            return "".join(f"    {line}\n" for line in lines.splitlines())
        return expand(draw, draw(st.sampled_from(WORDS[word])), depth)

    return re.sub(r"<(\w+)>", one, text)


def lines_of(draw: st.DrawFn, depth: int) -> str:
    kinds = ["<statement>", "<statement>", "<compound>"] if depth else ["<statement>"]
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3 if depth < 2 else 6))
    return "\n".join(expand(draw, kind, depth).rstrip("\n") for kind in chosen) + "\n"


@st.composite
def packages(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """Draw a module to ask about, and the files of its package."""
    root = draw(st.sampled_from(("prod", "prod", "base", "sub/deep", "sub/__init__", "__init__")))
    optional = [name for name in ("local", "sub/__init__", "sub/deep") if draw(st.booleans())]
    files = {}
    for name in ("__init__", "base", "prod", *optional):
        if name == "__init__" and name != root and draw(st.booleans()):
            files[name] = ""
            continue
        files[name] = draw(st.sampled_from((HEADER, HEADER, HEADER, ""))) + expand(draw, "<prelude>", 0) + "\n"
        if name == root and draw(st.booleans()):  # the files of other modules are taken not to do this
            files[name] += expand(draw, "<write>", 0) + "\n"
        files[name] += lines_of(draw, 2)
    return root, files


@contextmanager
def written(files: dict[str, str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        for name, text in files.items():
            file = os.path.join(directory, PACKAGE, f"{name}.py")
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "w") as stream:
                stream.write(text)
        yield directory


@contextmanager
def imported(directory: str, module: str) -> Iterator[ModuleType | None]:
    """Import a module as the first one of its package; None if that fails."""
    before, writes = set(sys.modules), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    sys.path.insert(0, directory)
    importlib.invalidate_caches()
    try:
        try:
            found: ModuleType | None = importlib.import_module(module)
        except Exception:
            found = None
        yield found
    finally:
        sys.path.remove(directory)
        for entry in [entry for entry in sys.path_importer_cache if entry.startswith(directory)]:
            del sys.path_importer_cache[entry]
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == PACKAGE:
                del sys.modules[name]
        sys.dont_write_bytecode = writes


@given(packages())
@settings(max_examples=int(os.environ.get("LAW_EXAMPLES", "200")), deadline=None)
def test_what_is_read_is_what_an_import_gives(package: tuple[str, dict[str, str]]) -> None:
    root, files = package
    module = f"{PACKAGE}/{root}".removesuffix("/__init__").replace("/", ".")
    with written(files) as directory:
        reader = Reader((directory,))
        names = (*WORDS["name"], "base", "local")
        answers = {name: reader.read_name(module, name) for name in (*names, "__name__")}
        bound = {name: reader.defines(module, name) for name in names}
        with imported(directory, module) as real:
            event(f"the import {'succeeds' if real else 'fails'}")
            for name, answer in answers.items():
                event(f"{answer.kind} where the import {'succeeds' if real else 'fails'}")
                if answer.kind in ("missing", "syntax"):
                    assert real is None, (module, name, answer)
                elif answer.kind == "literal" and real is not None:
                    assert getattr(real, name, ...) == answer.value, (module, name, answer)
                elif answer.kind == "absent" and real is not None:
                    assert not hasattr(real, name), (module, name, answer)
            for name, sure in bound.items():
                if real is not None and sure is not None:
                    assert hasattr(real, name) is sure, (module, name, sure)


@given(packages(), packages())
@settings(max_examples=int(os.environ.get("LAW_EXAMPLES", "100")), deadline=None)
def test_what_is_kept_is_what_is_read(before: tuple[str, dict[str, str]], after: tuple[str, dict[str, str]]) -> None:
    module = f"{PACKAGE}/{after[0]}".removesuffix("/__init__").replace("/", ".")
    with (
        written(before[1]) as directory,
        mock.patch.object(kept_answers, "TICK_NS", -(10**15)),
        mock.patch.object(sys, "dont_write_bytecode", False),
    ):
        for files in (before[1], after[1]):
            for name in set(before[1]) | set(after[1]):
                file = os.path.join(directory, PACKAGE, f"{name}.py")
                if name not in files:
                    if os.path.exists(file):
                        os.unlink(file)
                elif files is after[1] and files[name] != before[1].get(name):
                    replace(file, files[name])
            for _ in range(2):
                kept, reader = KeptReader((directory,), directory), Reader((directory,))
                for name in (*WORDS["name"], "base", "local"):
                    assert kept.read_name(module, name) == reader.read_name(module, name)
                    assert kept.defines(module, name) == reader.defines(module, name)
                for inside in WORDS["module"]:
                    assert kept.find(f"{PACKAGE}.{inside}") == reader.find(f"{PACKAGE}.{inside}")
                kept.keep()
            assert kept._reader is None


def replace(file: str, text: str) -> None:
    """Write a file anew: one that is written over may look as before until the file system's clock ticks."""
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(f"{file}.new", "w") as stream:
        stream.write(text)
    os.replace(f"{file}.new", file)


def found_by_import(name: str, path: Sequence[str]) -> tuple[str | None, tuple[str, ...] | None] | None:
    """Ask the import system for file and package path, with empty modules in place of the packages."""
    stand_ins: dict[str, ModuleType] = {}
    search: list[str] | None = list(path)
    spec: ModuleSpec | None = None
    for at in [*(at for at, letter in enumerate(name) if letter == "."), len(name)]:
        if search is None:
            return None
        with mock.patch.dict(sys.modules, stand_ins):
            spec = PathFinder.find_spec(name[:at], search)
            locations = spec.submodule_search_locations if spec else None
            search = None if locations is None else list(locations)
        stand_ins[name[:at]] = module = ModuleType(name[:at])
        module.__path__ = search or []
    return (spec.origin, None if search is None else tuple(search)) if spec else None


layouts = st.lists(
    st.sampled_from(
        ("a.py", "a/__init__.py", "a/b.py", "a/b/__init__.py", "a/b/c.py", "b.py", "a.pyc", "a/b.so", "a/__init__.pyc")
        + ("b/c/d.py", "a.txt", "sys.py", "os.py", "a/b/c/x", "b/__init__.so", "a.py/x", "a.abi3.so")
    ),
    unique=True,
    max_size=6,
)


@given(st.lists(layouts, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_modules_are_found_where_an_import_finds_them(layout: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = [os.path.join(directory, str(number)) for number in range(len(layout))]
        for folder, files in zip(path, layout, strict=True):
            for file in files:
                full = os.path.join(folder, file)
                if not os.path.isfile(os.path.dirname(full)) and not os.path.isdir(full):
                    os.makedirs(os.path.dirname(full), exist_ok=True)
                    open(full, "w").close()
        for name in ("a", "b", "a.b", "a.b.c", "b.c", "b.c.d", "a.x"):
            found = find_module(name, path)
            expected = found_by_import(name, path)
            assert (found and (found.file, found.package_path)) == expected, name
        assert find_module("sys", path) is None
        assert find_module("os", path) is None
    sys.path_importer_cache.clear()
