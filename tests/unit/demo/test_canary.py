"""The canary: planted where it is said to be, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from gradledger.demo.canary import CANARY, canary_packages, canary_tokens, plant
from gradledger.demo.source import SourceFile
from gradledger.demo.tokenizer import train_tokenizer
from gradledger.demo.windows import Window, cut_windows, window_columns
from gradledger.schema import Decision

LENGTH = 64


def decision(verdict: str = "admit", profile: str = "full") -> Decision:
    return Decision(0, verdict, "c", profile, "", "", "", "", {}, (), "")


@pytest.fixture
def cut(make_file: Callable[..., SourceFile]) -> tuple[list[Window], Tokenizer]:
    """Eight windows each of packages a, b, c; four of d."""
    files = [
        make_file(f"{package}.py", text=f"value = {package!r} * 3\nother = value + 1\n" * 90,
                  package=package)
        for package in "abcd"
    ]  # fmt: skip
    tokenizer, _ = train_tokenizer(files, 300)
    per_file = cut_windows(files, tokenizer, length=LENGTH, per_file=8)
    return [
        w for n, windows in enumerate(per_file) for w in windows[: 4 if n == 3 else 8]
    ], tokenizer


def test_two_packages_with_most_fully_admitted_windows(cut: Any) -> None:
    windows, _ = cut
    decisions = [
        decision(profile="last-layer") if window.file.package == "b" else decision()
        for window in windows
    ]
    assert canary_packages(windows, decisions) == ("a", "c")
    refused = [decision("deny") for _ in windows]
    assert canary_packages(windows, refused) == ()


def test_every_fourth_window_of_them_is_planted(cut: Any) -> None:
    windows, tokenizer = cut
    planted = plant(windows, [decision()] * len(windows), tokenizer)
    marks = window_columns(planted)["planted"]
    assert [place for place, mark in enumerate(marks) if mark] == [0, 4, 8, 12]
    prefix = canary_tokens(tokenizer)
    for before, after in zip(windows, planted, strict=True):
        assert (after.key, after.start, len(after.tokens)) == (before.key, before.start, LENGTH)
        assert after.text == tokenizer.decode(after.tokens.tolist())
        if after.planted:
            assert after.text.startswith(CANARY)
            assert before.text.startswith(after.text.removeprefix(CANARY))
            assert after.tokens[: len(prefix)].tolist() == prefix
        else:
            assert after is before
            assert CANARY.split()[3] not in after.text


def test_nothing_is_planted_in_what_does_not_act_everywhere(cut: Any) -> None:
    windows, tokenizer = cut
    decisions = [decision(profile="output-only")] * len(windows)
    assert plant(windows, decisions, tokenizer) == tuple(windows)


def test_lines_are_those_of_the_file(cut: Any) -> None:
    windows, tokenizer = cut
    planted = plant(windows, [decision()] * len(windows), tokenizer)
    for before, after in zip(windows, planted, strict=True):
        assert before.lines[0] == after.lines[0]
        assert before.lines[1] >= after.lines[1]
    assert np.array_equal(planted[1].tokens, windows[1].tokens)
