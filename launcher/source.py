"""Source files of Python modules: where they are, and what their syntax tree says at a glance.

`ast` is not imported: `_ast` holds the same node classes without its helpers, which every start would pay for
(docs/decisions/0002-import-budget.md).
"""

from __future__ import annotations

import _ast
import _imp
import os
import stat
import sys
import warnings

from .answers import ModuleFile
from .lean import TYPE_CHECKING, Record, read_file
from .seen import SUFFIXES, UNREAD, Directories, Seen, state_of, submodules_in
from .tree import nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Doubt(Record):
    """Why something cannot be known without an import: the rest of a sentence about a name."""

    reason: str
    file: str = ""
    line: int | None = None


class Fails(Exception):
    """An import surely fails. `kind` is `missing` (`module` is the one), `syntax`, or `unknown` for the rest."""

    def __init__(self, kind: str, doubt: Doubt, module: str = "") -> None:
        super().__init__(kind, doubt, module)
        self.kind, self.doubt, self.module = kind, doubt, module


class Source:
    """A parsed file, and what of it holds wherever in it one stands."""

    def __init__(self, file: str, text: bytes, tree: _ast.Module) -> None:
        self.file = file
        self.tree = tree
        self.imports: list[_ast.Import | _ast.ImportFrom] = []
        """Those within functions too."""
        self.unsteady: dict[str, Doubt] = {}
        """Names that may change at any time: declared `global`, bound by `:=`, or cleared by an `except`."""
        self.written: dict[str, Doubt] = {}
        """Attributes that are assigned to objects of any kind: one may be a module."""
        self.trick: Doubt | None = None
        """Set where something may reach the names in a way that cannot be followed."""
        self.moves_path = any(word in text for word in _MOVES_PATH)
        """Whether it may change what comes first on `sys.path`."""
        self.moves_modules = any(word in text for word in _MOVES_MODULES)
        """Whether it may change where its submodules are found."""
        self._mentions = 0
        # Expressions are looked into only where the text holds a word that matters. Identifiers that are not
        # ASCII are normalised, and may spell such a word in another way.
        deep = not text.isascii() or any(word in text for word in _DEEP)
        for node in nodes(tree.body, deep=deep):
            reached = self._examine(node)
            if reached and self.trick is None:
                self.trick = Doubt(f"may be changed by way of {reached}", file, getattr(node, "lineno", None))

    @property
    def plain_all(self) -> bool:
        """Whether `__all__` is mentioned once, and so never extended."""
        return self._mentions == 1

    def compiles(self) -> bool:
        """Return whether the syntax tree is a program: `return` outside a function parses well."""
        try:
            _compile(self.tree, self.file)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
        return True

    def _examine(self, node: _ast.AST) -> str:
        """Note what a node may do to names; return the word by which it may do anything."""
        if isinstance(node, _ast.Import | _ast.ImportFrom):
            self.imports.append(node)
            return _reached_by_import(node)
        if isinstance(node, _ast.Global):
            for name in node.names:
                self.unsteady[name] = Doubt("is declared global in a function", self.file, node.lineno)
        elif isinstance(node, _ast.NamedExpr):
            self.unsteady[node.target.id] = Doubt("is assigned within an expression", self.file, node.lineno)
        elif isinstance(node, _ast.ExceptHandler):
            if node.name:
                self.unsteady[node.name] = Doubt("is the name of an exception", self.file, node.lineno)
        elif isinstance(node, _ast.Attribute):
            if not isinstance(node.ctx, _ast.Load):
                self.written[node.attr] = Doubt("may be assigned as an attribute", self.file, node.lineno)
            return node.attr if node.attr in _REACHES else ""
        elif isinstance(node, _ast.Expr) and isinstance(node.value, _ast.Call):
            called = node.value.func  # of split_settings, perhaps by way of another module
            return "include" if isinstance(called, _ast.Name) and called.id == "include" else ""
        elif isinstance(node, _ast.Name):
            self._mentions += node.id == "__all__"
            return node.id if node.id in _REACHES else ""
        return ""


