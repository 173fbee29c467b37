"""What modules say of themselves, without asking them."""

import importlib.util
import os
import sys
from types import ModuleType

import pytest

from launcher import modules


class Library:
    """Says that it is a module, and holds nothing: as a library of cffi does."""

    __slots__ = ()
    __class__ = property(lambda self: ModuleType)


class Loads(ModuleType):
    """A module that loads something with each question."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(name)

    __dict__ = property(lambda self: 1 / 0)  # apipkg.ApiModule has one


def test_a_module() -> None:
    assert modules.attributes(os) is vars(os)
    assert modules.file_of(os) == os.__file__
    assert modules.spec_of(os) is os.__spec__
    assert modules.file_of(sys) == ""


@pytest.mark.parametrize("odd", [None, 1, object(), Library(), Library, Loads])
def test_what_is_none(odd: object) -> None:
    assert isinstance(Library(), ModuleType)
    assert (modules.attributes(odd), modules.file_of(odd), modules.spec_of(odd)) == ({}, "", None)


def test_what_answers_to_no_question() -> None:
    odd = Loads("odd")
    modules.attributes(odd).update(__file__="odd.py", __spec__=Library())  # type: ignore[attr-defined]  # a dict
    assert modules.file_of(odd) == os.path.abspath("odd.py")
    assert modules.spec_of(odd) is None


def test_a_lazy_module_is_not_loaded() -> None:
    spec = importlib.util.find_spec("this")
    assert spec
    assert spec.loader
    spec.loader = importlib.util.LazyLoader(spec.loader)
    lazy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lazy)
    assert modules.file_of(lazy) == spec.origin
    assert type(lazy) is not ModuleType
