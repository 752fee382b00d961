"""Hashes of many rows, of trees over them and of many texts, with the instructions for SHA-256.

``hashlib`` hashes as fast, but a call of it and its objects cost five times what a row of a few
hundred bytes does. Callers keep ``merkle``'s form, which serves wherever there is no compiler or no
such instructions, and as the reference in tests.
"""

from __future__ import annotations

import ctypes
import hashlib
from functools import cache
from typing import Final

from gradledger.native.build import Library, load

#: No wide vectors: after one of them, every SHA-256 instruction waits for thousands of cycles.
HASHES: Final = Library("hashes", ("hashes.c",), ("-march=native", "-mno-avx"))
_HASH_BYTES: Final = 32

Buffer = bytes | bytearray | memoryview


class CompiledHashes:
    """The hashes of one library.

    Args:
        library: As ``build.load`` returns it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._leaves, self._fold = library.hash_leaves, library.fold_hashes
        self._texts = library.hash_texts
        for function in (self._leaves, self._fold, self._texts):
            function.restype = None

    def leaf_hashes(self, rows: Buffer, row_bytes: int) -> bytes:
        """Return the leaf hashes of fixed-width leaves, one after another.

        Args:
            rows: All leaves, ``row_bytes`` each, contiguous.
            row_bytes: Width of a leaf, at least 1.
        """
        view = memoryview(rows).cast("B")
        if view.readonly:
            view = memoryview(bytearray(view))
        count = len(view) // row_bytes
        out = ctypes.create_string_buffer(count * _HASH_BYTES)
        first = (ctypes.c_char * len(view)).from_buffer(view) if view else None
        self._leaves(first, ctypes.c_long(count), ctypes.c_long(row_bytes), out)
        return out.raw

    def text_hashes(self, content: int, offsets: int, count: int) -> bytes:
        """Return the SHA-256 of texts that lie one behind the other, one after another.

        Args:
            content: Where the texts lie.
            offsets: Where ``count + 1`` int64 lie: the begin of each text, and the end of the last.
            count: How many there are.
        """
        out = ctypes.create_string_buffer(count * _HASH_BYTES)
        self._texts(ctypes.c_void_p(content), ctypes.c_void_p(offsets), ctypes.c_long(count), out)
        return out.raw

    def root(self, hashes: bytes) -> bytes:
        """Return the root hash over hashes of one height, one after another; at least one."""
        work = ctypes.create_string_buffer(hashes, len(hashes))
        self._fold(work, ctypes.c_long(len(hashes) // _HASH_BYTES))
        return work.raw[:_HASH_BYTES]


@cache
def compiled_hashes() -> CompiledHashes | None:
    """Return the compiled hashes of this machine; None where there are none, or wrong ones."""
    library = load(HASHES)
    try:
        found = None if library is None else CompiledHashes(library)
    except AttributeError:  # Compiled for a processor without the instructions: an empty library.
        return None
    return found if found is not None and _is_right(found) else None


def _is_right(found: CompiledHashes) -> bool:
    """Whether hashes are those of ``hashlib``, at every length around the ends of two blocks."""
    content, sha256 = bytes(range(1, 150)), hashlib.sha256
    lengths = range(len(content) + 1)
    begins = [sum(range(length)) for length in (*lengths, len(content) + 1)]
    texts = ctypes.create_string_buffer(b"".join(content[:length] for length in lengths))
    places = (ctypes.c_int64 * len(begins))(*begins)
    hashes = found.text_hashes(ctypes.addressof(texts), ctypes.addressof(places), len(lengths))
    if hashes != b"".join(sha256(content[:length]).digest() for length in lengths):
        return False
    pair = [sha256(b"\x00" + content[:64]).digest(), sha256(b"\x00" + content[64:128]).digest()]
    return found.root(b"".join(pair)) == sha256(b"\x01" + b"".join(pair)).digest() and all(
        found.leaf_hashes(content[:length], length) == sha256(b"\x00" + content[:length]).digest()
        for length in range(1, len(content) + 1)
    )
