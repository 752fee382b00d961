"""Sealed commitments: the sorted values of one source, as a file that absence is proved from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gradledger.errors import LogError
from gradledger.merkle import HASH_BYTES, first_disorder, leaf_hash, root_hash
from gradledger.schema import CommitmentsLeaf, FileDigest
from gradledger.segment import cannot_read, write_bytes_atomic

COMMITMENTS_FOLDER: Final = "commitments"


def seal_commitments(
    run_dir: Path, run_id: str, source: str, number: int, values: Iterable[bytes]
) -> CommitmentsLeaf:
    """Sort the content commitments of a source, write them, and return their leaf.

    Args:
        run_dir: The run.
        run_id: Its identifier.
        source: Source whose salt made the commitments.
        number: Number of the source within the run; names the file.
        values: Keyed commitments, 32 bytes each; equal ones count once.

    Raises:
        LogError: A value has another length. Code L171.
        StorageError: The disk refuses. Code S112.
    """
    ordered = sorted(set(values))
    if first_disorder(ordered) is not None:
        raise _odd("a value of another length", f"{HASH_BYTES} bytes", source)
    name, content = f"{COMMITMENTS_FOLDER}/source-{number:06d}", b"".join(ordered)
    digest = write_bytes_atomic(Path(run_dir) / name, content)
    return CommitmentsLeaf(
        run_id=run_id,
        files=(FileDigest(name, len(content), digest),),
        source=source,
        num_values=len(ordered),
        sorted_root=root_hash(map(leaf_hash, ordered)).hex(),
    )


def read_commitments(path: Path) -> list[bytes]:
    """Return the values of a sealed file.

    Raises:
        LogError: They are not ascending values of 32 bytes. Code L171.
        StorageError: The file cannot be read. Code S113.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error
    places = range(0, len(content), HASH_BYTES)
    values = [content[start : start + HASH_BYTES] for start in places]
    disorder = first_disorder(values)
    if disorder is not None:
        raise _odd(f"disorder at value {disorder}", "ascending values", str(path))
    return values


def _odd(observed: str, expected: str, where: str) -> LogError:
    return LogError("L171", observed=observed, expected=expected, where=where)
