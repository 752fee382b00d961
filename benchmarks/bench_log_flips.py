"""Every one of 20,000 changes to the files of a signed run is found by verification.

Caveat: one bit, or one byte, row of bytes or file dropped, doubled, swapped or cut, in a run of 4
steps; the folder of private salts is left out, since nothing commits to it on purpose. Runs for
half an hour: it belongs to the soak.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figure import Figure
from benchmarks.small_signed_run import make_small_run

from gradledger.log import VerifierKey
from gradledger.verify import check_run

NUM_CHANGES, NUM_PROCESSES, SEED = 20_000, 2, 11

Damage = Callable[[bytes, random.Random], bytes]


def measure(num_changes: int = NUM_CHANGES) -> list[Figure]:
    """Count the changes that were not found."""
    with TemporaryDirectory() as folder:
        run_dir, key = make_small_run(Path(folder))
        parts = [
            (run_dir, str(key.verifier), SEED + place, num_changes // NUM_PROCESSES)
            for place in range(NUM_PROCESSES)
        ]
        with ProcessPoolExecutor(NUM_PROCESSES, mp_context=get_context("spawn")) as pool:
            missed = sum(pool.map(count_missed, parts), Counter[str]())
    caveat = f"{len(DAMAGES)} kinds of damage; missed: {dict(missed) or 'none'}"
    return [
        Figure("log.flips", float(num_changes), "count", "higher", float(NUM_CHANGES)),
        Figure("log.flips_missed", float(missed.total()), "count", "equal", 0.0, caveat=caveat),
    ]


def count_missed(part: tuple[Path, str, int, int]) -> Counter[str]:
    """Damage a copy of a run again and again; return kind and file of what was not found."""
    template, key, seed, count = part
    rng, missed = random.Random(seed), Counter[str]()  # noqa: S311 - repeatable, not secret
    trusted = [VerifierKey.parse(key)]
    run_dir = template.with_name(f"copy-{seed}")
    shutil.copytree(template, run_dir)
    files = sorted(
        path
        for path in run_dir.rglob("*")
        if path.is_file() and path.relative_to(run_dir).parts[0] != "private"
    )
    for _ in range(count):
        path, name = rng.choice(files), rng.choice(sorted(DAMAGES))
        before = path.read_bytes()
        changed = DAMAGES[name](before, rng)
        if changed == before:
            changed = _flip(before, rng)
        path.write_bytes(changed)
        if check_run(run_dir, trusted).is_clean:
            missed[f"{name} in {path.relative_to(run_dir)}"] += 1
        path.write_bytes(before)
    return missed


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


#: Kind -> what is done; a change that leaves the bytes as they are becomes a flipped bit.
DAMAGES: dict[str, Damage] = {
    "cut": _cut,
    "double": _double,
    "drop": _drop,
    "flip": _flip,
    "swap": _swap,
}
