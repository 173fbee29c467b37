"""Names that Python modules define, read from their source without importing anything.

A module's top level is followed statement by statement as the interpreter would, keeping what is certain of each
name; where the paths of an `if` or a `try` differ, only what they agree on is kept. An answer holds if the import
succeeds. One thing is taken for granted: a module that is imported, but not read from, leaves the names of the
others alone.
"""

from __future__ import annotations

import _ast
import sys
from itertools import pairwise

from .answers import Answer, ModuleFile, SettingsNamed
from .bindings import Binding, State, unsure
from .lean import TYPE_CHECKING
from .seen import Seen
from .source import Doubt, Fails, Files, Source
from .toplevel import Module
from .tree import nodes

if TYPE_CHECKING:
    from collections.abc import Sequence


CYCLE_LIMIT = 32
"""Modules to look through for one that imports itself; beyond that, importing is no slower."""

NEVER = (("typing", "TYPE_CHECKING"), ("typing_extensions", "TYPE_CHECKING"))
"""Names that are False whenever a module runs."""


class Reader:
    """Reads modules below the directories of `path`, each file at most once."""

    def __init__(self, path: Sequence[str]) -> None:
        self.path = tuple(path)
        self._files = Files(path)
        self._ends: dict[str, tuple[Program, State | Fails]] = {}

    @property
    def seen(self) -> Seen:
        """What the answers so far were made from."""
        return self._files.seen

    def find(self, module: str) -> ModuleFile | None:
        """Find what `import module` would load (see `source.find_module`)."""
        return self._files.find(module)

    def read_name(self, module: str, name: str) -> Answer:
        """Say what `module.name` is once the module is imported."""
        found = self.find(module)
        if found is None:
            packages = [module[:at] for at, letter in enumerate(module) if letter == "."]
            missing = next((package for package in packages if self.find(package) is None), module)
            return Answer("missing", reason=f"there is no module {missing}", module=missing)
        program, end = self._end(module)
        file = found.file or ""
        try:
            if isinstance(end, Fails):
                raise end
            known = program.settle(end.get(name))
        except Fails as fails:
            where, line, reason = fails.doubt.file or file, fails.doubt.line, fails.doubt.reason
            return Answer(fails.kind, None, where, line, reason, fails.module)
        if known is None:
            hook = end.get("__getattr__") or end.get("__dir__")
            if hook is not None:
                return Answer("unknown", None, file, hook.line, "may come from the module's __getattr__")
            if name.startswith("__"):
                return Answer("unknown", None, file, None, "is set by the import system")
            return Answer("absent", None, file)
        where = known.file or file
        if not known.known:
            return Answer("unknown", None, where, known.line, known.reason)
        if known.value is None or isinstance(known.value, str):
            return Answer("literal", known.value, where, known.line)
        return Answer("unknown", None, where, known.line, "is not a string")

    def defines(self, module: str, name: str) -> bool | None:
        """Whether importing `module` surely binds `name` (True), surely does not (False), or nobody can say."""
        if self.find(module) is None:
            return None
        program, end = self._end(module)
        if isinstance(end, Fails):
            return None
        binding = end.get(name)
        if binding is None:
            return False if self.read_name(module, name).kind == "absent" else None
        try:
            # `from m import name` fails where m has no such name: then there is nothing to say.
            settled = program.settle(binding)
            return True if binding.sure and settled is not None and settled.sure else None
        except Fails:
            return None

    def names(self, module: str) -> tuple[str, ...]:
        """Return the public names that `module` surely binds, as far as they can be read."""
        end = self._end(module)[1] if self.find(module) is not None else None
        if not isinstance(end, State):
            return ()
        return tuple(name for name, binding in end.names.items() if binding and binding.sure and name[0] != "_")

    def settings_named_in(self, file: str) -> SettingsNamed | None:
        """Read the settings module that `file` puts into the environment, anywhere in it.

        None where it names none, names different ones or a computed one, or cannot be read.
        """
        try:
            body = self._files.source(file).tree.body
        except Fails:
            return None
        named = [found for node in nodes(body, deep=True) if (found := _named_by(node))]
        if len({found.module for found in named}) != 1 or not named[0].module:
            return None
        return min(named, key=lambda found: (found.form, found.line))

    def _end(self, module: str) -> tuple[Program, State | Fails]:
        if module not in self._ends:
            self._ends[module] = Program.follow(self._files, module)
        return self._ends[module]


