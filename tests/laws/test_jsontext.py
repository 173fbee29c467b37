"""`to_json` writes what the library writes, and `from_json` reads it so."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.jsontext import from_json, to_json

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_it_writes_what_the_library_writes(value: object) -> None:
    assert to_json(value) == json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@given(values)
def test_it_reads_what_the_library_reads(value: object) -> None:
    text = to_json(value)
    assert repr(from_json(text)) == repr(json.loads(text))  # NaN differs from itself


@pytest.mark.parametrize("value", [object(), {1: "a"}, [b"bytes"], {"a": {1, 2}}])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        to_json(value)
