"""Whether a derivative can be believed: executed runs near the recorded one say so.

A derivative through a run can be exact and still foretell nothing: where training is not smooth, it
holds for changes alone that are smaller than any removal. So before it is used, the run is executed
a few times with other weights, and what happens is compared with what the derivative says.

    spot check      weights 1 + h u and 1 - h u, u random signs over all examples, h = 0.1
    smoothness      do the parameters move the same way from 1 - h u to 1 as from 1 to 1 + h u
    removals        random sets of examples, removed

Source: Ilyas and Engstrom, "MAGIC", 2025, for metasmoothness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradledger.query.agreement import spearman
from gradledger.replay.adjoint.derive import Derivatives
from gradledger.replay.adjoint.end import evaluated
from gradledger.replay.adjoint.weighing import weighing
from gradledger.replay.intervene import Interventions
from gradledger.replay.loop import Observable
from gradledger.replay.machine import as_recorded
from gradledger.replay.recorded import RecordedRun, load_weights
from gradledger.replay.rerun import Build, Train, execute
from gradledger.state.torch_state import preserved_rng

#: Step of the spot check.
STEP: Final = 0.1
#: Share of the admitted examples that a trial removal takes out.
SHARE: Final = 0.05
#: Expected agreement from which a prediction is called reliable.
RELIABLE: Final = 0.7
#: Removals that a rank correlation needs to say anything.
_LEAST: Final = 4


@dataclass(frozen=True)
class Belief:
    """What executed runs say of a derivative.

    Attributes:
        expected: Rank correlation of predicted and executed changes to be expected, 0 to 1.
        reason: Why that much.
        spot_error: Relative error of the prediction at step 0.1, both sides together.
        smoothness: -1 to 1; 1 where parameters move the same way on both sides.
        removal_agreement: Rank correlation over trial removals; None where too few were run.
        slope: Executed over predicted change in the trial removals; None likewise.
        error: Root mean square of executed less scaled predicted change, in the behaviours' unit.
        num_executed: Runs that were executed for this.
        trials: Predicted and executed change of every trial removal, for calibration.
        trial_size: Examples that each of them removed.
    """

    expected: float
    reason: str
    spot_error: float
    smoothness: float
    removal_agreement: float | None
    slope: float | None
    error: float | None
    num_executed: int
    trials: tuple[tuple[float, float], ...] = ()
    trial_size: int = 0

    @property
    def reliable(self) -> bool:
        """Whether a prediction may stand for an execution."""
        return self.expected >= RELIABLE

    def to_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {**asdict(self), "reliable": self.reliable}


def examine_beliefs(
    run: RecordedRun,
    build: Build,
    train: Train,
    behaviours: Mapping[str, Observable],
    found: Derivatives,
    *,
    num_removals: int = 4,
    seed: int = 0,
    executed: Callable[[], None] | None = None,
) -> dict[str, Belief]:
    """Execute a few runs near the recorded one and compare, behaviour by behaviour.

    Args:
        run: The closed run.
        build: Builds model and optimizer as the run did.
        train: The training loop that was recorded.
        behaviours: What ``found`` holds the derivatives of.
        found: The derivatives.
        num_removals: Trial removals; 0 for the spot check alone.
        seed: Of directions and removals.
        executed: Called after every run that was executed.

    Raises:
        ReplayError: As ``derive`` raises.
    """
    rng, since = np.random.default_rng(seed), found.since
    examples = np.unique(found.examples)
    per_example = found.by_example(int(examples.max()) + 1)[:, examples]
    signs = rng.choice([-1.0, 1.0], len(examples))

    def near(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        end = execute_weighted(run, build, train, behaviours, examples, weights, since=since)
        if executed is not None:
            executed()
        return end

    sides = [near(1.0 + side * STEP * signs) for side in (1, -1)]
    ahead, behind = (values for values, _ in sides)
    predicted = STEP * per_example @ signs
    errors = [
        _relative_error(*sides_of)
        for sides_of in zip(predicted, ahead - found.values, behind - found.values, strict=True)
    ]
    middle = _final(run)
    smoothness = _smoothness(sides[0][1] - middle, middle - sides[1][1])
    pairs, size = [], max(1, round(SHARE * len(examples)))
    for _ in range(num_removals):
        chosen = rng.choice(len(examples), size, replace=False)
        weights = np.ones(len(examples))
        weights[chosen] = 0.0
        values, _ = near(weights)
        pairs.append((-per_example[:, chosen].sum(1), values - found.values))
    return {
        name: _judge(errors[k], smoothness, [(float(p[k]), float(e[k])) for p, e in pairs], size)
        for k, name in enumerate(found.names)
    }


def execute_weighted(
    run: RecordedRun,
    build: Build,
    train: Train,
    behaviours: Mapping[str, Observable],
    examples: Sequence[int] | NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    since: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Execute a run with other weights of examples, from a stored state on.

    Returns:
        Behaviours and parameters of its end.
    """
    factors = {int(n): float(w) for n, w in zip(examples, weights, strict=True) if w != 1.0}
    with as_recorded(run.begin["environment"]), preserved_rng():
        journal = Interventions(run, weighing(factors))
        model = execute(run, build, train, journal, start=since, measure_visits=False)
        with evaluated(model), torch.no_grad():
            values = [float(behaviour(model)) for behaviour in behaviours.values()]
    return np.asarray(values), _flat(dict(model.named_parameters()))


