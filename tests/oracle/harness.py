"""The oracle: one example at a time through plain autograd, in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gradledger.gradient import Capture, Use, survey

#: Largest relative difference per tensor; differences below the floor vanish by symmetry.
TOLERANCE, FLOOR = 1e-10, 1e-14

LossOfRow = Callable[[nn.Module, Tensor], Tensor]


def reference(model: nn.Module, rows: Tensor, loss_of: LossOfRow) -> dict[str, Tensor]:
    """Gradient of each row's loss alone: name -> (rows, elements)."""
    parameters = dict(model.named_parameters())
    found: dict[str, list[Tensor]] = {name: [] for name in parameters}
    for row in rows:
        grads = torch.autograd.grad(
            loss_of(model, row.unsqueeze(0)).sum(), list(parameters.values()), allow_unused=True
        )
        for (name, parameter), grad in zip(parameters.items(), grads, strict=True):
            found[name].append((torch.zeros_like(parameter) if grad is None else grad).flatten())
    return {name: torch.stack(grads) for name, grads in found.items()}


def captured(
    model: nn.Module,
    rows: Tensor,
    loss_of: LossOfRow,
    weights: dict[str, Tensor] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Captured gradients of one batch, and what autograd left in ``.grad``."""
    found = survey(model, model.parameters())
    parameters = dict(model.named_parameters())
    routed = {id(parameters[name]): value for name, value in (weights or {}).items()}
    capture = Capture(found.units)
    capture.attach()
    model.zero_grad()
    try:
        with capture.micro_batch(len(rows), routed):
            loss_of(model, rows).sum().backward()
        result = {}
        for name, parameter in parameters.items():
            total = parameter.new_zeros(len(rows), parameter.numel())
            for use in capture.uses(parameter):
                total += spread(use, len(rows))
            result[name] = total
    finally:
        capture.detach()
    grads = {
        name: (torch.zeros_like(p) if p.grad is None else p.grad.clone()).flatten()
        for name, p in parameters.items()
    }
    return result, grads


def spread(use: Use, num_rows: int) -> Tensor:
    """Gradients of one use at the places of their rows, depth weights included."""
    values = use.form.chunk(0, use.form.num_rows)
    if use.weights is not None:
        values = values * use.weights.unsqueeze(1)
    if use.rows is None:
        return values
    return values.new_zeros(num_rows, values.shape[1]).index_copy(0, use.rows, values)


def assert_close(found: Tensor, expected: Tensor, what: str) -> None:
    """Compare per tensor, relative, with a floor."""
    error = float((found - expected).norm())
    bound = max(TOLERANCE * float(expected.norm()), FLOOR)
    assert error <= bound, f"{what}: error {error:.3g}, bound {bound:.3g}"


def check(model: nn.Module, rows: Tensor, loss_of: LossOfRow) -> None:
    """Captured gradients equal the oracle's, row by row, and their sum equals autograd's."""
    expected = reference(model, rows, loss_of)
    found, grads = captured(model, rows, loss_of)
    for name in expected:
        assert_close(found[name], expected[name], name)
        assert_close(grads[name], expected[name].sum(0), f"{name} (autograd)")


def mean_square(model: nn.Module, x: Tensor) -> Tensor:
    """A loss per row that is neither linear nor symmetric in the output."""
    y = model(x)
    target = torch.linspace(-1, 1, y[0].numel(), dtype=y.dtype).view_as(y[0])
    return ((y - target) ** 2).flatten(1).mean(1) + y.flatten(1).tanh().sum(1)


def random_input(seed: int, *shape: int) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64)


def randomised(module: nn.Module) -> nn.Module:
    """Move parameters off their symmetric initial values."""
    module = module.double()
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.3 * torch.randn_like(value))
    return module


def check_routed(model: nn.Module, rows: Tensor, loss_of: LossOfRow) -> None:
    """Depth weights multiply the oracle's gradients, and weight 0 is exact."""
    weights = torch.tensor([0.5, 0.0, 1.0, 0.0, 2.0], dtype=torch.float64)[: len(rows)]
    names = [name for name, _ in model.named_parameters()]
    expected = reference(model, rows, loss_of)
    found, grads = captured(model, rows, loss_of, dict.fromkeys(names, weights))
    for name, value in expected.items():
        weighted = value * weights.unsqueeze(1)
        assert_close(found[name], weighted, name)
        assert_close(grads[name], weighted.sum(0), f"{name} (gradient of the optimizer)")
        assert bool((found[name][weights == 0] == 0).all()), name
