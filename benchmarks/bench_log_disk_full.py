"""A disk that is full at any of 50 points: a clear error, nothing sealed is lost, the run goes on.

Caveat: a signed run of 4 steps. Half of the points are file systems in memory with room for so many
bytes, which need root; where they cannot be mounted, and for the other half, the disk refuses every
call from a random one on. Then room is made and the run is resumed.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

from benchmarks.bench_log_kills import total
from benchmarks.faulty_run import NUM_STEPS, Faulty, fail, prepare, torn_files
from benchmarks.figure import Figure
from benchmarks.killed_outcome import Outcome, compare
from benchmarks.killed_run import DISK_REFUSES, KEY, live
from benchmarks.scratch import scratch

from gradledger.log import VerifierKey

NUM_POINTS, SEED = 50, 3
#: Smallest and largest room for a run that needs about twice the largest, in KiB.
ROOM_KIB = (16, 230)
_KIB = 1024


def measure(num_points: int = NUM_POINTS) -> list[Figure]:
    """Fill the disk at every point, and count what was lost, torn, unclear or found."""
    chance, found, mounted = random.Random(SEED), Faulty(), 0  # noqa: S311 - repeatable
    with scratch() as name:
        folder = Path(name)
        key = prepare(folder)
        while mounted < num_points // 2 and _on_full_disk(folder, chance, key, found):
            mounted += 1
        while len(found.outcomes) < num_points:
            fail(folder, chance.randrange(400), "error for good", [key], found)
    number, unclear, torn = float(len(found.outcomes)), found.unclear, found.torn
    caveat = f"{mounted} on file systems that were full, {int(number) - mounted} refused calls"
    bars = {
        "torn": (len(torn), "; ".join(torn[:3])),
        "unclear": (len(unclear), "; ".join(unclear[:3])),
        **{item: (count, "after the resume") for item, count in total(found.outcomes).items()},
    }
    refused = float(found.refused)
    return [
        Figure("log.disk_full", number, "count", "higher", float(num_points), caveat=caveat),
        Figure("log.disk_full_clear", refused, "count", "higher", number, caveat="S112"),
        *(
            Figure(f"log.disk_full_{item}", float(count), "count", "equal", 0.0, caveat=said)
            for item, (count, said) in bars.items()
        ),
    ]


def _on_full_disk(folder: Path, chance: random.Random, key: VerifierKey, found: Faulty) -> bool:
    """Run on a small file system until it is full, make room, resume; false where there is none."""
    place = folder / "disk"
    place.mkdir(exist_ok=True)
    room = chance.randrange(*ROOM_KIB) * _KIB
    if not _mount(place, f"size={room}"):
        return False
    try:
        shutil.copy(folder / KEY, place / KEY)
        run = place / "full"
        status = os.waitpid(live(run, most_steps=NUM_STEPS), 0)[1]
        code = os.waitstatus_to_exitcode(status)
        if code == DISK_REFUSES:
            found.refused += 1
        else:
            found.unclear.append(f"{room} bytes: exit code {code}")
        found.torn += torn_files(run / "run")
        outcome = Outcome()
        outcome.note_sealed(run / "run")
        _mount(place, "remount,size=64m")
        if os.waitpid(live(run, most_steps=NUM_STEPS), 0)[1]:
            raise RuntimeError((run / "errors.txt").read_text(encoding="utf-8"))
        found.outcomes.append(compare(run, folder / "undisturbed", NUM_STEPS, outcome, [key]))
    finally:
        subprocess.run(["umount", str(place)], check=True)  # noqa: S607 - the system's own
    return True


def _mount(place: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
