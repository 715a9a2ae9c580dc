"""Reading a summary that may lack parts: what is missing, null or not finite comes out as None."""

import math
from collections.abc import Mapping
from typing import Any


def part(summary: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of the summary; empty where the run did not make it."""
    section = summary.get(name)
    return section if isinstance(section, Mapping) else {}


def number(section: Mapping[str, Any], name: str) -> float | None:
    """A finite number of a section, or None."""
    value = section.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def text(value: float | None, unit: str = "", *, digits: int = 3) -> str:
    """A measured number to so many digits, with its unit; a dash where there is none."""
    if value is None:
        return "–"
    if 10**digits <= abs(value) < 1e5:
        return f"{value:.0f}".replace("-", "−") + (f" {unit}" if unit else "")
    return f"{value:#.{digits}g}".rstrip(".").replace("-", "−") + (f" {unit}" if unit else "")


def count(value: float | int | None) -> str:
    """A number of things; a dash where there is none."""
    if value is None:
        return "–"
    # Groups of three with a narrow space that never breaks; four digits read well without.
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 10_000 else f"{value:.0f}"
