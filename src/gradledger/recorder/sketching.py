"""Entry sketches: k numbers per visit and group that stand for the whole accrual entry.

The entry is u_v = -A s kappa gamma_v; its sketch is linear, so sketches add up over tensors, visits
and steps, and answer any later vector q by <S u_v, S q>. Rows are kept as signed bytes with one
scale each. A budget of bytes is kept by thinning: whenever half of what is left has been used, only
every second of the steps that were sketched so far is sketched from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradledger.errors import InputError
from gradledger.gradient import Use
from gradledger.recorder.groups import Group
from gradledger.recorder.tracked import Tracked
from gradledger.state import Projection
from gradledger.update import Realised

if TYPE_CHECKING:
    from gradledger.recorder.booking import Booker

__all__ = ["SIZES", "Sketcher", "Sketching"]

#: Sizes of a sketch that the row format knows.
SIZES: Final = (64, 128, 256, 512, 1024)

#: Elements that are projected at a time.
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Sketching:
    """What is sketched, when, and how much room it may take.

    Attributes:
        size: k: numbers per visit and group, one of ``SIZES``.
        groups: Patterns over group names; others are not sketched.
        every: Sketch every so many steps.
        passes: Passes over loaders that are sketched, counted from 0; negative ones from the end of
            ``num_passes``. Empty for all: ``(0, -1)`` is the first and the last.
        num_passes: How many passes there will be, where a negative one is named.
        budget_bytes: Room for sketches; 0 for no limit.
        seed: Of the projections; the run's own where empty.
    """

    size: int = 256
    groups: tuple[str, ...] = ("*",)
    every: int = 1
    passes: tuple[int, ...] = ()
    num_passes: int = 0
    budget_bytes: int = 0
    seed: str = ""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing. Code I104."""
        negative = any(number < 0 for number in self.passes)
        checks = {
            f"size={self.size}": self.size in SIZES,
            f"every={self.every}": self.every >= 1,
            f"budget_bytes={self.budget_bytes}": self.budget_bytes >= 0,
            f"passes={self.passes} without num_passes": not negative or self.num_passes > 0,
        }
        for observed, fits in checks.items():
            if not fits:
                raise InputError(
                    "I104",
                    observed=observed,
                    expected=f"a size of {', '.join(map(str, SIZES))}; every of 1 or more; "
                    "num_passes where a pass is counted from the end",
                    where="gl.record(sketching=...)",
                )

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> Sketching:
        """Return settings from what a user wrote.

        Raises:
            InputError: A name is not known, or a value means nothing. Code I104.
        """
        known = [entry.name for entry in fields(cls)]
        for name in given or {}:
            if name not in known:
                raise InputError(
                    "I104",
                    observed=f"sketching={{{name!r}: ...}}",
                    expected=f"names among {', '.join(known)}",
                    where="gl.record",
                )
        lists = {name: tuple((given or {}).get(name, ())) for name in ("groups", "passes")}
        return cls(**{**(given or {}), **{name: value for name, value in lists.items() if value}})

    @classmethod
    def of(cls, recorded: Mapping[str, Any], run_id: str) -> Sketching:
        """Return recorded settings; where no seed was given, the run's identifier is it."""
        lists = {name: tuple(recorded[name]) for name in ("groups", "passes")}
        return cls(**{**recorded, **lists, "seed": recorded["seed"] or run_id})

    def record(self) -> dict[str, Any]:
        """Return the settings as the run's record has them."""
        return asdict(self) | {"groups": list(self.groups), "passes": list(self.passes)}