class Program:
    """A module that is imported into an empty interpreter, and those it takes names from."""

    def __init__(self, files: Files, root: str) -> None:
        self.files = files
        self.root = root
        self.written: dict[str, Doubt] = {}
        """Attributes assigned anywhere in the files followed, of whatever object: it may be a module."""
        self.moved = False
        """Whether one of the files puts something first on sys.path."""
        self._states: dict[str, State | Fails] = {}
        self._quiet: dict[str, bool] = {}
        self._cyclic: dict[str, bool] = {}

    @classmethod
    def follow(cls, files: Files, root: str) -> tuple[Program, State | Fails]:
        """Return the names of `root` once it is imported, or why that fails."""
        program = cls(files, root)
        while True:
            before = len(program.written), program.moved
            end = program._run(root)
            # What is found late casts doubt on what was read before.
            if before == (len(program.written), program.moved):
                return program, end
            program._states.clear()
            program._quiet.clear()

    def _run(self, name: str) -> State | Fails:
        found = self.files.find(name)
        assert found is not None
        if found.file is None or not found.has_source:
            return State({}, Binding(False, f"is in {name}, which has no Python source", found.file or ""))
        try:
            for package in _packages(name):
                self.source(package)
            source = self.source(name)
            assert source is not None
            if source.trick:
                return State({}, unsure(source.trick))
            module = Module(self, found, source)
            module.block(source.tree.body)
        except Fails as fails:
            return fails
        except RecursionError:
            return State({}, Binding(False, "is in a file nested too deeply to follow", found.file))
        return module.state

    def source(self, name: str) -> Source | None:
        """Return the parsed module, or None where there is no source; raise Fails."""
        found = self.files.find(name)
        if found is None or found.file is None or not found.has_source:
            return None
        source = self.files.source(found.file)
        self.written.update(source.written)
        self.moved = self.moved or source.moves_path
        return source

    def locate(self, name: str, importer: str) -> ModuleFile | str:
        """Find a module that `importer` takes names from, or say why nobody can tell what it is.

        Raises Fails where there surely is no such module.
        """
        top = name.partition(".")[0]
        if top != self.root.partition(".")[0]:
            if top in sys.stdlib_module_names:
                return "comes with Python"
            if self.moved:
                return "is looked for on a changed sys.path"
        found = self.files.find(name)
        sources = [self.source(package) for package in _packages(name)]
        if any(source is not None and source.moves_modules for source in sources):
            return "is in a package that changes its modules"
        if found is not None:
            return found
        for package, inner in pairwise([*_packages(name), name]):
            around = self.files.find(package)
            if around is None or not around.has_source or top != importer.partition(".")[0]:
                break
            # A package that is imported on the way may raise something else first.
            if not f"{importer}.".startswith(f"{package}.") and not self._runs_quietly(package):
                break
            if self.files.find(inner) is None:
                raise Fails("missing", Doubt(f"there is no module {inner}"), inner)
        return "is in no directory of the path"

    def complete(self, name: str) -> State:
        """Return the names of a module that is imported whole before anyone takes names from it."""
        if name not in self._states:
            cyclic = self._is_cyclic(name)
            self._states[name] = (
                State({}, Binding(False, f"is in {name}, part of an import cycle")) if cyclic else self._run(name)
            )
        state = self._states[name]
        if isinstance(state, Fails):
            raise state
        return state

    def _is_cyclic(self, name: str) -> bool:
        """Return whether `name` may be imported while it is being imported: its names would be unfinished."""
        if name not in self._cyclic:
            seen: set[str] = set()
            waiting = [name]
            while waiting and name not in seen and len(seen) < CYCLE_LIMIT:
                targets = set(self.files.targets(waiting.pop())) - seen
                for target in targets:
                    try:
                        self.source(target)
                    except Fails:
                        pass
                seen |= targets
                waiting += sorted(targets)
            self._cyclic[name] = name in seen or bool(waiting)
        return self._cyclic[name]

    def settle(self, binding: Binding | None) -> Binding | None:
        """Follow a name to the module it is taken from; raise Fails if that cannot be imported."""
        while binding is not None and binding.source is not None:
            module, name = binding.source
            if not name:
                return binding
            if binding.source in NEVER and name not in self.written:
                return binding._replace(source=None, known=True, value=False)
            found = self.locate(module, "")
            if isinstance(found, str):
                return binding._replace(source=None, reason=f"is taken from {module}, which {found}")
            taken = self.complete(module).get(name)
            if taken is None:
                hook = self.complete(module).get("__getattr__") is not None
                return binding._replace(sure=hook, source=None, reason=f"is taken from {module}, which has none")
            if not taken.sure:
                return taken._replace(sure=True)  # or the import would have failed
            binding = taken
        return binding

    def is_quiet(self, name: str, importer: str) -> bool:
        """Return whether importing a module surely raises nothing."""
        around = [package for package in _packages(name) if not importer.startswith(package + ".")]
        return all(self._runs_quietly(module) for module in [*around, name])

    def _runs_quietly(self, name: str) -> bool:
        if name not in self._quiet:
            self._quiet[name] = False
            found, source = self.files.find(name), self.source(name)
            if found is None or source is None or source.trick:
                return False
            module = Module(self, found, source)
            caught, failure = module.watch(lambda: module.block(source.tree.body))
            self._quiet[name] = not failure and not caught and not self._is_cyclic(name) and source.compiles()
        return self._quiet[name]


def _named_by(node: _ast.AST) -> SettingsNamed | None:
    """Return what `node` puts into DJANGO_SETTINGS_MODULE; an empty module where that is computed."""
    if isinstance(node, _ast.Call) and isinstance(node.func, _ast.Attribute) and len(node.args) == 2:
        variable, value = node.args
        if node.func.attr == "setdefault" and _is_environ(node.func.value) and _is_variable(variable):
            return SettingsNamed(_text(value), node.lineno, "setdefault")
    elif isinstance(node, _ast.Assign):
        for target in node.targets:
            if isinstance(target, _ast.Subscript) and _is_environ(target.value) and _is_variable(target.slice):
                return SettingsNamed(_text(node.value), node.lineno, "assignment")
    return None


def _text(node: _ast.expr) -> str:
    return node.value if isinstance(node, _ast.Constant) and isinstance(node.value, str) else ""


def _is_environ(node: _ast.expr) -> bool:
    if isinstance(node, _ast.Name):
        return node.id == "environ"
    return isinstance(node, _ast.Attribute) and node.attr == "environ"


def _is_variable(node: _ast.expr) -> bool:
    return _text(node) == "DJANGO_SETTINGS_MODULE"


def _packages(name: str) -> list[str]:
    """Return the packages around a module, outermost first."""
    return [name[:at] for at, letter in enumerate(name) if letter == "."]
