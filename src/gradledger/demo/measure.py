"""What a source file says of itself without being run: size, complexity, notices, place.

Every measure here is a fact about bytes or a path. What follows from it (class, profile, verdict)
is said by the policy alone.
"""

from __future__ import annotations

import bz2
import re
from typing import Final

__all__ = [
    "VENDOR_FOLDERS",
    "bits_per_byte",
    "has_copyright_line",
    "is_test_path",
    "is_vendored_path",
]

#: Folders that by custom hold code of other projects, under licences of their own.
VENDOR_FOLDERS: Final = frozenset(
    {"_vendor", "_vendored", "vendor", "vendored", "extern", "_extern", "externals", "third_party"}
)
_TEST_FOLDERS: Final = frozenset({"test", "tests", "_tests"})
_TEST_FILE = re.compile(r"(?:test_.*|.*_test|extratest_.*|conftest|runtests)\.py")
_COPYRIGHT = re.compile(
    r"copyright\s*:?\s*(?:\(c\)|©|(?:19|20)\d\d)|©\s*(?:19|20)\d\d|SPDX-FileCopyrightText:",
    re.IGNORECASE,
)


def bits_per_byte(content: bytes) -> float:
    """Return the compressed length in bits per byte of content, rounded to 1e-4.

    Low: tables and generated code, which repeat themselves. High: minified or encoded content, and
    files too short to repeat anything. bzip2 at level 9 is used because its output, unlike that of
    deflate, is the same whichever library the interpreter was built with.

    Args:
        content: The bytes; empty content has 0 bits per byte.
    """
    if not content:
        return 0.0
    return round(8.0 * len(bz2.compress(content, 9)) / len(content), 4)


def has_copyright_line(text: str) -> bool:
    """Whether the text names a holder or a year: a notice that goes with copies."""
    return _COPYRIGHT.search(text) is not None


def is_vendored_path(path: str) -> bool:
    """Whether a path lies in a folder for copies of other projects.

    Args:
        path: Path within a wheel, with forward slashes.
    """
    return not VENDOR_FOLDERS.isdisjoint(path.lower().split("/")[:-1])


def is_test_path(path: str) -> bool:
    """Whether a path is a test file or lies in a folder of tests.

    Args:
        path: Path within a wheel, with forward slashes.
    """
    *folders, name = path.lower().split("/")
    return not _TEST_FOLDERS.isdisjoint(folders) or _TEST_FILE.fullmatch(name) is not None
