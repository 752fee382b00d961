"""All content commitments of a run by source: what absence is proved against."""

from __future__ import annotations

from pathlib import Path

from gradledger.recorder.examples import Examples
from gradledger.segment import read_segment, segment_files


def all_commitments(run_dir: Path, examples: Examples) -> dict[str, set[bytes]]:
    """Return source -> commitments: to contents as admitted or refused, and to rows as presented.

    Args:
        run_dir: The run; all visits are sealed.
        examples: Every example that was shown to ``run.admit``.

    Raises:
        StorageError: A segment cannot be read. Code S115.
    """
    found: dict[str, set[bytes]] = {}
    for number, content in enumerate(examples.commitments):
        values = found.setdefault(examples.sources[number], set())
        if content is not None:
            values.add(content)
    for path in segment_files(run_dir, "visits"):
        rows = read_segment(path).select(["example", "digest"])
        distinct = rows.group_by(["example", "digest"]).aggregate([])
        numbers, digests = (distinct[name].to_pylist() for name in ("example", "digest"))
        for number, digest in zip(numbers, digests, strict=True):
            found[examples.sources[number]].add(digest)
    return found
