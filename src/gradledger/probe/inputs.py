"""Digest of a probe's inputs: what was measured on is part of the record."""

from __future__ import annotations

import hashlib
from typing import Any

from gradledger.errors import InputError
from gradledger.state.torch_content import add_tensor, as_tensor, leaves


def inputs_digest(inputs: Any, where: str) -> str:
    """Return the SHA-256 over paths, dtypes, shapes and bytes of everything in a batch.

    Args:
        inputs: Tensors, arrays, numbers, text, bytes and None, in mappings, sequences, dataclasses.
        where: For the message.

    Raises:
        InputError: Something in it has no bytes that could be digested. Code I131.
    """
    hasher = hashlib.sha256()
    for path, leaf in leaves(inputs, ""):
        if leaf is None or isinstance(leaf, str | bytes):
            _add_words(hasher, path, leaf)
            continue
        if isinstance(leaf, list | tuple):
            for place, item in enumerate(leaf):
                _add_words(hasher, f"{path}.{place}", item)
            continue
        try:
            tensor = as_tensor(leaf)
        except TypeError:  # An array of objects or of text.
            tensor = None
        if tensor is None:
            raise InputError(
                "I131",
                observed=f"a {type(leaf).__name__} at {path or 'the top'} of the inputs",
                expected="tensors, arrays, numbers and text",
                where=where,
                hint="keep other objects inside the loss function",
            )
        add_tensor(hasher, path, tensor)
    return hasher.hexdigest()


def _add_words(hasher: Any, path: str, value: str | bytes | None) -> None:
    content = value.encode() if isinstance(value, str) else value or b""
    for part in (f"{path}|{type(value).__name__}|".encode(), content):
        hasher.update(len(part).to_bytes(8, "little") + part)
