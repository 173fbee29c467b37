"""Both readers of TOML read what tomllib reads, and know the line of everything in it."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.plain_toml import Key, NotPlain, read_plain
from launcher.whole_toml import locate

ROOT = Path(__file__).resolve().parents[2]

bare = st.text("abcXYZ019_-", min_size=1, max_size=6)
keys = bare | st.sampled_from(['"q.r"', "'l # t'", '"\\u0041b"', '""'])
texts = st.sampled_from(
    ['"plain"', "'lit # [x]'", '"e\\"sc = ]"', '"""\nmulti "" line\\\n  x"""', "'''\n[a]\nb = 1'''", '"""""two"""""']
)
scalars = st.sampled_from(["1", "-2.5", "true", "1979-05-27T07:32:00Z", "0x1F", "inf"]) | texts


def arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda items, gap, comma: (
            "[" + gap + (gap + "," + gap).join(items) + ("," if comma and items else "") + gap + "]"
        ),
        st.lists(values, max_size=3),
        st.sampled_from(["", " ", "\n  ", " # comment, ] }\n"]),
        st.booleans(),
    )


def inline_tables(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.dictionaries(keys, values, max_size=3).map(
        lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
    )


plain = st.recursive(
    scalars, lambda values: arrays(values) | inline_tables(values.filter(lambda v: "\n" not in v)), max_leaves=5
)
pairs = st.builds(lambda key, rest, value: (".".join([key, *rest]), value), keys, st.lists(keys, max_size=1), plain)
headers = st.builds(
    lambda parts, many: ("[[%s]]" if many else "[ %s ]") % " . ".join(parts),
    st.lists(keys, min_size=1, max_size=2),
    st.booleans(),
)
lines = st.one_of(
    pairs.map(lambda pair: f"{pair[0]} = {pair[1]}"), headers, st.sampled_from(["", "# a = 1", "  # [x]"])
)
documents = st.lists(lines, max_size=12).map("\n".join)


def paths(value: Any, at: Key = ()) -> Iterator[Key]:
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*at, key))


@given(documents)
def test_every_key_has_a_line(text: str) -> None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = locate(text)
    for path in paths(data):
        assert path in found or any(path[:length] in found for length in range(1, len(path))), path
        if path in found:
            assert 1 <= found[path] <= text.count("\n") + 1


@given(st.lists(st.tuples(bare, plain), unique_by=lambda pair: pair[0], max_size=6))
def test_a_key_is_on_the_line_it_was_written_on(entries: list[tuple[str, str]]) -> None:
    text, expected, line = "", {}, 1
    for key, value in entries:
        text += f"{key} = {value}\n"
        expected[(key,)] = line
        line += value.count("\n") + 1
    tomllib.loads(text)
    found = locate(text)
    assert {path: found[path] for path in expected} == expected


plain_scalars = st.sampled_from(
    [
        "1",
        "-2",
        "0",
        "-0",
        "007",
        "true",
        "false",
        '"a b"',
        "'c # d'",
        '""',
        "''",
        '"x\\ty"',
        '"é"',
        "1_000",
        "1.5",
        "truex",
        "",
    ]
)
plain_values = st.recursive(plain_scalars, lambda values: arrays(values) | inline_tables(values), max_leaves=5)
plain_keys = bare | st.sampled_from(["a", "b", "-", '"q"', "a.b", ""])
plain_lines = st.one_of(
    st.builds(
        lambda key, value, rest: f"{key} = {value}{rest}",
        plain_keys,
        plain_values,
        st.sampled_from(["", " # c", " x", "\t"]),
    ),
    st.builds(lambda parts: f"[{'.'.join(parts)}]", st.lists(plain_keys, min_size=1, max_size=3)),
    st.sampled_from(
        [
            "",
            "# a = 1",
            "  # [x]",
            "[a] # c",
            "[ a . b ]",
            "[a",
            "[[a]]",
            "\r",
            "a",
            "= 1",
            "a = [1,",
            "]",
            "\x00",
            "\u2028",
        ]
    ),
)


@given(
    st.lists(plain_lines, max_size=8).map("\n".join)
    | st.text(st.sampled_from("ab=[]{},.\"'#\n 12-\\"), max_size=30)
    | documents
)
def test_what_the_quick_reader_takes_it_reads_as_the_library_does(text: str) -> None:
    try:
        data, lines = read_plain(text)
    except NotPlain:
        return
    assert data == tomllib.loads(text)
    assert lines == locate(text)
    assert [type(value) for value in data.values()] == [type(value) for value in tomllib.loads(text).values()]


@pytest.mark.parametrize(
    "path", [*ROOT.joinpath("profiles").glob("*.toml"), *ROOT.joinpath("examples").glob("*/profiles/*.toml")], ids=str
)
def test_profiles_of_this_project_are_plain(path: Path) -> None:
    data, lines = read_plain(path.read_text())
    assert data == tomllib.loads(path.read_text())
    assert set(paths(data)) == set(lines)
