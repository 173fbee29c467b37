"""At run time a Record is what the type checker takes it for: a NamedTuple."""

import pytest

from launcher.lean import Generic, Record, TypeVar

T = TypeVar("T")


class Point(Record):
    x: int
    y: int = 2
    label: str = ""

    @property
    def sum(self) -> int:
        return self.x + self.y


class Box(Record, Generic[T]):
    content: T


def test_fields_by_place_by_name_and_by_default() -> None:
    assert Point(1) == (1, 2, "")
    assert Point(1, label="a") == Point(1, 2, "a") == Point(label="a", x=1)
    assert (Point(1, 5).x, Point(1, 5).y, Point(1, 5).sum) == (1, 5, 6)
    x, y, label = Point(3, 4, "b")
    assert (x, y, label) == (3, 4, "b")
    assert hash(Point(1)) == hash(Point(1))
    assert Box("a").content == "a"


def test_nothing_is_changed_in_place() -> None:
    point = Point(1)
    assert point._replace(y=7, x=0) == Point(0, 7)
    assert point == Point(1)
    for name in ("x", "other"):
        with pytest.raises(AttributeError):
            setattr(point, name, 3)


def test_repr_names_the_fields() -> None:
    assert repr(Point(1, label="a")) == "Point(x=1, y=2, label='a')"


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1, 2, "a", 4), {}), ((1,), {"x": 2}), ((1,), {"z": 2}), ((), {"y": 2}), ((1, 2, "a"), {"y": 1})],
)
def test_what_does_not_fit_is_refused(values: tuple[object, ...], named: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="Point takes x, y, label"):
        Point(*values, **named)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Point(1)._replace(z=1)  # type: ignore[call-arg]
