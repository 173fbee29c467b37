"""Values: what each kind takes, refuses and shows."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.kinds import BadValue, Flag, Kind, Mode, Network, Number
from launcher.measures import Duration, Size
from launcher.options import OPTIONS


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        ("30s", 30.0),
        ("5m", 300.0),
        ("500ms", 0.5),
        ("1.5h", 5400.0),
        (7, 7.0),
        (0.25, 0.25),
        ("off", 0.0),
        ("8", 8.0),
        ("2 d", 172800.0),
    ],
)
def test_durations_take_units(raw: object, seconds: float) -> None:
    assert Duration().from_toml(raw) == seconds


@pytest.mark.parametrize(
    "raw", ["5 parsecs", "", "s", "-3s", -1, True, [1], "1e9999", float("nan"), float("inf"), "9" * 400]
)
def test_no_durations(raw: object) -> None:
    with pytest.raises(BadValue):
        Duration().from_toml(raw)


@pytest.mark.parametrize(
    ("raw", "count"), [("10MiB", 10 * 2**20), ("64kB", 64000), (8190, 8190), ("8190B", 8190), ("0.5KiB", 512)]
)
def test_sizes_take_units(raw: object, count: int) -> None:
    assert Size().from_toml(raw) == count


def test_half_a_byte_is_no_size() -> None:
    with pytest.raises(BadValue, match="whole number of bytes"):
        Size().from_toml("1.5B")


@given(st.floats(0, 1e6).map(lambda value: round(value, 3)))
def test_a_shown_duration_reads_back(value: float) -> None:
    assert Duration().from_toml(Duration().show(value)) == pytest.approx(value, rel=1e-5)


@given(st.integers(0, 2**50))
def test_a_shown_size_reads_back(value: int) -> None:
    assert Size().from_toml(Size().show(value)) == value


@pytest.mark.parametrize(("raw", "mode"), [("0660", 0o660), ("660", 0o660), ("0o077", 0o77)])
def test_modes_are_octal(raw: str, mode: int) -> None:
    assert Mode().from_toml(raw) == mode


@pytest.mark.parametrize("raw", [660, "0890", "rw-rw----", "", "77777"])
def test_no_modes(raw: object) -> None:
    with pytest.raises(BadValue, match="octal digits in quotes"):
        Mode().from_toml(raw)


def test_text_is_no_number_in_a_file_but_is_in_a_variable() -> None:
    with pytest.raises(BadValue, match="is text, and a whole number is wanted"):
        Number().from_toml("4")
    assert Number().from_text("4") == 4


@pytest.mark.parametrize("text", ["yes", "TRUE", "1", "on"])
def test_flags_in_variables(text: str) -> None:
    assert Flag().from_text(text) is True


networks = st.ip_addresses().map(str) | st.builds(
    lambda address, bits: f"{address}/{bits}", st.ip_addresses(), st.integers(0, 140)
)


@given(networks | st.text("0123456789abcdef.:/", max_size=20))
def test_a_network_is_what_ipaddress_takes(text: str) -> None:
    try:
        Network().from_toml(text)
        ours = True
    except BadValue:
        ours = False
    try:
        ipaddress.ip_network(text)
        theirs = "/" not in text or text.partition("/")[2].isdigit()  # no netmasks in words
    except ValueError:
        theirs = False
    assert ours == theirs


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@pytest.mark.parametrize("name", OPTIONS)
@given(raw=anything)
def test_a_kind_reads_or_refuses(name: str, raw: Any) -> None:
    kind: Kind[Any] = OPTIONS[name].kind
    try:
        kind.show(kind.from_toml(raw))
    except BadValue as error:
        assert str(error)


@pytest.mark.parametrize("name", OPTIONS)
@given(text=st.text())
def test_a_kind_reads_or_refuses_text(name: str, text: str) -> None:
    kind: Kind[Any] = OPTIONS[name].kind
    try:
        kind.show(kind.from_text(text))
    except BadValue as error:
        assert str(error)


def test_every_option_has_help_that_is_a_sentence() -> None:
    for option in OPTIONS.values():
        assert option.help.endswith("."), option.name
        assert len(option.help) < 110, option.name
