"""What a run that was killed and resumed lost, doubled or changed against an undisturbed one."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gradledger.log import VerifierKey, check_manifest, has_log
from gradledger.schema import TABLES
from gradledger.segment import orphan_folders, read_table, segment_files
from gradledger.verify import check_run

#: File beside the run in which the script writes down every step that was booked.
ACKNOWLEDGED = "acknowledged.txt"


@dataclass
class Outcome:
    """What came of a run that was killed and resumed until it was done.

    Attributes:
        kills: Times that it was killed before it was done.
        lost: Steps or visits that are missing, acknowledged steps without any record included.
        doubled: Steps or visits that count twice.
        unequal: What differs from the undisturbed run in any bit.
        unbalanced: Books that do not balance.
        orphans: Steps that were cut off and kept.
        errors: Lives that ended in an error.
        sealed: Path and SHA-256 of every segment that stood sealed when the run was killed.
        lost_segments: Those that are neither in their place nor among the orphans, byte for byte.
        findings: What verification finds in the finished run, notices included.
        clean_cuts: Kills after which the run verified clean as it lay, before it was resumed.
    """

    kills: int = 0
    lost: int = 0
    doubled: int = 0
    unequal: list[str] = field(default_factory=list)
    unbalanced: int = 0
    orphans: int = 0
    errors: int = 0
    sealed: set[tuple[str, str]] = field(default_factory=set)
    lost_segments: int = 0
    findings: list[str] = field(default_factory=list)
    clean_cuts: int = 0

    def killed(self, run: Path) -> None:
        """Count a kill, and note what was sealed when it came."""
        self.kills += 1
        self.note_sealed(run)
        # A run that died before its log was begun has none to verify.
        self.clean_cuts += not has_log(run) or check_run(run).is_clean

    def note_sealed(self, run: Path) -> None:
        """Note what is sealed now: it must be there at the end."""
        self.sealed |= _segments(run)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; of the sealed segments, how many there were."""
        return {**self.__dict__, "sealed": len(self.sealed)}


def compare(
    folder: Path,
    reference: Path,
    num_steps: int,
    outcome: Outcome,
    trusted: Sequence[VerifierKey] = (),
) -> Outcome:
    """Fill in what a finished run lost, doubled or changed against the undisturbed one."""
    run, other = folder / "run", reference / "run"
    names = [name for name in read_table(other, "visits").column_names if name != "digest"]
    _count_rows(run, other, num_steps, outcome)
    for table, columns in (
        ("visits", names),
        ("books", read_table(other, "books").column_names),
        ("steps", ["step", "visits", "loss", *_FINGERPRINTS, "verdict", "skipped"]),
    ):
        found, expected = (read_table(where, table, columns).to_pydict() for where in (run, other))
        outcome.unequal += [
            f"{table}.{name}" for name in columns if not _same(found[name], expected[name])
        ]
    ends = [json.loads((where / "end.json").read_text()) for where in (run, other)]
    for name in ("num_steps", "num_visits", "final_digest", "balance"):
        if ends[0][name] != ends[1][name]:
            outcome.unequal.append(f"end.{name}")
    if (folder / "average.json").exists() and (folder / "average.json").read_bytes() != (
        reference / "average.json"
    ).read_bytes():
        outcome.unequal.append("average")
    outcome.unequal += [f"manifest: {item.place}" for item in check_manifest(run)]
    outcome.lost_segments = len(outcome.sealed - _segments(run))
    outcome.findings = [str(finding) for finding in check_run(run, trusted).findings]
    verdicts = read_table(run, "books", ["verdict"])["verdict"].to_pylist()
    outcome.unbalanced = sum(verdict in {"unbalanced", "not finite"} for verdict in verdicts)
    return outcome


def _segments(run: Path) -> set[tuple[str, str]]:
    """Return path, as it was before anything was set aside, and digest of every segment."""
    folders = [run, *orphan_folders(run).values()]
    return {
        (path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest())
        for folder in folders
        for table in TABLES
        for path in segment_files(folder, table)
    }


_FINGERPRINTS = ("fingerprint_before", "fingerprint_after", "rng_fingerprint")


def _count_rows(run: Path, other: Path, num_steps: int, outcome: Outcome) -> None:
    keys = ["step", "micro_batch", "position", "example"]
    counts = []
    for where in (run, other):
        rows = read_table(where, "visits", keys).to_pydict()
        counts.append(Counter(zip(*(rows[key] for key in keys), strict=True)))
    steps = Counter(read_table(run, "steps", ["step"])["step"].to_pylist())
    wanted = range(1, num_steps + 1)
    outcome.lost = (counts[1] - counts[0]).total() + sum(steps[number] == 0 for number in wanted)
    outcome.doubled = (counts[0] - counts[1]).total() + sum(steps[n] > 1 for n in wanted)
    for name in orphan_folders(run).values():
        cut_off = read_table(name, "steps", ["step"])["step"].to_pylist()
        steps.update(cut_off)
        outcome.orphans += len(cut_off)
    said = Counter(map(int, (run.parent / ACKNOWLEDGED).read_text().split()))
    outcome.lost += (said - steps).total()


def _same(found: list[Any], expected: list[Any]) -> bool:
    """Equal in every bit, NaN and null included."""
    if len(found) != len(expected):
        return False
    if found and all(isinstance(value, float) for value in found):
        return np.asarray(found).tobytes() == np.asarray(expected).tobytes()
    return repr(found) == repr(expected)
