"""What the visits and lines of each step did along the displacement, by their frozen adjoint.

Shape legend: K intervals that the stretch lies in, V visits of a step, G parameter groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradledger.recorder.recorder import Recorder
from gradledger.recorder.step import Step
from gradledger.recorder.tracked import Tracked
from gradledger.replay.compare import Progress
from gradledger.replay.frozen.layout import Flat
from gradledger.replay.frozen.sweep import ENTRIES
from gradledger.replay.journal import RerunJournal
from gradledger.replay.recorded import RecordedRun
from gradledger.schema import FROZEN_LINES
from gradledger.update import Realised, clip_factor, precision_of, two_ulp

Floats = NDArray[np.float64]


class Booking(RerunJournal):
    """The journal that books a stretch.

    Args:
        run: The recorded run.
        folder: Of the stretch, with e of every step.
        opening: Adjoints of the parameters at its start, one per interval, flat.
        progress: Called after every step.

    Attributes:
        dots: Step -> shape (K, V, G).
        lines: Step -> rows (interval, group, line, value).
    """

    def __init__(
        self, run: RecordedRun, folder: Path, opening: Sequence[Tensor], progress: Progress
    ) -> None:
        super().__init__(run, self)
        self._place, self._progress = folder, progress
        self._theta = [vector.clone() for vector in opening]
        self._flat: Flat | None = None
        self._now: list[tuple[int, int, int, float]] = []
        self.dots: dict[int, Floats] = {}
        self.lines: dict[int, Floats] = {}

    @torch.no_grad()
    def book(
        self,
        recorder: Recorder,
        step: Step,
        sizes: Sequence[int],
        routed: frozenset[int],  # noqa: ARG002 - part of Observer
    ) -> None:
        """Take inner products of this step's gradients and lines with the adjoint."""
        if self._flat is None:
            self._flat = Flat(recorder.booker.tracked)
        rows = self._read(step.number, self._flat)
        dots = np.zeros((len(rows), sum(sizes), len(recorder.booker.tracked)))
        self._now = []
        for place, (column, entry) in enumerate(
            zip(self._flat.columns, self._flat.entries, strict=True)
        ):
            realised = recorder.booker.realise(entry)
            if realised is not None:
                part = self._flat.parts[place]
                pulls = [row[part].view_as(entry.parameter) for row in rows]
                dots[:, :, column] += self._book(
                    recorder, entry, realised, sizes, pulls, (column, part)
                )
        self.dots[step.number] = dots
        self.lines[step.number] = np.asarray(self._now, np.float64).reshape(-1, 4)

    def end_step(self, recorder: Recorder, step: Step) -> None:
        """Compare, and tell."""
        super().end_step(recorder, step)
        self._progress(step.number, self.stop)

    def _read(self, step: int, flat: Flat) -> list[Tensor]:
        size = flat.num_elements * flat.dtype.itemsize
        count = len(self._theta)
        with (self._place / ENTRIES).open("rb") as file:
            file.seek((step - self.start - 1) * count * size)
            found = np.frombuffer(bytearray(file.read(count * size)), flat.dtype)
        return list(torch.from_numpy(found.reshape(count, -1)))

    def _book(
        self,
        recorder: Recorder,
        entry: Tracked,
        realised: Realised,
        sizes: Sequence[int],
        pulls: Sequence[Tensor],
        where: tuple[int, slice],
    ) -> Floats:
        """Book one tensor; return the inner products of its visits, (K, V)."""
        booker, sign = recorder.booker, realised.sign
        device, compute = entry.parameter.device, precision_of(entry.parameter.dtype).compute
        used, raw = booker.gradient(entry), entry.raw
        kappa = clip_factor(used, raw)[0]
        dots = np.zeros((len(pulls), sum(sizes)))
        wide_raw = raw.double().cpu()
        parts = {"frozen_edits": sign * (used.double().cpu() - kappa * wide_raw)}
        if entry.captured:
            weights = [sign * pull.to(device, compute) for pull in pulls]
            visits = booker.measure(entry, sizes, realised, *weights)
            dots = kappa * visits.dots
            total = visits.total.double().cpu()
            parts["frozen_contributions"] = sign * kappa * total
            parts["frozen_gap"] = sign * kappa * (wide_raw - total)
        else:
            parts["frozen_unattributed"] = sign * kappa * wide_raw
        asked = sign * used.double().cpu() + realised.coupled_decay * _wide(entry.theta_before)
        rest = _rest(entry, realised, asked)
        column, span = where
        for place, pull in enumerate(pulls):
            flat_pull = pull.double().reshape(-1)
            for line, part in parts.items():
                self._add(place, column, line, flat_pull, part)
            theta = self._after(place, span, realised, flat_pull)
            for line, part in rest.items():
                self._add(place, column, line, theta, part)
            drift = _momentum_rounding(realised, asked, flat_pull, theta)
            self._now.append((place, column, FROZEN_LINES.index("frozen_rounding"), drift))
        return dots

    def _after(self, place: int, span: slice, law: Realised, pull: Tensor) -> Tensor:
        """Carry the adjoint of the parameters over the step, forwards: its recurrence inverted."""
        theta = self._theta[place][span]
        theta = (theta - law.coupled_decay * pull) / (1.0 - law.decoupled_decay)
        self._theta[place][span] = theta
        return theta

    def _add(self, place: int, column: int, line: str, pull: Tensor, part: Tensor) -> None:
        value = float(torch.dot(pull, part.reshape(-1)))
        if value:
            self._now.append((place, column, FROZEN_LINES.index(line), value))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().double().cpu()


