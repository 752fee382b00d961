"""The licence that a source file states in its own header."""

from __future__ import annotations

import re
from typing import Final

from gradledger.rights.spdx import NOASSERTION, all_of

__all__ = ["header_license"]

#: Lines from the top in which a header may stand.
_LINES: Final = 30
#: Characters from the top that are looked at; a line that is cut here is not read.
_CHARACTERS: Final = 64 * 1024

#: Signs that open a comment or a docstring may go before the tag; code and quoted text may not.
_TAG: Final = re.compile(
    r"""[ \t]*(?:\#+|//+!?|/\*+!?|\*+|--+|;+|%+|<!--|\.\.|\"\"\"|'''|dnl\b|REM\b)?[ \t]*"""
    r"""SPDX-License-Identifier:(?P<value>.*)""",
    re.IGNORECASE,
)
_CLOSERS: Final = ("*/", "-->", '"""', "'''")


def header_license(text: str) -> str | None:
    """Read the ``SPDX-License-Identifier`` of a source text.

    Only the first 30 lines count, and only a tag that stands at the start of a line or comment.
    Several tags hold together: each covers part of what the file contains.

    Args:
        text: The source text.

    Returns:
        The expression in canonical spelling; ``NOASSERTION`` where a tag is there but cannot be
        understood, so that nothing else is taken to hold for the file; None without a tag.

    Note:
        Tag: SPDX specification 2.3, annex E; several tags: REUSE specification 3.3.
    """
    top = text[:_CHARACTERS].removeprefix("\ufeff").split("\n", _LINES)
    if len(top) > _LINES or len(text) > _CHARACTERS:
        top.pop()  # what follows the header lines, or a line that was cut
    tags = [tag["value"] for line in top if (tag := _TAG.match(line.rstrip("\r")))]
    if not tags:
        return None
    return all_of(_bare(tag) for tag in tags) or NOASSERTION


def _bare(value: str) -> str:
    value = value.strip()
    for closer in _CLOSERS:
        value = value.removesuffix(closer).rstrip()
    return value
