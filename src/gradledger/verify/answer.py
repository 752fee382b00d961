"""Compare an answer to a challenge with what the run records of the drawn steps; needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradledger.canon import parse_json
from gradledger.errors import GradledgerError
from gradledger.segment import cannot_read, read_json, read_table
from gradledger.verify.challenge import parse_challenge, wrong_draw
from gradledger.verify.finding import Finding

ANSWER_FORMAT: Final = "gradledger.answer/1"
#: Where another machine executed: how far a figure may be from the recorded one, as a part of the
#: largest one of its kind in the step.
_NEAR: Final = 1e-3
_MEASURES: Final = ("align", "gnorm")
_PLACES: Final = ("micro_batch", "position", "example", "decision")


def check_answer(run_dir: Path, path: Path) -> list[Finding]:
    """Check an answer: the draw, that every drawn step is answered, and each against the record.

    Args:
        run_dir: The run.
        path: The answer.

    Returns:
        What does not agree; empty where everything does.

    Raises:
        StorageError: A file cannot be read. Code S113.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error
    try:
        answer = parse_json(content, str(path))
        challenge = parse_challenge(answer["challenge"], str(path))
        found = {int(step["step"]): step for step in answer["steps"]}
        compared = list(_check(run_dir, path.name, challenge, found))
        known = answer["format"] == ANSWER_FORMAT
    except (GradledgerError, KeyError, TypeError, ValueError) as error:
        observed = error.observed if isinstance(error, GradledgerError) else repr(error)
        return [Finding("V871", path.name, observed[:300], f"an {ANSWER_FORMAT}")]
    if not known:
        compared = [Finding("V871", path.name, f"{answer['format']!r:.60}", ANSWER_FORMAT)]
    return compared


def _check(
    run_dir: Path, name: str, challenge: Mapping[str, Any], answered: Mapping[int, Any]
) -> Iterator[Finding]:
    for observed, expected in wrong_draw(run_dir, challenge):
        yield Finding("V872", name, observed, expected)
    missing = sorted(set(challenge["steps"]) - answered.keys())
    if missing:
        yield Finding("V873", name, f"no answer to steps {missing!s:.100}", "every drawn step")
    record = _Record(run_dir)
    for step in challenge["steps"]:
        if step in answered:
            yield from record.compare(step, answered[step])


class _Record:
    """What a run records of its steps."""

    def __init__(self, run_dir: Path) -> None:
        names = ["step", "fingerprint_before", "fingerprint_after"]
        self._steps = {row["step"]: row for row in read_table(run_dir, "steps", names).to_pylist()}
        #: What the record was rounded by on purpose, as a part of each figure.
        self._rounding = _rounding(run_dir)
        self._visits = _by_step(read_table(run_dir, "visits").to_pylist())
        self._books = _by_step(read_table(run_dir, "books").to_pylist())

    def compare(self, step: int, answer: Mapping[str, Any]) -> Iterator[Finding]:
        """Give what the record of a step says otherwise than its execution."""
        place = f"step {step}"
        recorded = self._steps.get(step, {})
        same = True
        for side in ("before", "after"):
            said, found = recorded.get(f"fingerprint_{side}"), answer[f"fingerprint_{side}"]
            if said != found:
                same = False
                observed = f"fingerprint {said} {side} the step"
                yield Finding("V874", place, observed, f"{found}, as executed again")
        visits = sorted(self._visits.get(step, []), key=_place)
        executed = sorted(answer["visits"], key=_place)
        if [_who(row) for row in visits] != [_who(row) for row in executed]:
            odd = _first_odd([_who(row) for row in visits], [_who(row) for row in executed])
            yield Finding("V875", place, f"visit {odd[0]!s:.120}", f"{odd[1]!s:.120}, as executed")
            return
        near = 0.0 if same else _NEAR
        yield from _figures(place, visits, executed, max(near, self._rounding))
        yield from _lines(place, self._books.get(step, []), answer["books"], near)


def _rounding(run_dir: Path) -> float:
    bits = read_json(run_dir / "run.json")["settings"].get("visit_bits")
    return 0.0 if bits is None else 2.0 ** -(int(bits) + 1)


def _figures(
    place: str, visits: Sequence[Any], executed: Sequence[Any], near: float
) -> Iterator[Finding]:
    for measure in _MEASURES:
        if not executed or measure not in executed[0]:
            continue
        found = np.asarray([row[measure] for row in executed], np.float64)
        said = np.asarray(
            [[row.get(f"{measure}_{n}") for n in range(found.shape[1])] for row in visits],
            np.float64,
        )
        scale = np.nanmax(np.abs(found), axis=0, initial=0.0, where=~np.isnan(found))
        apart = np.abs(said - found)
        wrong = ~((apart <= near * scale) | (np.isnan(said) & np.isnan(found)))
        for visit, group in zip(*np.nonzero(wrong), strict=True):
            where = f"{place}, {measure} of example {visits[visit]['example']} on group {group}"
            observed, expected = said[visit, group], found[visit, group]
            yield Finding("V876", where, f"{observed:.9g}", f"{expected:.9g}, as executed again")
            break  # One figure of a kind is enough to know; the rest follows the same cause.


def _lines(
    place: str, booked: Sequence[Mapping[str, Any]], executed: Sequence[Any], near: float
) -> Iterator[Finding]:
    by_group = {row["group"]: row for row in booked}
    for row in executed:
        said = by_group.get(row["group"], {})
        for name, value in row.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            other = said.get(name)
            if isinstance(other, int | float) and math.isfinite(other):
                scale = max(abs(value), abs(float(row.get("delta_norm") or 0.0)) ** 2)
                if abs(other - value) <= near * scale:
                    continue
            where = f"{place}, {name} of group {row['group']}"
            yield Finding("V876", where, f"{other}", f"{value}, as executed again")
            break


def _by_step(rows: Sequence[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["step"], []).append(row)
    return found


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    return int(row["micro_batch"]), int(row["position"])


def _who(row: Mapping[str, Any]) -> tuple[Any, ...]:
    digest = row["digest"]
    return (
        *(int(row[name]) for name in _PLACES),
        digest if isinstance(digest, str) else digest.hex(),
    )


def _first_odd(said: Sequence[Any], found: Sequence[Any]) -> tuple[Any, Any]:
    for one, other in zip(said, found, strict=False):
        if one != other:
            return one, other
    return f"{len(said)} visits", f"{len(found)} visits"
