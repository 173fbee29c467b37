"""The top level of a Python module, followed statement by statement without running it.

Everything errs towards not knowing: a name has a known value only where every path that an import can take gives it
that value, and is bound for sure, or unbound, only likewise.
"""

from __future__ import annotations

import _ast

from .answers import ModuleFile
from .bindings import UNREAD, Binding, State, evaluate, join, truth, unsure
from .lean import TYPE_CHECKING
from .source import Doubt, Fails, Source, absolute
from .tree import catches_missing, stored, target_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .syntax import Program


Caught = tuple[State, bool]
"""A state in which an exception may leave the body of a `try`, and whether it surely is a ModuleNotFoundError."""


class Module:
    """One module while its top level is followed; `state` is what holds after the statement at hand."""

    def __init__(self, program: Program, found: ModuleFile, source: Source) -> None:
        self.program = program
        self.found = found
        self.source = source
        self.unsteady = {**program.written, **source.unsteady}
        for name in program.files.submodules(found):
            self.unsteady[name] = Doubt("may be the submodule of that name", source.file)
        self.state = State({name: unsure(doubt) for name, doubt in self.unsteady.items()})
        self.bind("__name__", Binding(True, file=source.file, known=True, value=found.name))
        self._catchers: list[list[Caught]] = []

    def watch(self, body: Callable[[], None]) -> tuple[list[Caught], Fails | None]:
        """Follow `body`; return the states in which it may raise, and why it surely does, if so."""
        caught: list[Caught] = []
        self._catchers.append(caught)
        try:
            body()
        except Fails as fails:
            return caught, fails
        finally:
            self._catchers.pop()
        return caught, None

    def block(self, body: Sequence[_ast.stmt]) -> None:
        for statement in body:
            self.step(statement)

    def step(self, node: _ast.stmt) -> None:
        """Follow one statement; raise Fails if it surely raises."""
        try:
            risky = bool(self._catchers) and not self._is_harmless(node)
            if risky:
                self._may_raise()
            self._follow(node)
            if risky:
                self._may_raise()
        except Fails as fails:
            self._may_raise(missing=fails.kind == "missing")
            raise

    def _may_raise(self, *, missing: bool = False) -> None:
        for caught in self._catchers:
            caught.append((self.state.copy(), missing))

    # Names

    def lookup(self, name: str) -> Binding | None:
        """Return what is certain of a name, looked up where it is taken from another module."""
        return self.program.settle(self.state.get(name))

    def bind(self, name: str, binding: Binding) -> None:
        doubt = self.unsteady.get(name)
        self.state.names[name] = unsure(doubt) if doubt else binding

    def unbind(self, name: str) -> None:
        if name not in self.unsteady:
            self.state.names[name] = None

    def bound(self, node: _ast.AST, reason: str, source: tuple[str, str] | None = None) -> Binding:
        """Return the binding of a name that has a value, though not one to be read here."""
        return Binding(True, reason, self.source.file, getattr(node, "lineno", None), source=source)

    def blur(self, reason: str, line: int | None) -> None:
        """Forget every value: any name may have been bound. What was bound still is."""
        doubt = Binding(False, reason, self.source.file, line)
        names = {name: doubt._replace(sure=True) for name, old in self.state.names.items() if old and old.sure}
        self.state = State({**names}, doubt)

    # Statements

    def _follow(self, node: _ast.stmt) -> None:
        match node:
            case _ast.Assign():
                self._assign(node.targets, node.value, node)
            case _ast.AnnAssign():
                if node.value is not None:
                    self._assign([node.target], node.value, node)
            case _ast.AugAssign():
                if isinstance(node.target, _ast.Name):
                    old = _ast.Name(node.target.id, _ast.Load())
                    self._assign([node.target], _ast.BinOp(old, node.op, node.value), node)
            case _ast.Delete():
                for target in node.targets:
                    for name in target_names(target):
                        self.unbind(name)
            case _ast.FunctionDef() | _ast.AsyncFunctionDef() | _ast.ClassDef():
                kind = "class" if isinstance(node, _ast.ClassDef) else "function"
                self.bind(node.name, self.bound(node, f"is a {kind}"))
            case _ast.Import():
                for alias in node.names:
                    module = alias.name if alias.asname else alias.name.partition(".")[0]
                    self.bind(alias.asname or module, self.bound(node, f"is the module {module}", (module, "")))
            case _ast.ImportFrom():
                self._import_from(node)
            case _ast.If():
                test = truth(node.test, self.lookup)
                if test is None:
                    self._branch([node.body, node.orelse])
                else:
                    self.block(node.body if test else node.orelse)
            case _ast.Try():
                self._try(node)
            case _ast.With():
                self._with(node)
            case _ast.Raise():
                raise Fails("unknown", Doubt("is in a module that raises an exception", self.source.file, node.lineno))
            case _ast.Expr() | _ast.Pass() | _ast.Assert() | _ast.Global():
                pass
            case _:
                self._repeat(node)

    def _assign(self, targets: Sequence[_ast.expr], value: _ast.expr, node: _ast.stmt) -> None:
        # The value is reckoned before any target is bound: X = Y = f"{X}".
        for name, binding in [pair for target in targets for pair in self._assigned(target, value, node)]:
            self.bind(name, binding)

    def _assigned(self, target: _ast.expr, value: _ast.expr, node: _ast.stmt) -> Iterator[tuple[str, Binding]]:
        if isinstance(target, _ast.Name):
            yield target.id, self._binding(target.id, value, node)
        elif isinstance(target, _ast.Tuple | _ast.List):
            both = [target, value] if isinstance(value, _ast.Tuple | _ast.List) else [target]
            plain = not any(isinstance(item, _ast.Starred) for side in both for item in side.elts)
            if isinstance(value, _ast.Tuple | _ast.List) and plain and len(target.elts) == len(value.elts):
                for one, its_value in zip(target.elts, value.elts, strict=True):
                    yield from self._assigned(one, its_value, node)
            else:
                for name in target_names(target):
                    yield name, self.bound(node, "is unpacked from a value")

    def _binding(self, name: str, value: _ast.expr, node: _ast.stmt) -> Binding:
        if isinstance(value, _ast.Name):
            other = self.state.get(value.id)
            if other is not None and other.source is not None:
                return other
        found = self._exports(value) if name == "__all__" else evaluate(value, self.lookup)
        if found is UNREAD:
            return self.bound(node, "is computed")
        return Binding(True, "", self.source.file, node.lineno, known=True, value=found)

    def _exports(self, node: _ast.expr) -> object:
        """Return the value of `__all__` as a tuple, if nothing extends it later."""
        if not isinstance(node, _ast.List | _ast.Tuple) or not self.source.plain_all:
            return UNREAD
        names = [item.value for item in node.elts if isinstance(item, _ast.Constant)]
        texts = [name for name in names if isinstance(name, str)]
        return tuple(texts) if len(texts) == len(node.elts) else UNREAD

    def _import_from(self, node: _ast.ImportFrom) -> None:
        module = absolute(node, self.found)
        star = node.names[0].name == "*"
        # Whether a module of another package exists only matters once something is taken from it.
        found = self._locate(module, node) if star or self._is_near(module) else None
        for alias in node.names:
            name = alias.asname or alias.name
            if star:
                self._import_all(module, found, node)
            elif isinstance(found, str):
                self.bind(name, self.bound(node, f"is taken from {module or 'a module'}, which {found}"))
            else:
                self.bind(name, self.bound(node, f"is taken from {module}", (module, alias.name)))

    def _is_near(self, module: str) -> bool:
        """Return whether a module belongs to the same package as this one, or to nothing."""
        return module.partition(".")[0] in ("", self.found.name.partition(".")[0])

    def _locate(self, module: str, node: _ast.ImportFrom) -> ModuleFile | str:
        if not module:
            return "is beyond the top of the package"
        try:
            return self.program.locate(module, self.found.name)
        except Fails as fails:
            if fails.kind == "missing":
                doubt = fails.doubt._replace(file=self.source.file, line=node.lineno)
                raise Fails("missing", doubt, fails.module) from None
            raise

    def _import_all(self, module: str, found: ModuleFile | str | None, node: _ast.ImportFrom) -> None:
        if not isinstance(found, ModuleFile):
            self.blur(f"may come from {module or 'a module'}, which {found}", node.lineno)
            return
        other = self.program.complete(module)
        exports = other.exported()
        if exports is None:
            self.blur(f"may come from {module}, whose names cannot be read", node.lineno)
            return
        for name in exports:
            binding, old = other.get(name), self.state.get(name)
            if binding is None or not binding.sure:
                reason = f"may come from {module}" if binding is None else binding.reason
                binding = self.bound(node, reason)._replace(sure=old is not None and old.sure)
            self.bind(name, binding)

    def _branch(self, blocks: Iterable[Sequence[_ast.stmt]]) -> None:
        """Follow each of the blocks from here, and keep what those that end agree on."""
        before, ends, failure = self.state, [], None
        for body in blocks:
            self.state = before.copy()
            try:
                self.block(body)
                ends.append(self.state)
            except Fails as fails:
                failure = fails
        if failure and not ends:
            raise failure
        self.state = join(ends)

    def _try(self, node: _ast.Try) -> None:
        if not node.finalbody:
            self._handle(node)
            return
        escaped, failure = self.watch(lambda: self._handle(node))
        if escaped and self._catchers:  # the final block also runs before an exception travels on
            after, self.state = self.state, join([state for state, _ in escaped])
            try:
                self.block(node.finalbody)
                self._may_raise()
            except Fails:
                pass
            self.state = after
        self.block(node.finalbody)
        if failure:
            raise failure

    def _handle(self, node: _ast.Try) -> None:
        caught, failure = self.watch(lambda: self.block(node.body))
        blocks = [] if failure else [(node.orelse, self.state)]
        ends: list[State] = []
        for handler in node.handlers:
            if caught:
                blocks.append((handler.body, join([state for state, _ in caught])))
            if catches_missing(handler):
                caught = [(state, missing) for state, missing in caught if not missing]
        for body, state in blocks:
            self.state = state
            try:
                self.block(body)
                ends.append(self.state)
            except Fails as fails:
                failure = fails
        if not ends:
            assert failure is not None
            raise failure
        self.state = join(ends)

    def _with(self, node: _ast.With) -> None:
        for item in node.items:
            for name in target_names(item.optional_vars) if item.optional_vars else ():
                self.bind(name, self.bound(node, "is what a context manager gives"))
        caught, failure = self.watch(lambda: self.block(node.body))
        # A context manager may swallow what its body raises, as contextlib.suppress does.
        ends = [state for state, _ in caught] if failure else [self.state, *(state for state, _ in caught)]
        if failure and not ends:
            raise failure
        self.state = join(ends)

    def _repeat(self, node: _ast.stmt) -> None:
        """Loops, `match`, `except*` and what Python will have yet: any name within may be bound, or not."""
        doubt = Binding(False, "is assigned in a loop, a match or an except*", self.source.file, node.lineno)
        for name in stored(node):
            if name == "*":
                self.blur("may come from a star import in a loop", node.lineno)
            else:
                self.bind(name, doubt)

    # What surely raises nothing

    def _is_harmless(self, node: _ast.stmt) -> bool:
        """Return whether a statement raises nothing itself; the statements within it are asked in turn."""
        match node:
            case _ast.Pass() | _ast.Global() | _ast.Try():
                return True
            case _ast.Expr():
                return isinstance(node.value, _ast.Constant)
            case _ast.Assign():
                plain = all(isinstance(target, _ast.Name) for target in node.targets)
                return plain and self._is_inert(node.value)
            case _ast.If():
                return truth(node.test, self.lookup) is not None
            case _ast.ImportFrom():
                return self._imports_quietly(node)
        return False

    def _is_inert(self, node: _ast.expr) -> bool:
        match node:
            case _ast.Constant():
                return True
            case _ast.Name():
                binding = self.state.get(node.id)
                return binding is not None and binding.sure
            case _ast.List() | _ast.Tuple():
                return all(self._is_inert(item) for item in node.elts)
            case _ast.Dict():
                keyed = all(isinstance(key, _ast.Constant) for key in node.keys)
                return keyed and all(self._is_inert(item) for item in node.values)
        return evaluate(node, self.lookup) is not UNREAD

    def _imports_quietly(self, node: _ast.ImportFrom) -> bool:
        if node.module == "__future__" and not node.level:
            return True
        module = absolute(node, self.found)
        if not self._is_near(module) or isinstance(self._locate(module, node), str):
            return False
        if not self.program.is_quiet(module, self.found.name):
            return False
        other = self.program.complete(module)
        names = [alias.name for alias in node.names]
        if names == ["*"]:
            exports = other.exported()
            if exports is None:
                return False
            names = exports
        bindings = [other.get(name) for name in names]
        return all(binding is not None and binding.sure for binding in bindings)
