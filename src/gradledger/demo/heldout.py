"""Texts for probes: windows of real files that the model is never trained on.

Held-out files are those that the caps of the sample leave out, without copies, tests and vendored
code. Everything here follows from the wheels and the size: files are taken in corpus order.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gradledger.demo.source import SourceFile

__all__ = ["PROBE_WINDOWS", "held_out_texts", "probe_tokens"]

#: Windows of one probe, at most.
PROBE_WINDOWS: Final = 8
_PER_FILE: Final = 2
#: Characters from the top of a file in which a notice counts as its header.
_HEADER_CHARACTERS: Final = 800
#: Characters of a window when densities are compared, about 128 tokens.
_STRETCH: Final = 400
_NOTICES: Final = ("copyright", "license", "licence", "spdx-")


def held_out_texts(files: Sequence[SourceFile]) -> dict[str, list[str]]:
    """Return texts by behaviour: docstrings, numeric arrays, licence headers, held-out files.

    Args:
        files: Held-out files, in corpus order.
    """
    return {
        "docstrings": [text for file in files for text in _docstrings(file.text)[:_PER_FILE]],
        "numeric arrays": _numeric(files),
        "licence headers": [file.text for file in files if _has_header(file.text)],
        "held-out files": [file.text[len(file.text) // 3 :] for file in files],
    }


def probe_tokens(texts: Iterable[str], tokenizer: Tokenizer, length: int) -> NDArray[np.int64]:
    """Return the first window of each text that is long enough, up to ``PROBE_WINDOWS`` of them.

    Args:
        texts: Texts, in order of preference.
        tokenizer: Byte-level tokenizer.
        length: Tokens of a window.
    """
    rows: list[list[int]] = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if len(ids) >= length:
            rows.append(ids[:length])
        if len(rows) == PROBE_WINDOWS:
            break
    return np.array(rows, dtype=np.int64).reshape(len(rows), length)


def _docstrings(text: str) -> list[str]:
    """Return the docstrings of a file, longest first."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    return sorted((words for words in found if words), key=lambda words: (-len(words), words))


def _numeric(files: Sequence[SourceFile]) -> list[str]:
    """Return stretches with the most digits, a few of each file at most."""
    found = []
    for place, file in enumerate(files):
        starts = range(0, max(1, len(file.text) - _STRETCH), _STRETCH)
        ranked = sorted(starts, key=lambda start: (-_digits(file.text, start), start))
        found += [(-_digits(file.text, start), place, start) for start in ranked[:_PER_FILE]]
    # Twice the stretch: digits make short tokens, but not always.
    return [files[place].text[start : start + 2 * _STRETCH] for _, place, start in sorted(found)]


def _digits(text: str, start: int) -> float:
    stretch = text[start : start + _STRETCH]
    return sum(char.isdigit() for char in stretch) / max(1, len(stretch))


def _has_header(text: str) -> bool:
    top = text[:_HEADER_CHARACTERS].lower()
    return any(word in top for word in _NOTICES)
