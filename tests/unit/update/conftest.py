"""A small training loop that keeps what the update room sees, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from gradledger.update import (
    Account,
    GroupLines,
    Realised,
    Scratch,
    TensorLines,
    find_family,
    line_tensors,
    measure,
)

NUM_VISITS = 3


@dataclass
class Step:
    """One parameter at one step."""

    realised: Realised
    lines: TensorLines
    tensors: dict[str, Tensor]
    visits: list[Tensor]
    raw: Tensor
    used: Tensor
    before: Tensor
    after: Tensor
    momentum_before: Tensor | None
    momentum_after: Tensor | None
    inventory: Tensor


@dataclass
class Loop:
    """Settings of a run; every callback is optional."""

    seed: int = 0
    schedule: Callable[[Optimizer, int], None] | None = None
    edit_gradients: Callable[[list[Tensor]], None] | None = None
    capture: Callable[[Tensor], Tensor | None] = lambda total: total
    edit_parameter: Callable[[Tensor], None] | None = None
    accounts: list[Account] | None = None

    def run(self, optimizer: Optimizer, num_steps: int) -> list[list[Step]]:
        """Train on random per-visit gradients; return steps by parameter."""
        generator = torch.Generator().manual_seed(self.seed)
        family = find_family(optimizer)
        family.check(optimizer)
        pairs = [(p, g) for g in optimizer.param_groups for p in g["params"]]
        accounts = self.accounts or [family.open_account(optimizer, p, g) for p, g in pairs]
        history: list[list[Step]] = [[] for _ in pairs]
        scratch = Scratch()
        for index in range(num_steps):
            if self.schedule is not None:
                self.schedule(optimizer, index)
            visits = []
            for parameter, _ in pairs:
                shape = (NUM_VISITS, *parameter.shape)
                drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
                visits.append(list(drawn.to(parameter.dtype)))
                parameter.grad = torch.stack(visits[-1]).sum(0)
            raws = [p.grad.clone() for p, _ in pairs]
            if self.edit_gradients is not None:
                self.edit_gradients([p for p, _ in pairs])
            befores = [family.before(optimizer, p, g) for p, g in pairs]
            thetas = [p.detach().clone() for p, _ in pairs]
            optimizer.step()
            for number, (parameter, _) in enumerate(pairs):
                if self.edit_parameter is not None:
                    self.edit_parameter(parameter.data)
                realised = family.after(befores[number], optimizer, parameter)
                arguments = {
                    "theta_before": thetas[number],
                    "theta_after": parameter,
                    "g_raw": raws[number],
                    "g_used": befores[number].gradient,
                    "captured": self.capture(torch.stack(visits[number]).sum(0)),
                }
                account = accounts[number]
                tensors = line_tensors(realised, account, **arguments)
                lines = measure(realised, account, **arguments, scratch=scratch)
                kept = account.inventory
                after = realised.momentum_after
                history[number].append(
                    Step(
                        realised=realised,
                        lines=lines,
                        tensors=tensors,
                        visits=visits[number],
                        raw=raws[number],
                        used=befores[number].gradient.clone(),
                        before=thetas[number],
                        after=parameter.detach().clone(),
                        momentum_before=realised.momentum_before,
                        momentum_after=None if after is None else after.clone(),
                        inventory=torch.zeros_like(thetas[number])
                        if kept is None
                        else kept.clone(),
                    )
                )
        return history


@pytest.fixture(scope="session")
def loop() -> type[Loop]:
    """The training loop."""
    return Loop


@pytest.fixture(scope="session")
def parameters() -> Callable[..., list[torch.nn.Parameter]]:
    """A maker of small parameters."""

    def make(dtype: torch.dtype = torch.float64, seed: int = 1) -> list[torch.nn.Parameter]:
        generator = torch.Generator().manual_seed(seed)
        shapes = ((4, 3), (5,), ())
        drawn = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
        return [torch.nn.Parameter(x.to(dtype)) for x in drawn]

    return make


def _measured(parameter, optimizer, gradient, account=None):
    """Take one step with capture equal to the gradient; return lines and plain tensors."""
    family, group = find_family(optimizer), optimizer.param_groups[0]
    account = account or family.open_account(optimizer, parameter, group)
    parameter.grad = gradient.clone()
    before, theta = family.before(optimizer, parameter, group), parameter.detach().clone()
    optimizer.step()
    law = family.after(before, optimizer, parameter)
    arguments = {"theta_before": theta, "theta_after": parameter, "g_raw": before.gradient}
    arguments |= {"g_used": before.gradient, "captured": gradient}
    tensors = line_tensors(law, account, **arguments)
    return measure(law, account, **arguments), tensors, parameter.detach() - theta


@pytest.fixture(scope="session")
def measured() -> Callable[..., tuple[TensorLines, dict[str, Tensor], Tensor]]:
    """One booked step of one parameter."""
    return _measured


@pytest.fixture(scope="session")
def group_of() -> Callable[..., GroupLines]:
    """A group of some tensors."""

    def make(*lines: TensorLines) -> GroupLines:
        group = GroupLines()
        for tensor_lines in lines:
            group.add(tensor_lines)
        return group

    return make
