"""A second opinion: predicates and policies in plain Python, one example at a time.

Predicates are nested tuples that are written as SQL for the code under test and evaluated here with
None for unknown (Kleene's strong three-valued logic).
"""

from __future__ import annotations

import operator
from typing import Any

import yaml
from hypothesis import strategies as st

ATTRIBUTES = {"s": "string", "t": "string", "n": "int", "x": "float", "b": "bool"}
TEXTS = ["", "a", "ab", "B", "it's", "%", "a_b"]
NUMBERS = [-2, 0, 1, 3]
COMPARE = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

records = st.fixed_dictionaries(
    {
        "s": st.none() | st.sampled_from(TEXTS),
        "t": st.none() | st.sampled_from(TEXTS),
        "n": st.none() | st.sampled_from(NUMBERS),
        "x": st.none() | st.sampled_from([-1.5, 0.0, 0.5, 3.0]),
        "b": st.none() | st.booleans(),
    }
)

_texts, _numbers = st.sampled_from(["s", "t"]), st.sampled_from(["n", "x"])
_leaves = st.one_of(
    st.just(("holds", "b")),
    st.tuples(st.just("fixed"), st.booleans()),
    st.tuples(st.just("compare"), st.sampled_from(sorted(COMPARE)), _texts, st.sampled_from(TEXTS)),
    st.tuples(
        st.just("compare"), st.sampled_from(sorted(COMPARE)), _numbers, st.sampled_from(NUMBERS)
    ),
    st.tuples(st.just("two"), st.sampled_from(sorted(COMPARE)), st.just("s"), st.just("t")),
    st.tuples(st.just("in"), _texts, st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3)),
    st.tuples(st.just("between"), _numbers, st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)),
    st.tuples(st.just("starts"), _texts, st.sampled_from(TEXTS)),
    st.tuples(st.just("length"), _texts, st.sampled_from([0, 1, 2])),
)
predicates = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=6,
)
rules = st.lists(
    st.tuples(st.sampled_from(["deny", "quarantine", "defer", "admit"]), predicates),
    min_size=1,
    max_size=5,
)


def to_sql(node: Any) -> str:  # noqa: PLR0911 - one line per kind of node
    """Write a predicate, every part in parentheses."""
    match node:
        case ("holds", name):
            return name
        case ("fixed", value):
            return "TRUE" if value else "FALSE"
        case ("compare" | "two" as kind, sign, left, right):
            return f"{left} {sign} {right if kind == 'two' else literal(right)}"
        case ("in", name, values):
            return f"{name} IN ({', '.join(map(literal, values))})"
        case ("between", name, low, high):
            return f"{name} BETWEEN {low} AND {high}"
        case ("starts", name, text):
            return f"starts_with({name}, {literal(text)})"
        case ("length", name, number):
            return f"length({name}) = {number}"
        case ("not", part):
            return f"NOT ({to_sql(part)})"
        case (word, left, right):
            return f"({to_sql(left)}) {word.upper()} ({to_sql(right)})"
    raise AssertionError(node)


def truth(node: Any, record: dict[str, Any]) -> bool | None:  # noqa: PLR0911 - likewise
    """Evaluate a predicate: True, False or None for unknown."""
    match node:
        case ("fixed", value):
            return value
        case ("not", part):
            found = truth(part, record)
            return None if found is None else not found
        case ("and", *parts):
            found = [truth(part, record) for part in parts]
            return False if False in found else None if None in found else True
        case ("or", *parts):
            found = [truth(part, record) for part in parts]
            return True if True in found else None if None in found else False
        case ("two", sign, left, right):
            if record[left] is None or record[right] is None:
                return None
            return COMPARE[sign](record[left].encode(), record[right].encode())
    name = node[2] if node[0] == "compare" else node[1]
    value = record[name]
    return None if value is None else _known(node, value)


def _known(node: Any, value: Any) -> bool:
    match node:
        case ("holds", _):
            return bool(value)
        case ("compare", sign, _, other):
            if isinstance(value, str):
                value, other = value.encode(), other.encode()
            return bool(COMPARE[sign](value, other))
        case ("in", _, values):
            return value in values
        case ("between", _, low, high):
            return bool(low <= value <= high)
        case ("starts", _, text):
            return bool(value.startswith(text))
        case ("length", _, number):
            return len(value) == number
    raise AssertionError(node)


def verdict(given: list[tuple[str, Any]], record: dict[str, Any]) -> str:
    """Decide one example by the law as it is written down."""
    found = [(effect, truth(node, record)) for effect, node in given]
    if ("deny", True) in found:
        return "deny"
    if ("quarantine", True) in found or any(e != "admit" and t is None for e, t in found):
        return "quarantine"
    if ("defer", True) in found:
        return "defer"
    if ("admit", True) in found:
        return "admit"
    return "quarantine" if ("admit", None) in found else "deny"


def document(given: list[tuple[str, Any]], **more: Any) -> str:
    """Write a policy with these rules."""
    content = {
        "format": "gradledger.policy/1",
        "policy": "test.laws",
        "version": "1",
        "attributes": {name: {"type": kind} for name, kind in ATTRIBUTES.items()},
        "rules": [
            {"id": f"r{number}", "effect": effect, "when": to_sql(node)}
            for number, (effect, node) in enumerate(given)
        ],
        **more,
    }
    return yaml.safe_dump(content, sort_keys=False)


def literal(value: Any) -> str:
    """Write a literal."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)
