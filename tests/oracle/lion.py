"""Lion as its paper states it, in the manner of the known packages."""

from __future__ import annotations

import torch
from torch.optim import Optimizer


class Lion(Optimizer):
    """Sign of an interpolated momentum."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["exp_avg"] = torch.zeros_like(p)
                moment = state["exp_avg"]
                p.mul_(1.0 - group["lr"] * group["weight_decay"])
                update = moment.clone().mul_(beta1).add(p.grad, alpha=1.0 - beta1).sign_()
                p.add_(update, alpha=-group["lr"])
                moment.mul_(beta2).add_(p.grad, alpha=1.0 - beta2)