def _final(run: RecordedRun) -> NDArray[np.float64]:
    stored = load_weights(run.weights_path(run.num_steps))
    names = {tensor["name"] for group in run.parameter_groups() for tensor in group["tensors"]}
    return _flat({name: value for name, value in stored.items() if name in names})


def _flat(tensors: Mapping[str, Tensor | nn.Parameter]) -> NDArray[np.float64]:
    parts = [tensors[name].detach().double().flatten().cpu().numpy() for name in sorted(tensors)]
    return np.concatenate(parts)


def _relative_error(predicted: float, ahead: float, behind: float) -> float:
    """Compare what happened on both sides with the prediction."""
    size = math.hypot(ahead, behind)
    return math.hypot(ahead - predicted, behind + predicted) / size if size else 0.0


def _smoothness(ahead: NDArray[np.float64], behind: NDArray[np.float64]) -> float:
    """Weigh the agreement of signs by how far parameters moved."""
    size = np.abs(ahead) + np.abs(behind)
    whole = float(size.sum())
    return float((size * np.sign(ahead) * np.sign(behind)).sum()) / whole if whole else 1.0


def _judge(
    error: float, smoothness: float, pairs: Sequence[tuple[float, float]], size: int
) -> Belief:
    """Take the lowest of what the checks leave possible."""
    # A prediction with an independent error of this size correlates so much with what happens.
    reasons = {
        1.0 / math.sqrt(1.0 + error**2): f"a change of weights by {STEP:g} comes out with a "
        f"relative error of {error:.2g}",
    }
    agreement = slope = rest = None
    if pairs:
        predicted, executed = (np.asarray(side) for side in zip(*pairs, strict=True))
        weight = float(predicted @ predicted)
        slope = float(predicted @ executed) / weight if weight else 0.0
        rest = float(np.sqrt(np.mean((executed - slope * predicted) ** 2)))
        if len(pairs) >= _LEAST:
            agreement = spearman(predicted.tolist(), executed.tolist()) or 0.0
            reasons[max(0.0, agreement)] = (
                f"{len(pairs)} executed removals agree in rank to {agreement:.2f}"
            )
    if agreement is None:
        # Parameters may turn where no behaviour does: where removals were executed, they say more.
        reasons[max(0.0, smoothness)] = (
            f"parameters move the same way on both sides to {smoothness:.2f}"
        )
    expected = min(reasons)
    return Belief(
        expected,
        reasons[expected],
        error,
        smoothness,
        agreement,
        slope,
        rest,
        2 + len(pairs),
        tuple(pairs),
        size,
    )
