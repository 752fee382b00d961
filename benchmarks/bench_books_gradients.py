"""Per-example gradients equal one-example-at-a-time autograd for every layer kind to 1e-10.

Caveat: single layers of small random shapes in float64 under a non-linear loss, 60 seeded draws
per kind. The error is taken per example and tensor, relative to that example's own gradient; one
that vanishes (norm below 1e-14) must be met to 1e-14. Modules that compute in float32 by their
own choice, such as transformers' LlamaRMSNorm, are compared as they compute.
"""

from __future__ import annotations

import math
from random import Random

import torch
from benchmarks.figure import Figure
from benchmarks.layer_draws import DRAWS
from benchmarks.oracle import gradients, randomised
from torch import Tensor

from gradledger.gradient import GENERIC, KINDS, survey

BAR, FLOOR, NUM_DRAWS, SEED = 1e-10, 1e-14, 60, 2026


def measure(num_draws: int = NUM_DRAWS) -> list[Figure]:
    """Draw shapes for every kind in the registry and for the generic route."""
    torch.set_num_threads(2)
    names = [kind.name for kind in (*KINDS, GENERIC)]
    if unknown := set(names) ^ set(DRAWS):
        raise LookupError(f"draws and registry differ in {sorted(unknown)}")
    largest = {name: largest_error(name, num_draws) for name in names}
    caveat = f"{num_draws} draws of one layer, float64, per example and tensor"
    figures = [
        Figure(f"books.gradients_{name}", error, "ratio", bar=BAR, caveat=caveat)
        for name, error in largest.items()
    ]
    worst = max(largest.values())
    caveat = f"largest over {len(names)} kinds of {num_draws} draws each, float64"
    return [Figure("books.gradients", worst, "ratio", bar=BAR, caveat=caveat), *figures]


def largest_error(name: str, num_draws: int) -> float:
    """Return the largest relative error over the draws of one kind."""
    random, worst = Random(f"{SEED} {name}"), 0.0  # noqa: S311  (shapes, no secrets)
    for _ in range(num_draws):
        torch.manual_seed(random.randrange(2**31))
        model, rows = DRAWS[name](random)
        model = randomised(model)
        found = survey(model, model.parameters())
        taken = [unit.kind.name for unit in found.units]
        if taken != [name] or found.unattributed:
            raise LookupError(f"a layer was drawn for {name}, and captured by {taken}")
        captured, reference = gradients(model, rows)
        for tensor, expected in reference.items():
            worst = max(worst, relative_error(captured[tensor], expected))
    return worst


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Return the largest |difference| / |reference| over the rows.

    Args:
        found: Captured gradients, (rows, elements).
        expected: The oracle's, same shape.
    """
    errors = (found - expected).norm(dim=1).tolist()
    sizes = expected.norm(dim=1).tolist()
    ratios = [0.0]
    for error, size in zip(errors, sizes, strict=True):
        if not math.isfinite(error):
            return math.inf
        if size > FLOOR:
            ratios.append(error / size)
        elif error > FLOOR:
            ratios.append(math.inf)
    return max(ratios)
