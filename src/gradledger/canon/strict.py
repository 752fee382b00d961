"""Read JSON without guessing: what two readers could understand differently is refused."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from gradledger.errors import InputError


def parse_json(text: bytes | str, where: str = "") -> Any:
    """Return the value of a JSON text.

    Args:
        text: UTF-8 bytes or text.
        where: What is read, for the message.

    Raises:
        InputError: Malformed text, a key that occurs twice, NaN or infinity, a number that
            overflows a float, or a lone surrogate. Code I122.

    Source:
        RFC 8259; the refusals follow RFC 7493 (I-JSON), save for the range of integers.
    """
    try:
        content = text.decode("utf-8") if isinstance(text, bytes) else text
        found = json.loads(
            content, object_pairs_hook=_distinct, parse_constant=_refuse, parse_float=_finite
        )
        # Escapes such as \ud800 pass the parser and would fail much later, when written.
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise InputError(
            "I122",
            observed=str(error)[:300] or type(error).__name__,
            expected="JSON without repeated keys, NaN, infinities or lone surrogates",
            where=where,
        ) from error
    return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        message = f"the key {twice!r} twice"
        raise ValueError(message)
    return members


def _refuse(word: str) -> NoReturn:
    message = f"the number {word}"
    raise ValueError(message)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        _refuse(digits[:40])
    return value
