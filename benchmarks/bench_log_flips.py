"""Every one of 20,000 bits turned in the files of a signed run is found, and nearly all are placed.

Caveat: a run of 4 steps, a file chosen first and then a bit of it; the folder of private salts is
left out, since nothing commits to it on purpose. Placed means that a finding of the check which is
for this file names more than the file: a column, page header or footer of a segment, a tensor, a
line of a document, a value of the commitments, a leaf, a hash of a tile; a checkpoint and the other
small statements of the log are one record each. Pure functions of verification are remembered by
the whole content of what they read (remembered.py). Other damage: bytes dropped, doubled, swapped,
files cut.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

from benchmarks.figure import Figure
from benchmarks.remembered import remembered
from benchmarks.scratch import scratch
from benchmarks.small_signed_run import make_small_run

from gradledger.log import VerifierKey
from gradledger.verify import Finding, check_run

NUM_FLIPS, NUM_DAMAGES, NUM_PROCESSES, SEED = 20_000, 2_000, 2, 11

Damage = Callable[[bytes, random.Random], bytes]


def measure(num_flips: int = NUM_FLIPS, num_damages: int = NUM_DAMAGES) -> list[Figure]:
    """Count what was not found, and what was not placed, or found by the file digest alone."""
    started = perf_counter()
    with scratch() as folder:
        run_dir, key = make_small_run(Path(folder))
        parts = [
            (run_dir, str(key.verifier), SEED + place, num_flips // NUM_PROCESSES, num_damages // 2)
            for place in range(NUM_PROCESSES)
        ]
        with ProcessPoolExecutor(NUM_PROCESSES, mp_context=get_context("spawn")) as pool:
            counts = sum(pool.map(count, parts), Counter[str]())
    missed, unplaced = _of(counts, "missed "), _of(counts, "unplaced ")
    damaged = _of(counts, "damage missed ")
    placed = 1 - unplaced.total() / max(1, counts["flips"])
    caveat = f"missed: {dict(missed) or 'none'}"
    where = f"not placed, by file: {dict(unplaced.most_common(8)) or 'none'}"
    kinds = f"{len(DAMAGES)} kinds; missed: {dict(damaged) or 'none'}"
    return [
        Figure("log.flips", float(counts["flips"]), "count", "higher", float(num_flips)),
        Figure("log.flips_missed", float(missed.total()), "count", "equal", 0.0, caveat=caveat),
        Figure("log.flips_placed", placed, "ratio", "higher", 0.99, caveat=where),
        Figure("log.flips_seconds", perf_counter() - started, "seconds", caveat="two processes"),
        Figure("log.damages", float(counts["damages"]), "count", "higher", float(num_damages)),
        Figure("log.damages_missed", float(damaged.total()), "count", "equal", 0.0, caveat=kinds),
    ]


def _of(counts: Counter[str], head: str) -> Counter[str]:
    return Counter({k.removeprefix(head): n for k, n in counts.items() if k.startswith(head)})


def count(part: tuple[Path, str, int, int, int]) -> Counter[str]:
    """Damage a copy of a run again and again; count what was not found, or not placed."""
    template, key, seed, num_flips, num_damages = part
    rng, counts = random.Random(seed), Counter[str]()  # noqa: S311 - repeatable, not secret
    trusted = [VerifierKey.parse(key)]
    run_dir = template.with_name(f"copy-{seed}")
    shutil.copytree(template, run_dir)
    files = sorted(
        path
        for path in run_dir.rglob("*")
        if path.is_file() and path.relative_to(run_dir).parts[0] != "private"
    )
    with remembered():
        for number in range(num_flips + num_damages):
            path = rng.choice(files)
            name, before = path.relative_to(run_dir).as_posix(), path.read_bytes()
            kind = "flip" if number < num_flips else rng.choice(sorted(DAMAGES))
            changed = _flip(before, rng) if kind == "flip" else DAMAGES[kind](before, rng)
            path.write_bytes(changed if changed != before else _flip(before, rng))
            report = check_run(run_dir, trusted)
            path.write_bytes(before)
            counts["flips" if kind == "flip" else "damages"] += 1
            if report.is_clean:
                counts[f"missed {name}" if kind == "flip" else f"damage missed {kind} {name}"] += 1
            elif kind == "flip" and not any(is_placed(name, item) for item in report.findings):
                counts[f"unplaced {name}"] += 1
    return counts


def is_placed(name: str, finding: Finding) -> bool:
    """Whether a finding is one of the check that a file is for, and names more than the file."""
    within = finding.place.startswith(f"{name}, ")
    if name.startswith("log/tile/"):
        return finding.code == "V106" and (within or finding.place.startswith("leaf "))
    if name.startswith("log/"):
        return finding.place == name and finding.code in {
            "V102", "V103", "V104", "V107", "V108", "V109", "V205",
        }  # fmt: skip
    if name == "manifest.json":  # what lists files is placed by entry, or by line
        return finding.code == "V306" and (
            finding.place != name
            or any(word in finding.observed for word in ("line ", "entry", "format", "position"))
        )
    return within and finding.code in {"V303", "V308"}


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _drop(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    return content[:place] + content[place + rng.choice((1, 8, 32)) :]


def _double(content: bytes, rng: random.Random) -> bytes:
    place, width = rng.randrange(len(content)), rng.choice((1, 8, 32))
    return content[: place + width] + content[place : place + width] + content[place + width :]


def _swap(content: bytes, rng: random.Random) -> bytes:
    width = rng.choice((1, 8, 32))
    first, second = sorted(rng.randrange(max(1, len(content) // width)) for _ in range(2))
    parts = [content[at : at + width] for at in range(0, len(content), width)]
    parts[first], parts[second] = parts[second], parts[first]
    return b"".join(parts)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


#: Kind -> what is done; a change that leaves the bytes as they are becomes a turned bit.
DAMAGES: dict[str, Damage] = {"cut": _cut, "double": _double, "drop": _drop, "swap": _swap}
