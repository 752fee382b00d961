"""Spot checks: which steps an auditor's seed draws, and whether an answer to them agrees.

The seed is given after the checkpoint was signed. The draw hashes both, so that whoever wrote the
run could not know which steps would be asked for, and whoever asks cannot choose them either. What
a draw of N among T steps is worth: a fraud that touches K steps stays unseen with probability
C(T-K, N) / C(T, N).

Source: sampling without replacement, the hypergeometric law; bytes drawn by SHA-256 in counter
mode, numbers by rejection.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from gradledger.errors import GradledgerError, LogError, ReplayError
from gradledger.log import LogReader
from gradledger.segment import read_json

CHALLENGE_FORMAT: Final = "gradledger.challenge/1"
#: Shares of the steps for which the probability of finding a fraud is told.
SHARES: Final = (0.01, 0.05, 0.1, 0.25)

_DOMAIN: Final = b"gradledger challenge 1\n"
_WORD_BYTES: Final = 8


def draw_steps(
    seed: str, origin: str, size: int, root: str, num_steps: int, count: int
) -> list[int]:
    """Return the steps that a seed draws, ascending.

    Args:
        seed: The auditor's; any text.
        origin: Name of the log.
        size: Tree size of the checkpoint.
        root: Its root hash, hexadecimal.
        num_steps: Steps of the run.
        count: How many are drawn; all of them where there are no more.
    """
    head = _DOMAIN + "\n".join((seed, origin, str(size), root, str(num_steps))).encode() + b"\n"
    # Numbers above the last whole multiple would make small steps more likely.
    limit = (1 << 8 * _WORD_BYTES) // max(num_steps, 1) * num_steps
    drawn: set[int] = set()
    counter = 0
    while len(drawn) < min(count, num_steps):
        word = hashlib.sha256(head + str(counter).encode()).digest()[:_WORD_BYTES]
        number = int.from_bytes(word, "big")
        if number < limit:
            drawn.add(1 + number % num_steps)
        counter += 1
    return sorted(drawn)


def chance_of_finding(num_steps: int, num_drawn: int, num_touched: int) -> float:
    """Return the probability that a draw hits at least one of the touched steps, 0 to 1."""
    if num_touched <= 0 or num_drawn <= 0:
        return 0.0
    if num_drawn + num_touched > num_steps:
        return 1.0
    unseen = Fraction(
        math.comb(num_steps - num_touched, num_drawn), math.comb(num_steps, num_drawn)
    )
    return float(1 - unseen)


def chances(num_steps: int, num_drawn: int) -> list[tuple[int, float, float]]:
    """Return touched steps, their share of all, and the probability of finding them."""
    counts = [1, *(math.ceil(share * num_steps) for share in SHARES)]
    return [
        (count, count / num_steps, chance_of_finding(num_steps, num_drawn, count))
        for count in sorted(set(counts))
    ]


def make_challenge(run_dir: Path, seed: str, count: int) -> dict[str, Any]:
    """Return a challenge: seed, checkpoint and the steps that they draw.

    Args:
        run_dir: The closed run, with a log.
        seed: The auditor's.
        count: Steps to draw, at least 1.

    Raises:
        LogError: The run has no log. Code L132.
        ReplayError: Less than one step is asked for, or no seed is given. Code R146.
        StorageError: The run is not closed. Code S113.
    """
    if count < 1 or not seed.strip():
        raise ReplayError(
            "R146",
            observed=f"{count} steps, seed {seed!r:.60}",
            expected="at least 1 step, and a seed that the auditor chose",
            where="challenge",
        )
    reader = LogReader(run_dir)
    num_steps = int(read_json(run_dir / "end.json")["num_steps"])
    root = reader.root(reader.size).hex()
    steps = draw_steps(seed, reader.origin, reader.size, root, num_steps, count)
    return {
        "format": CHALLENGE_FORMAT,
        "run_id": read_json(run_dir / "run.json")["run_id"],
        "seed": seed,
        "count": count,
        "log": {
            "origin": reader.origin,
            "size": reader.size,
            "root": root,
            "signed": reader.signed,
        },
        "num_steps": num_steps,
        "steps": steps,
    }


def read_challenge(path: Path) -> dict[str, Any]:
    """Return a challenge that stands in a file.

    Raises:
        ReplayError: It is not one. Code R146.
        StorageError: It cannot be read. Code S113.
    """
    return parse_challenge(read_json(path), str(path))


def wrong_draw(run_dir: Path, challenge: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give what is not right about a challenge to a run: observed and expected."""
    log = challenge["log"]
    try:
        reader = LogReader(run_dir)
        root = reader.root(int(log["size"])).hex()
    except (LogError, ValueError) as error:
        observed = error.observed if isinstance(error, GradledgerError) else str(error)
        yield observed, f"a log of tree size {log['size']}"
        return
    if (reader.origin, root) != (log["origin"], log["root"]):
        yield f"root {log['root']} of {log['origin']}", f"{root} of {reader.origin}"
    num_steps = int(read_json(run_dir / "end.json")["num_steps"])
    if num_steps != challenge["num_steps"]:
        yield f"{challenge['num_steps']} steps", f"{num_steps}, as in end.json"
    wanted = draw_steps(
        challenge["seed"], reader.origin, int(log["size"]), root, num_steps, challenge["count"]
    )
    if list(challenge["steps"]) != wanted:
        yield f"steps {challenge['steps']!s:.100}", f"{wanted!s:.100}, as the seed draws"


def parse_challenge(record: Any, where: str) -> dict[str, Any]:
    """Return a challenge that stands in an answer.

    Raises:
        ReplayError: It is not one. Code R146.
    """
    try:
        steps: Sequence[Any] = record["steps"]
        sound = (
            record["format"] == CHALLENGE_FORMAT
            and isinstance(record["seed"], str)
            and all(type(step) is int for step in [*steps, record["count"], record["num_steps"]])
            and isinstance(record["log"]["root"], str)
            and type(record["log"]["size"]) is int
        )
    except (KeyError, TypeError):
        sound = False
    if not sound:
        raise ReplayError(
            "R146",
            observed="another document",
            expected=f"a {CHALLENGE_FORMAT}",
            where=where,
            hint="make one: gradledger challenge RUN --seed SEED --steps N",
        )
    return dict(record)
