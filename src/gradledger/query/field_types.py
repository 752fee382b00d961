"""Whether a record that was read from a file holds what its dataclass declares, member by member.

Records are documents of whoever wrote the run: a list where a number should be is damage, to be
told at once and by name, not a failure of whatever question meets it first.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable, Mapping
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

#: Dataclass -> its declared types by name.
_KNOWN: Final[dict[type, dict[str, Any]]] = {}


def misfit(record: Any) -> str | None:
    """Return the first member of a record that is not of its declared type; None where all are.

    Args:
        record: A dataclass whose annotations are made of text, numbers, booleans, None, ``Any``,
            tuples, mappings with text keys, and dataclasses of these.

    Returns:
        Name and value, such as ``groups[2].num_parameters 'x'``.
    """
    for name, kind in _declared(type(record)).items():
        if found := _misfit(getattr(record, name), kind, name):
            return found
    return None


def _declared(kind: type) -> dict[str, Any]:
    """Return the declared types of a dataclass: worked out once, a run has thousands of records."""
    if kind not in _KNOWN:
        _KNOWN[kind] = get_type_hints(kind)
    return _KNOWN[kind]


def _misfit(value: Any, kind: Any, place: str) -> str | None:
    origin = get_origin(kind)
    if origin in {Union, types.UnionType}:
        fits = any(_misfit(value, part, place) is None for part in get_args(kind))
        return None if fits else _shown(value, place)
    if origin is tuple:
        return _in_tuple(value, get_args(kind), place)
    if origin is dict:
        return _in_mapping(value, get_args(kind)[1], place)
    if kind is not Any and not _is_a(value, kind):
        return _shown(value, place)
    inside = misfit(value) if kind is not Any and dataclasses.is_dataclass(value) else None
    return f"{place}.{inside}" if inside else None


def _in_tuple(value: Any, kinds: tuple[Any, ...], place: str) -> str | None:
    if not isinstance(value, tuple):
        return _shown(value, place)
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        return _shown(value, place)
    pairs = zip(value, kinds, strict=True)
    return _first((item, kind, f"{place}[{n}]") for n, (item, kind) in enumerate(pairs))


def _in_mapping(value: Any, kind: Any, place: str) -> str | None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return _shown(value, place)
    return _first((item, kind, f"{place}.{key}") for key, item in value.items())


def _first(parts: Iterable[tuple[Any, Any, str]]) -> str | None:
    return next((found for part in parts if (found := _misfit(*part))), None)


def _is_a(value: Any, kind: type) -> bool:
    if kind is float:
        return type(value) in {int, float}
    # A truth value is no number, though Python says so.
    return type(value) is kind if kind in {int, bool} else isinstance(value, kind)


def _shown(value: Any, place: str) -> str:
    return f"{place} {value!r:.80}"
