"""Row probe: find out whether each captured module keeps one row per visit.

Sums of contributions would balance even if rows were mixed up, so row identity is checked by
experiment at the first step: the content of the first visit is replaced by that of the second,
the model's forward pass is repeated with the same random numbers, and every captured module must
show a change in the first visit's rows alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from gradledger.errors import GradientError
from gradledger.gradient import Unit, row_axis
from gradledger.state.torch_state import preserved_rng


class RowProbe:
    """Notes what the captured modules read in the first forward pass, then repeats it changed.

    Attributes:
        units: The captured modules.
    """

    def __init__(self, model: nn.Module, units: Sequence[Unit]) -> None:
        self._model, self.units = model, units

    def run(self, args: Any, kwargs: Mapping[str, Any], num_rows: int) -> dict[str, str]:
        """Repeat the forward pass twice, unchanged and with the first row replaced.

        Args:
            args: Positional arguments of the model's forward pass.
            kwargs: Keyword arguments.
            num_rows: Visits in the batch; fewer than two cannot be probed.

        Returns:
            Path of each module whose rows other than the first visit's changed -> what was seen.
            The model itself stands there where nothing that it reads counts the visits.
        """
        if num_rows <= 1:
            return {}
        if not self._rows_in((args, kwargs), num_rows):
            return {"": f"no input of the model with {num_rows} visits on its first axis"}
        before: dict[int, list[Tensor]] = {}
        self._forward(args, kwargs, lambda unit, x: _keep(before, unit, x))
        changed_args, changed_kwargs = tree_map(
            lambda leaf: _replace_first(leaf, num_rows), (args, dict(kwargs))
        )
        findings: dict[str, str] = {}

        def compare(unit: Unit, new: Tensor) -> None:
            """Compare with the first pass at once, and let go of what that one read."""
            if not before.get(id(unit.module)):
                return
            old, axis = before[id(unit.module)].pop(0), row_axis(unit.module)
            if reason := _mixed(_rows_to_front(old, axis), _rows_to_front(new, axis), num_rows):
                findings[unit.path] = reason
            elif _same_for_all_visits(old, new, num_rows):
                findings[unit.path] = (
                    f"an input of shape {tuple(old.shape)} that holds positions, not visits; "
                    "give it a first axis of one, such as positions[None]"
                )

        self._forward(changed_args, changed_kwargs, compare)
        # In the order of the model, whichever module ran first.
        return {u.path: findings[u.path] for u in self.units if u.path in findings}

    @staticmethod
    def _rows_in(values: Any, num_rows: int) -> bool:
        return any(_entries_per_row(leaf, num_rows) > 0 for leaf in tree_flatten(values)[0])

    def _forward(
        self, args: Any, kwargs: Mapping[str, Any], seen: Callable[[Unit, Tensor], None]
    ) -> None:
        """Run forward without autograd; leave random numbers and buffers as they were.

        Args:
            args: Positional arguments.
            kwargs: Keyword arguments.
            seen: Gets every unit with the first tensor that it reads, in order of the calls.
        """
        units = {id(unit.module): unit for unit in self.units}

        def note(module: nn.Module, inputs: Any, named: Any) -> None:
            leaves = tree_flatten((inputs, named))[0]
            first = next((leaf for leaf in leaves if isinstance(leaf, Tensor)), None)
            if first is not None:
                seen(units[id(module)], first.detach())

        handles = [
            unit.module.register_forward_pre_hook(note, with_kwargs=True) for unit in self.units
        ]
        try:
            with undisturbed(self._model), torch.no_grad():
                self._model(*args, **kwargs)
        finally:
            for handle in handles:
                handle.remove()


def _keep(before: dict[int, list[Tensor]], unit: Unit, value: Tensor) -> None:
    before.setdefault(id(unit.module), []).append(value.clone())


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Run forward passes of our own; random numbers and buffers are left as they were."""
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    # A compiled model would be compiled once more, with hooks of ours in its graphs.
    eager = torch.compiler.set_stance("force_eager")
    try:
        with preserved_rng(), eager, warnings.catch_warnings():
            # Such as "nothing requires a gradient": true of these passes, and meant so.
            warnings.simplefilter("ignore")
            yield
    finally:
        with torch.no_grad():
            for name, value in model.named_buffers():
                if name in buffers:
                    value.copy_(buffers[name])


def _replace_first(leaf: Any, num_rows: int) -> Any:
    """Give the first row the content of the second, where the leaf counts the rows."""
    count = _entries_per_row(leaf, num_rows)
    if not count:
        return leaf
    changed = leaf.detach().clone()
    changed[:count] = leaf.detach()[count : 2 * count]
    return changed


def _entries_per_row(leaf: Any, num_rows: int) -> int:
    """Count the entries of each row along the first axis; 0 where that axis holds no rows.

    Several entries of one row may be folded into the first axis. Where another axis has as many
    places as there are visits, the batch is probably there, and nothing is guessed.
    """
    if not isinstance(leaf, Tensor) or leaf.dim() == 0 or not leaf.shape[0]:
        return 0
    if leaf.shape[0] == num_rows:
        return 1
    if leaf.shape[0] % num_rows or num_rows in leaf.shape[1:]:
        return 0
    return leaf.shape[0] // num_rows


def _rows_to_front(values: Tensor, axis: int) -> Tensor:
    return values.movedim(axis, 0) if values.dim() > axis else values


def _mixed(old: Tensor, new: Tensor, num_rows: int) -> str:
    """Say what is wrong with the rows of one input, or nothing."""
    if old.shape != new.shape:
        return f"shape depends on content: {tuple(old.shape)} and {tuple(new.shape)}"
    if old.dim() > 0 and old.shape[0] == 1 and not torch.equal(old, new):
        return "one visit was read alone, by a loop over visits"
    if old.dim() == 0 or old.shape[0] % num_rows:
        return ""  # Refused with G101 where it matters.
    rows_old, rows_new = (value.reshape(num_rows, -1) for value in (old, new))
    others = (rows_old[1:] != rows_new[1:]) & ~(rows_old[1:].isnan() & rows_new[1:].isnan())
    if bool(others.any()):
        return "content of one visit reaches the rows of another"
    return ""


def _same_for_all_visits(old: Tensor, new: Tensor, num_rows: int) -> bool:
    """Tell whether an input without a row axis could be mistaken for one with rows folded in.

    Indices that do not follow the content of the first visit and yet differ from those of the
    second are not the visits' own: ``arange(length)`` is the usual case.
    """
    if old.is_floating_point() or old.dim() != 1 or old.shape[0] % num_rows:
        return False
    rows = old.reshape(num_rows, -1)
    return bool(torch.equal(old, new)) and not torch.equal(rows[0], rows[1])


def refuse_mixed(mixed: Mapping[str, str], where: str) -> None:
    """Refuse modules that mix the rows of a batch.

    Raises:
        GradientError: Code G107.
    """
    if mixed:
        path, seen = next(iter(mixed.items()))
        raise GradientError(
            "G107",
            observed=f"{seen}, at {path or 'the model'} ({len(mixed)} modules)",
            expected="row v of every captured module to depend on visit v alone",
            where=where,
            hint="make the batch the first axis, or pass accept_coupled=True to record the "
            "run as coupled",
        )
