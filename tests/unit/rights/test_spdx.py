"""Licence expressions: three-valued answers, and text that nobody meant well."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.rights import normalise, satisfies

PERMISSIVE = ["MIT", "Apache-2.0", "BSD-3-Clause"]
EXCEPTION = "GPL-2.0-only WITH Classpath-exception-2.0"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("mit", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (GPL-3.0-only OR Apache-2.0)", True),
        ("(MIT AND GPL-3.0-only) OR Apache-2.0", True),
        ("MIT AND GPL-3.0-only OR ISC", False),
        ("Nonesuch-1.0", None),
        ("MIT OR Nonesuch-1.0", True),
        ("MIT AND Nonesuch-1.0", None),
        ("ISC AND Nonesuch-1.0", False),
        ("ISC OR Nonesuch-1.0", None),
        ("MIT AND NOASSERTION", None),
        ("LicenseRef-House", False),
        ("licenseref-apache", None),
        ("LicenseRef-Apache", False),
        ("LicenseRef-", None),
        ("MIT WITH Classpath-exception-2.0", False),
        ("MIT WITH Nonesuch-exception", None),
        ("MIT WITH Apache-2.0", None),
        ("Classpath-exception-2.0", None),
        ("Apache-2.0+", False),
    ],
)
def test_three_valued(expression: str, expected: bool | None) -> None:
    assert satisfies(expression, PERMISSIVE) is expected


@pytest.mark.parametrize(
    ("expression", "allowed", "expected"),
    [
        ("LicenseRef-House", ["LicenseRef-House"], True),
        ("LicenseRef-House", ["LicenseRef-house"], False),
        ("DocumentRef-a:LicenseRef-b", ["DocumentRef-a:LicenseRef-b"], True),
        (EXCEPTION, [EXCEPTION.lower()], True),
        (EXCEPTION, ["GPL-2.0-only"], False),
        ("GPL-2.0-only", [EXCEPTION], False),
        ("GPL-2.0", ["GPL-2.0-only"], True),
        ("GPL-2.0+", ["GPL-2.0-or-later"], True),
        ("GPL-2.0-or-later", ["GPL-2.0-only"], False),
        ("Apache-2.0+", ["Apache-2.0+"], True),
        ("MIT", [], False),
        ("MIT", ["MIT OR ISC", "MIT AND ISC", "(", ""], False),
        ("Nonesuch-1.0", ["Nonesuch-1.0"], None),
        ("NOASSERTION", ["NOASSERTION"], None),
        ("MIT", "MIT", True),
        ("MIT", {"MIT", "ISC"}, True),
    ],
)
def test_the_list(expression: str, allowed: list[str], expected: bool | None) -> None:
    assert satisfies(expression, allowed) is expected


HOSTILE = {
    "none": None,
    "empty": "",
    "blank": " \t\n",
    "NONE": "NONE",
    "NOASSERTION": "NOASSERTION",
    "nesting 17": "(" * 17 + "MIT" + ")" * 17,
    "nesting 500": "(" * 500 + "MIT" + ")" * 500,
    "parentheses": "(" * 50_000 + "MIT" + ")" * 50_000,
    "open": "(" * 50_000,
    "closed": ")" * 900,
    "megabyte": "MIT OR " * 150_000 + "MIT",
    "long": "MIT" + " " * 1022,
    "nul": "MIT\x00",
    "control": "MIT\x1b[2J",
    "separator": "MIT\x1fOR\x1fISC",
    "kelvin": "\u212a",
    "no break space": "MIT\u00a0OR\u00a0ISC",
    "surrogate": "MIT \ud800",
    "operators": "AND OR WITH",
    "half": "MIT OR",
    "unbalanced": "(MIT",
    "empty parentheses": "MIT AND ()",
    "open within a choice": "MIT OR ( ISC",
    "choices left open": "( MIT OR ( ISC OR Zlib",
    "juxtaposed": "MIT ISC",
    "with chain": "MIT WITH Classpath-exception-2.0 WITH Classpath-exception-2.0",
    "slash": "MIT/Apache-2.0",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_unknown_and_quick(text: str | None) -> None:
    satisfies("MIT", ["MIT"])  # the registry is read once
    begun = time.perf_counter()
    assert satisfies(text, ["MIT"]) is None
    assert normalise(text) is None
    assert satisfies("MIT", [text or "", "MIT"]) is True
    assert time.perf_counter() - begun < 0.5


def test_bounds_are_inclusive() -> None:
    assert satisfies("(" * 16 + "MIT" + ")" * 16, ["MIT"]) is True
    assert satisfies("MIT" + " " * 1021, ["MIT"]) is True


@pytest.mark.parametrize("value", [7, float("nan"), b"MIT", ["MIT"]])
def test_values_that_are_no_text_are_unknown(value: object) -> None:
    assert satisfies(value, ["MIT"]) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("mit or apache-2.0", "MIT OR Apache-2.0"),
        ("MIT AND (ISC AND Zlib)", "MIT AND ISC AND Zlib"),
        ("MIT AND ISC OR Zlib", "(MIT AND ISC) OR Zlib"),
        ("(MIT)", "MIT"),
        ("MIT OR mit", "MIT"),
        ("(MIT OR MIT) AND MIT", "MIT"),
        ("gpl-2.0 with classpath-exception-2.0", EXCEPTION),
        ("MIT OR Nonesuch-1.0", None),
    ],
)
def test_normalise(expression: str, expected: str | None) -> None:
    assert normalise(expression) == expected


WORDS = st.sampled_from(
    ("MIT", "ISC", "GPL-2.0+", "LicenseRef-a", "Nonesuch", "AND", "OR", "WITH", "(", ")", "NONE")
)


@given(st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=80))
def test_nothing_raises_and_normal_form_is_stable(text: str) -> None:
    answer = satisfies(text, ["MIT", "GPL-2.0-or-later"])
    assert answer in {True, False, None}
    if (normal := normalise(text)) is not None:
        assert normalise(normal) == normal
        assert satisfies(normal, ["MIT", "GPL-2.0-or-later"]) is answer
        assert answer is not None