def _rest(entry: Tracked, law: Realised, asked: Tensor) -> dict[str, Tensor]:
    """Return what a step did beside its affine law: non-linear part, rounding, and the rest."""
    before, after = _wide(entry.theta_before), _wide(entry.parameter)
    lawful = _coefficient(law.gradient) * asked - law.decoupled_decay * before
    if law.momentum_before is not None:
        lawful = lawful + _coefficient(law.history) * _wide(law.momentum_before)
    remainder = torch.zeros_like(before) if law.remainder is None else _wide(law.remainder)
    rest = after - before - lawful - remainder
    stored = [x.detach().reshape(-1).cpu() for x in (entry.theta_before, entry.parameter)]
    rows = torch.empty(2, rest.numel(), dtype=precision_of(stored[0].dtype).compute)
    limit = two_ulp(stored[0], stored[1], rows[0], rows[1]).double().view_as(rest)
    rounding = torch.clamp(rest, min=-limit, max=limit)
    return {
        "frozen_remainder": remainder,
        "frozen_rounding": rounding,
        "frozen_residual": rest - rounding,
    }


def _momentum_rounding(law: Realised, asked: Tensor, pull: Tensor, theta: Tensor) -> float:
    """Return what rounding within the momentum buffer did: its adjoint, from e = C Q + intake F."""
    if law.momentum_after is None or not law.intake:
        return 0.0
    intake: float | Tensor = law.intake
    if law.scaled_intake and law.gradient_scale is not None:
        intake = law.intake * _wide(law.gradient_scale)
    drift = _wide(law.momentum_after) - intake * asked
    if law.momentum_before is not None:
        drift = drift - law.retain * _wide(law.momentum_before)
    coefficient = _coefficient(law.gradient)
    flat = coefficient.reshape(-1) if isinstance(coefficient, Tensor) else coefficient
    adjoint = (pull - flat * theta) / (intake.reshape(-1) if isinstance(intake, Tensor) else intake)
    return float(torch.dot(torch.nan_to_num(adjoint, 0.0, 0.0, 0.0), drift.reshape(-1)))


def _coefficient(value: float | Tensor) -> float | Tensor:
    return _wide(value) if isinstance(value, Tensor) else value
