"""What is certain of a module's names at one point, and what expressions made of them are worth."""

from __future__ import annotations

import _ast

from .lean import TYPE_CHECKING, Record
from .source import Doubt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias


TEXT_LIMIT = 10_000
"""Characters of a computed string: `X = X + X` must not fill the memory."""

UNREAD = object()
"""The value of an expression that only running it gives."""

Lookup: TypeAlias = "Callable[[str], Binding | None]"


class Binding(Record):
    """What is certain of a name at one point of a module."""

    sure: bool
    """Whether it is bound on every path that gets here."""
    reason: str = ""
    """Why the value is not known."""
    file: str = ""
    line: int | None = None
    known: bool = False
    value: object = None
    """A str, int, bool or None; the names in `__all__` as a tuple."""
    source: tuple[str, str] | None = None
    """The module and the name it is taken from, not looked up yet; an empty name means the module itself."""


class State:
    """The names of a module at one point. A name that is not among them is as `rest` says: None is unbound."""

    __slots__ = ("names", "rest")

    def __init__(self, names: dict[str, Binding | None], rest: Binding | None = None) -> None:
        self.names = names
        self.rest = rest

    def get(self, name: str) -> Binding | None:
        return self.names.get(name, self.rest)

    def copy(self) -> State:
        return State(self.names.copy(), self.rest)

    def exported(self) -> list[str] | None:
        """Return the names of a star import from a module that ends like this, or None if they cannot be told."""
        listed = self.get("__all__")
        if self.rest is not None or (listed and not (listed.known and isinstance(listed.value, tuple))):
            return None
        if listed:
            assert isinstance(listed.value, tuple)
            return list(listed.value)
        if self.get("__getattr__"):  # it is asked for __all__, too
            return None
        return [name for name, binding in self.names.items() if binding and not name.startswith("_")]


def either(one: Binding | None, other: Binding | None) -> Binding | None:
    """Return what is certain of a name that is as `one` or as `other` says."""
    if one is other:
        return one
    if one is None or other is None:
        some = one or other
        assert some is not None
        return Binding(False, some.reason if not some.sure else "is bound on some paths only", some.file, some.line)
    if one.known and other.known and type(one.value) is type(other.value) and one.value == other.value:
        return one
    if not one.known and one == other:
        return one
    return Binding(one.sure and other.sure, "depends on the path taken", other.file, other.line)


def join(states: Sequence[State]) -> State:
    """Return what holds whichever of the states is the one."""
    joined = states[0].copy()
    for state in states[1:]:
        names = {name: either(joined.get(name), state.get(name)) for name in {**joined.names, **state.names}}
        joined = State(names, either(joined.rest, state.rest))
    return joined


def unsure(doubt: Doubt) -> Binding:
    """Return the binding of a name that may be bound or not."""
    return Binding(False, *doubt)


def truth(node: _ast.expr, lookup: Lookup) -> bool | None:
    """Return whether an expression is true, or None if nobody can say."""
    value = evaluate(node, lookup)
    return None if value is UNREAD else bool(value)


def evaluate(node: _ast.expr, lookup: Lookup) -> object:
    """Return the str, int, bool or None that an expression gives, or UNREAD."""
    match node:
        case _ast.Constant():
            return node.value if type(node.value) in (str, int, bool, type(None)) else UNREAD
        case _ast.Name():
            binding = lookup(node.id)
            return binding.value if binding is not None and binding.known else UNREAD
        case _ast.Attribute(value=_ast.Name(id=owner), attr="TYPE_CHECKING"):
            binding = lookup(owner)
            return False if binding is not None and binding.source == ("typing", "") else UNREAD
        case _ast.JoinedStr():
            return _concatenated([_piece(piece, lookup) for piece in node.values])
        case _ast.BinOp(op=_ast.Add()):
            return _concatenated([evaluate(node.left, lookup), evaluate(node.right, lookup)])
        case _ast.BinOp(op=_ast.Mod()):
            return _formatted(node, lookup)
        case _ast.UnaryOp(op=_ast.Not()):
            operand = truth(node.operand, lookup)
            return UNREAD if operand is None else not operand
        case _ast.BoolOp():
            return _chosen(node, lookup)
        case _ast.Compare(ops=[_ast.Eq() | _ast.NotEq()]):
            left, right = evaluate(node.left, lookup), evaluate(node.comparators[0], lookup)
            if left is UNREAD or right is UNREAD:
                return UNREAD
            return (left == right) is isinstance(node.ops[0], _ast.Eq)
    return UNREAD


def _piece(node: _ast.expr, lookup: Lookup) -> object:
    if isinstance(node, _ast.FormattedValue):
        plain = node.conversion == -1 and node.format_spec is None
        return evaluate(node.value, lookup) if plain else UNREAD
    return evaluate(node, lookup)


def _formatted(node: _ast.BinOp, lookup: Lookup) -> object:
    form = evaluate(node.left, lookup)
    parts = node.right.elts if isinstance(node.right, _ast.Tuple) else [node.right]
    values = [evaluate(part, lookup) for part in parts]
    if not isinstance(form, str) or "%" in form.replace("%s", "") or form.count("%s") != len(values):
        return UNREAD
    pieces = form.split("%s")
    return _concatenated([pieces[0], *(text for pair in zip(values, pieces[1:], strict=True) for text in pair)])


def _chosen(node: _ast.BoolOp, lookup: Lookup) -> object:
    for operand in node.values[:-1]:
        value = evaluate(operand, lookup)
        if value is UNREAD or bool(value) is isinstance(node.op, _ast.Or):
            return value
    return evaluate(node.values[-1], lookup)


def _concatenated(parts: Sequence[object]) -> object:
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) != len(parts) or sum(map(len, texts)) > TEXT_LIMIT:
        return UNREAD
    return "".join(texts)
