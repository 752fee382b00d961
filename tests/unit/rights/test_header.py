"""The tag in the head of a file."""

from __future__ import annotations

import time

import pytest

from gradledger.rights import NOASSERTION, header_license

TAG = "SPDX-License-Identifier:"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"# {TAG} MIT\n", "MIT"),
        (f"\ufeff# {TAG} MIT", "MIT"),
        (f"#!/bin/sh\r\n# {TAG} mit OR apache-2.0\r\n", "MIT OR Apache-2.0"),
        (f"/* {TAG} MIT */\n", "MIT"),
        (f"// {TAG} MIT\n", "MIT"),
        (f"<!-- {TAG} MIT -->\n", "MIT"),
        (f'"""Doc.\n\n{TAG} MIT\n"""\n', "MIT"),
        (f'"""{TAG} MIT"""\n', "MIT"),
        (f"# {TAG} MIT\n# {TAG} ISC\n", "MIT AND ISC"),
        (f"# {TAG} MIT\n# {TAG} what it says\n", NOASSERTION),
        (f"# {TAG}\n", NOASSERTION),
        (f"# {TAG} MIT\x00\n", NOASSERTION),
        (f"# {TAG} NONE\n", NOASSERTION),
        (f'tag = "{TAG} MIT"\n', None),
        (f'"{TAG} MIT",\n', None),
        (f"print(1)  # {TAG} MIT\n", None),
        ("", None),
        ("x = 1\n", None),
    ],
)
def test_header(text: str, expected: str | None) -> None:
    assert header_license(text) == expected


def test_thirty_lines_count() -> None:
    assert header_license("\n" * 29 + f"# {TAG} MIT\n") == "MIT"
    assert header_license("\n" * 29 + f"# {TAG} MIT") == "MIT"
    assert header_license("\n" * 30 + f"# {TAG} MIT\n") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#" * 1_000_000, None),
        (" " * 1_000_000, None),
        (f"# {TAG} " + "(" * 1_000_000, None),
        (f"# {TAG} " + "(" * 50_000 + "\n", NOASSERTION),
        (f"# {TAG} MIT\n" + "x" * 1_000_000, "MIT"),
    ],
)
def test_hostile_text_is_quick(text: str, expected: str | None) -> None:
    begun = time.perf_counter()
    assert header_license(text) == expected
    assert time.perf_counter() - begun < 0.5
