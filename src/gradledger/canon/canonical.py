"""One byte string per record: the JSON canonicalization scheme of RFC 8785.

Keys are sorted by UTF-16 code units, numbers have their shortest form as ECMAScript writes them,
nothing is escaped that need not be. So an auditor can recompute every digest with any library for
that scheme, in any language. Its price: 1 and 1.0 are the same number, and so are 0.0 and -0.0;
a float of 2**53 or more looks like an integer and must be read as a float again.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

from gradledger.canon.plain import no_canonical_form, to_plain

#: Largest integer that every JSON reader keeps exactly (RFC 7493, section 2.2).
MAX_INTEGER: Final = 2**53 - 1

#: ECMAScript writes decimals without exponent up to this many digits before the point ...
_MAX_PLACES: Final = 21
#: ... and down to this many zeros behind it.
_MIN_PLACES: Final = -6


def canonical_json(record: object) -> bytes:
    """Return the canonical bytes of a record.

    Args:
        record: What ``to_plain`` takes.

    Returns:
        UTF-8, without white space; equal records give equal bytes.

    Raises:
        InputError: NaN, an infinity, an integer beyond 2**53 - 1, a lone surrogate, equal keys, or
            a type that JSON lacks. Code I121.

    Source:
        RFC 8785 (JSON Canonicalization Scheme), RFC 7493 (I-JSON).

    Example:
        >>> canonical_json({"b": 1e21, "a": (True, None, 0.1)})
        b'{"a":[true,null,0.1],"b":1e+21}'
    """
    parts: list[str] = []
    _write(to_plain(record), "$", parts)
    return "".join(parts).encode("utf-8")


def _write(value: Any, path: str, parts: list[str]) -> None:
    if isinstance(value, dict):
        parts.append("{")
        for place, name in enumerate(sorted(value, key=_utf16)):
            parts.append(f"{',' if place else ''}{_quoted(name)}:")
            _write(value[name], f"{path}.{name}", parts)
        parts.append("}")
    elif isinstance(value, list):
        parts.append("[")
        for place, item in enumerate(value):
            if place:
                parts.append(",")
            _write(item, f"{path}[{place}]", parts)
        parts.append("]")
    else:
        parts.append(_scalar(value, path))


def _scalar(value: Any, path: str) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return _shortest(value)
    if abs(value) > MAX_INTEGER:
        raise no_canonical_form(
            f"an integer of {value.bit_length()} bits",
            "at most 53 bits, so that every JSON reader keeps it",
            path,
            "write it as text",
        )
    return str(value)


def _utf16(name: str) -> bytes:
    """Sort key: big-endian UTF-16 compares like its code units."""
    return name.encode("utf-16-be")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _shortest(value: float) -> str:
    """Write a finite float as ECMAScript's Number::toString does."""
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    places = len(text) + int(exponent)  # value = 0.digits * 10**places
    if len(text) <= places <= _MAX_PLACES:
        body = text + "0" * (places - len(text))
    elif 0 < places <= _MAX_PLACES:
        body = f"{text[:places]}.{text[places:]}"
    elif _MIN_PLACES < places <= 0:
        body = "0." + "0" * -places + text
    else:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        body = f"{text[0]}{fraction}e{places - 1:+d}"
    return f"-{body}" if sign else body
