"""Turn records into plain values: dictionaries, lists, text, numbers, booleans, null."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from numbers import Integral, Rational, Real
from typing import Any, Final

from gradledger.errors import InputError

#: Deeper nesting is a mistake or an attack; Python's own limit would end in RecursionError.
MAX_DEPTH: Final = 128


def to_plain(record: object, *, non_finite_as_text: bool = False) -> Any:
    """Return a record as values that JSON knows.

    Args:
        record: Dataclasses, mappings with text keys, tuples, lists, enums (by value), numbers of
            Python or NumPy, text, booleans, None; nested at most 128 levels deep.
        non_finite_as_text: Give NaN and infinities as ``"NaN"``, ``"Infinity"`` and
            ``"-Infinity"`` instead of refusing them.

    Raises:
        InputError: A value has no place in JSON, or two keys become the same. Code I121.
    """
    return _plain(record, "$", 0, non_finite_as_text)


def no_canonical_form(observed: str, expected: str, where: str, hint: str = "") -> InputError:
    """Return the error for a value that cannot be written."""
    return InputError("I121", observed=observed, expected=expected, where=where, hint=hint)


def _plain(value: object, path: str, depth: int, as_text: bool) -> Any:  # noqa: FBT001
    if depth > MAX_DEPTH:
        raise no_canonical_form(
            "deeper nesting", f"at most {MAX_DEPTH} levels", path[:200], "flatten the record"
        )
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, Real):
        return _number(value, path, as_text)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return _members(value, path, depth, as_text)
    if isinstance(value, list | tuple):
        return [
            _plain(item, f"{path}[{place}]", depth + 1, as_text) for place, item in enumerate(value)
        ]
    raise no_canonical_form(
        f"a {type(value).__name__}",
        "a dataclass, mapping, list, tuple, enum, text, number, boolean or None",
        path,
        "convert it to one of these first",
    )


def _members(
    value: Mapping[Any, Any],
    path: str,
    depth: int,
    as_text: bool,  # noqa: FBT001
) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, item in value.items():
        name = key.value if isinstance(key, Enum) else key
        if not isinstance(name, str):
            raise no_canonical_form(f"a key of type {type(name).__name__}", "text keys", path)
        name = _text(name, path)
        if name in members:
            raise no_canonical_form(f"the key {name!r} twice", "distinct keys", path)
        members[name] = _plain(item, f"{path}.{name}", depth + 1, as_text)
    return members


def _text(value: str, path: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise no_canonical_form(
            f"a lone surrogate at character {error.start}", "text that UTF-8 can hold", path
        ) from error
    return str.__str__(value)


def _number(value: Real, path: str, as_text: bool) -> int | float | str:  # noqa: FBT001
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Rational):
        raise no_canonical_form("a fraction", "an integer or a float", path)
    number = float(value)
    if math.isfinite(number):
        return number
    if as_text:
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    raise no_canonical_form(
        repr(number), "a finite number", path, "leave the field out, or use None"
    )
