"""Verification made cheap for thousands of damaged copies of one run, and the same verification.

What costs time is a pure function of the bytes of a file: reading a segment, hashing its rows,
deciding under a policy. Each is remembered by the whole content of what it reads, so a file in
which one bit differs is read anew, and every file is opened and digested each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa

from gradledger.log import rows
from gradledger.segment import reader
from gradledger.verify import admission, check, files

Function = Callable[..., Any]


@contextmanager
def remembered() -> Iterator[None]:
    """Remember pure functions of verification within a block."""
    by_file: list[tuple[Any, str]] = [
        (files, "hash_segment"),
        (reader, "_read"),
        (admission, "load_policy"),
    ]
    by_value: list[tuple[Any, str, Callable[..., Any]]] = [
        (check, "read_leaf", lambda content: content),
        (admission, "decide", _key_of_decision),
    ]
    with mock.patch.object(rows, "read_segment", lambda path: reader._read(path, None)):  # noqa: SLF001
        patches = [
            mock.patch.object(module, name, _by_file(getattr(module, name)))
            for module, name in by_file
        ]
        patches += [
            mock.patch.object(module, name, _by_value(getattr(module, name), key))
            for module, name, key in by_value
        ]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


def _by_file(function: Function) -> Function:
    """Remember by the content of the file, its name, and further arguments."""
    known: dict[Any, Any] = {}

    def read(path: Path, *rest: Any) -> Any:
        try:
            content = Path(path).read_bytes()
        except OSError:
            return function(path, *rest)
        key = (hashlib.sha256(content).digest(), Path(path).name, repr(rest))
        if key not in known:
            known[key] = function(path, *rest)
        return known[key]

    return read


def _by_value(function: Function, key_of: Callable[..., Any]) -> Function:
    known: dict[Any, Any] = {}

    def call(*given: Any) -> Any:
        key = key_of(*given)
        if key not in known:
            known[key] = function(*given)
        return known[key]

    return call


def _key_of_decision(policy: Any, metadata: pa.Table, moment: Any, evidence: Any) -> Any:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, metadata.schema) as writer:
        writer.write_table(metadata)
    return policy.digest, sink.getvalue().to_pybytes(), moment, tuple(evidence)
