"""What a piece of a syntax tree is about: the names that it binds, the exceptions that it catches."""

from __future__ import annotations

import _ast

from .lean import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_SHALLOW = frozenset(
    ("body", "orelse", "finalbody", "handlers", "cases", "items", "targets", "target", "optional_vars", "elts")
)


def target_names(target: _ast.expr) -> Iterator[str]:
    """Yield the names that an assignment to `target` binds, or `del` of it unbinds."""
    for node in nodes([target], deep=False):
        if isinstance(node, _ast.Name) and not isinstance(node.ctx, _ast.Load):
            yield node.id


def nodes(body: Sequence[_ast.AST], *, deep: bool) -> Iterator[_ast.AST]:
    """Yield every node; where not `deep`, only statements and what they assign to."""
    stack = list(reversed(body))
    while stack:
        node = stack.pop()
        yield node
        for field in node._fields:
            if not deep and field not in _SHALLOW and not isinstance(node, _ast.Starred):
                continue
            child = getattr(node, field, None)
            if isinstance(child, list):
                stack.extend(item for item in reversed(child) if isinstance(item, _ast.AST))
            elif isinstance(child, _ast.AST):
                stack.append(child)


def stored(node: _ast.AST) -> Iterator[str]:
    """Yield the names that `node` may bind or unbind where it stands; `*` for a star import."""
    for inner in nodes([node], deep=True):
        if isinstance(inner, _ast.Name) and not isinstance(inner.ctx, _ast.Load):
            yield inner.id
        elif isinstance(inner, _ast.FunctionDef | _ast.AsyncFunctionDef | _ast.ClassDef):
            yield inner.name
        elif isinstance(inner, _ast.alias):
            yield inner.asname or inner.name.partition(".")[0]
        elif isinstance(inner, _ast.MatchAs | _ast.MatchStar) and inner.name:
            yield inner.name
        elif isinstance(inner, _ast.MatchMapping) and inner.rest:
            yield inner.rest


def catches_missing(handler: _ast.ExceptHandler) -> bool:
    """Return whether a handler surely catches ModuleNotFoundError."""
    kinds = handler.type.elts if isinstance(handler.type, _ast.Tuple) else [handler.type]
    names = [kind.id for kind in kinds if isinstance(kind, _ast.Name)]
    return handler.type is None or any(
        name in ("ImportError", "ModuleNotFoundError", "Exception", "BaseException") for name in names
    )