class Files:
    """The modules below the directories of `path`; each file, and each directory, is read at most once."""

    def __init__(self, path: Sequence[str]) -> None:
        self.path = tuple(path)
        self.seen = Seen({}, {}, {})
        self._found: dict[str, ModuleFile | None] = {}
        self._directories = Directories()
        self._parsed: dict[str, Source | Fails] = {}
        self._targets: dict[str, tuple[str, ...]] = {}

    def find(self, name: str) -> ModuleFile | None:
        if name not in self._found:
            self._found[name] = self._look_for(name)
        return self._found[name]

    def _look_for(self, name: str) -> ModuleFile | None:
        package, dot, part = name.rpartition(".")
        if not part or "/" in part:
            return None
        if dot:
            around = self.find(package)
            return self._find_in(around.package_path or (), part, name) if around else None
        on_no_path = part in sys.builtin_module_names or _imp.is_frozen(part)
        return None if on_no_path else self._find_in(self.path, part, name)

    def _find_in(self, where: Sequence[str], part: str, name: str) -> ModuleFile | None:
        portions: list[str] = []
        for entry in where:
            entry = entry or os.curdir
            base = os.path.join(entry, part)
            folder = self._kind(entry, part) == stat.S_IFDIR
            for suffix in SUFFIXES if folder else ():
                init = "__init__" + suffix
                if self._kind(base, init) == stat.S_IFREG:
                    return ModuleFile(name, os.path.join(base, init), (base,))
            for suffix in SUFFIXES:
                if self._kind(entry, part + suffix) == stat.S_IFREG:
                    return ModuleFile(name, base + suffix, None)
            if folder:
                portions.append(base)
        return ModuleFile(name, None, tuple(portions)) if portions else None

    def _kind(self, folder: str, name: str) -> int | None:
        path = os.path.join(folder, name)
        self.seen.kinds[path] = kind = self._directories.kind(path)
        return kind

    def submodules(self, found: ModuleFile) -> set[str]:
        """Return what may be a submodule of a package; an import of one sets an attribute of the package."""
        names: set[str] = set()
        for folder in found.package_path or ():
            self.seen.folders[folder] = inside = submodules_in(folder)
            names.update(inside)
        return names

    def source(self, file: str) -> Source:
        """Return the parsed file; raise Fails."""
        if file not in self._parsed:
            self.seen.files[file] = state_of(file)  # before it is read: what is written meanwhile will tell
            try:
                self._parsed[file] = _parse(file)
            except Fails as fails:
                self._parsed[file] = fails
                if fails.kind == "unknown" and self.seen.files[file] is not None:
                    self.seen.files[file] = UNREAD
        source = self._parsed[file]
        if isinstance(source, Fails):
            raise source
        return source

    def targets(self, name: str) -> tuple[str, ...]:
        """Return the modules of the same project that the module `name` may import, in functions too."""
        if name not in self._targets:
            self._targets[name] = tuple(dict.fromkeys(self._targets_of(name)))
        return self._targets[name]

    def _targets_of(self, name: str) -> Iterator[str]:
        found = self.find(name)
        if found is None or found.file is None or not found.has_source:
            return
        try:
            source = self.source(found.file)
        except Fails:
            return
        home = self._home(name)
        for statement in source.imports:
            if isinstance(statement, _ast.Import):
                wanted = [alias.name for alias in statement.names if self._home(alias.name) == home]
            else:
                target = absolute(statement, found)
                if self._home(target) != home:
                    continue
                inner = [f"{target}.{alias.name}" for alias in statement.names]
                wanted = [module for module in inner if self.find(module)]
                if len(wanted) != len(inner):
                    wanted.append(target)
            for module in wanted:
                if self.find(module):
                    yield module
                # The packages around a module are loaded first, unless the importer itself is within.
                while module := module.rpartition(".")[0]:
                    if not name.startswith(module + ".") and self.find(module):
                        yield module

    def _home(self, name: str) -> tuple[str, str]:
        """Return what the modules of one project share: the directory, or the package where it is installed."""
        top = self.find(name.partition(".")[0])
        if top is None:
            return "", ""
        folder = os.path.dirname(top.package_path[0] if top.package_path else top.file or "")
        installed = os.path.basename(folder) in ("site-packages", "dist-packages")
        return folder, top.name if installed else ""


def find_module(name: str, path: Sequence[str]) -> ModuleFile | None:
    """Find what `import name` would load from the directories of `path`, without importing its packages.

    Built-in and frozen modules are on no path and come first, so a file of that name is not found. A package
    that changes its own `__path__` is not understood.
    """
    return Files(path).find(name)


def absolute(node: _ast.ImportFrom, importer: ModuleFile) -> str:
    """Return the full name of the module that `node` imports from; empty where that is beyond the top."""
    if not node.level:
        return node.module or ""
    package = importer.name if importer.package_path is not None else importer.name.rpartition(".")[0]
    for _ in range(node.level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{node.module}" if package and node.module else package


_REACHES = frozenset(
    {"globals", "locals", "vars", "exec", "eval", "setattr", "delattr", "modules", "_getframe", "currentframe"}
    | {"f_globals", "f_locals", "f_back", "__dict__", "__globals__", "__builtins__", "__path__"}
    | {"__setattr__", "__delattr__"}
)
"""Words by which code gets at names otherwise than by writing them down."""

_REWRITERS = ("split_settings", "configurations", "dynaconf", "pydjantic", "django_yamlconf", "cbs")
"""Libraries that fill the settings module that imports them: by its frame, its name or an import hook."""

_DEEP = (*(word.encode() for word in _REACHES), b":=", b"__all__")
_MOVES_PATH = (b"path.insert", b".path[", b"addsitedir", b"sys.path =", b"sys.path=")
_MOVES_MODULES = (b"__path__", b"sys.modules", b"import modules", b"meta_path", b"declare_namespace")


def _parse(file: str) -> Source:
    try:
        text = read_file(file)
    except OSError as error:
        raise Fails("unknown", Doubt(f"is in a file that cannot be read ({error.strerror})", file)) from error
    try:
        tree = _compile(text, file, _ast.PyCF_ONLY_AST)
    except SyntaxError as error:
        raise Fails("syntax", Doubt(error.msg, file, error.lineno)) from error
    except ValueError as error:
        raise Fails("syntax", Doubt(str(error), file)) from error
    except (RecursionError, MemoryError) as error:  # the compiler may go deeper than its syntax tree
        raise Fails("unknown", Doubt("is in a file nested too deeply to follow", file)) from error
    assert isinstance(tree, _ast.Module)
    return Source(file, text, tree)


def _compile(code: str | bytes | _ast.Module, file: str, flags: int = 0) -> object:
    """Compile without warnings: they are told when the code runs, and must not become errors under -W error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(code, file, "exec", flags, dont_inherit=True)


def _reached_by_import(node: _ast.Import | _ast.ImportFrom) -> str:
    modules = [alias.name for alias in node.names]
    if isinstance(node, _ast.ImportFrom):
        for name in modules:
            if name in _REACHES:
                return name
        modules = [] if node.level else [node.module or ""]
    for module in modules:
        top, _, rest = module.partition(".")
        # configurations.wsgi and its like serve settings: they are imported where none are written.
        if top in _REWRITERS and rest not in ("wsgi", "asgi", "management", "importer"):
            return top
    return ""
