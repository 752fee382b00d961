"""Whatever is dropped, doubled, swapped, reordered or moved between runs is found, and placed.

Caveat: a closed, signed run of 4 steps, one change at a time. Dropping a kept checkpoint of a size
before the last is no damage: later ones cover what it said. Rows that a new file holds in another
order are placed to their segment. The key holder rolls back and signs on: one witness remembers.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.scratch import scratch
from benchmarks.small_signed_run import make_small_run
from benchmarks.tamper_cases import Case, cases

from gradledger.log import (
    DirectoryWitness,
    KeyKind,
    Log,
    LogReader,
    SigningKey,
    VerifierKey,
    cosign_log,
)
from gradledger.verify import Report, check_run


def measure() -> list[Figure]:
    """Do every change on a copy, and count what is not found, or not placed."""
    missed, unplaced, number = [], [], 0
    with scratch() as name:
        folder = Path(name)
        run, key = make_small_run(folder / "one")
        other, _ = make_small_run(folder / "two", key, seed=4)
        for case in cases():
            number += 1
            report = tampered(case, run, other, folder, key.verifier)
            if report.is_clean:
                missed.append(case.what)
            elif not is_placed(case, report):
                unplaced.append(case.what)
        for what, report in rolled_back(run, folder, key):
            number += 1
            if not any(item.code == "V112" and "witness" in item.place for item in report.findings):
                missed.append(what)
    return [
        Figure("log.tampering", float(number), "count", "higher", 40.0),
        Figure(
            "log.tampering_missed",
            float(len(missed)),
            "count",
            "equal",
            0.0,
            caveat=_listed(missed),
        ),
        Figure(
            "log.tampering_unplaced",
            float(len(unplaced)),
            "count",
            "equal",
            0.0,
            caveat=_listed(unplaced),
        ),
    ]


def _listed(names: list[str]) -> str:
    return "; ".join(names) or "none"


def tampered(case: Case, run: Path, other: Path, folder: Path, key: VerifierKey) -> Report:
    """Return what verification finds in a copy that was changed."""
    copy = folder / "copy"
    shutil.copytree(run, copy)
    try:
        case.change(copy, other)
        return check_run(copy, [key])
    finally:
        shutil.rmtree(copy)


def is_placed(case: Case, report: Report) -> bool:
    """Whether one of the findings that a case asks for names its place."""
    return any(item.code in case.codes and case.place in item.place for item in report.findings)


def rolled_back(run: Path, folder: Path, key: SigningKey) -> list[tuple[str, Report]]:
    """Roll the log back to each earlier size, without and with another history signed after it."""
    reader = LogReader(run)
    leaves, origin = list(reader.leaves()), reader.origin
    witness = SigningKey.generate("benchmarks.test/witness", KeyKind.WITNESS)
    seen = folder / "seen"
    cosign_log(run, DirectoryWitness(seen, witness, [key.named(origin).verifier]))
    found = []
    for size in sorted(int(path.name) for path in (run / "log/checkpoints").iterdir())[:-1]:
        for signed_on in (False, True):
            copy = folder / "rolled"
            shutil.copytree(run, copy)
            shutil.rmtree(copy / "log")
            with Log.create(copy, origin, key) as log:
                for leaf in leaves[:size]:
                    log.append(leaf)
                log.publish()
                if signed_on:
                    for leaf in leaves[size:]:
                        log.append(leaf.replace(b"T", b"t"))
                    log.publish()
            report = check_run(copy, [key.verifier], witnessed=[seen])
            found.append((f"rolled back to {size}, signed on: {signed_on}", report))
            shutil.rmtree(copy)
    return found
