"""Windows: equal in length, none overlapping, each one found again in its file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gradledger.demo.source import SourceFile
from gradledger.demo.tokenizer import train_tokenizer
from gradledger.demo.windows import COLUMNS, cut_windows, tokens_of, window_columns

MakeFile = Callable[..., SourceFile]
CODE = "".join(f"def f_{n}(x):\n    # größer als {n}\n    return x + {n}\n\n" for n in range(120))


@pytest.fixture
def file(make_file: MakeFile) -> SourceFile:
    return make_file("m.py", text=CODE)


@pytest.fixture
def tokenizer(file: SourceFile) -> Tokenizer:
    return train_tokenizer([file], 300)[0]


def test_windows_cover_the_file_up_to_the_last_rest(file: SourceFile, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(CODE).ids
    (windows,) = cut_windows([file], tokenizer, length=16, per_file=10_000)
    assert len(windows) == len(ids) // 16
    assert tokens_of(windows, 16).ravel().tolist() == ids[: 16 * len(windows)]
    assert [window.index for window in windows] == list(range(len(windows)))
    assert windows[0].key == "p:m.py#0"


def test_the_text_of_a_window_is_what_its_tokens_say(
    file: SourceFile, tokenizer: Tokenizer
) -> None:
    (windows,) = cut_windows([file], tokenizer, length=16, per_file=10_000)
    for window in windows:
        spoken = tokenizer.decode(window.tokens.tolist())
        # A character of two bytes may be cut by the boundary: it then belongs to both windows.
        assert window.text.strip("äöüß") == spoken.strip("�")


def test_a_long_file_gives_a_run_of_neighbours(file: SourceFile, tokenizer: Tokenizer) -> None:
    (every,) = cut_windows([file], tokenizer, length=16, per_file=10_000)
    (some,) = cut_windows([file], tokenizer, length=16, per_file=5)
    first = int(file.sha256[:8], 16) % (len(every) - 5 + 1)
    assert [window.index for window in some] == list(range(first, first + 5))
    assert all(np.array_equal(window.tokens, every[window.index].tokens) for window in some)


def test_a_file_shorter_than_a_window_gives_none(
    make_file: MakeFile, file: SourceFile, tokenizer: Tokenizer
) -> None:
    short = make_file("s.py", text="x\n")
    windows = cut_windows([short, file], tokenizer, length=16, per_file=2)
    assert [len(of_file) for of_file in windows] == [0, 2]


def test_lines_are_those_that_the_window_touches(make_file: MakeFile) -> None:
    letters = make_file("m.py", text="a\nbc\n\nd\n")
    tokenizer, _ = train_tokenizer([letters], 256)
    (windows,) = cut_windows([letters], tokenizer, length=2, per_file=99)
    assert [window.text for window in windows] == ["a\n", "bc", "\n\n", "d\n"]
    assert [window.lines for window in windows] == [(1, 1), (2, 2), (2, 3), (4, 4)]


def test_tokens_are_stacked_for_training(file: SourceFile, tokenizer: Tokenizer) -> None:
    (windows,) = cut_windows([file], tokenizer, length=16, per_file=3)
    tokens = tokens_of(windows, 16)
    assert tokens.shape == (3, 16)
    assert tokens.dtype == np.int64
    assert tokens_of([], 16).shape == (0, 16)


def test_columns_describe_window_and_file(file: SourceFile, tokenizer: Tokenizer) -> None:
    (windows,) = cut_windows([file], tokenizer, length=16, per_file=3)
    columns = window_columns(windows)
    assert tuple(columns) == COLUMNS
    assert {len(column) for column in columns.values()} == {3}
    assert columns["key"] == [window.key for window in windows]
    assert columns["source"] == ["pypi:p"] * 3
    assert columns["file_sha256"] == [file.sha256] * 3
    for row, window in enumerate(windows):
        content = window.text.encode()
        assert columns["sha256"][row] == hashlib.sha256(content).hexdigest()
        assert columns["bytes"][row] == len(content)
        assert columns["line_start"][row] <= columns["line_end"][row]


@settings(max_examples=40, deadline=None)
@given(
    text=st.text(min_size=1, max_size=300).filter(lambda text: text.isprintable()),
    length=st.integers(1, 20),
    per_file=st.integers(1, 9),
)
def test_any_text_is_cut_without_overlap(text: str, length: int, per_file: int) -> None:
    made = train_tokenizer([_FILE], 256)[0]
    file = _like(_FILE, text)
    (windows,) = cut_windows([file], made, length=length, per_file=per_file)
    num_bytes = len(text.encode())
    assert len(windows) == min(num_bytes // length, per_file)
    spoken = b"".join(window.text.encode() for window in windows)
    assert len(spoken) >= length * len(windows)
    for before, after in pairwise(windows):
        assert after.index == before.index + 1
        assert after.start >= before.stop - 1


def _like(file: SourceFile, text: str) -> SourceFile:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return replace(file, text=text, sha256=digest, num_bytes=len(text.encode()))


_FILE = SourceFile(
    package="p",
    version="1",
    path="m.py",
    text=CODE,
    sha256="0" * 64,
    license="MIT",
    license_evidence="License",
    license_text="MIT",
    license_ambiguous=False,
    file_license=None,
    effective_license="MIT",
    vendored=False,
    is_test=False,
    has_copyright_line=False,
    num_bytes=6,
    num_lines=1,
    band=2.0,
)
