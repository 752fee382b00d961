"""Token windows: what one example of the demo is.

A file is encoded as a whole and cut into windows of equal length that do not overlap. The rest at
its end, shorter than one window, is dropped: windows are never padded, so every example has the
same number of predicted tokens. Of a long file a run of neighbouring windows is taken; its place
follows from the file's digest, so that headers and imports are not favoured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gradledger.demo.source import SourceFile

__all__ = ["COLUMNS", "Window", "cut_windows", "tokens_of", "window_columns"]

#: Metadata columns of a window, in order.
COLUMNS: Final[tuple[str, ...]] = (
    "key",
    "source",
    "package",
    "version",
    "path",
    "window",
    "license",
    "license_evidence",
    "license_text",
    "license_ambiguous",
    "file_license",
    "effective_license",
    "vendored",
    "duplicate_of",
    "is_test",
    "has_copyright_line",
    "band",
    "bytes",
    "file_bytes",
    "file_lines",
    "line_start",
    "line_end",
    "sha256",
    "file_sha256",
    "planted",
)


@dataclass(frozen=True)
class Window:
    """One example: a stretch of one file.

    Attributes:
        file: The file it was cut from.
        index: Number of the window within the whole file, from 0.
        tokens: Token numbers, int32 of shape [WINDOW_TOKENS].
        start: First character within the text of the file.
        stop: One past the last character.
        planted: Text put before that of the file, which is no part of it; empty in most windows.
    """

    file: SourceFile
    index: int
    tokens: NDArray[np.int32]
    start: int
    stop: int
    planted: str = ""

    @property
    def key(self) -> str:
        """``package:path#index``: the example's key outside the run."""
        return f"{self.file.key}#{self.index}"

    @property
    def text(self) -> str:
        """The characters of the window; one that is cut by a boundary belongs to both sides."""
        return self.planted + self.file.text[self.start : self.stop]

    @property
    def lines(self) -> tuple[int, int]:
        """First and last line of the file that the window touches, from 1."""
        first = 1 + self.file.text.count("\n", 0, self.start)
        return first, first + self.file.text[self.start : self.stop][:-1].count("\n")


def cut_windows(
    files: Sequence[SourceFile], tokenizer: Tokenizer, *, length: int, per_file: int
) -> list[list[Window]]:
    """Cut each file into windows.

    Args:
        files: Files to cut.
        tokenizer: Byte-level tokenizer.
        length: Tokens of a window.
        per_file: Windows taken from one file, at most.

    Returns:
        One list per file, in the order of ``files``; empty where a file is shorter than a window.
    """
    encoded = tokenizer.encode_batch([file.text for file in files], add_special_tokens=False)
    return [
        _cut(file, encoding.ids, encoding.offsets, length, per_file)
        for file, encoding in zip(files, encoded, strict=True)
    ]


def _cut(
    file: SourceFile, ids: list[int], offsets: list[tuple[int, int]], length: int, per_file: int
) -> list[Window]:
    num_whole = len(ids) // length
    num_taken = min(num_whole, per_file)
    first = int(file.sha256[:8], 16) % (num_whole - num_taken + 1)
    return [
        Window(
            file=file,
            index=index,
            tokens=np.array(ids[index * length : (index + 1) * length], dtype=np.int32),
            start=offsets[index * length][0],
            stop=offsets[(index + 1) * length - 1][1],
        )
        for index in range(first, first + num_taken)
    ]


def tokens_of(windows: Sequence[Window], length: int) -> NDArray[np.int64]:
    """Stack the tokens of windows, int64 of shape [len(windows), length]."""
    stacked = np.empty((len(windows), length), dtype=np.int64)
    for row, window in enumerate(windows):
        stacked[row] = window.tokens
    return stacked


def window_columns(windows: Iterable[Window]) -> dict[str, list[Any]]:
    """Metadata of windows as columns.

    Returns:
        One list per name in ``COLUMNS``. ``bytes`` and ``sha256`` are of the window's own text,
        ``band`` (bits per byte), ``file_bytes`` and ``file_sha256`` of the file it comes from:
        one window is too short to be measured by compression.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for window in windows:
        content = window.text.encode("utf-8")
        line_start, line_end = window.lines
        row = window.file.attributes() | {
            "key": window.key,
            "window": window.index,
            "bytes": len(content),
            "line_start": line_start,
            "line_end": line_end,
            "sha256": hashlib.sha256(content).hexdigest(),
            "planted": bool(window.planted),
        }
        for name in COLUMNS:
            columns[name].append(row[name])
    return columns
