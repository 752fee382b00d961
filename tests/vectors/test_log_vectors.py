"""The stored vectors are those that the code makes; changing one is a change of format."""

from __future__ import annotations

import sys
from pathlib import Path

# Test folders are no packages: the maker of the vectors is found through its folder.
sys.path.insert(0, str(Path(__file__).parent))

from make_log_vectors import PATH, vectors_text


def test_vectors_are_what_the_code_makes() -> None:
    assert PATH.read_text(encoding="utf-8") == vectors_text()
