"""A byte-level BPE tokenizer, trained on admitted files only.

A tokenizer is shaped by text too: what a policy refused must not reach the model through its
vocabulary. So the tokenizer is trained on admitted files alone, and what it was trained on is
recorded beside its own digest. There are no special tokens: windows never need padding.

Source: byte-level BPE as in GPT-2 (Radford et al., 2019); pair merging after Sennrich et al., 2016.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from gradledger.demo.source import SourceFile
from gradledger.errors import InputError

__all__ = ["RECORD_FORMAT", "train_tokenizer"]

RECORD_FORMAT: Final = "gradledger.demo-tokenizer/1"
#: A pair must occur this often to be merged: what is seen once is one example's own wording.
_MIN_FREQUENCY: Final = 2
_NUM_BYTE_VALUES: Final = 256


def train_tokenizer(
    files: Sequence[SourceFile], vocab_size: int
) -> tuple[Tokenizer, dict[str, Any]]:
    """Train a tokenizer and record what it was trained on.

    Args:
        files: Admitted files; their order does not matter.
        vocab_size: Entries asked for, at least 256; fewer where the text has no more pairs.

    Returns:
        The tokenizer, and its record: ``format``, ``kind``, ``library``, ``vocab_size``,
        ``sha256`` (of the tokenizer's JSON), ``num_bytes`` (of the training text) and
        ``trained_on``, one ``{"key", "sha256"}`` per file, sorted by key.

    Raises:
        InputError: I104 if there are no files or the vocabulary cannot hold every byte.
    """
    if not files or vocab_size < _NUM_BYTE_VALUES:
        raise InputError(
            "I104",
            observed=f"{len(files)} files and {vocab_size} entries",
            expected=f"at least 1 file and {_NUM_BYTE_VALUES} entries",
            where="tokenizer of the demo",
            hint="check that the policy admits some of the corpus",
        )
    ordered = sorted(files, key=lambda file: file.key)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=_MIN_FREQUENCY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        special_tokens=[],
    )
    tokenizer.train_from_iterator((file.text for file in ordered), trainer, length=len(ordered))
    record = {
        "format": RECORD_FORMAT,
        "kind": "byte-level BPE",
        "library": f"tokenizers {version('tokenizers')}",
        "vocab_size": tokenizer.get_vocab_size(),
        "sha256": hashlib.sha256(tokenizer.to_str().encode("utf-8")).hexdigest(),
        "num_bytes": sum(file.num_bytes for file in ordered),
        "trained_on": [{"key": file.key, "sha256": file.sha256} for file in ordered],
    }
    return tokenizer, record
