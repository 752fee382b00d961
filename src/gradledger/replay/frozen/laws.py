"""The laws of a stretch of steps, as its optimizer really took them, kept on the disk.

The recurrence of the adjoint runs from the last step to the first, while laws are only known by
executing forwards. A stretch between two stored states is therefore executed once to note them.
What is elementwise lies in one row per step; the rest is a few numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradledger.errors import ReplayError
from gradledger.recorder.attention import Attention
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.step import Step
from gradledger.replay.compare import Progress
from gradledger.replay.frozen.layout import Flat
from gradledger.replay.journal import RerunJournal
from gradledger.replay.recorded import RecordedRun
from gradledger.segment import make_folder, read_json, write_json
from gradledger.update import Realised

_LAWS: Final = "laws.json"
#: Files of rows, one row per step.
GRADIENT_SCALES: Final = "gradient-scales.bin"
CARRIED_SCALES: Final = "carried-scales.bin"
OPENING: Final = "opening-momentum.npz"


@dataclass(frozen=True)
class Law:
    """Numbers of one tensor's step; names as in ``gradledger.update.Realised``.

    Attributes:
        is_scaled: Whether the coefficient of the gradient has an elementwise scale.
        is_carried_scaled: Whether that of the momentum has one.
        is_shared: Whether both are the same.
    """

    gradient_factor: float
    history_factor: float
    retain: float
    intake: float
    coupled_decay: float
    decoupled_decay: float
    is_scaled: bool
    is_carried_scaled: bool
    is_shared: bool
    scaled_intake: bool

    @staticmethod
    def of(realised: Realised) -> Law:
        """Return the numbers of a realised law."""
        return Law(
            realised.gradient_factor,
            realised.history_factor,
            realised.retain,
            realised.intake,
            realised.coupled_decay,
            realised.decoupled_decay,
            realised.gradient_scale is not None,
            realised.carried_scale is not None,
            realised.carried_scale is realised.gradient_scale,
            realised.scaled_intake,
        )


class Noting(RerunJournal):
    """The journal that notes the law of every step of a stretch.

    Args:
        run: The recorded run.
        folder: Where to.
        progress: Called after every step.
    """

    def __init__(self, run: RecordedRun, folder: Path, progress: Progress) -> None:
        super().__init__(run, self)
        self._place, self._progress = folder, progress
        self._flat: Flat | None = None
        self._laws: dict[int, list[Law | None]] = {}
        self._opening: dict[str, NDArray[np.float64]] = {}

    def attention(self, *, visits: bool) -> Attention:
        """Look at what the optimizer does; visits are measured when the stretch is booked."""
        limited = self.is_limited()
        return Attention(visits=visits, deltas=False, finite=False, laws=True, profiles=limited)

    def book(
        self,
        recorder: Recorder,
        step: Step,
        sizes: Sequence[int],  # noqa: ARG002 - part of Observer
        routed: frozenset[int],  # noqa: ARG002
    ) -> None:
        """Note the law of a step."""
        if self._flat is None:
            self._flat = Flat(recorder.booker.tracked)
            make_folder(self._place)
            for name in (GRADIENT_SCALES, CARRIED_SCALES):
                (self._place / name).unlink(missing_ok=True)
        rows: dict[str, NDArray[np.floating]] = {}
        laws: list[Law | None] = []
        for place, entry in enumerate(self._flat.entries):
            realised = recorder.booker.realise(entry)
            if realised is None:
                laws.append(None)
                continue
            self._refuse_mixing(realised, recorder)
            law = Law.of(realised)
            laws.append(law)
            self._fill(rows, GRADIENT_SCALES, place, realised.gradient_scale)
            if not law.is_shared:
                self._fill(rows, CARRIED_SCALES, place, realised.carried_scale)
            if step.number == self.start + 1 and realised.momentum_before is not None:
                # A copy: the next step takes this memory over.
                carried = realised.momentum_before.detach().double().cpu().clone()
                self._opening[entry.name] = carried.numpy()
        for name in (GRADIENT_SCALES, CARRIED_SCALES):
            if name in rows or (self._place / name).exists():
                self._append(name, step.number, rows.get(name))
        self._laws[step.number] = laws

    def end_step(self, recorder: Recorder, step: Step) -> None:
        """Compare, and tell."""
        super().end_step(recorder, step)
        self._laws.setdefault(step.number, [])
        self._progress(step.number, self.stop)

    @property
    def flat(self) -> Flat:
        """Where the elements lie.

        Raises:
            ReplayError: No update happened in the whole stretch. Code R105.
        """
        if self._flat is None:
            raise ReplayError(
                "R105",
                observed=f"no update between the steps {self.start} and {self.stop}",
                expected="an update in each stretch between stored states",
                where=str(self.run.run_dir),
                hint="settle other intervals: --interval",
            )
        return self._flat

    def finish(self) -> None:
        """Write the numbers down."""
        make_folder(self._place)
        np.savez(self._place / OPENING, **self._opening)  # type: ignore[arg-type]
        write_json(
            self._place / _LAWS,
            {
                str(step): [None if law is None else asdict(law) for law in laws]
                for step, laws in self._laws.items()
            },
        )

    def _fill(
        self, rows: dict[str, NDArray[np.floating]], name: str, place: int, scale: Tensor | None
    ) -> None:
        if scale is None or self._flat is None:
            return
        if name not in rows:
            rows[name] = np.zeros(self._flat.num_elements, self._flat.dtype)
        rows[name][self._flat.parts[place]] = scale.detach().reshape(-1).cpu().numpy()

    def _append(self, name: str, step: int, row: NDArray[np.floating] | None) -> None:
        """Write a row at the place of its step."""
        if self._flat is None:
            return
        row = np.zeros(self._flat.num_elements, self._flat.dtype) if row is None else row
        path = self._place / name
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.seek((step - self.start - 1) * row.nbytes)
            file.write(row.tobytes())

    def _refuse_mixing(self, realised: Realised, recorder: Recorder) -> None:
        if realised.mixing is not None:
            raise ReplayError(
                "R107",
                observed=f"{type(recorder.optimizer).__name__}, which multiplies by a matrix",
                expected="an optimizer that acts element by element",
                where=str(self.run.run_dir),
                hint="settle the shares of displacement: --measure displacement",
            )


def read_laws(folder: Path) -> dict[int, list[Law | None]]:
    """Return the numbers that ``Noting`` wrote, by step."""
    return {
        int(step): [None if law is None else Law(**law) for law in laws]
        for step, laws in read_json(folder / _LAWS).items()
    }


def read_row(folder: Path, name: str, place: int, flat: Flat) -> Tensor:
    """Return one row of scales, in float64."""
    size = flat.num_elements * flat.dtype.itemsize
    with (folder / name).open("rb") as file:
        file.seek(place * size)
        row = np.frombuffer(file.read(size), flat.dtype)
    return torch.from_numpy(row.astype(np.float64))


def read_opening(folder: Path) -> dict[str, NDArray[np.float64]]:
    """Return the momentum that was carried into the first step, by tensor."""
    with np.load(folder / OPENING, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
