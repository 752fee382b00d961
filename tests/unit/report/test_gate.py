"""The gate: what it reads, what it refuses, and that it fails where nothing is known."""

from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.errors import QueryError
from gradledger.report import Figure, parse_gate
from gradledger.report.evidence import Basis
from gradledger.report.gate import OPERATORS, violations

BASIS = Basis("1", "counted", "exact", ("visits",), "all rows")
PLAIN = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
         "=": operator.eq, "!=": operator.ne}  # fmt: skip


def _gauge(value: float | str | None) -> dict[str, Figure]:
    return {"unknown": Figure("unknown", "unknown", value, BASIS)}


@given(
    st.sampled_from(sorted(PLAIN)),
    st.floats(-1e6, 1e6, allow_nan=False),
    st.floats(-1e6, 1e6, allow_nan=False),
)
def test_conditions_mean_what_they_say(sign: str, value: float, bar: float) -> None:
    bar = float(f"{bar:.6f}")
    found = violations(_gauge(value), parse_gate(f" unknown {sign} {bar:.6f} "))
    assert bool(found) == PLAIN[sign](value, bar)


def test_every_operator_is_tested() -> None:
    assert set(PLAIN) == set(OPERATORS)


def test_percent_is_a_hundredth() -> None:
    (condition,) = parse_gate("unknown>5%")
    assert condition.bar == pytest.approx(0.05)


def test_several_conditions_keep_their_order() -> None:
    found = violations(_gauge(3.0), parse_gate("unknown>2,unknown>5,unknown>1e0"))
    assert [str(item.condition) for item in found] == ["unknown>2", "unknown>1"]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "text"])
@pytest.mark.parametrize("condition", ["unknown>1", "unknown<1", "unknown=7"])
def test_what_is_not_known_fails_every_condition(value, condition) -> None:
    assert len(violations(_gauge(value), parse_gate(condition))) == 1


@pytest.mark.parametrize(
    "expression",
    ["", " ", ",", "unknown", "unknown>", ">1", "unknown>1,", "unknown>>1", "unknown=>1",
     "unknown>nan", "unknown>inf", "unknown>1e999", "unknown>1;x", "unknown>0x10", "unknown>1 2",
     "Unknown>1", "unknown>-", "__import__('os')>0", "unknown>1 or 1", "unknown>\u0661",
     "unknown>1\x00", "unknown>1%%"],
)  # fmt: skip
def test_expressions_that_are_none_are_refused(expression: str) -> None:
    with pytest.raises(QueryError, match="Q141"):
        parse_gate(expression)


def test_expressions_that_are_too_long_are_refused() -> None:
    with pytest.raises(QueryError, match="Q141"):
        parse_gate("unknown>1," * 500 + "unknown>1")


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(expression: str) -> None:
    try:
        conditions = parse_gate(expression)
    except QueryError as error:
        code = error.code
    else:
        code = "read" if conditions else "nothing read"
    assert code in {"read", "Q141"}


def test_figures_that_the_report_lacks_are_refused() -> None:
    with pytest.raises(QueryError, match="Q142") as caught:
        violations(_gauge(1.0), parse_gate("no-such-figure>1"))
    assert "unknown" in caught.value.expected


def test_every_gauge_of_a_report_can_be_named(rights, safety) -> None:
    for report in (rights, safety):
        for name in report.gauges:
            report.check(f"{name}>1e6")
