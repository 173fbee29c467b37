"""Names of modules, read from small trees of source files."""

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.answers import Answer, ModuleFile
from launcher.source import find_module
from launcher.syntax import Reader
from tests.machine import write_tree

NAME = "WSGI_APPLICATION"


def tree(root: Path, **files: str) -> Path:
    """Write modules; `s__prod` stands for s/prod.py, and `s____init__` for s/__init__.py."""
    names = {name: name.replace("____init__", "/.").replace("__", "/").replace(".", "__init__") for name in files}
    return write_tree(root, {f"{names[name]}.py": textwrap.dedent(text) for name, text in files.items()})


def read(root: Path, module: str = "s", name: str = NAME) -> Answer:
    return Reader([str(root)]).read_name(module, name)


def literal(answer: Answer) -> str | None:
    assert answer.kind == "literal", answer
    return answer.value


Ask = Callable[[str], Answer]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Ask for X in a module of its own."""

    def about(text: str) -> Answer:
        return read(tree(tmp_path, s=text), name="X")

    return about


# One file


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('X = "a"', "a"),
        ("X = None", None),
        ('X: str = "a"', "a"),
        ('X: "str | None" = None', None),
        ('X = ("a" \'b\'\n  "c")', "abc"),
        ('X = Y = "a"', "a"),
        ('X = "a"\nX = "b"', "b"),
        ('Y = "a"\nX = Y\nY = "b"', "a"),
        ('Y = "a"\nX = f"{Y}.b"', "a.b"),
        ('Y = "a"\nX = Y + ".b" + ".c"', "a.b.c"),
        ('Y = "a"\nX = "%s.b" % Y', "a.b"),
        ('Y, Z = "a", "b"\nX = "%s-%s" % (Y, Z)', "a-b"),
        ('X = "a"\nX += "b"', "ab"),
        ('X, Y = "a", "b"\nX, Y = Y, X', "b"),
        ('(X, (Y, Z)) = ("a", ("b", "c"))', "a"),
        ('X = "a"\nY = X = f"{X}b"', "ab"),
        ('Y = ""\nX = Y or "b"', "b"),
        ('Y = None\nX = Y and "b"', None),
        ("X = __name__ + '.application'", "s.application"),
        ('import os\nX = "a"\nprint(os)', "a"),
        ('X = "a"\nX: str', "a"),
        ('# -*- coding: latin-1 -*-\nX = "a"', "a"),
        ('\ufeffX = "a"', "a"),
        ('X = "a";', "a"),
        ('def f():\n    X = "b"\nX = "a"', "a"),
        ('class C:\n    X = "b"\nX = "a"', "a"),
        ('X = "a"\n[X for X in "b"]', "a"),
        ('X = "a"\nlambda X="b": X', "a"),
        ('X = "\\d"', "\\d"),
    ],
)
def test_plain_values_are_read(ask: Ask, text: str, value: str | None) -> None:
    assert literal(ask(text)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("X = f()", "computed"),
        ("X = 1", "not a string"),
        ("X = b'a'", "computed"),
        ("X = ['a']", "computed"),
        ("import os\nX = os.environ.get('X', 'a')", "computed"),
        ("X = 'a' if f() else 'b'", "computed"),
        ("X = f'{Y}'", "computed"),
        ("Y = 'a'\nX = f'{Y!r}'", "computed"),
        ("Y = 'a'\nX = f'{Y:>9}'", "computed"),
        ("X = '%d' % 1", "computed"),
        ("X = '%(a)s' % {'a': 'b'}", "computed"),
        ("X = '%s%%' % 'a'", "computed"),
        ("X, Y = 'ab'", "unpacked"),
        ("X, *Y = 'a', 'b'", "unpacked"),
        ("def X(): pass", "function"),
        ("class X: pass", "class"),
        ("import X", "module"),
        ("import os as X", "module"),
        ("from os import path as X", "comes with Python"),
        ("from nowhere import X", "no directory"),
        ("from . import X", "beyond the top"),
        ("X = 'a'\nfor X in 'b': pass", "loop"),
        ("X = 'a'\nwhile f(): X = 'b'", "loop"),
        ("X = 'a'\nfor i in 'b':\n    if i: X = 'b'", "loop"),
        ("X = 'a'\nmatch 'b':\n    case X: pass", "loop, a match"),
        ("X = 'a'\nmatch f():\n    case [*X]: pass\n    case {**X}: pass", "loop, a match"),
        ("X = 'a'\nmatch f():\n    case 1: X = 'b'", "loop, a match"),
        ("X = 'a'\nif f(): X = 'b'", "path taken"),
        ("if f(): X = 'b'", "some paths"),
        ("X = 'a'\nif f(): del X", "some paths"),
        ("X = 'a'\nwith f():\n    g()\n    X = 'b'", "path taken"),
        ("with f() as X: pass", "context manager"),
        ("X = 'a'\ntry: X = f()\nexcept KeyError: pass", "path taken"),
        ("try:\n    f()\nexcept* KeyError:\n    X = 'a'", "loop, a match or an except*"),
        ("X = 'a'\nif (X := f()): pass", "within an expression"),
        ("X = 'a'\n[X := i for i in 'b']", "within an expression"),
        ("X = 'a'\ndef f():\n    global X\n    X = 'b'\nf()", "global"),
        ("X = 'a'\nclass C:\n    global X\n    X = 'b'", "global"),
        ("try: f()\nexcept KeyError as X: pass", "exception"),
        ("X = 'a'\nglobals()['X'] = 'b'", "globals"),
        ("X = 'a'\nlocals().update(X='b')", "locals"),
        ("X = 'a'\nvars()['X'] = 'b'", "vars"),
        ("X = 'a'\nexec('X = 1')", "exec"),
        ("X = 'a'\neval('[X := 1]')", "eval"),
        ("X = 'a'\ndef f():\n    return globals()\nf().update(X='b')", "globals"),
        ("X = 'a'\nfrom builtins import globals as g\ng()['X'] = 'b'", "globals"),
        ("X = 'a'\nimport sys\nsetattr(sys.modules[__name__], 'X', 'b')", "modules"),
        ("X = 'a'\nimport sys as y\ny.modules['s'].X = 'b'", "modules"),
        ("X = 'a'\nfrom sys import modules\nmodules[__name__].X = 'b'", "modules"),
        ("X = 'a'\nimport s\ns.X = 'b'", "attribute"),
        ("X = 'a'\nimport s\nfor s.X in 'b': pass", "attribute"),
        ("X = 'a'\nimport sys\nsys._getframe().f_locals['X'] = 'b'", "way of"),
        ("X = 'a'\n\uff47lobals()['X'] = 'b'", "globals"),
        ("X = 'a'\nfrom nowhere import *", "no directory"),
        ("X = 'a'\nfrom os import *", "comes with Python"),
        ("for i in 'a':\n    from os import *", "loop"),
        ("from split_settings.tools import include\ninclude('base.py')\nX = 'a'", "split_settings"),
        ("from .tools import include\ninclude('base.py')", "include"),
        ("from configurations import Configuration\nclass Prod(Configuration):\n    X = 'a'", "configurations"),
        ("import dynaconf\nX = 'a'\nsettings = dynaconf.DjangoDynaconf(__name__)", "dynaconf"),
        ("def __getattr__(name): return 'a'", "__getattr__"),
        ("__getattr__, __dir__ = f()", "__getattr__"),
        ("raise RuntimeError", "raises"),
    ],
)
def test_what_needs_an_import_is_unknown(ask: Ask, text: str, reason: str) -> None:
    answer = ask(text)
    assert answer.kind == "unknown", answer
    assert reason in answer.reason


@pytest.mark.parametrize("text", ["", "Y = 1", "X = 'a'\ndel X", "X: str", "def f():\n    X = 'a'", "import y as z"])
def test_what_is_not_defined_is_absent(ask: Ask, text: str) -> None:
    assert ask(text).kind == "absent"


@pytest.mark.parametrize(
    "text",
    [
        "X = 'a'\nif False: X = 'b'",
        "if True: X = 'a'\nelse: X = 'b'",
        "if 0: X = 'b'\nelif 1: X = 'a'",
        "X = 'a'\nif __name__ == '__main__': X = 'b'",
        "from typing import TYPE_CHECKING\nX = 'a'\nif TYPE_CHECKING: from nowhere import *",
        "import typing as t\nX = 'a'\nif t.TYPE_CHECKING: X = 'b'",
        "DEBUG = True\nif not DEBUG: X = 'b'\nelse: X = 'a'",
        "MODE = 'prod'\nif MODE != 'dev': X = 'a'",
        "X = 'a'\nif f(): Y = 'b'\nelse: Y = f()",
        "if f(): X = 'a'\nelse: X = 'a'",
        "X = 'a'\nif f(): raise KeyError",
        "if f(): X = 'a'\nelse: raise KeyError",
        "X = 'a'\ntry: import yaml\nexcept ImportError: yaml = None",
        "X = 'a'\ntry: from nowhere import *\nexcept ImportError: pass\nX = 'a'",
        "try: X = 'b'\nfinally: X = 'a'",
        "try: X = 'a'\nexcept KeyError: X = 'b'",
        "try: X = f()\nexcept KeyError: X = 'b'\nX = 'a'",
        "try: f()\nexcept KeyError: raise\nelse: X = 'a'",
        "try: raise KeyError\nexcept KeyError: X = 'a'",
        "X = 'a'\nwith f() as y: Y = y",
        "with f(): X = 'a'",
        "X = 'a'\nfor i in f(): Y = i",
        "X = 'a'\nmatch f():\n    case Y: pass",
        "X = 'a'\nx.y.Z = 'b'\nx['X'] = 'b'",
        "from nowhere import *\nX = 'a'",
        "from nowhere import Y\nX = 'a'",
        "X = 'a'\nassert f()",
        "# globals() and exec() in a comment, and so on: \u00e9\nX = 'a'",
        "'''vars() in a text'''\nX = 'a'",
    ],
)
def test_only_the_paths_that_may_be_taken_count(ask: Ask, text: str) -> None:
    assert literal(ask(text)) == "a"


def test_a_literal_says_where_it_is_assigned(ask: Ask, tmp_path: Path) -> None:
    answer = ask('"""Settings."""\n\nX = (\n    "a"\n)\n')
    assert (answer.file, answer.line) == (str(tmp_path / "s.py"), 3)


def test_an_unknown_says_where_it_becomes_so(ask: Ask, tmp_path: Path) -> None:
    answer = ask('X = "a"\n\nX = f()\n')
    assert (answer.file, answer.line) == (str(tmp_path / "s.py"), 3)


@pytest.mark.parametrize("name", ["__name__", "__file__", "__doc__", "__spec__", "__class__"])
def test_what_the_import_system_sets_is_never_absent(ask: Ask, tmp_path: Path, name: str) -> None:
    ask("")
    assert read(tmp_path, name=name).kind != "absent"


@pytest.mark.parametrize(
    ("text", "line"),
    [("X = 'a'\nY = (\n", 2), ("X = 'a'\n  Y = 1\n", 2), ("X = 'a'\nX = '\n", 2), ("a b", 1)],
)
def test_a_syntax_error_names_file_and_line(ask: Ask, tmp_path: Path, text: str, line: int) -> None:
    answer = ask(text)
    assert (answer.kind, answer.file, answer.line) == ("syntax", str(tmp_path / "s.py"), line)
    assert answer.reason


@pytest.mark.parametrize("text", [b"X = 'a'\0", b"# coding: nonsense\nX = 'a'", b"X = '\xff'"])
def test_bytes_that_are_no_source_are_a_syntax_error(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "s.py").write_bytes(text)
    assert read(tmp_path).kind == "syntax"


def test_the_declared_encoding_is_used(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_bytes(f"# coding: latin-1\n{NAME} = 'caf\u00e9'".encode("latin-1"))
    assert literal(read(tmp_path)) == "caf\u00e9"


def test_what_the_compiler_warns_about_is_no_concern(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    tree(tmp_path, s=f'{NAME} = "\\d"\nassert 1 is 1\n')
    assert literal(read(tmp_path)) == "\\d"
    assert not recwarn.list


@pytest.mark.parametrize(
    "text",
    [
        "X = " + "(" * 150 + "1" + ")" * 150,
        "X = " + "+".join(["'a'"] * 20_000),
        "if a: X = 1\n" + "elif b: X = 2\n" * 3_000,
        "X = 'a'\n" + "X = X + X\n" * 60,
    ],
    ids=["brackets", "sum", "elif", "doubling"],
)
def test_monstrous_files_end_in_an_answer(ask: Ask, text: str) -> None:
    assert ask(text).kind in ("unknown", "syntax")


def test_a_file_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "s.py").symlink_to("/proc/self/mem")
    answer = read(tmp_path)
    assert answer.kind in ("unknown", "missing")


# Several files

BASE = f'{NAME} = "mysite.wsgi.application"\nDEBUG = False\n_HIDDEN = "x"\n'


def test_a_star_import_brings_the_names_of_another_module(tmp_path: Path) -> None:
    tree(tmp_path, mysite____init__="", mysite__settings__base=BASE, mysite__settings__prod="from .base import *\n")
    answer = read(tmp_path, "mysite.settings.prod")
    assert literal(answer) == "mysite.wsgi.application"
    assert (answer.file, answer.line) == (str(tmp_path / "mysite/settings/base.py"), 1)
    assert read(tmp_path, "mysite.settings.prod", "_HIDDEN").kind == "absent"


@pytest.mark.parametrize(
    "text",
    [
        "from .base import *",
        "from s.base import *",
        f"from .base import {NAME}",
        f"from s.base import {NAME} as Y\n{NAME} = Y",
        f"from .base import {NAME} as Y\nfrom .base import *\ndel {NAME}\n{NAME} = Y",
        f"from .middle import Z as {NAME}",
        "from .middle import *",
        "from .base import *\nfrom .empty import *",
        "from .listed import *",
        f"from .listed import _HIDDEN\nfrom .base import *\n{NAME} = {NAME}",
        f"from .base import {NAME} as Y\n{NAME} = f'{{Y}}'",
        "try: from .base import *\nexcept ImportError: pass",
        "try: from .base import *\nexcept Exception: from .empty import *",
        "from .base import *\ntry: from .nope import *\nexcept ImportError: pass",
        "from .base import *\ntry: from s.nope.deeper import *\nexcept ModuleNotFoundError as error: print(error)",
        f"from .base import *\ntry: from .nope import {NAME}\nexcept (KeyError, ImportError): pass\nelse: {NAME} = 'b'",
        f"try: from .nope import {NAME}\nexcept ImportError: from .base import {NAME}",
        "from .base import *\ntry: from .noisy import *\nexcept ImportError: pass",
        "from .base import *\nfrom contextlib import suppress\nwith suppress(ImportError): from .nope import *",
        "from .base import *\nfrom . import broken_elsewhere",
        "from .base import *\nimport s.broken",
    ],
)
def test_names_are_followed_through_modules(tmp_path: Path, text: str) -> None:
    tree(
        tmp_path,
        s____init__="",
        s__base=BASE,
        s__middle=f"from .base import *\nZ = {NAME}\n",
        s__empty="",
        s__listed=f"from .base import {NAME}, _HIDDEN\nDEBUG = True\n__all__ = ['{NAME}', '_HIDDEN']\n",
        s__noisy="import os\nDEBUG = os.environ.get('DEBUG')\n",
        s__broken="(",
        s__prod=text,
    )
    assert literal(read(tmp_path, "s.prod")) == "mysite.wsgi.application"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("from .base import *\nfrom .tricky import *", "cannot be read"),
        (f"from .tricky import {NAME}", "globals"),
        (f"from .base import *\ntry: from .local import {NAME}\nexcept ImportError: pass", "path taken"),
        ("from .base import *\ntry: from .local import *\nexcept ImportError: pass", "path taken"),
        ("from .base import *\ntry: from local_settings import *\nexcept ImportError: pass", "path taken"),
        ("from .base import *\nfrom .computed import *", "cannot be read"),
        ("from .base import *\nfrom .extended import *", "cannot be read"),
        ("from .base import *\nfrom .hook import *", "cannot be read"),
        (f"from .hook import {NAME}", "has none"),
        (f"from .base import {NAME}\nfrom .listed_only import *", "may come from"),
        ("from .maybe import *", "some paths"),
        ("from .one import *", "cannot be read"),
        (f"from .one import {NAME}", "cycle"),
        ("from .prod import *", "cannot be read"),
        (f"from . import {NAME}", "has none"),
        (f"from .base import *\nfrom . import base\nbase.{NAME} = 'b'", "attribute"),
        (f"from . import base\nbase.{NAME} = 'b'\nfrom .base import {NAME} as Y\n{NAME} = Y", "attribute"),
        (f"from . import base\nfrom .writer import *\nfrom .base import {NAME}", "attribute"),
    ],
)
def test_doubts_travel_through_modules(tmp_path: Path, text: str, reason: str) -> None:
    tree(
        tmp_path,
        s____init__="",
        s__base=BASE,
        s__local=f"import os\n{NAME} = 'b'\n",
        s__tricky=f"{NAME} = 'b'\nglobals().update()\n",
        s__computed="__all__ = [name for name in ('DEBUG',)]\n",
        s__extended="__all__ = ['DEBUG']\n__all__.append('X')\n",
        s__hook="def __getattr__(name): return 'b'\n",
        s__listed_only=f"__all__ = ['{NAME}']\n",
        s__maybe=f"import os\nif os.environ.get('X'):\n    {NAME} = 'b'\n",
        s__one=f"{NAME} = 'b'\nfrom .two import *\n",
        s__two=f"def f():\n    import s.one\n{NAME} = 'c'",
        s__writer=f"from . import base\nbase.{NAME} = 'b'\n",
        s__prod=text,
    )
    answer = read(tmp_path, "s.prod")
    assert answer.kind == "unknown", answer
    assert reason in answer.reason


def test_a_local_module_that_cannot_fail_is_followed(tmp_path: Path) -> None:
    local = f'{NAME} = "local"\nDATABASES = {{"default": {{"NAME": "x", "PORT": [1, 2]}}}}\n'
    prod = "from .base import *\ntry:\n    from .local import *\nexcept ImportError:\n    pass\n"
    tree(tmp_path, s__base=BASE, s__local=local, s__prod=prod, s____init__="")
    assert literal(read(tmp_path, "s.prod")) == "local"


def test_code_that_parses_but_does_not_compile_can_fail(tmp_path: Path) -> None:
    prod = "from .base import *\ntry: from .local import *\nexcept SyntaxError: pass\n"
    tree(tmp_path, s__base=BASE, s__local=f"{NAME} = 'b'\nreturn\n", s__prod=prod, s____init__="")
    assert read(tmp_path, "s.prod").kind == "unknown"


def test_star_imports_in_a_circle_end(tmp_path: Path) -> None:
    tree(tmp_path, a="from b import *\n", b="from c import *\n", c="from a import *\nX = 'c'\n")
    assert read(tmp_path, "a", "X").kind == "unknown"
    assert read(tmp_path, "c", "X").kind == "literal"


def test_a_package_that_enters_its_module_is_no_circle(tmp_path: Path) -> None:
    tree(tmp_path, s____init__="from .prod import *\n", s__prod="from .base import *\n", s__base=BASE)
    assert literal(read(tmp_path, "s")) == literal(read(tmp_path, "s.prod")) == "mysite.wsgi.application"


def test_a_package_module_may_be_named_like_a_setting(tmp_path: Path) -> None:
    tree(tmp_path, s____init__="base = 'a'\nfrom .base import *\n", s__base="")
    answer = read(tmp_path, "s", "base")
    assert (answer.kind, answer.reason) == ("unknown", "may be the submodule of that name")


def test_a_long_chain_of_modules_is_not_followed_for_ever(tmp_path: Path) -> None:
    chain = {f"m{number}": f"from m{number + 1} import *\n" for number in range(400)}
    tree(tmp_path, **chain, m400=BASE)
    assert read(tmp_path, "m0").kind == "unknown"
    assert literal(read(tmp_path, "m380")) == "mysite.wsgi.application"


def test_a_module_of_another_directory_of_the_path_is_followed(tmp_path: Path) -> None:
    tree(tmp_path / "one", s="from shared.settings import *\n")
    tree(tmp_path / "two", shared__settings=BASE)
    assert (
        literal(Reader([str(tmp_path / "one"), str(tmp_path / "two")]).read_name("s", NAME))
        == "mysite.wsgi.application"
    )
    assert Reader([str(tmp_path / "one")]).read_name("s", NAME).kind == "unknown"


def test_a_changed_sys_path_leaves_other_packages_unknown(tmp_path: Path) -> None:
    change = "import sys\nsys.path.insert(0, 'apps')\n"
    tree(
        tmp_path, s=f"{change}from shared import *\n", shared=BASE, t__prod=f"{change}from .base import *", t__base=BASE
    )
    assert read(tmp_path, "s").kind == "unknown"
    assert read(tmp_path, "t.prod").kind == "literal"


def test_a_package_that_moves_its_modules_is_not_understood(tmp_path: Path) -> None:
    tree(tmp_path, s____init__="__path__ = ['elsewhere']\n", s__base=BASE, s__prod="from .base import *\n")
    assert read(tmp_path, "s.prod").kind == "unknown"


# What makes an import fail


@pytest.mark.parametrize(
    ("module", "missing"), [("nope", "nope"), ("s.nope", "s.nope"), ("s.nope.x", "s.nope"), ("s.base.x", "s.base.x")]
)
def test_a_missing_module_is_named(tmp_path: Path, module: str, missing: str) -> None:
    tree(tmp_path, s____init__="", s__base="")
    answer = read(tmp_path, module)
    assert (answer.kind, answer.module, answer.file) == ("missing", missing, "")


def test_a_missing_module_that_is_imported_names_the_importer(tmp_path: Path) -> None:
    tree(tmp_path, s____init__="", s__base="import os\nfrom .nope import *\n", s__prod="\nfrom .base import *\n")
    answer = read(tmp_path, "s.prod")
    assert (answer.kind, answer.module) == ("missing", "s.nope")
    assert (answer.file, answer.line) == (str(tmp_path / "s/base.py"), 2)


@pytest.mark.parametrize("text", ["if f(): from .nope import *", "def f(): from .nope import x"])
def test_a_module_missing_on_some_paths_is_no_error(tmp_path: Path, text: str) -> None:
    tree(tmp_path, s____init__="", s__prod=f"{NAME} = 'a'\n{text}\n")
    assert literal(read(tmp_path, "s.prod")) == "a"


@pytest.mark.parametrize("broken", ["base", "__init__"])
def test_a_syntax_error_of_a_module_on_the_way_is_told(tmp_path: Path, broken: str) -> None:
    tree(tmp_path, s____init__="", s__base=BASE, s__prod="from .base import *\n")
    write_tree(tmp_path, {f"s/{broken}.py": "X = ("})
    answer = read(tmp_path, "s.prod")
    assert (answer.kind, answer.file, answer.line) == ("syntax", str(tmp_path / f"s/{broken}.py"), 1)


@pytest.mark.parametrize("file", ["s.pyc", "s.so", "s/__init__.pyc", "s/portion/x.py"])
def test_a_module_without_source_is_unknown(tmp_path: Path, file: str) -> None:
    write_tree(tmp_path, {file: ""})
    assert read(tmp_path).kind == "unknown"
    assert Reader([str(tmp_path)]).defines("s", NAME) is None


# Whether a name is bound


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("X = f()", True),
        ("def X(): pass", True),
        ("class X: pass", True),
        ("import X", True),
        ("from os import path as X", True),
        ("from nowhere import X", True),
        ("if f(): X = 1\nelse: X = 2", True),
        ("try: import X\nexcept ImportError: X = None", True),
        ("X = 1\nfrom nowhere import *", True),
        ("with f() as X: pass", True),
        ("if f(): X = 1", None),
        ("for X in f(): pass", None),
        ("from nowhere import *", None),
        ("def __getattr__(name): pass", None),
        ("globals()['Y'] = 1", None),
        ("X = 1\nglobals()['Y'] = 1", None),
        ("def f():\n    global X\n    X = 1", None),
        ("from configurations.wsgi import get_wsgi_application\nX = get_wsgi_application()", True),
        ("(", None),
        ("", False),
        ("Y = 1\nimport x as z", False),
        ("X = 1\ndel X", False),
        ("def f():\n    X = 1", False),
    ],
)
def test_whether_a_name_is_bound(tmp_path: Path, text: str, bound: bool | None) -> None:
    tree(tmp_path, s=text)
    assert Reader([str(tmp_path)]).defines("s", "X") is bound


def test_a_name_that_another_module_lacks_is_not_bound_for_sure(tmp_path: Path) -> None:
    tree(tmp_path, s="from t import X, Y\n", t="X = f()\n")
    reader = Reader([str(tmp_path)])
    assert reader.defines("s", "X") is True
    assert reader.defines("s", "Y") is None
    assert reader.defines("nope", "Y") is None


def test_the_names_of_a_module_are_for_suggestions(tmp_path: Path) -> None:
    tree(tmp_path, s="application = f()\n_x = 1\nif f(): y = 1\nfrom t import *", t="app = f()\n", broken="(")
    reader = Reader([str(tmp_path)])
    assert reader.names("s") == ("application", "app")
    assert reader.names("broken") == reader.names("nope") == ()


# Where modules are


def test_kinds_of_modules_are_found(tmp_path: Path) -> None:
    write_tree(tmp_path, {"p/__init__.py": "", "p/m.py": "", "p/e.so": "", "p/data.txt": "", "p/inner/x.py": ""})
    path = [str(tmp_path)]
    package = ModuleFile("p", str(tmp_path / "p/__init__.py"), (str(tmp_path / "p"),))
    extension = ModuleFile("p.e", str(tmp_path / "p/e.so"), None)
    assert find_module("p", path) == package
    assert find_module("p.e", path) == extension
    assert find_module("p.m", path) == ("p.m", str(tmp_path / "p/m.py"), None)
    assert (package.has_source, package.directory) == (True, str(tmp_path / "p"))
    assert (extension.has_source, extension.directory) == (False, None)
    assert find_module("p.inner", path) == ("p.inner", None, (str(tmp_path / "p/inner"),))
    assert [find_module(name, path) for name in ("p.data", "p.m.x", "q", "", "p.", ".p", "p..m", "p/m")] == [None] * 8


def test_a_namespace_package_has_portions_in_several_directories(tmp_path: Path) -> None:
    write_tree(tmp_path, {"one/n/a.py": "", "two/n/b.py": "", "three/n.py": "", "four/n/__init__.py": ""})
    one, two, three, four = (str(tmp_path / name) for name in ("one", "two", "three", "four"))
    assert find_module("n", [one, two]) == ("n", None, (f"{one}/n", f"{two}/n"))
    assert find_module("n.b", [one, two]) == ("n.b", f"{two}/n/b.py", None)
    assert find_module("n", [one, three, four]) == ("n", f"{three}/n.py", None)
    assert find_module("n", [one, four, three]) == ("n", f"{four}/n/__init__.py", (f"{four}/n",))


def test_an_empty_entry_is_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, {"here.py": "X = 'a'"})
    monkeypatch.chdir(tmp_path)
    assert literal(Reader([""]).read_name("here", "X")) == "a"


def test_nothing_is_imported(tmp_path: Path) -> None:
    before = set(sys.modules), list(sys.path)
    tree(tmp_path, s____init__="raise SystemExit\n", s__base=BASE, s__prod="from .base import *\n")
    assert literal(read(tmp_path, "s.prod")) == "mysite.wsgi.application"
    assert (set(sys.modules), list(sys.path)) == before


def test_each_file_is_read_once(tmp_path: Path) -> None:
    tree(tmp_path, s____init__="", s__base=BASE, s__prod="from .base import *\n")
    reader = Reader([str(tmp_path)])
    assert reader.read_name("s.prod", "DEBUG").kind == "unknown"
    for file in tmp_path.glob("s/*.py"):
        file.write_text("(")
    assert literal(reader.read_name("s.base", NAME)) == literal(reader.read_name("s.prod", NAME))


# What manage.py and wsgi.py say


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'a')", ("a", 2, "setdefault")),
        ("def main():\n    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'a')", ("a", 3, "setdefault")),
        ("from os import environ\nenviron.setdefault('DJANGO_SETTINGS_MODULE', 'a')", ("a", 3, "setdefault")),
        ("os.environ['DJANGO_SETTINGS_MODULE'] = 'a'", ("a", 2, "assignment")),
        ("x = os.environ['DJANGO_SETTINGS_MODULE'] = 'a'", ("a", 2, "assignment")),
        (
            "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'a')\nos.environ['DJANGO_SETTINGS_MODULE'] = 'a'",
            ("a", 3, "assignment"),
        ),
        (
            "if x: os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'a')\n"
            "else: os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'b')",
            None,
        ),
        ("os.environ.setdefault('DJANGO_SETTINGS_MODULE', f())", None),
        ("os.environ.setdefault('DJANGO_SETTINGS_MODULE', f'a.{b}')", None),
        ("os.environ.setdefault('OTHER', 'a')", None),
        ("x['DJANGO_SETTINGS_MODULE'] = 'a'", None),
        ("x.setdefault('DJANGO_SETTINGS_MODULE', 'a')", None),
        ("print(os.environ['DJANGO_SETTINGS_MODULE'])", None),
        ("os.environ.get('DJANGO_SETTINGS_MODULE', 'a')", None),
        ("# os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'a')", None),
        ("(", None),
    ],
)
def test_the_settings_that_a_file_names(tmp_path: Path, text: str, named: tuple[str, int, str] | None) -> None:
    file = tmp_path / "manage.py"
    file.write_text(f"import os\n{text}\n")
    assert Reader(()).settings_named_in(str(file)) == named


def test_a_file_that_is_not_there_names_no_settings(tmp_path: Path) -> None:
    assert Reader(()).settings_named_in(str(tmp_path / "manage.py")) is None
