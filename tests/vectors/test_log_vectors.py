"""The stored vectors are those that the code makes; changing one is a change of format."""

from __future__ import annotations

import sys
from pathlib import Path

# Test folders are no packages: the maker of the vectors is found through its folder.
sys.path.insert(0, str(Path(__file__).parent))

import make_evidence_vectors
import make_log_vectors
import pytest


@pytest.mark.parametrize("maker", [make_log_vectors, make_evidence_vectors])
def test_vectors_are_what_the_code_makes(maker) -> None:
    assert maker.PATH.read_text(encoding="utf-8") == maker.vectors_text()
