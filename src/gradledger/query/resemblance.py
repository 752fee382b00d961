"""How alike two texts are: shared runs of words, over all runs of words of both.

One text is compared with many, and each of them has to be read once in any case, so the
resemblance is computed exactly; signatures such as MinHash estimate this very number and pay off
only where they are stored.

Source:
    Broder (1997), On the resemblance and containment of documents.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Words and single signs; white space and case of layout do not count.
_TOKENS: Final = re.compile(r"\w+|[^\w\s]")
#: Words of a run.
SHINGLE_TOKENS: Final = 5

Shingles = frozenset[tuple[str, ...]]


@dataclass(frozen=True)
class Likeness:
    """Likeness of a text to the one that was asked about.

    Attributes:
        resemblance: Shared runs over all runs of both, 0 to 1.
        containment: Shared runs over the runs of the shorter, 0 to 1: a quotation has 1.
    """

    resemblance: float
    containment: float


def shingles(text: str) -> Shingles:
    """Return all runs of ``SHINGLE_TOKENS`` words; one shorter run where the text is shorter."""
    words = tuple(_TOKENS.findall(text))
    last = max(1, len(words) - SHINGLE_TOKENS + 1)
    runs = (words[place : place + SHINGLE_TOKENS] for place in range(last))
    return frozenset(run for run in runs if run)


def likeness(first: Shingles, second: Shingles) -> Likeness:
    """Return how alike two texts are, from their runs of words."""
    shared = len(first & second)
    shorter, union = min(len(first), len(second)), len(first | second)
    return Likeness(shared / union if union else 0.0, shared / shorter if shorter else 0.0)


def longest_shared(sought: str, text: str, least: int = 0) -> int:
    """Return the length of the longest stretch of characters of one text within another.

    Args:
        sought: The shorter text, such as a span of what a model wrote.
        text: Where to look.
        least: Stretches that are no longer than this do not count.

    Returns:
        Number of characters; 0 where nothing is longer than ``least``.
    """
    found = least
    for start in range(len(sought)):
        while start + found < len(sought) and sought[start : start + found + 1] in text:
            found += 1
    return found if found > least else 0
