"""Figures as text: one number of decimals per column, a true minus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from gradledger.report.evidence import Value

ABSENT: Final = "\N{EN DASH}"
MINUS: Final = "\N{MINUS SIGN}"

_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_SMALL, _LARGE = 1e-3, 1e5


def numerals(values: Sequence[Value], kind: str) -> list[str]:
    """Return the cells of one column, formatted alike so that decimal points line up.

    Args:
        values: Raw cells.
        kind: ``text``, ``integer``, ``share`` (shown in percent, without the sign) or ``number``.
    """
    if kind == "text":
        return [ABSENT if value is None or value == "" else str(value) for value in values]
    numbers = [_number(value) for value in values]
    if kind == "integer":
        return [_shown(value, ",.0f") for value in numbers]
    if kind == "share":
        numbers = [None if value is None else 100.0 * value for value in numbers]
        return [_shown(value, _percent(numbers)) for value in numbers]
    if kind == "weight":
        return [_shown(value, _weight(numbers)) for value in numbers]
    return [_shown(value, _form(numbers)) for value in numbers]


def _percent(values: Sequence[float | None]) -> str:
    largest = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0.0)
    return ".2f" if largest >= 1.0 or largest == 0.0 else ".4f"


def _weight(values: Sequence[float | None]) -> str:
    held = [value for value in values if value is not None]
    fits = (n for n in (2, 3) if all(round(value, n) == value for value in held))
    return f".{next(fits, 4)}f"


def _form(values: Sequence[float | None]) -> str:
    finite = [abs(v) for v in values if v is not None and math.isfinite(v) and v]
    if not finite:
        return ".0f"
    if max(finite) >= _LARGE or min(finite) < _SMALL:
        return ".2e"
    if all(v == int(v) for v in finite):
        return ".0f"
    return f".{max(0, 4 - len(str(int(max(finite)))))}f"


def _number(value: Value) -> float | None:
    return None if value is None or isinstance(value, str) else float(value)


def _shown(value: float | None, form: str) -> str:
    if value is None or not math.isfinite(value):
        return ABSENT
    text = format(value, form)
    if text.startswith("-"):
        text = text[1:] if not any(char in "123456789" for char in text) else MINUS + text[1:]
    if "e" in text:
        digits, power = text.split("e")
        text = f"{digits}\N{MIDDLE DOT}10{str(int(power)).translate(_RAISED)}"
    return text
