"""The course of each probe through a run: where it was measured, and where intervals end."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from gradledger.errors import ReplayError
from gradledger.probe import Probe
from gradledger.replay.recorded import RecordedRun
from gradledger.segment import read_table


@dataclass(frozen=True)
class SettledProbe:
    """What a settling pass found of one probe over the run.

    Attributes:
        num_intervals: Intervals between probed states.
        measured: Change of its value, nats.
        linear: Inner products of mean gradients with displacements, nats.
        explained: Sum of all lines, nats; equals ``linear`` but for rounding of the books.
        residual: ``measured`` less ``explained``: curvature within the intervals.
    """

    num_intervals: int
    measured: float
    linear: float
    explained: float
    residual: float


@dataclass(frozen=True)
class Course:
    """One probe with its recorded values.

    Attributes:
        probe: As supplied again.
        values: Step -> value in nats.
        ends: Probed steps of which the weights are stored, ascending: ends of its intervals.
    """

    probe: Probe
    values: dict[int, float]
    ends: tuple[int, ...]

    def start_of(self, step: int) -> int | None:
        """Return the start of the interval that a step lies in; None outside all."""
        place = bisect_left(self.ends, step)
        return self.ends[place - 1] if 0 < place < len(self.ends) else None

    def stop_of(self, start: int) -> int:
        """Return the end of the interval that begins after a step."""
        return self.ends[self.ends.index(start) + 1]

    def number_of(self, start: int) -> int:
        """Return the number of the interval that begins after a step."""
        return self.ends.index(start)


def courses(run: RecordedRun, probes: Sequence[Probe]) -> list[Course]:
    """Match the probes that were supplied again with the recorded ones.

    Raises:
        ReplayError: A probe was not recorded, is missing, or has other inputs. Code R121.
    """
    recorded = {entry["name"]: entry for entry in run.begin["settings"].get("probes", ())}
    supplied = {probe.name: probe for probe in probes}
    for name in sorted(recorded.keys() ^ supplied.keys()):
        raise _differs(
            run,
            f"probe {name!r} {'not recorded' if name in supplied else 'not supplied'}",
            "the probes of the record: " + (", ".join(map(repr, recorded)) or "none"),
        )
    for name, probe in supplied.items():
        if probe.digest != recorded[name]["inputs_digest"]:
            raise _differs(
                run,
                f"inputs {probe.digest[:16]} of probe {name!r}",
                f"inputs {recorded[name]['inputs_digest'][:16]}, as recorded",
            )
    rows = read_table(run.run_dir, "probes/values").to_pylist()
    found = []
    for name in recorded:
        values = {row["step"]: row["value"] for row in rows if row["probe"] == name}
        ends = tuple(step for step in sorted(values) if run.weights_path(step).exists())
        found.append(Course(supplied[name], values, ends))
    return found


def _differs(run: RecordedRun, observed: str, expected: str) -> ReplayError:
    return ReplayError(
        "R121",
        observed=observed,
        expected=expected,
        where=str(run.run_dir),
        hint="supply the probes that the run was recorded with, with the same inputs",
    )