@dataclass
class Sketcher:
    """Sketches the visits of the steps that are due.

    Attributes:
        settings: What, when, how much.
        wanted: Place of every sketched group among all groups -> its number.
        num_rows: Visits that were sketched.
        num_bytes: Room that they take, scales included.
        dropped_visits: Visits that the schedule wanted and the budget left out.
        thinned_at: Steps at which every second step was given up.
    """

    settings: Sketching
    wanted: dict[int, int]
    num_rows: int = 0
    num_bytes: int = 0
    dropped_visits: int = 0
    thinned_at: list[int] = field(default_factory=list)
    _projections: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _sums: dict[int, Tensor] = field(default_factory=dict)
    _stride: int = 1

    @classmethod
    def of(cls, settings: Sketching, groups: Sequence[Group]) -> Sketcher:
        """Prepare for the groups of a run; projections are drawn when they are first used."""
        wanted = {
            place: group.record.group
            for place, group in enumerate(groups)
            if any(fnmatchcase(group.record.name, pattern) for pattern in settings.groups)
        }
        return cls(settings, wanted)

    @property
    def row_bytes(self) -> int:
        """Bytes of one visit: its sketches, their scales, and where it was."""
        return len(self.wanted) * (self.settings.size + 4) + 16

    def begin(self, step: int, number_of_pass: int, num_visits: int) -> bool:
        """Decide whether a step is sketched, and make room for it."""
        self._sums = {}
        if not self.wanted or not self._scheduled(step, number_of_pass):
            return False
        budget = self.settings.budget_bytes
        needed = num_visits * self.row_bytes
        turn = (step // self.settings.every) % self._stride == 0
        if budget and (not turn or self.num_bytes + needed > budget):
            self.dropped_visits += num_visits
            return False
        self.num_rows, self.num_bytes = self.num_rows + num_visits, self.num_bytes + needed
        if budget and self.num_bytes > budget * (1.0 - 0.5 ** (len(self.thinned_at) + 1)):
            self.thinned_at.append(step)
            self._stride *= 2
        self._sums = {place: torch.zeros(num_visits, self.settings.size) for place in self.wanted}
        return True

    def add_group(
        self, booker: Booker, place: int, entries: Sequence[Tracked], sizes: Sequence[int]
    ) -> None:
        """Add the entries of all visits on the tensors of a group."""
        for entry in entries if place in self._sums else ():
            realised = booker.realise(entry)
            if realised is not None and entry.captured:
                kappa = booker.clip_factor(entry)
                self.add(place, entry, booker.capture.uses, sizes, realised, kappa)

    def add(
        self,
        place: int,
        entry: Tracked,
        uses_of: Callable[[nn.Parameter], Sequence[Use]],
        sizes: Sequence[int],
        realised: Realised,
        kappa: float,
    ) -> None:
        """Add the entries of all visits on one tensor to the sketches of its group."""
        if place not in self._sums:
            return
        order, signs = self._projection(entry)
        factor = -realised.incurred_factor * realised.sign * kappa
        scale, half = realised.gradient_scale, self.settings.size // 2
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        for use in uses_of(entry.parameter):
            form, sums = use.form, self._sums[place]
            weights = torch.ones(form.num_rows) if use.weights is None else use.weights
            rows = torch.arange(form.num_rows) if use.rows is None else use.rows.cpu()
            rows = rows + int(offsets[use.micro_batch])
            step = max(1, _CHUNK // max(1, form.num_elements))
            for start in range(0, form.num_rows, step):
                stop = min(form.num_rows, start + step)
                values = form.chunk(start, stop).float()
                values = values * (weights[start:stop].to(values) * factor)[:, None]
                if realised.mixing is not None:
                    values = realised.mixed(values.view(-1, *entry.raw.shape)).flatten(1).float()
                if scale is not None:
                    values = values * scale.reshape(-1).float()
                sums.index_add_(0, rows[start:stop], _projected(values, order, signs, half).cpu())

    @property
    def is_due(self) -> bool:
        """Whether the step at hand is sketched."""
        return bool(self._sums)

    def column_types(self) -> dict[str, str]:
        """Return the columns of a sketched visit with their logical types."""
        types: dict[str, str] = {}
        for number in self.wanted.values():
            types |= {
                f"sketch_{number}": f"bytes{self.settings.size}",
                f"scale_{number}": "float32",
            }
        return types

    def columns(self) -> dict[str, NDArray[Any]]:
        """Hand over the sketches of the step as columns: bytes and scales by group number."""
        columns: dict[str, NDArray[Any]] = {}
        for place, number in self.wanted.items():
            values = self._sums[place].numpy()
            scale = np.abs(values).max(1) / 127.0
            # Rounded up or down by chance, so that what many small numbers say is not lost.
            whole = np.floor(
                values / np.where(scale > 0, scale, 1.0)[:, None] + self._dither(place)
            )
            whole = np.clip(whole, -127, 127)
            columns[f"sketch_{number}"] = whole.astype(np.int8).view(np.uint8)
            columns[f"scale_{number}"] = scale.astype(np.float32)
        self._sums = {}
        return columns

    def totals(self) -> dict[str, Any]:
        """Say what was kept and what was dropped, for the end of the run."""
        return {
            "sketches": {
                "visits": self.num_rows,
                "bytes": self.num_bytes,
                "dropped_visits": self.dropped_visits,
                "thinned_after_steps": list(self.thinned_at),
            }
        }

    def _dither(self, place: int) -> NDArray[np.float64]:
        generator = np.random.Generator(np.random.Philox(key=self.num_rows, counter=place))
        return generator.random(tuple(self._sums[place].shape))

    def _scheduled(self, step: int, number_of_pass: int) -> bool:
        chosen = self.settings.passes
        if chosen:
            wanted = {n if n >= 0 else n + self.settings.num_passes for n in chosen}
            if number_of_pass not in wanted:
                return False
        return step % self.settings.every == 0 or (self.settings.every > 1 and step == 1)

    def _projection(self, entry: Tracked) -> tuple[Tensor, Tensor]:
        key = id(entry.parameter)
        if key not in self._projections:
            settings = self.settings
            found = Projection(settings.seed, entry.name, entry.raw.numel(), settings.size)
            device = entry.raw.device
            pair = torch.from_numpy(found.order).to(device), torch.from_numpy(found.signs)
            self._projections[key] = pair[0], pair[1].to(device)
        return self._projections[key]


def _projected(rows: Tensor, order: Tensor, signs: Tensor, half: int) -> Tensor:
    """Return S x of every row: both halves side by side, rows x k."""
    padded = torch.nn.functional.pad(rows, (0, order.shape[1] - rows.shape[1]))
    halves = [
        (padded.index_select(1, places) * sign).view(len(rows), -1, half).sum(1)
        for places, sign in zip(order, signs, strict=True)
    ]
    return torch.cat(halves, 1).mul_(0.5**0.5)
