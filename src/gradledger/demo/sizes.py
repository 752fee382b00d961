"""The sizes of the demo: how many windows, which vocabulary, how much of one package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gradledger.errors import InputError

__all__ = ["SIZES", "WINDOW_TOKENS", "CorpusSize", "corpus_size"]

#: Tokens of one window; every window of every size has this length.
WINDOW_TOKENS: Final = 128


@dataclass(frozen=True)
class CorpusSize:
    """How much of the corpus one size of the demo takes.

    Attributes:
        name: Name of the size.
        num_admitted: Windows that the policy admits; exact where the wheels hold enough.
        num_refused: Windows of files that are not admitted, at most: decided, never trained on.
        vocab_size: Entries of the tokenizer.
        windows_per_file: Windows taken from one file, at most.
        bytes_per_package: Bytes sampled from one package, at most; a file counts with what its
            windows can hold.
    """

    name: str
    num_admitted: int
    num_refused: int
    vocab_size: int
    windows_per_file: int
    bytes_per_package: int


SIZES: Final[dict[str, CorpusSize]] = {
    size.name: size
    for size in (
        CorpusSize("tiny", 250, 60, 1024, 4, 16_000),
        CorpusSize("small", 1200, 240, 2048, 12, 90_000),
        CorpusSize("medium", 2400, 480, 2048, 32, 220_000),
    )
}


def corpus_size(name: str) -> CorpusSize:
    """Return the size of that name.

    Args:
        name: A key of ``SIZES``.

    Raises:
        InputError: I104 if there is no such size.
    """
    if name not in SIZES:
        raise InputError(
            "I104",
            observed=f"size {name!r}",
            expected=f"one of {', '.join(SIZES)}",
            where="demo",
            hint=f"use --size {next(iter(SIZES))}",
        )
    return SIZES[name]
