"""Measures of a source file."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.demo.measure import (
    bits_per_byte,
    has_copyright_line,
    is_test_path,
    is_vendored_path,
)


def test_repetition_is_cheap_and_noise_is_dear() -> None:
    noise = np.random.default_rng(0).bytes(20_000)
    assert bits_per_byte(b"0, 1, 2, 3,\n" * 2000) < 0.1
    assert bits_per_byte(noise) > 7.9
    assert 5.9 < bits_per_byte(base64.b64encode(noise)) < 6.3
    assert bits_per_byte(b"") == 0.0


def test_the_band_is_the_same_on_every_machine() -> None:
    assert bits_per_byte(b"def add(a, b):\n    return a + b\n" * 32) == 0.7188


@given(st.binary(min_size=1, max_size=400))
def test_the_band_is_a_finite_positive_number(content: bytes) -> None:
    assert 0.0 < bits_per_byte(content) < float("inf")


@pytest.mark.parametrize(
    "text",
    [
        "# Copyright (c) 2014 someone",
        "Copyright 2020 X",
        "# copyright: (C) me",
        "© 2001 X",
        "# SPDX-FileCopyrightText: 2022 X",
        "__copyright__ = 'Copyright 2019 Y'",
    ],
)
def test_notices_are_found(text: str) -> None:
    assert has_copyright_line(f"import os\n\n{text}\n")


@pytest.mark.parametrize("text", ["", "def copyright(): ...", "no copyright here", "(c) 2020"])
def test_other_text_is_no_notice(text: str) -> None:
    assert not has_copyright_line(text)


@pytest.mark.parametrize(
    ("path", "vendored"),
    [
        ("pip/_vendor/idna/core.py", True),
        ("pkg/Extern/x.py", True),
        ("pkg/third_party/y/z.py", True),
        ("pip/_internal/vendor.py", False),
        ("vendoring/x.py", False),
        ("x.py", False),
    ],
)
def test_vendored_paths(path: str, vendored: bool) -> None:
    assert is_vendored_path(path) is vendored


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("mpmath/tests/runtests.py", True),
        ("boolean/test_boolean.py", True),
        ("pkg/x_test.py", True),
        ("pkg/conftest.py", True),
        ("test.py", False),
        ("pkg/latest.py", False),
        ("pkg/testing/tools.py", False),
        ("pkg/contest.py", False),
    ],
)
def test_test_paths(path: str, is_test: bool) -> None:
    assert is_test_path(path) is is_test
