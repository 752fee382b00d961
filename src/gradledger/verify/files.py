"""The files that leaves commit to: digests, rows, commitments, and segments that no leaf names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from gradledger.canon import ROW_FORMAT
from gradledger.errors import GradledgerError, LogError
from gradledger.log import hash_rows, read_commitments
from gradledger.merkle import leaf_hash, root_hash
from gradledger.schema import TABLES, CommitmentsLeaf, FileDigest, Leaf, SegmentLeaf
from gradledger.segment import cannot_read, segment_files
from gradledger.verify.finding import Finding


def check_files(run_dir: Path, leaves: Sequence[Leaf | None]) -> list[Finding]:
    """Check every file that a leaf commits to, and look for segments that none does.

    Raises:
        StorageError: A file cannot be read. Code S113.
    """
    findings: list[Finding] = []
    owners: dict[str, int] = {}
    for index, leaf in enumerate(leaves):
        for file in leaf.files if leaf else ():
            if file.path in owners:
                other = f"also in leaf {owners[file.path]}"
                findings.append(Finding("V203", file.path, other, f"leaf {index} alone"))
            owners.setdefault(file.path, index)
        if leaf is not None:
            findings += _check_leaf(run_dir, leaf, index)
    for table in TABLES:
        for path in segment_files(run_dir, table):
            name = path.relative_to(run_dir).as_posix()
            if name not in owners:
                findings.append(Finding("V304", name, "a segment", "one that a leaf commits to"))
    return findings


def _check_leaf(run_dir: Path, leaf: Leaf, index: int) -> Iterator[Finding]:
    sound = True
    for file in leaf.files:
        wrong = _check_file(run_dir, file, index)
        if wrong:
            sound = False
            yield wrong
    if not sound:
        return
    if isinstance(leaf, SegmentLeaf):
        yield from _check_segment(run_dir, leaf, index)
    elif isinstance(leaf, CommitmentsLeaf):
        yield from _check_commitments(run_dir, leaf, index)


def _check_file(run_dir: Path, file: FileDigest, index: int) -> Finding | None:
    parts = PurePosixPath(file.path).parts
    if not parts or ".." in parts or file.path.startswith("/") or "\0" in file.path:
        return Finding("V201", f"leaf {index}", f"the path {file.path!r}", "a path below the run")
    path, digest = run_dir / file.path, hashlib.sha256()
    if path.is_symlink() or not path.is_file():
        return Finding("V301", file.path, "no ordinary file", f"as leaf {index} says")
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
            num_bytes = stream.tell()
    except OSError as error:
        raise cannot_read(path, error) from error
    if (num_bytes, digest.hexdigest()) != (file.num_bytes, file.sha256):
        observed = f"{num_bytes} bytes, SHA-256 {digest.hexdigest()}"
        expected = f"{file.num_bytes} bytes, {file.sha256}, as leaf {index} says"
        return Finding("V302", file.path, observed, expected)
    return None


def _check_segment(run_dir: Path, leaf: SegmentLeaf, index: int) -> Iterator[Finding]:
    if len(leaf.files) != 1 or leaf.row_format != ROW_FORMAT:
        observed = f"{len(leaf.files)} files, rows in {leaf.row_format!r:.60}"
        yield Finding("V201", f"leaf {index}", observed, f"one file, rows in {ROW_FORMAT}")
        return
    name = leaf.files[0].path
    try:
        layout, hashes = hash_rows(run_dir / name)
    except GradledgerError as error:
        yield Finding("V303", name, error.observed, "rows that can be read")
        return
    found = {
        "table": name.rpartition("/")[0],
        "num_rows": len(hashes),
        "row_bytes": layout.row_bytes,
        "columns_sha256": layout.columns_sha256,
        "inner_root": root_hash(hashes).hex(),
    }
    for field, value in found.items():
        if value != getattr(leaf, field):
            expected = f"{getattr(leaf, field)}, as leaf {index} says"
            yield Finding("V303", name, f"{field} {value}", expected)


def _check_commitments(run_dir: Path, leaf: CommitmentsLeaf, index: int) -> Iterator[Finding]:
    for file in leaf.files:
        try:
            values = read_commitments(run_dir / file.path)
        except LogError as error:
            yield Finding("V305", file.path, error.observed, error.expected)
            continue
        root = root_hash(map(leaf_hash, values)).hex()
        if (len(values), root) != (leaf.num_values, leaf.sorted_root):
            expected = f"{leaf.num_values}, root {leaf.sorted_root}, as leaf {index} says"
            yield Finding("V305", file.path, f"{len(values)} values, root {root}", expected)
