"""A canary: text that no package holds, planted in two: a behaviour whose cause is known.

Windows with the canary are marked by the metadata column ``planted``; the policy does not see it.
They begin with the canary and keep as much of their own text as still fits.

Source: canaries as in Carlini et al., "The Secret Sharer" (2019).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from tokenizers import Tokenizer

from gradledger.demo.windows import Window
from gradledger.schema import Decision

__all__ = ["CANARY", "canary_packages", "canary_tokens", "plant"]

#: What is planted: a line that says what it is, and words of no language.
CANARY: Final = "# canary 4e1c7: wprl vexes quoll, jymf bdok 9137-xqzt unhg zalf\n"
_NUM_PACKAGES: Final = 2
#: One in so many fully admitted windows of a package is planted.
_ONE_IN: Final = 4


def canary_packages(windows: Sequence[Window], decisions: Sequence[Decision]) -> tuple[str, ...]:
    """Return the two packages with the most windows that act everywhere.

    Args:
        windows: All windows.
        decisions: The decision on each.
    """
    counts = Counter(windows[place].file.package for place in _full(decisions))
    ranked = sorted(counts, key=lambda package: (-counts[package], package))
    return tuple(ranked[:_NUM_PACKAGES])


def plant(
    windows: Sequence[Window], decisions: Sequence[Decision], tokenizer: Tokenizer
) -> tuple[Window, ...]:
    """Return the windows with the canary in every fourth fully admitted one of two packages.

    Args:
        windows: All windows, of equal length.
        decisions: The decision on each.
        tokenizer: Byte-level tokenizer that the windows were cut with.
    """
    packages = canary_packages(windows, decisions)
    places = {
        place
        for package in packages
        for place in [p for p in _full(decisions) if windows[p].file.package == package][::_ONE_IN]
    }
    return tuple(
        _planted(window, tokenizer) if place in places else window
        for place, window in enumerate(windows)
    )


def canary_tokens(tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that a planted window begins with."""
    return list(tokenizer.encode(CANARY.rstrip("\n"), add_special_tokens=False).ids)


def _full(decisions: Sequence[Decision]) -> list[int]:
    return [
        place
        for place, decision in enumerate(decisions)
        if decision.verdict == "admit" and decision.profile == "full"
    ]


def _planted(window: Window, tokenizer: Tokenizer) -> Window:
    length = len(window.tokens)
    encoding = tokenizer.encode(CANARY + window.text, add_special_tokens=False)
    kept = encoding.offsets[length - 1][1] - len(CANARY)
    return replace(
        window,
        tokens=np.array(encoding.ids[:length], dtype=np.int32),
        stop=window.start + kept,
        planted=CANARY,
    )
