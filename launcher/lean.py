"""What `typing` and `io` give, as much of it as starts need at run time, without the time that they take.

To a type checker the names below are those of `typing`, whose import takes 10 ms. At run time `Record` is a small
stand-in for `NamedTuple`, and the others do nothing. `collections.abc`, `enum` and `re` are avoided for the same
reason (docs/decisions/0002-import-budget.md); a module that needs them for annotations only imports them under
`TYPE_CHECKING`, with annotations left as text.
"""

from __future__ import annotations

import os

__all__ = ["TYPE_CHECKING", "Generic", "Record", "TypeVar", "cast", "overload", "read_file", "write_file"]

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Generic, TypeVar, cast, overload
    from typing import NamedTuple as Record
else:
    from _collections import _tuplegetter  # what namedtuple's own fields are

    class _RecordType(type):
        """Give a tuple type one property for each annotation of its class, and the class's values as defaults."""

        def __new__(meta, name, bases, members):
            cls = type.__new__(meta, name, bases, {"__slots__": (), **members})
            # Asked of the class: Python 3.14 makes annotations that are no text then, and not before.
            cls._fields = cls.__match_args__ = tuple(cls.__annotations__)
            cls._field_defaults = {field: members[field] for field in cls._fields if field in members}
            for place, field in enumerate(cls._fields):
                setattr(cls, field, _tuplegetter(place, ""))
            return cls

    class Record(tuple, metaclass=_RecordType):
        """A tuple with named fields."""

        def __new__(cls, *values, **named):
            if named or len(values) != len(cls._fields):
                rest = cls._fields[len(values) :]
                known = {**cls._field_defaults, **named}
                values += tuple([known[field] for field in rest if field in known])
                unknown = [field for field in named if field not in rest]
                if unknown or len(values) != len(cls._fields):
                    raise TypeError(f"{cls.__name__} takes {', '.join(cls._fields)}" + ", not ".join(["", *unknown]))
            return tuple.__new__(cls, values)

        def __repr__(self):
            pairs = zip(self._fields, self, strict=True)
            return f"{type(self).__name__}({', '.join(f'{field}={value!r}' for field, value in pairs)})"

        def _replace(self, **named):
            values = [named.pop(field, value) for field, value in zip(self._fields, self, strict=True)]
            return type(self)(*values, **named)

    class Generic:
        def __class_getitem__(cls, item):
            return cls

    def TypeVar(name):
        return name

    def cast(kind, value):
        return value

    def overload(function):
        return function


def read_file(path: str) -> bytes:
    """Return what is in a file, by four system calls instead of the ten that a file object makes. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        content = b""
        while piece := os.read(descriptor, 65536):
            content += piece
        return content
    finally:
        os.close(descriptor)


def write_file(path: str, content: bytes, mode: int = 0o600) -> None:
    """Put a file into its place all at once. Raises OSError."""
    temporary = f"{path}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        while content:
            content = content[os.write(descriptor, content) :]  # a disk that is about to be full takes a part
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
