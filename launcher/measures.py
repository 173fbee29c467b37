"""Numbers with units: durations and sizes."""

from __future__ import annotations

from .kinds import BadValue, Kind, Schema, type_name
from .lean import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping


T = TypeVar("T")

DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SIZE_UNITS = {
    "B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3
}  # fmt: skip


class _Measure(Kind[T]):
    """A number with a unit; a bare number is in the base unit, `off` is 0."""

    units: Mapping[str, float]
    example: str

    def _scale(self, raw: object) -> float:
        if isinstance(raw, (int, float)) and not isinstance(raw, bool):
            number, factor = float(min(raw, 2**60)), 1.0
        elif raw == "off":
            number, factor = 0.0, 1.0
        elif isinstance(raw, str):
            unit = raw.lstrip("0123456789.")
            digits = raw[: len(raw) - len(unit)]
            try:
                number, factor = float(digits), self.units[unit.strip()] if unit.strip() else 1.0
            except (ValueError, KeyError):
                units = ", ".join(self.units)
                raise BadValue(f'is no measure such as "{self.example}" (units: {units})') from None
        else:
            raise BadValue(f'is {type_name(raw)}, and a measure such as "{self.example}" is wanted')
        if not 0 <= number * factor <= 2**53:
            raise BadValue("is below zero" if number < 0 else "is out of range")
        return number * factor

    def schema(self) -> Schema:
        units = "|".join(self.units)
        text = {"type": "string", "pattern": rf"^(off|none|[0-9]+(\.[0-9]+)? ?({units})?)$"}
        return {"anyOf": [{"type": "number", "minimum": 0}, text]}


class Duration(_Measure[float]):
    """Seconds, zero or more. In text `30s`, `5m`, `500ms`; 0 and `off` are the same."""

    metavar, units, example = "DURATION", DURATION_UNITS, "30s"

    def from_toml(self, raw: object) -> float:
        return self._scale(raw)

    def show(self, value: float) -> str:
        if value == 0:
            return "off"
        for unit in ("d", "h", "m"):
            if value % DURATION_UNITS[unit] == 0:
                return f"{value / DURATION_UNITS[unit]:.0f}{unit}"
        return f"{decimal(value)}s" if value >= 1 else f"{decimal(value * 1000)}ms"


class Size(_Measure[int]):
    """Bytes, zero or more. In text `10MiB`, `64kB`; 0 and `off` are the same."""

    metavar, units, example = "SIZE", SIZE_UNITS, "10MiB"

    def from_toml(self, raw: object) -> int:
        value = self._scale(raw)
        if value != int(value):
            raise BadValue("is not a whole number of bytes")
        return int(value)

    def show(self, value: int) -> str | int:
        for unit in ("GiB", "MiB", "KiB"):
            if value and value % SIZE_UNITS[unit] == 0:
                return f"{value // SIZE_UNITS[unit]}{unit}"
        return value or "off"


def decimal(value: float) -> str:
    """Return a number without exponent and trailing zeros, to the microsecond."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
